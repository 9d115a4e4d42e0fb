//! Which requests show that somebody is there (specification, presence: last active ago).
//!
//! What clients do by themselves shows nothing: they poll and read, publish keys and send them to devices, keep settings. What
//! people do is done in rooms, or on the way into one, or to how they are shown.

use axum::http::Method;

/// Whether a request is something that a person does. `path` is that of a known version of the API.
pub(crate) fn is_activity(method: &Method, path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').split('/');
    let writes = [Method::POST, Method::PUT, Method::DELETE].contains(method);
    writes
        && (parts.next(), parts.next()) == (Some("_matrix"), Some("client"))
        && matches!(parts.nth(1), Some("rooms" | "createRoom" | "join" | "knock" | "directory" | "profile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_do_is_activity_and_what_clients_do_by_themselves_is_not() {
        for (method, path, expected) in [
            (Method::PUT, "/_matrix/client/v3/rooms/!r/send/m.room.message/1", true),
            (Method::PUT, "/_matrix/client/v3/rooms/!r/state/m.room.topic", true),
            (Method::PUT, "/_matrix/client/v3/rooms/!r/redact/$e/1", true),
            (Method::PUT, "/_matrix/client/v3/rooms/!r/typing/@a:x", true),
            (Method::POST, "/_matrix/client/v3/rooms/!r/receipt/m.read/$e", true),
            (Method::POST, "/_matrix/client/v3/rooms/!r/leave", true),
            (Method::POST, "/_matrix/client/v3/join/!r", true),
            (Method::POST, "/_matrix/client/v3/createRoom", true),
            (Method::PUT, "/_matrix/client/v3/profile/@a:x/displayname", true),
            (Method::GET, "/_matrix/client/v3/sync", false),
            (Method::GET, "/_matrix/client/v3/rooms/!r/messages", false),
            (Method::POST, "/_matrix/client/v3/keys/upload", false),
            (Method::PUT, "/_matrix/client/v3/sendToDevice/m.room_key_request/1", false),
            (Method::PUT, "/_matrix/client/v3/user/@a:x/rooms/!r/account_data/m.tag", false),
            (Method::PUT, "/_matrix/client/v3/presence/@a:x/status", false),
            (Method::POST, "/_matrix/client/v3", false),
            (Method::POST, "/", false),
        ] {
            assert_eq!(is_activity(&method, path), expected, "{method} {path}");
        }
    }
}
