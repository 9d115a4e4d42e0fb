//! A response, and what a test may expect of it.

use engram_benches::http::Response;
use serde_json::Value;

/// A response together with the request that it answers, so that a failed expectation says what was asked.
#[derive(Debug)]
pub struct Reply {
    /// Method and path.
    pub request: String,
    /// The HTTP status.
    pub status: u16,
    /// The JSON body; null if there is none.
    pub body: Value,
    /// The head of the response.
    pub head: Response,
}

impl Reply {
    /// Wraps a response.
    pub fn new(request: String, response: Response) -> Self {
        Self { request, status: response.status, body: response.json(), head: response }
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}: {}", self.request, self.body);
        assert!(!self.body.is_null(), "{}: the body is not JSON", self.request);
        self.body
    }

    /// A string member of the body of a success.
    #[track_caller]
    pub fn string(self, member: &str) -> String {
        let request = self.request.clone();
        let body = self.ok();
        match body[member].as_str() {
            Some(value) => value.to_owned(),
            None => panic!("{request}: no string {member} in {body}"),
        }
    }

    /// Expects a standard error: status and `errcode`, with a message for people.
    #[track_caller]
    pub fn refused(self, status: u16, errcode: &str) -> Value {
        assert_eq!(
            (self.status, self.body["errcode"].as_str()),
            (status, Some(errcode)),
            "{}: {}",
            self.request,
            self.body
        );
        assert!(self.body["error"].is_string(), "{}: an error for people is missing: {}", self.request, self.body);
        self.body
    }

    /// Expects a standard error with this status and any of these codes, where the specification leaves a choice.
    #[track_caller]
    pub fn refused_as(self, status: u16, errcodes: &[&str]) -> Value {
        let errcode = self.body["errcode"].as_str().unwrap_or_default().to_owned();
        assert!(
            self.status == status && errcodes.contains(&errcode.as_str()),
            "{}: {} {}, expected {status} with one of {errcodes:?}",
            self.request,
            self.status,
            self.body
        );
        self.body
    }
}
