//! What can go wrong while a server is measured.

/// A measurement cannot go on. There are no retries: a benchmark that met an error is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket or a file failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The bytes that came back are not HTTP/1.1 as this client understands it.
    #[error("not an HTTP/1.1 response: {0}")]
    Protocol(&'static str),
    /// The server refused a request that has to succeed.
    #[error("{what}: the server answered {status}: {body}")]
    Refused {
        /// The request.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The body, for people.
        body: String,
    },
    /// A response lacks what the specification promises.
    #[error("{what} is missing from a response")]
    Missing {
        /// The member.
        what: &'static str,
    },
    /// The log or the views under test failed.
    #[error("{0}")]
    Log(String),
    /// The options make no sense together.
    #[error("{0}")]
    Usage(String),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
