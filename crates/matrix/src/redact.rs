//! Redaction: what remains of an event once its content is to be forgotten, per room version.

use crate::{
    RoomVersion,
    canonical::{CanonicalError, Object, Tree},
    hash::parse_event,
};

/// The redacted form of an event, as canonical JSON. `unsigned` goes; `signatures` and `hashes` stay, which is why the
/// redacted event still verifies.
pub fn redact(version: &RoomVersion, json: &[u8]) -> Result<Vec<u8>, CanonicalError> {
    let mut event = parse_event(version, json)?;
    redact_object(version, &mut event);
    let mut text = String::with_capacity(json.len());
    event.write(&mut text);
    Ok(text.into_bytes())
}

/// What is kept of a redacted event for ever: its redacted form, and of the rest that alone by which the authorization
/// rules judge it and those that name it. So every verdict stays what it was, also when it is found anew, and the event
/// still has its ID and verifies: the redacted form of what is kept is the redacted form of the event. Nothing of what
/// is kept besides is to be shown.
pub fn prune(version: &RoomVersion, json: &[u8]) -> Result<Vec<u8>, CanonicalError> {
    let mut event = parse_event(version, json)?;
    let rest = judged_by(&event);
    redact_object(version, &mut event);
    if let Some(redacts) = rest.redacts {
        event.insert("redacts", redacts);
    }
    if let Some(content) = event.get_mut("content").and_then(Tree::as_object_mut) {
        for (key, value) in rest.content {
            content.insert(key, value);
        }
    }
    let mut text = String::with_capacity(json.len());
    event.write(&mut text);
    Ok(text.into_bytes())
}

/// What the rules look at, and redaction strips in one room version or another.
struct JudgedBy<'a> {
    redacts: Option<Tree<'a>>,
    content: Vec<(&'static str, Tree<'a>)>,
}

fn judged_by<'a>(event: &Object<'a>) -> JudgedBy<'a> {
    let event_type = event.get("type").and_then(Tree::as_str).unwrap_or_default();
    let keys: &[&'static str] = match event_type {
        "m.room.create" => &["m.federate", "room_version"],
        "m.room.member" => &["join_authorised_via_users_server", "third_party_invite"],
        "m.room.power_levels" => &["invite", "notifications"],
        "m.room.third_party_invite" => &["public_key", "public_keys"],
        _ => &[],
    };
    let content = event.get("content").and_then(Tree::as_object);
    let value = |key: &'static str| {
        let mut value = content?.get(key)?.clone();
        // What they hold besides: names, and addresses of identity servers.
        match &mut value {
            Tree::Object(invite) if key == "third_party_invite" => invite.retain(|key| key == "signed"),
            Tree::Array(keys) if key == "public_keys" => {
                for object in keys.iter_mut().filter_map(Tree::as_object_mut) {
                    object.retain(|key| key == "public_key");
                }
            }
            _ => {}
        }
        Some((key, value))
    };
    JudgedBy {
        redacts: event.get("redacts").filter(|_| event_type == "m.room.redaction").cloned(),
        content: keys.iter().filter_map(|key| value(key)).collect(),
    }
}

/// Redacts a parsed event in place.
pub fn redact_object(version: &RoomVersion, event: &mut Object<'_>) {
    let keep_old_keys = version.rules().redaction.keep_origin_membership_prev_state;
    event.retain(|key| match key {
        "event_id" | "type" | "room_id" | "sender" | "state_key" | "content" | "hashes" | "signatures" | "depth"
        | "prev_events" | "auth_events" | "origin_server_ts" => true,
        "origin" | "membership" | "prev_state" => keep_old_keys,
        _ => false,
    });
    let event_type = event.get("type").and_then(Tree::as_str).unwrap_or_default().to_owned();
    if let Some(content) = event.get_mut("content").and_then(Tree::as_object_mut) {
        redact_content(version, &event_type, content);
    }
}

