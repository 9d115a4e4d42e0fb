//! What happens to a connection when a request is answered before its body was read, byte by byte.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use engram_server::config::Listener;
use engram_server::listener::{Bound, Shared};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::common::{CONFIG, Server};

/// Longer than anything here takes, unless it never ends.
const DEADLINE: Duration = Duration::from_secs(30);

struct Listening {
    address: SocketAddr,
    _server: Server,
    _stop: watch::Sender<bool>,
}

async fn listen() -> Listening {
    let server = Server::start(CONFIG);
    let listener = Listener { bind: "127.0.0.1:0".parse().expect("an address"), tls: None };
    let bound = Bound::new(&listener).await.expect("a free port");
    let address = bound.url().strip_prefix("http://").expect("no TLS").parse().expect("an address");
    let (stop, stopping) = watch::channel(false);
    let (alive, _) = mpsc::channel(1);
    tokio::spawn(bound.accept(Shared { front: server.api(), stopping, alive, connections_max: 64 }));
    Listening { address, _server: server, _stop: stop }
}

/// One answer: its head, lower-cased, and its body.
async fn answer(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut byte = [0];
        let read = timeout(DEADLINE, stream.read(&mut byte)).await.expect("an answer").expect("a connection");
        assert_eq!(read, 1, "the connection ended in {:?}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    timeout(DEADLINE, stream.read_exact(&mut body)).await.expect("a body").expect("a connection");
    (head, String::from_utf8_lossy(&body).into_owned())
}

fn request(line: &str, headers: &str, length: usize) -> String {
    format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n")
}

const WHOAMI: &str = "GET /_matrix/client/v3/account/whoami HTTP/1.1\r\nHost: x\r\n\r\n";

/// Every answer that does not need the body.
const EARLY: [(&str, &str, &str); 6] = [
    ("PUT /_matrix/client/v3/rooms/!r:x/send/m.room.message/1", "", "401"),
    ("PUT /_matrix/client/v3/rooms/!r:x/send/m.room.message/1", "Authorization: Bearer bad\r\n", "401"),
    ("POST /_matrix/client/v3/nothing", "", "404"),
    ("DELETE /_matrix/client/v3/login", "", "405"),
    ("OPTIONS /_matrix/client/v3/login", "", "200"),
    ("POST /_matrix/client/v3/logout", "", "401"),
];

/// A proxy that keeps its connections would answer 502 to somebody else's request.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_an_answer_that_did_not_wait_for_a_small_body() {
    let listening = listen().await;
    for length in [2, 64 * 1024] {
        for (line, headers, status) in EARLY {
            let mut stream = TcpStream::connect(listening.address).await.expect("it listens");
            stream.set_nodelay(true).expect("a socket");
            stream.write_all(request(line, headers, length).as_bytes()).await.expect("open");
            stream.flush().await.expect("open");
            // The body comes in packets of its own.
            let body = vec![b'x'; length];
            let (first, rest) = body.split_at(1);
            stream.write_all(first).await.expect("open");
            tokio::task::yield_now().await;
            stream.write_all(rest).await.expect("open");
            let (head, _) = answer(&mut stream).await;
            assert!(head.starts_with(&format!("http/1.1 {status}")), "{line}: {head}");
            assert!(!head.contains("connection: close"), "{line}: {head}");
            stream.write_all(WHOAMI.as_bytes()).await.expect("it goes on");
            let (head, body) = answer(&mut stream).await;
            assert!(head.starts_with("http/1.1 401") && body.contains("M_MISSING_TOKEN"), "{line}: {head}");
        }
    }
}

/// The same without a length, so that nobody knows beforehand that it is short.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_an_answer_that_did_not_wait_for_a_short_chunked_body() {
    let listening = listen().await;
    let mut stream = TcpStream::connect(listening.address).await.expect("it listens");
    for _ in 0..2 {
        let head = "POST /_matrix/client/v3/nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("open");
        stream.write_all(b"2\r\n{}\r\n0\r\n\r\n").await.expect("open");
        let (head, _) = answer(&mut stream).await;
        assert!(head.starts_with("http/1.1 404") && !head.contains("connection: close"), "{head}");
    }
}

