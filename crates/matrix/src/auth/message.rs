//! Judging ordinary events from values that were parsed once.

use super::{Denied, PowerLevels};
use crate::{Pdu, RoomVersion, ids, membership::Membership, power::Creation};

/// Whether the version has no rules for this type beyond those on every event; then [`check_ordinary`] is the whole
/// check.
pub fn is_ordinary(version: &RoomVersion, event_type: &str) -> bool {
    let rules = &version.rules().authorization;
    match event_type {
        "m.room.create" | "m.room.member" | "m.room.power_levels" | "m.room.third_party_invite" => false,
        "m.room.aliases" => !rules.special_case_room_aliases,
        "m.room.redaction" => !rules.special_case_room_redaction,
        _ => true,
    }
}

/// The state-dependent rules for an ordinary event. The verdict is that of [`super::check_dependent`] for the state in
/// which `creation`, `power` and `sender_membership` hold.
///
/// # Panics
///
/// If the event is not [ordinary](is_ordinary): asking is a bug, and a wrong yes would be a hole.
pub fn check_ordinary(
    event: &Pdu,
    creation: &Creation,
    power: &PowerLevels,
    sender_membership: Membership,
) -> Result<(), Denied> {
    assert!(is_ordinary(event.version(), &event.event_type), "{} has rules of its own", event.event_type);
    let sender = event.sender.as_str();
    if !creation.federate && ids::server_name_of(sender) != ids::server_name_of(&creation.sender) {
        return Err(Denied::new("the room is not federated and the sender is of another server than its creator"));
    }
    if sender_membership != Membership::Join {
        return Err(Denied::new("the sender is not joined to the room"));
    }
    let required = power.required_for(&event.event_type, event.is_state());
    if power.user_level(sender) < required {
        return Err(Denied::new(format_args!(
            "the sender's power level is too low to send {}: {required} is needed",
            event.event_type
        )));
    }
    if event.state_key.as_deref().is_some_and(|key| key.starts_with('@') && key != sender) {
        return Err(Denied::new("a state key that is a user ID can only be used by that user"));
    }
    Ok(())
}
