//! `GET /_matrix/client/v3/rooms/{roomId}/messages` (Syncing: getting events for a room)

use std::sync::Arc;

use engram_http::json::RawJson;
use engram_http::path::{Path, Query};
use engram_http::readable::{token, viewer};
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::query;
use engram_sync::filter::RoomEventFilter;
use engram_sync::messages::{self, HistoryError, Page, PageRequest};
use serde::Deserialize;

use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Options {
    from: Option<String>,
    to: Option<String>,
    dir: Direction,
    limit: Option<u64>,
    filter: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
enum Direction {
    #[serde(rename = "b")]
    Backwards,
    #[serde(rename = "f")]
    Forwards,
}

pub(crate) fn get(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    authed: Authed,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    let filter = filter(options.filter.as_deref())?;
    let position = |name: &str, text: &Option<String>| {
        text.as_deref().filter(|text| !text.is_empty()).map(|text| token(name, text)).transpose()
    };
    let (from, to) = (position("from", &options.from)?, position("to", &options.to)?);
    let snapshot = app.views.snapshot();
    let room = query::room(&*snapshot, &room)?.ok_or(HistoryError::Forbidden)?;
    let viewer = viewer(&authed, app.now());
    let backwards = options.dir == Direction::Backwards;
    let request = PageRequest { viewer, room: room.number, from, to, backwards, limit: options.limit, filter: &filter };
    Ok(RawJson(render(&messages::messages(&*snapshot, request)?)))
}

/// The filter of the query.
pub(super) fn filter(text: Option<&str>) -> ApiResult<RoomEventFilter> {
    match text {
        None | Some("") => Ok(RoomEventFilter::default()),
        Some(json) => RoomEventFilter::parse(json).map_err(|error| ApiError::bad_json(format!("`filter`: {error}"))),
    }
}

fn render(page: &Page) -> String {
    let mut body = format!("{{\"chunk\":[{}],\"start\":\"{}\"", page.chunk.join(","), page.start);
    if let Some(end) = page.end {
        body.extend([",\"end\":\"", &end.to_string(), "\""]);
    }
    if !page.state.is_empty() {
        body.extend([",\"state\":[", &page.state.join(","), "]"]);
    }
    body.push('}');
    body
}
