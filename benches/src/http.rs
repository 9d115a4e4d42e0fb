//! HTTP/1.1 as a load generator wants it: request bytes made by hand, responses parsed only as far as needed.
//!
//! No TLS, no redirects, no pipelining: one request in flight per connection. [`Client`] is the blocking form, for
//! setting things up and for tests; [`crate::engine`] drives many connections from one thread.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::error::{Error, Result};

/// How long a blocking call may take before it counts as failed: longer than any long poll in use.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);
/// How much is read from a socket at once: nearly every response fits, so that one read call suffices.
const READ_BYTES: usize = 64 * 1024;

const PATH_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes one segment of a path or one value of a query.
pub fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, PATH_SEGMENT).to_string()
}

/// The address of a base URL such as `http://127.0.0.1:8008`.
pub fn resolve(base_url: &str) -> Result<SocketAddr> {
    let host = base_url
        .strip_prefix("http://")
        .ok_or_else(|| Error::Usage(format!("{base_url}: only http:// URLs can be driven")))?
        .trim_end_matches('/');
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let address = with_port.to_socket_addrs()?.next();
    address.ok_or_else(|| Error::Usage(format!("{base_url} does not resolve")))
}

/// Appends a request to `out`.
pub fn write_request(out: &mut Vec<u8>, method: &str, path: &str, token: Option<&str>, body: Option<&[u8]>) {
    write_head(out, method, path, token, body.map(<[u8]>::len));
    out.extend_from_slice(body.unwrap_or_default());
}