/// Of a large body nothing is read first. The answer says that the connection ends, and arrives whole although the
/// client is still sending: a reset would take it away.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_did_not_wait_for_a_large_body_is_read_by_a_client_that_sends_on() {
    let listening = listen().await;
    let large = ("POST /_matrix/client/v3/login", "", "413");
    for (line, headers, status) in EARLY.into_iter().chain([large]) {
        let length = 8 * 1024 * 1024;
        let mut stream = TcpStream::connect(listening.address).await.expect("it listens");
        stream.write_all(request(line, headers, length).as_bytes()).await.expect("open");
        // Everything is sent before the answer is looked at.
        stream.write_all(&vec![b'x'; length]).await.unwrap_or_else(|error| panic!("{line}: {error}"));
        let (head, body) = answer(&mut stream).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{line}: {head}");
        assert!(head.contains("connection: close"), "{line}: {head}");
        assert!(body.ends_with('}'), "{line}: {body}");
        let mut rest = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("an end").expect("an orderly one");
        assert!(rest.is_empty(), "nothing comes after it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_understood_is_answered_before_the_connection_ends() {
    let listening = listen().await;
    let mut stream = TcpStream::connect(listening.address).await.expect("it listens");
    let mut nonsense = b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n".to_vec();
    nonsense.resize(256 * 1024, b'x');
    stream.write_all(&nonsense).await.expect("it is read and dropped");
    let mut all = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut all)).await.expect("an end").expect("an orderly one");
    assert!(all.starts_with(b"HTTP/1.1 400"), "{:?}", String::from_utf8_lossy(&all));
}

/// HTTP/2: one refused stream is one refused stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_leaves_the_others_of_its_connection_alone() {
    let listening = listen().await;
    let stream = TcpStream::connect(listening.address).await.expect("it listens");
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2 without TLS");
    let connection = tokio::spawn(connection);
    for length in [2, 64 * 1024, 8 * 1024 * 1024] {
        for (path, status) in [("/_matrix/client/v3/nothing", 404), ("/_matrix/client/v3/createRoom", 401)] {
            let body = Full::new(Bytes::from(vec![b'x'; length]));
            let request = Request::post(format!("http://x{path}")).body(body).expect("a request");
            let answered = timeout(DEADLINE, client.send_request(request)).await.expect("an answer");
            let response = answered.unwrap_or_else(|error| panic!("{path} {length}: {error:?}"));
            assert_eq!(response.status(), status);
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            assert!(body.ends_with(b"}"), "{path}: {body:?}");
        }
    }
    assert!(!connection.is_finished(), "no GOAWAY");
}

/// Without it, half of what a web client sends are preflights.
#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_may_be_remembered_and_405_says_what_is_allowed() {
    let listening = listen().await;
    let mut stream = TcpStream::connect(listening.address).await.expect("it listens");
    for (line, expected) in [
        ("OPTIONS /_matrix/client/v3/sync", "access-control-max-age: 86400"),
        ("DELETE /_matrix/client/v3/login", "allow: get, head, options, post"),
        ("HEAD /_matrix/client/versions", ""),
    ] {
        stream.write_all(request(line, "", 0).as_bytes()).await.expect("open");
        if line.starts_with("HEAD") {
            let mut head = vec![0; 15];
            stream.read_exact(&mut head).await.expect("an answer");
            assert_eq!(head, b"HTTP/1.1 200 OK");
            continue;
        }
        let (head, _) = answer(&mut stream).await;
        assert!(head.contains(expected), "{head}");
        assert!(head.contains("access-control-allow-origin: *"), "{head}");
    }
}
