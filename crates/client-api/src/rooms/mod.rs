//! The endpoints of rooms: one file an endpoint or family, all thin over [`engram_rooms`].

use engram_http::Operation;
use engram_http::limits::{EVENT_BODY_BYTES_MAX, LARGE_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX};
use engram_http::registry::{Rate, delete, get, post, put};

use crate::app::App;

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

/// The operations of this folder.
pub(crate) fn operations() -> Vec<Operation<App>> {
    [entering(), moderation(), sending(), reading(), directories()].into_iter().flatten().collect()
}

fn entering() -> Vec<Operation<App>> {
    vec![
        post("createRoom", "/_matrix/client/v3/createRoom")
            .user()
            .body(LARGE_BODY_BYTES_MAX)
            .rate(Rate::Join)
            .write(create::post),
        post("joinRoom", "/_matrix/client/v3/join/{roomIdOrAlias}")
            .user()
            .guests()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Join)
            .write(join::post),
        post("joinRoomById", "/_matrix/client/v3/rooms/{roomId}/join")
            .user()
            .guests()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Join)
            .write(join::post),
        post("knockRoom", "/_matrix/client/v3/knock/{roomIdOrAlias}")
            .user()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Join)
            .write(join::knock),
        post("leaveRoom", "/_matrix/client/v3/rooms/{roomId}/leave")
            .user()
            .guests()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .write(membership::leave),
        post("forgetRoom", "/_matrix/client/v3/rooms/{roomId}/forget").user().suspended().write(membership::forget),
        post("upgradeRoom", "/_matrix/client/v3/rooms/{roomId}/upgrade")
            .user()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Join)
            .write(upgrade::post),
    ]
}

fn moderation() -> Vec<Operation<App>> {
    vec![
        post("inviteUser", "/_matrix/client/v3/rooms/{roomId}/invite")
            .user()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Join)
            .write(membership::invite),
        post("kick", "/_matrix/client/v3/rooms/{roomId}/kick")
            .user()
            .body(SMALL_BODY_BYTES_MAX)
            .write(membership::kick),
        post("ban", "/_matrix/client/v3/rooms/{roomId}/ban").user().body(SMALL_BODY_BYTES_MAX).write(membership::ban),
        post("unban", "/_matrix/client/v3/rooms/{roomId}/unban")
            .user()
            .body(SMALL_BODY_BYTES_MAX)
            .write(membership::unban),
    ]
}

fn sending() -> Vec<Operation<App>> {
    vec![
        put("sendMessage", "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}")
            .user()
            .guests()
            .body(EVENT_BODY_BYTES_MAX)
            .rate(Rate::Message)
            .write(send::put),
        post("sendMessageOnce", "/_matrix/client/v3/rooms/{roomId}/send/{eventType}")
            .user()
            .guests()
            .unspecified()
            .body(EVENT_BODY_BYTES_MAX)
            .rate(Rate::Message)
            .write(send::post),
        put("redactEvent", "/_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}")
            .user()
            .suspended()
            .body(EVENT_BODY_BYTES_MAX)
            .rate(Rate::Message)
            .write(redact::put),
        put("setRoomStateWithKey", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}")
            .user()
            .guests()
            .body(EVENT_BODY_BYTES_MAX)
            .rate(Rate::Message)
            .write(state::put),
        put("setRoomState", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}")
            .and("/_matrix/client/v3/rooms/{roomId}/state/{eventType}/")
            .user()
            .guests()
            .unspecified()
            .body(EVENT_BODY_BYTES_MAX)
            .rate(Rate::Message)
            .write(state::put_unkeyed),
    ]
}

fn reading() -> Vec<Operation<App>> {
    vec![
        get("getRoomState", "/_matrix/client/v3/rooms/{roomId}/state")
            .user()
            .guests()
            .rate(Rate::Heavy)
            .read(state::all),
        get("getRoomStateWithKey", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}")
            .user()
            .guests()
            .read(state::get),
        get("getRoomStateWithoutKey", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}")
            .and("/_matrix/client/v3/rooms/{roomId}/state/{eventType}/")
            .user()
            .guests()
            .unspecified()
            .read(state::get_unkeyed),
        get("getOneRoomEvent", "/_matrix/client/v3/rooms/{roomId}/event/{eventId}").user().guests().read(event::get),
        get("getMembersByRoom", "/_matrix/client/v3/rooms/{roomId}/members")
            .user()
            .guests()
            .rate(Rate::Heavy)
            .read(members::members),
        get("getJoinedMembersByRoom", "/_matrix/client/v3/rooms/{roomId}/joined_members")
            .user()
            .rate(Rate::Heavy)
            .read(members::joined_members),
        get("getJoinedRooms", "/_matrix/client/v3/joined_rooms").user().read(members::joined_rooms),
    ]
}

fn directories() -> Vec<Operation<App>> {
    vec![
        get("getPublicRooms", "/_matrix/client/v3/publicRooms")
            .anybody_or_user()
            .rate(Rate::Heavy)
            .read(public_rooms::get),
        post("queryPublicRooms", "/_matrix/client/v3/publicRooms")
            .user()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Heavy)
            .read(public_rooms::post),
        get("getLocalAliases", "/_matrix/client/v3/rooms/{roomId}/aliases").user().read(directory::aliases),
        get("getRoomIdByAlias", "/_matrix/client/v3/directory/room/{roomAlias}").anybody().read(directory::resolve),
        put("setRoomAlias", "/_matrix/client/v3/directory/room/{roomAlias}")
            .user()
            .body(SMALL_BODY_BYTES_MAX)
            .write(directory::create),
        delete("deleteRoomAlias", "/_matrix/client/v3/directory/room/{roomAlias}").user().write(directory::remove),
        get("getRoomVisibilityOnDirectory", "/_matrix/client/v3/directory/list/room/{roomId}")
            .anybody()
            .read(directory::is_published),
        put("setRoomVisibilityOnDirectory", "/_matrix/client/v3/directory/list/room/{roomId}")
            .user()
            .body(SMALL_BODY_BYTES_MAX)
            .write(directory::publish),
    ]
}
