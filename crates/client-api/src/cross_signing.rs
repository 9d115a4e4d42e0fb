//! `POST /_matrix/client/v3/keys/device_signing/upload`, `POST …/keys/signatures/upload` (Cross-signing).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use engram_users::RawJson;
use engram_users::writer::CrossSigningUpload;
use serde_json::{Value, json};

use crate::account::BY_PASSWORD;
use crate::app::App;
use crate::auth::Authed;
use crate::elsewhere::elsewhere;
use crate::error::ApiResult;
use crate::json::{Body, Empty, Json, RawBody};
use crate::uia::{self, Operation};

pub(crate) async fn upload_keys(
    State(app): State<Arc<App>>,
    session: Authed,
    RawBody(body): RawBody,
) -> ApiResult<Empty> {
    let operation = Operation { name: "cross-signing keys".to_owned(), user_id: Some(session.user_id.clone()) };
    let request = uia::Request::<CrossSigningUpload>::read(&app.uia, &operation, &body, app.now())?;
    if app.users.cross_signing_needs_auth(&session.user_id, &request.parameters)? {
        uia::authenticate(&app, &operation, &request, BY_PASSWORD).await?;
    }
    let upload = request.parameters;
    app.writers.confirmed(app.users.upload_cross_signing(&session.user_id, upload)).await??;
    Ok(Empty)
}

pub(crate) async fn upload_signatures(
    State(app): State<Arc<App>>,
    session: Authed,
    Body(signed): Body<BTreeMap<String, BTreeMap<String, RawJson>>>,
) -> ApiResult<Json<Value>> {
    let writers = app.writers();
    let uploaded = async move { app.users.upload_signatures(&session.user_id, signed).await };
    let failures = writers.confirmed(elsewhere(uploaded)).await??;
    Ok(Json(json!({ "failures": failures })))
}
