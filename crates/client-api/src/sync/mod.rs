//! The endpoints that read what happened: /sync, and pages of history.

use engram_http::Operation;
use engram_http::registry::{Rate, get};

use crate::app::App;

mod by_time;
mod context;
mod effects;
mod events;
mod initial;
mod messages;
mod poll;

pub use effects::SyncEffects;

/// The operations of this folder.
pub(crate) fn operations() -> Vec<Operation<App>> {
    vec![
        get("sync", "/_matrix/client/v3/sync").user().guests().rate(Rate::Free).poll(poll::get),
        get("getEvents", "/_matrix/client/v3/events").user().guests().rate(Rate::Free).poll(events::get),
        get("getOneEvent", "/_matrix/client/v3/events/{eventId}").user().read(events::by_id),
        get("initialSync", "/_matrix/client/v3/initialSync").user().rate(Rate::Heavy).read(initial::everything),
        get("roomInitialSync", "/_matrix/client/v3/rooms/{roomId}/initialSync")
            .user()
            .guests()
            .rate(Rate::Heavy)
            .read(initial::room),
        get("getRoomEvents", "/_matrix/client/v3/rooms/{roomId}/messages").user().guests().read(messages::get),
        get("getEventContext", "/_matrix/client/v3/rooms/{roomId}/context/{eventId}")
            .user()
            .guests()
            .read(context::get),
        get("getEventByTimestamp", "/_matrix/client/v1/rooms/{roomId}/timestamp_to_event").user().read(by_time::get),
    ]
}
