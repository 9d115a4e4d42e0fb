//! Listening and serving connections: limits, timeouts, TLS, HTTP/1.1 and HTTP/2, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use engram_http::{ClientAddress, Front};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::config;
use crate::linger::{Lent, linger};
use crate::tls::{self, TlsError};

/// How long a client may take from one request's end to the next one's last header: bounds idle and slow connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many requests an HTTP/2 client may have under way.
const STREAMS_MAX: u32 = 128;

/// Largest head of an HTTP/2 request, in bytes. HTTP/1.1 has the limit of its buffer.
const HEADERS_BYTES_MAX: u32 = 32 * 1024;

/// Buffer of an HTTP/1.1 connection, which bounds a request's head; hyper's own default is 400 kB.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// How long to wait when the system refuses further connections, commonly because files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be used.
    #[error(
        "cannot listen on {address}: {source}. Free that address, or choose another with `--listen` or `listener.bind`"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What all connections share.
#[derive(Clone)]
pub struct Shared {
    /// What answers requests.
    pub front: Front,
    /// Becomes true when the server is stopping.
    pub stopping: watch::Receiver<bool>,
    /// Held by every connection: the other end learns when the last one is gone.
    pub alive: mpsc::Sender<()>,
    /// Open connections of one listener.
    pub connections_max: usize,
}

/// A socket that listens and does not accept yet.
pub struct Bound {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    address: SocketAddr,
}

impl Bound {
    /// Takes the address.
    pub async fn new(listener: &config::Listener) -> Result<Self, ListenError> {
        let tls = match &listener.tls {
            Some((certificate, key)) => Some(tls::acceptor(certificate, key)?),
            None => None,
        };
        let bind = |source| ListenError::Bind { address: listener.bind, source };
        let socket = TcpListener::bind(listener.bind).await.map_err(bind)?;
        let address = socket.local_addr().map_err(bind)?;
        Ok(Self { socket, tls, address })
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// Accepts connections until the server stops.
    pub async fn accept(self, shared: Shared) {
        let slots = Arc::new(Semaphore::new(shared.connections_max));
        let mut stopping = shared.stopping.clone();
        let mut stop = pin!(until(&mut stopping));
        loop {
            // The semaphore is never closed, so there is always a permit to wait for.
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = &mut stop => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (shared, tls) = (shared.clone(), self.tls.clone());
                    tokio::spawn(async move {
                        connection(stream, peer, tls, shared).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(code = "W-ACCEPT", %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Resolves when the server is stopping.
async fn until(stopping: &mut watch::Receiver<bool>) {
    // An error means that whoever would say so is gone, which is as good as a stop.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

async fn connection(stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>, shared: Shared) {
    // Answers are written whole: waiting to fill packets would only delay them. Failing means that the peer is gone.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match tls {
        None => {
            if matches!(timeout(HEAD_TIMEOUT, stream.readable()).await, Ok(Ok(()))) {
                serve(stream, peer, shared).await;
            }
        }
        Some(acceptor) => match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, peer, shared).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        },
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, peer: SocketAddr, shared: Shared) {
    let Shared { front, mut stopping, alive, .. } = shared;
    let service = service_fn(move |request: Request<Incoming>| respond(front.clone(), peer, request));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(BUFFER_BYTES_MAX);
    let http2 = &mut builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEADERS_BYTES_MAX);
    http2.keep_alive_interval(HEAD_TIMEOUT);
    let (lent, returned) = Lent::new(stream);
    let stopped = {
        let mut connection = pin!(builder.serve_connection(TokioIo::new(lent), service));
        let (outcome, stopped) = tokio::select! {
            outcome = connection.as_mut() => (outcome, false),
            () = until(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                (connection.await, true)
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, error, "a connection ended early");
        }
        stopped
    };
    drop(alive);
    if !stopped && let Ok(stream) = returned.await {
        linger(stream).await;
    }
}

async fn respond(front: Front, peer: SocketAddr, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let address = ClientAddress(Some(peer.ip().to_canonical()));
    // The path alone: a query may hold an access token.
    let told =
        tracing::enabled!(tracing::Level::DEBUG).then(|| (request.method().clone(), request.uri().path().to_owned()));
    let answer = front.respond(request, address).await;
    if let Some((method, path)) = told {
        let (operation, status) = (answer.operation.unwrap_or("none"), answer.response.status().as_u16());
        tracing::debug!(%method, path, operation, status, "answered");
    }
    Ok(answer.response)
}
