//! `POST /_matrix/client/v3/keys/upload`, `…/keys/query`, `…/keys/claim`, `GET …/keys/changes`
//! (End-to-end encryption, key management).

use std::collections::BTreeMap;
use std::sync::Arc;

use engram_http::elsewhere::elsewhere;
use engram_http::json::{Body, Json};
use engram_http::path::Query;
use engram_http::readable::token;
use engram_http::{ApiResult, Authed, State};
use engram_users::query;
use engram_users::writer::KeysUpload;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;

pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    session: Authed,
    Body(upload): Body<KeysUpload>,
) -> ApiResult<Json<Value>> {
    let writers = app.writers();
    let uploaded = async move { app.users.upload_keys(&session.user_id, &session.device_id, upload).await };
    let counts = writers.confirmed(elsewhere(uploaded)).await??;
    Ok(Json(json!({ "one_time_key_counts": counts })))
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    device_keys: BTreeMap<String, Vec<String>>,
}

pub(crate) fn query(
    State(app): State<Arc<App>>,
    session: Authed,
    Body(Asked { device_keys }): Body<Asked>,
) -> ApiResult<Json<Value>> {
    let keys = query::keys_query(&*app.views.snapshot(), &session.user_id, &device_keys)?;
    Ok(Json(json!({
        "device_keys": keys.device_keys,
        "master_keys": keys.master_keys,
        "self_signing_keys": keys.self_signing_keys,
        "user_signing_keys": keys.user_signing_keys,
        "failures": {},
    })))
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    one_time_keys: BTreeMap<String, BTreeMap<String, String>>,
}

pub(crate) async fn claim(
    State(app): State<Arc<App>>,
    _session: Authed,
    Body(Wanted { one_time_keys }): Body<Wanted>,
) -> ApiResult<Json<Value>> {
    let writers = app.writers();
    let claimed = async move { app.users.claim_keys(&one_time_keys).await };
    let claimed = writers.confirmed(elsewhere(claimed)).await??;
    Ok(Json(json!({ "one_time_keys": claimed, "failures": {} })))
}

#[derive(Deserialize)]
pub(crate) struct Span {
    from: String,
    to: String,
}

pub(crate) fn changes(
    State(app): State<Arc<App>>,
    session: Authed,
    Query(Span { from, to }): Query<Span>,
) -> ApiResult<Json<Value>> {
    let (from, to) = (token("from", &from)?, token("to", &to)?);
    let lists = app.sync.device_lists(&session.user_id, from, to)?;
    Ok(Json(json!({ "changed": lists.changed, "left": lists.left })))
}
