//! `POST /_matrix/client/v3/logout` and `/logout/all` (Login).

use std::sync::Arc;

use engram_http::json::Empty;
use engram_http::{ApiResult, Authed, State};

use crate::app::App;

pub(crate) async fn this(State(app): State<Arc<App>>, Authed(session): Authed) -> ApiResult<Empty> {
    app.writers.confirmed(app.users.logout(&session)).await??;
    Ok(Empty)
}

pub(crate) async fn all(State(app): State<Arc<App>>, Authed(session): Authed) -> ApiResult<Empty> {
    app.writers.confirmed(app.users.logout_all(&session.user_id)).await??;
    Ok(Empty)
}
