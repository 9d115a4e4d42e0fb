//! Which requests show that somebody is there (specification, presence: last active ago).
//!
//! What clients do by themselves shows nothing: they poll and read, publish keys and send them to devices, keep
//! settings. What people do is done in rooms, or on the way into one, or to how they are shown.

use axum::http::Method;
use engram_http::registry::Spec;

/// Whether an operation is something that a person does.
pub fn is_activity(spec: &Spec) -> bool {
    let path = spec.paths.first().and_then(|path| path.strip_prefix("/_matrix/client/v3/")).unwrap_or_default();
    let kind = path.split('/').next().unwrap_or_default();
    spec.method != Method::GET && ["rooms", "createRoom", "join", "knock", "directory", "profile"].contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations;

    #[test]
    fn what_people_do_is_activity_and_what_clients_do_by_themselves_is_not() {
        let specs: Vec<Spec> = operations().into_iter().map(|operation| operation.spec).collect();
        for (id, expected) in [
            ("sendMessage", true),
            ("setRoomStateWithKey", true),
            ("redactEvent", true),
            ("setTyping", true),
            ("postReceipt", true),
            ("leaveRoom", true),
            ("joinRoom", true),
            ("createRoom", true),
            ("setProfileField", true),
            ("sync", false),
            ("getRoomEvents", false),
            ("uploadKeys", false),
            ("sendToDevice", false),
            ("setAccountDataPerRoom", false),
            ("setPresence", false),
        ] {
            let spec = specs.iter().find(|spec| spec.id == id).unwrap_or_else(|| panic!("there is no {id}"));
            assert_eq!(is_activity(spec), expected, "{id}");
        }
    }
}
