//! Bodies of requests: read within a bound, or dropped so that the connection can go on.
//!
//! An answer that is given before its request's body was read would end an HTTP/1.1 connection: what follows on it
//! could not be told from the rest of the body. So what is short is read and dropped before the answer is given, and
//! where that takes too long the answer says `Connection: close`. The listener then lets the client read it.

use std::pin::Pin;
use std::time::Duration;

use axum::BoxError;
use axum::body::HttpBody;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::error::{ApiError, ApiResult};
use crate::limits;

/// The body of a request, as far as it has been read.
pub(crate) struct Incoming<B> {
    body: B,
    /// Whether everything was read that there is.
    at_end: bool,
}

impl<B> Incoming<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    pub(crate) fn new(body: B) -> Self {
        let at_end = body.is_end_stream();
        Self { body, at_end }
    }

    /// All of it.
    pub(crate) async fn read(&mut self, bytes_max: usize) -> ApiResult<Bytes> {
        self.read_within(limits::BODY_TIMEOUT, bytes_max).await
    }

    async fn read_within(&mut self, patience: Duration, bytes_max: usize) -> ApiResult<Bytes> {
        if self.at_end {
            return Ok(Bytes::new());
        }
        // A body that says it is too long is refused before any of it is read.
        if self.body.size_hint().lower() > bytes_max as u64 {
            return Err(too_large(bytes_max));
        }
        timeout(patience, self.collect(bytes_max)).await.map_err(|_| ApiError::too_slow())?
    }

    async fn collect(&mut self, bytes_max: usize) -> ApiResult<Bytes> {
        // Most bodies come as one frame, which is handed on as it is.
        let Some(first) = self.frame().await? else { return Ok(Bytes::new()) };
        if first.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        let Some(second) = self.frame().await? else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(frame) = next {
            if whole.len() + frame.len() > bytes_max {
                return Err(too_large(bytes_max));
            }
            whole.extend_from_slice(&frame);
            next = self.frame().await?;
        }
        Ok(whole.freeze())
    }

    /// The next bytes.
    async fn frame(&mut self) -> ApiResult<Option<Bytes>> {
        if self.at_end {
            return Ok(None);
        }
        match Pin::new(&mut self.body).frame().await {
            Some(Ok(frame)) => {
                self.at_end = self.body.is_end_stream();
                // Trailers are nothing to anybody here.
                Ok(Some(frame.into_data().unwrap_or_default()))
            }
            None => {
                self.at_end = true;
                Ok(None)
            }
            Some(Err(_)) => Err(ApiError::unknown("The body ended before it was complete.")),
        }
    }

    /// Reads and drops what is left, if that is little. Whether everything was read: if not, the connection cannot go
    /// on.
    pub(crate) async fn drop_rest(&mut self) -> bool {
        if self.at_end {
            return true;
        }
        if self.body.size_hint().lower() > limits::BODY_BYTES_DROPPED as u64 {
            return false;
        }
        timeout(limits::BODY_DROP_TIMEOUT, self.discard()).await.unwrap_or(false)
    }

    async fn discard(&mut self) -> bool {
        let mut left = limits::BODY_BYTES_DROPPED;
        loop {
            match self.frame().await {
                Ok(None) => return true,
                Ok(Some(bytes)) if bytes.len() <= left => left -= bytes.len(),
                _ => return false,
            }
        }
    }
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::too_large(format!("The body has more than {bytes_max} bytes."))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use axum::body::Body;
    use axum::http::HeaderMap;
    use http_body::Frame;
    use http_body_util::Empty;

    use super::*;

    /// A body of so many bytes, one a frame, that does not say how many.
    struct Untold(usize);

    impl HttpBody for Untold {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let trailers = std::future::pending::<Option<Result<HeaderMap, Infallible>>>();
        let mut body = Incoming::new(Body::new(Empty::<Bytes>::new().with_trailers(trailers)));
        let error = body.read_within(Duration::from_millis(1), 32).await.expect_err("too slow");
        assert_eq!((error.status.as_u16(), error.errcode), (408, "M_UNKNOWN"));
    }

    #[tokio::test]
    async fn a_body_is_bounded_whether_it_tells_its_length_or_not() {
        for (length, expected) in [(0, None), (32, None), (33, Some("M_TOO_LARGE"))] {
            let told = Body::from("x".repeat(length));
            for body in [told, Body::new(Untold(length))] {
                let read = Incoming::new(body).read(32).await;
                assert_eq!(read.as_ref().err().map(|error| error.errcode), expected, "{length}");
                assert!(read.is_err() || read.is_ok_and(|bytes| bytes.len() == length));
            }
        }
    }

    #[tokio::test]
    async fn what_is_short_is_dropped_and_what_is_long_is_not_read() {
        for (length, expected) in
            [(0, true), (limits::BODY_BYTES_DROPPED, true), (limits::BODY_BYTES_DROPPED + 1, false)]
        {
            let mut body = Incoming::new(Body::from("x".repeat(length)));
            assert_eq!(body.drop_rest().await, expected, "{length}");
        }
    }
}
