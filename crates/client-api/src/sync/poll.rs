//! `GET /_matrix/client/v3/sync` (Syncing)

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use engram_http::json::RawJson;
use engram_http::path::Query;
use engram_http::readable::token;
use engram_http::{AccessToken, ApiError, ApiResult, Authed, State};
use engram_sync::{Filter, Presence, SyncRequest};
use engram_users::query;
use serde::Deserialize;

use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Options {
    filter: Option<String>,
    since: Option<String>,
    #[serde(default)]
    full_state: bool,
    #[serde(default)]
    use_state_after: bool,
    #[serde(default)]
    set_presence: SetPresence,
    #[serde(default)]
    timeout: u64,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum SetPresence {
    #[default]
    Online,
    Unavailable,
    Offline,
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    authed: Authed,
    token_shown: AccessToken,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<Bytes>> {
    let request = SyncRequest {
        user_id: authed.user_id.clone(),
        device_id: authed.device_id.clone(),
        // An empty token is none: old clients send it so.
        since: options
            .since
            .as_deref()
            .filter(|since| !since.is_empty())
            .map(|since| token("since", since))
            .transpose()?,
        filter: filter(&app, &authed, options.filter).await?,
        full_state: options.full_state,
        use_state_after: options.use_state_after,
        timeout: Duration::from_millis(options.timeout),
        set_presence: match options.set_presence {
            SetPresence::Online => Presence::Online,
            SetPresence::Unavailable => Presence::Unavailable,
            SetPresence::Offline => Presence::Offline,
        },
    };
    let answer = app.sync.sync(request).await?;
    // It may have slept for minutes: whoever was logged out meanwhile gets to know nothing more.
    token_shown.still_good(&app.users)?;
    Ok(RawJson(answer))
}

/// A filter that stands in the request, or one that was stored before (FIL-01).
async fn filter(app: &Arc<App>, authed: &Authed, text: Option<String>) -> ApiResult<Filter> {
    match text.as_deref() {
        None | Some("") => Ok(Filter::default()),
        // The head of a request bounds what may stand there.
        Some(json) if json.starts_with('{') => {
            // What stands in the query may be no JSON at all, or JSON that is no filter.
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(json) {
                return Err(ApiError::not_json(format!("`filter` is no JSON: {error}")));
            }
            Filter::parse(json).map_err(malformed)
        }
        Some(id) => {
            let (held, authed, id) = (Arc::clone(app), authed.clone(), id.to_owned());
            app.readers.read(move || stored_filter(&held, &authed.user_id, &id)).await?
        }
    }
}

fn stored_filter(app: &App, user_id: &str, id: &str) -> ApiResult<Filter> {
    let stored = query::filter(&*app.views.snapshot(), user_id, id)?;
    let stored = stored.ok_or_else(|| ApiError::invalid_param(format!("There is no filter {id:?}.")))?;
    Filter::parse(stored.get()).map_err(malformed)
}

fn malformed(error: engram_sync::filter::FilterError) -> ApiError {
    ApiError::bad_json(format!("`filter`: {error}"))
}
