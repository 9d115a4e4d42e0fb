//! `POST /_matrix/client/v3/keys/device_signing/upload`, `POST …/keys/signatures/upload` (Cross-signing).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engram_http::elsewhere::elsewhere;
use engram_http::json::{Body, Json, RawBody, RawJson};
use engram_http::uia::{AT_ONCE, BY_PASSWORD, Purpose};
use engram_http::{ApiResult, Authed, State};
use engram_users::RawJson as UserJson;
use engram_users::writer::CrossSigningUpload;
use serde_json::{Value, json};

use crate::app::App;

pub(crate) async fn upload_keys(
    State(app): State<Arc<App>>,
    session: Authed,
    RawBody(body): RawBody,
) -> ApiResult<RawJson<Bytes>> {
    let purpose = Purpose { name: "cross-signing keys".to_owned(), user_id: Some(session.user_id.clone()) };
    let request = app.uia.read::<CrossSigningUpload>(purpose, &body)?;
    let needs_auth = app.users.cross_signing_needs_auth(&session.user_id, &request.parameters)?;
    let flows = if needs_auth { BY_PASSWORD } else { AT_ONCE };
    let upload = async |upload, _| {
        app.writers.confirmed(app.users.upload_cross_signing(&session.user_id, upload)).await??;
        Ok(json!({}))
    };
    app.uia.perform(request, flows, upload).await
}

pub(crate) async fn upload_signatures(
    State(app): State<Arc<App>>,
    session: Authed,
    Body(signed): Body<BTreeMap<String, BTreeMap<String, UserJson>>>,
) -> ApiResult<Json<Value>> {
    let writers = app.writers();
    let uploaded = async move { app.users.upload_signatures(&session.user_id, signed).await };
    let failures = writers.confirmed(elsewhere(uploaded)).await??;
    Ok(Json(json!({ "failures": failures })))
}
