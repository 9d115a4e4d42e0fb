//! The endpoints of rooms: one file an endpoint or family, all thin over [`engram_rooms`].

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};

use crate::app::App;

mod access;
mod create;
mod directory;
mod event;
mod join;
mod members;
mod membership;
mod public_rooms;
mod redact;
mod send;
mod state;
mod upgrade;

pub(crate) use access::{has_forgotten, readable};
pub(crate) use state::viewer;

/// The routes of this folder.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/_matrix/client/v3/createRoom", post(create::post))
        .route("/_matrix/client/v3/join/{room}", post(join::post))
        .route("/_matrix/client/v3/knock/{room}", post(join::knock))
        .route("/_matrix/client/v3/joined_rooms", get(members::joined_rooms))
        .route("/_matrix/client/v3/rooms/{room}/join", post(join::post))
        .route("/_matrix/client/v3/rooms/{room}/invite", post(membership::invite))
        .route("/_matrix/client/v3/rooms/{room}/leave", post(membership::leave))
        .route("/_matrix/client/v3/rooms/{room}/kick", post(membership::kick))
        .route("/_matrix/client/v3/rooms/{room}/ban", post(membership::ban))
        .route("/_matrix/client/v3/rooms/{room}/unban", post(membership::unban))
        .route("/_matrix/client/v3/rooms/{room}/forget", post(membership::forget))
        .route("/_matrix/client/v3/rooms/{room}/upgrade", post(upgrade::post))
        .route("/_matrix/client/v3/rooms/{room}/send/{type}", post(send::post))
        .route("/_matrix/client/v3/rooms/{room}/send/{type}/{transaction}", put(send::put))
        .route("/_matrix/client/v3/rooms/{room}/redact/{event}/{transaction}", put(redact::put))
        .route("/_matrix/client/v3/rooms/{room}/state", get(state::all))
        .route("/_matrix/client/v3/rooms/{room}/state/{type}", get(state::get_unkeyed).put(state::put_unkeyed))
        .route("/_matrix/client/v3/rooms/{room}/state/{type}/", get(state::get_unkeyed).put(state::put_unkeyed))
        .route("/_matrix/client/v3/rooms/{room}/state/{type}/{key}", get(state::get).put(state::put))
        .route("/_matrix/client/v3/rooms/{room}/event/{event}", get(event::get))
        .route("/_matrix/client/v3/rooms/{room}/members", get(members::members))
        .route("/_matrix/client/v3/rooms/{room}/joined_members", get(members::joined_members))
        .route("/_matrix/client/v3/publicRooms", get(public_rooms::get).post(public_rooms::post))
        .route("/_matrix/client/v3/rooms/{room}/aliases", get(directory::aliases))
        .route(
            "/_matrix/client/v3/directory/room/{alias}",
            get(directory::resolve).put(directory::create).delete(directory::remove),
        )
        .route("/_matrix/client/v3/directory/list/room/{room}", get(directory::is_published).put(directory::publish))
}
