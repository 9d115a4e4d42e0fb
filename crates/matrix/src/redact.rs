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
