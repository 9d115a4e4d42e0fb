//! Join rules: who may enter a room.

use serde::Deserialize;

use crate::Pdu;

/// The rule of a room, with the rooms whose members a restricted rule lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinRule {
    /// Anyone.
    Public,
    /// The invited.
    Invite,
    /// The invited; others may knock (version 7 on).
    Knock,
    /// The invited, and members of these rooms (version 8 on).
    Restricted(Vec<String>),
    /// As restricted; others may knock (version 10 on).
    KnockRestricted(Vec<String>),
    /// The reserved word, without defined effect: as `Invite`.
    Private,
    /// A rule this server does not know; nobody enters by it but the invited.
    Unknown(String),
}

#[derive(Deserialize)]
struct Content<'a> {
    join_rule: String,
    #[serde(borrow, default)]
    allow: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    room_id: Option<String>,
}

impl JoinRule {
    /// The rule by the room's state: without an event, or with a malformed one, `Invite`.
    pub fn in_state(event: Option<&Pdu>) -> Self {
        event.and_then(|event| Self::parse(event.content_str())).unwrap_or(Self::Invite)
    }

    /// The rule in the content of `m.room.join_rules`.
    pub fn parse(content: &str) -> Option<Self> {
        let content: Content<'_> = serde_json::from_str(content).ok()?;
        let rooms = || allowed_rooms(content.allow.map_or("[]", |raw| raw.get()));
        Some(match content.join_rule.as_str() {
            "public" => Self::Public,
            "invite" => Self::Invite,
            "knock" => Self::Knock,
            "restricted" => Self::Restricted(rooms()),
            "knock_restricted" => Self::KnockRestricted(rooms()),
            "private" => Self::Private,
            other => Self::Unknown(other.to_owned()),
        })
    }

    /// The word in events.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Public => "public",
            Self::Invite => "invite",
            Self::Knock => "knock",
            Self::Restricted(_) => "restricted",
            Self::KnockRestricted(_) => "knock_restricted",
            Self::Private => "private",
            Self::Unknown(word) => word,
        }
    }

    /// The rooms whose members may join, for the restricted rules.
    pub fn allowed_rooms(&self) -> &[String] {
        match self {
            Self::Restricted(rooms) | Self::KnockRestricted(rooms) => rooms,
            _ => &[],
        }
    }
}

/// The rooms of the conditions that are understood; one malformed condition does not spoil the others.
fn allowed_rooms(allow: &str) -> Vec<String> {
    let conditions: Vec<serde_json::Value> = serde_json::from_str(allow).unwrap_or_default();
    conditions
        .into_iter()
        .filter_map(|value| serde_json::from_value::<Condition>(value).ok())
        .filter(|condition| condition.kind == "m.room_membership")
        .filter_map(|condition| condition.room_id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::JoinRule;

    #[test]
    fn restricted_keeps_what_it_understands() {
        let rule = JoinRule::parse(
            r#"{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":"!a:x"},7,
                {"type":"org.other","room_id":"!b:x"},{"type":"m.room_membership"}]}"#,
        );
        assert_eq!(rule, Some(JoinRule::Restricted(vec!["!a:x".to_owned()])));
        assert_eq!(JoinRule::parse(r#"{"join_rule":"knock","allow":7}"#), Some(JoinRule::Knock));
        assert_eq!(JoinRule::parse(r#"{"join_rule":7}"#), None);
        assert_eq!(JoinRule::in_state(None), JoinRule::Invite);
    }
}
