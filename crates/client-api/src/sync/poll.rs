//! `GET /_matrix/client/v3/sync` (Syncing)

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use engram_sync::{Filter, Presence, SyncError, SyncRequest};
use engram_users::query;
use serde::Deserialize;

use super::token;
use crate::app::App;
use crate::auth::{AccessToken, Authed};
use crate::error::{ApiError, ApiResult};
use crate::json::RawJson;
use crate::path::Query;

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
        filter: filter(&app, &authed.user_id, options.filter.as_deref())?,
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
    token_shown.still_good(&app)?;
    Ok(RawJson(answer))
}

/// A filter that stands in the request, or one that was stored before (FIL-01).
fn filter(app: &App, user_id: &str, text: Option<&str>) -> ApiResult<Filter> {
    let malformed = |error: engram_sync::filter::FilterError| ApiError::bad_json(format!("`filter`: {error}"));
    match text {
        None | Some("") => Ok(Filter::default()),
        Some(json) if json.starts_with('{') => {
            // What stands in the query may be no JSON at all, or JSON that is no filter.
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(json) {
                return Err(ApiError::not_json(format!("`filter` is no JSON: {error}")));
            }
            Filter::parse(json).map_err(malformed)
        }
        Some(id) => {
            let stored = query::filter(&*app.views.snapshot(), user_id, id)?;
            let stored = stored.ok_or_else(|| ApiError::invalid_param(format!("There is no filter {id:?}.")))?;
            Filter::parse(stored.get()).map_err(malformed)
        }
    }
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::View(error) => error.into(),
            SyncError::Stopped(error) => error.into(),
        }
    }
}