fn write_head(out: &mut Vec<u8>, method: &str, path: &str, token: Option<&str>, body_bytes: Option<usize>) {
    for part in [method, " ", path, " HTTP/1.1\r\nHost: localhost\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(token) = token {
        for part in ["Authorization: Bearer ", token, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    if let Some(bytes) = body_bytes {
        let head = format!("Content-Type: application/json\r\nContent-Length: {bytes}\r\n");
        out.extend_from_slice(head.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// The head, up to the blank line.
    pub head: String,
    /// The server will close the connection.
    pub close: bool,
}

impl Response {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The response itself if its status is 200, else the error.
    pub fn expect_ok(self, what: &str) -> Result<Self> {
        if self.status == 200 {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body).into_owned();
        Err(Error::Refused { what: what.to_owned(), status: self.status, body })
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Collects the bytes of one response at a time.
#[derive(Default)]
pub struct ResponseReader {
    received: Vec<u8>,
}

impl ResponseReader {
    /// Reads once from the stream; a complete response if there is one now.
    ///
    /// A stream at its end is an error of kind `UnexpectedEof`.
    pub fn read(&mut self, stream: &mut impl Read, scratch: &mut [u8]) -> Result<Option<Response>> {
        let count = stream.read(scratch)?;
        if count == 0 {
            return Err(Error::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        self.received.extend_from_slice(&scratch[..count]);
        self.complete()
    }

    fn complete(&mut self) -> Result<Option<Response>> {
        let Some(head_bytes) = find(&self.received, b"\r\n\r\n").map(|at| at + 4) else {
            return Ok(None);
        };
        let head =
            std::str::from_utf8(&self.received[..head_bytes]).map_err(|_| Error::Protocol("head is not UTF-8"))?;
        let status = head.get(9..12).and_then(|code| code.parse().ok()).ok_or(Error::Protocol("no status code"))?;
        let rest = &self.received[head_bytes..];
        let body = if let Some(length) = header(head, "content-length") {
            let length: usize = length.parse().map_err(|_| Error::Protocol("malformed Content-Length"))?;
            rest.get(..length).map(|body| (body.to_vec(), length))
        } else if header(head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            dechunk(rest)?
        } else {
            Some((Vec::new(), 0))
        };
        let Some((body, body_bytes)) = body else {
            return Ok(None);
        };
        let close = header(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let response = Response { status, body, close, head: head.to_owned() };
        self.received.drain(..head_bytes + body_bytes);
        Ok(Some(response))
    }
}

/// The body of a chunked message and how many bytes it took; none if it is not complete.
fn dechunk(mut bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let mut body = Vec::new();
    let mut taken = 0;
    loop {
        let Some(line_end) = find(bytes, b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[..line_end]).ok().and_then(|line| line.split(';').next());
        let size = size.and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok());
        let size = size.ok_or(Error::Protocol("malformed chunk size"))?;
        let end = line_end + 2 + size + 2;
        if bytes.len() < end {
            return Ok(None);
        }
        body.extend_from_slice(&bytes[line_end + 2..end - 2]);
        bytes = &bytes[end..];
        taken += end;
        if size == 0 {
            return Ok(Some((body, taken)));
        }
    }
}

/// Where `needle` begins in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// One keep-alive connection, blocking. Reconnects when the server has closed it between two calls.
pub struct Client {
    address: SocketAddr,
    timeout: Duration,
    connection: Option<TcpStream>,
    reader: ResponseReader,
    scratch: Vec<u8>,
}

impl Client {
    /// A client that connects when it is first used.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            timeout: CALL_TIMEOUT,
            connection: None,
            reader: ResponseReader::default(),
            scratch: vec![0; READ_BYTES],
        }
    }

    /// Sends a request with a JSON body or none, and waits for the response.
    pub fn call(&mut self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Result<Response> {
        let body = body.map(Value::to_string);
        self.call_bytes(method, path, token, body.as_deref().map(str::as_bytes))
    }

    /// Sends a request with any bytes as its body, labelled JSON, and waits for the response.
    pub fn call_bytes(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&[u8]>,
    ) -> Result<Response> {
        let mut head = Vec::new();
        write_head(&mut head, method, path, token, body.map(<[u8]>::len));
        self.exchange(&head, body.unwrap_or_default())
    }

    /// Sends a request that the caller has written himself, and waits for the response.
    pub fn call_raw(&mut self, request: &[u8]) -> Result<Response> {
        self.exchange(request, &[])
    }

    fn exchange(&mut self, head: &[u8], body: &[u8]) -> Result<Response> {
        let mut stream = match self.connection.take().filter(is_open) {
            Some(stream) => stream,
            None => self.connect()?,
        };
        // A server may answer an oversize body and close before it has read it all: the answer is what counts.
        let sent = stream.write_all(head).and_then(|()| stream.write_all(body));
        let response = loop {
            match self.reader.read(&mut stream, &mut self.scratch) {
                Ok(Some(response)) => break response,
                Ok(None) => {}
                Err(error) => {
                    sent?;
                    return Err(error);
                }
            }
        };
        if !response.close && sent.is_ok() {
            self.connection = Some(stream);
        }
        Ok(response)
    }

    fn connect(&mut self) -> Result<TcpStream> {
        self.reader = ResponseReader::default();
        let stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        Ok(stream)
    }
}

/// Whether an idle connection is still open: a closed one reads as ended at once.
fn is_open(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let idle = matches!(stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    idle && stream.set_nonblocking(false).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(mut bytes: &[u8], step: usize) -> Vec<Response> {
        let mut reader = ResponseReader::default();
        let mut responses = Vec::new();
        let mut scratch = vec![0; step];
        while !bytes.is_empty() {
            responses.extend(reader.read(&mut bytes, &mut scratch).unwrap());
        }
        responses
    }

    #[test]
    fn responses_are_found_however_they_are_cut() {
        let wire = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        for step in 1..=wire.len() {
            let responses = read_all(wire, step);
            assert_eq!(responses.len(), 1, "cut every {step} bytes");
            assert_eq!((responses[0].status, responses[0].body.as_slice()), (200, b"{}".as_slice()));
        }
    }

    #[test]
    fn chunked_bodies_are_joined() {
        let wire = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
        for step in [1, 7, wire.len()] {
            let responses = read_all(wire, step);
            assert_eq!((responses[0].status, responses[0].body.as_slice()), (404, br#"{"a":1}"#.as_slice()));
        }
    }

    #[test]
    fn segments_are_encoded() {
        assert_eq!(encode("!room:a b/c"), "%21room%3Aa%20b%2Fc");
    }

    #[test]
    fn a_body_that_is_no_number_long_is_refused() {
        let mut reader = ResponseReader::default();
        let mut wire: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n";
        assert!(matches!(reader.read(&mut wire, &mut [0; 99]), Err(Error::Protocol(_))));
    }
}