/// Redacts the content of an event of the given type in place.
pub fn redact_content(version: &RoomVersion, event_type: &str, content: &mut Object<'_>) {
    let rules = &version.rules().redaction;
    match event_type {
        "m.room.member" => {
            content.retain(|key| match key {
                "membership" => true,
                "join_authorised_via_users_server" => rules.keep_room_member_join_authorised_via_users_server,
                "third_party_invite" => rules.keep_room_member_third_party_invite_signed,
                _ => false,
            });
            if let Some(invite) = content.get_mut("third_party_invite").and_then(Tree::as_object_mut) {
                invite.retain(|key| key == "signed");
            }
        }
        "m.room.create" if rules.keep_room_create_content => {}
        "m.room.create" => content.retain(|key| key == "creator"),
        "m.room.join_rules" => {
            content.retain(|key| key == "join_rule" || (key == "allow" && rules.keep_room_join_rules_allow));
        }
        "m.room.power_levels" => content.retain(|key| match key {
            "ban" | "events" | "events_default" | "kick" | "redact" | "state_default" | "users" | "users_default" => {
                true
            }
            "invite" => rules.keep_room_power_levels_invite,
            _ => false,
        }),
        "m.room.history_visibility" => content.retain(|key| key == "history_visibility"),
        "m.room.redaction" => {
            content.retain(|key| key == "redacts" && rules.keep_room_redaction_redacts);
        }
        "m.room.aliases" => {
            content.retain(|key| key == "aliases" && rules.keep_room_aliases_aliases);
        }
        _ => content.retain(|_| false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: &str, event_type: &str, content: &str, kept: &str) {
        let version = RoomVersion::parse(version).expect("a known version");
        let event = |content: &str| {
            format!(
                r#"{{"auth_events":[],"content":{content},"depth":1,"hashes":{{"sha256":"x"}},"origin_server_ts":5,"prev_events":[],"room_id":"!r:a","sender":"@a:a","signatures":{{}},"type":"{event_type}"}}"#
            )
        };
        let whole = event(content);
        let pruned = prune(version, whole.as_bytes()).expect("an event");
        assert_eq!(String::from_utf8_lossy(&pruned), event(kept), "{}", version.id());
        assert_eq!(prune(version, &pruned).expect("an event"), pruned, "once is enough");
        let redacted = |json: &[u8]| redact(version, json).expect("an event");
        assert_eq!(redacted(&pruned), redacted(whole.as_bytes()), "it is the same event");
    }

    #[test]
    fn what_rules_look_at_is_kept_and_nothing_else() {
        check("11", "m.room.message", r#"{"body":"b"}"#, "{}");
        check("1", "m.room.message", r#"{"body":1.5}"#, "{}");
        check(
            "6",
            "m.room.create",
            r#"{"creator":"@a:a","m.federate":false,"predecessor":{},"room_version":"6"}"#,
            r#"{"creator":"@a:a","m.federate":false,"room_version":"6"}"#,
        );
        let invite = r#"{"displayname":"n","membership":"invite","third_party_invite":{"display_name":"n","signed":{"mxid":"@b:b"}}}"#;
        let kept = r#"{"membership":"invite","third_party_invite":{"signed":{"mxid":"@b:b"}}}"#;
        for version in ["5", "8", "10", "11", "12"] {
            check(version, "m.room.member", invite, kept);
        }
        let joined = r#"{"avatar_url":"a","join_authorised_via_users_server":"@c:c","membership":"join"}"#;
        let kept = r#"{"join_authorised_via_users_server":"@c:c","membership":"join"}"#;
        check("8", "m.room.member", joined, kept);
        let levels = r#"{"invite":50,"notifications":{"room":20},"org.example":"x","users":{"@a:a":100}}"#;
        let kept = r#"{"invite":50,"notifications":{"room":20},"users":{"@a:a":100}}"#;
        check("10", "m.room.power_levels", levels, kept);
        let third = r#"{"display_name":"n","key_validity_url":"u","public_key":"k","public_keys":[{"key_validity_url":"u","public_key":"k"}]}"#;
        check("11", "m.room.third_party_invite", third, r#"{"public_key":"k","public_keys":[{"public_key":"k"}]}"#);
    }

    #[test]
    fn a_redaction_keeps_what_it_redacts() {
        let version = RoomVersion::parse("10").expect("known");
        let json = br#"{"auth_events":[],"content":{"reason":"r"},"depth":1,"hashes":{},"origin_server_ts":5,"prev_events":[],"redacts":"$e","room_id":"!r:a","sender":"@a:a","signatures":{},"type":"m.room.redaction"}"#;
        let pruned = String::from_utf8(prune(version, json).expect("an event")).expect("text");
        assert!(pruned.contains(r#""redacts":"$e""#) && !pruned.contains("reason"), "{pruned}");
    }
}
