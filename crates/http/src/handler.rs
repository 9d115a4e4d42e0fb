//! Handlers: functions whose parameters say what they need of a call.
//!
//! A handler is a function of up to six parameters, each of which is an [`Extract`]: the application ([`State`]),
//! segments of the path, the query, the body, who calls. They are made on the thread on which the handler runs, so that
//! parsing costs nobody else anything. What a handler can have of its caller is bounded by the type that its line
//! promises: there is no session to be had in an operation for which nobody has to log in.

use std::future::Future;
use std::sync::Arc;

use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use crate::auth::{Authenticated, Caller, ClientAddress, Known};
use crate::error::ApiResult;
use crate::routes::Segments;

/// A call before anybody knows what its handler is promised.
pub(crate) struct RawCall {
    pub(crate) known: Known,
    pub(crate) segments: Segments,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
    pub(crate) address: ClientAddress,
}

/// A call of an operation: authenticated, admitted and read.
pub struct Call<S, C> {
    pub(crate) state: Arc<S>,
    pub(crate) caller: C,
    pub(crate) segments: Segments,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
    pub(crate) address: ClientAddress,
}

impl RawCall {
    pub(crate) fn promised<S, C: Caller>(self, state: Arc<S>) -> ApiResult<Call<S, C>> {
        let caller = C::promised(Authenticated(self.known))?;
        let Self { segments, uri, body, address, .. } = self;
        Ok(Call { state, caller, segments, uri, body, address })
    }
}

/// Something that a handler can ask of a call.
pub trait Extract<S, C>: Sized {
    /// Takes it out of the call, or refuses.
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self>;
}

/// The application that the operation belongs to.
pub struct State<T>(pub T);

impl<S, C> Extract<S, C> for State<Arc<S>> {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        Ok(Self(Arc::clone(&call.state)))
    }
}

impl<S, C> Extract<S, C> for ClientAddress {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        Ok(call.address)
    }
}

/// A handler that runs to its end on its thread.
pub trait SyncHandler<S, C, Parameters>: Clone + Send + Sync + 'static {
    /// Answers a call.
    fn answer(&self, call: Call<S, C>) -> Response;
}

/// A handler that may wait in between.
pub trait AsyncHandler<S, C, Parameters>: Clone + Send + Sync + 'static {
    /// Answers a call.
    fn answer(&self, call: Call<S, C>) -> impl Future<Output = Response> + Send + 'static;
}

impl<S, C, F, R> SyncHandler<S, C, ()> for F
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: IntoResponse,
{
    fn answer(&self, _call: Call<S, C>) -> Response {
        self().into_response()
    }
}

macro_rules! handlers {
    ($($parameter:ident)*) => {
        impl<S, C, F, R, $($parameter),*> SyncHandler<S, C, ($($parameter,)*)> for F
        where
            F: Fn($($parameter),*) -> R + Clone + Send + Sync + 'static,
            R: IntoResponse,
            $($parameter: Extract<S, C>,)*
        {
            #[expect(non_snake_case, reason = "each variable is named after its type")]
            fn answer(&self, mut call: Call<S, C>) -> Response {
                $(let $parameter = match $parameter::extract(&mut call) {
                    Ok(value) => value,
                    Err(refused) => return refused.into_response(),
                };)*
                self($($parameter),*).into_response()
            }
        }

        impl<S, C, F, R, $($parameter),*> AsyncHandler<S, C, ($($parameter,)*)> for F
        where
            S: Send + Sync + 'static,
            C: Send + 'static,
            F: Fn($($parameter),*) -> R + Clone + Send + Sync + 'static,
            R: Future + Send + 'static,
            R::Output: IntoResponse,
            $($parameter: Extract<S, C> + Send + 'static,)*
        {
            #[expect(non_snake_case, reason = "each variable is named after its type")]
            fn answer(&self, mut call: Call<S, C>) -> impl Future<Output = Response> + Send + 'static {
                let handler = self.clone();
                async move {
                    $(let $parameter = match $parameter::extract(&mut call) {
                        Ok(value) => value,
                        Err(refused) => return refused.into_response(),
                    };)*
                    drop(call);
                    handler($($parameter),*).await.into_response()
                }
            }
        }
    };
}

handlers!(A);
handlers!(A B);
handlers!(A B D);
handlers!(A B D E);
handlers!(A B D E G);
handlers!(A B D E G H);
