//! `POST /_matrix/client/v3/logout` and `/logout/all` (Login).

use std::sync::Arc;

use axum::extract::State;

use crate::app::App;
use crate::auth::Authed;
use crate::error::ApiResult;
use crate::json::Empty;

pub(crate) async fn this(State(app): State<Arc<App>>, Authed(session): Authed) -> ApiResult<Empty> {
    app.writers.confirmed(app.users.logout(&session)).await??;
    Ok(Empty)
}

pub(crate) async fn all(State(app): State<Arc<App>>, Authed(session): Authed) -> ApiResult<Empty> {
    app.writers.confirmed(app.users.logout_all(&session.user_id)).await??;
    Ok(Empty)
}
