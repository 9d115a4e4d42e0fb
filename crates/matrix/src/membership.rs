//! Membership and the content of `m.room.member`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Pdu;

/// How a user stands to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Membership {
    /// In the room.
    Join,
    /// Invited, not answered.
    Invite,
    /// Asking to be let in.
    Knock,
    /// Not in the room; also someone who never was.
    Leave,
    /// Kept out.
    Ban,
}

impl Membership {
    /// The word in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Knock => "knock",
            Self::Leave => "leave",
            Self::Ban => "ban",
        }
    }

    /// The membership of this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Join, Self::Invite, Self::Knock, Self::Leave, Self::Ban]
            .into_iter()
            .find(|membership| membership.as_str() == word)
    }

    /// The membership that a member event gives its user; `None` if the event does not say it properly.
    pub fn of(member: &Pdu) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            membership: Membership,
        }
        member.content::<Content>().ok().map(|content| content.membership)
    }

    /// The membership by the room's state: without an event, `Leave`.
    pub fn in_state(member: Option<&Pdu>) -> Self {
        member.and_then(Self::of).unwrap_or(Self::Leave)
    }
}

/// The content of a member event. Display name and avatar are dropped rather than refused when they are no strings.
#[derive(Debug, Clone, Deserialize)]
pub struct MemberContent<'a> {
    /// The membership.
    pub membership: Membership,
    /// The name shown in this room.
    #[serde(default, rename = "displayname", deserialize_with = "lenient_string")]
    pub display_name: Option<String>,
    /// The picture shown in this room.
    #[serde(default, deserialize_with = "lenient_string")]
    pub avatar_url: Option<String>,
    /// Why, in words.
    #[serde(default, deserialize_with = "lenient_string")]
    pub reason: Option<String>,
    /// Whether the invitation is to a direct chat.
    #[serde(default, deserialize_with = "lenient_bool")]
    pub is_direct: bool,
    /// The user by whose right a restricted join is made.
    #[serde(default, deserialize_with = "lenient_string")]
    pub join_authorised_via_users_server: Option<String>,
    /// The third-party invitation this one follows from, as sent.
    #[serde(borrow, default)]
    pub third_party_invite: Option<&'a RawValue>,
}

impl<'a> MemberContent<'a> {
    /// Parses the content of a member event.
    pub fn parse(content: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(content)
    }
}

fn lenient_string<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

fn lenient_bool<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(raw.get() == "true")
}

#[cfg(test)]
mod tests {
    use super::{MemberContent, Membership};

    #[test]
    fn words_round_trip() {
        for word in ["join", "invite", "knock", "leave", "ban"] {
            assert_eq!(Membership::parse(word).expect("a membership").as_str(), word);
        }
        assert_eq!(Membership::parse("Join"), None);
    }

    #[test]
    fn malformed_decoration_does_not_spoil_the_membership() {
        let content = MemberContent::parse(
            r#"{"membership":"invite","displayname":7,"avatar_url":null,"is_direct":"yes","reason":"why \"not\""}"#,
        )
        .expect("parses");
        assert_eq!(content.membership, Membership::Invite);
        assert_eq!((content.display_name, content.avatar_url, content.is_direct), (None, None, false));
        assert_eq!(content.reason.as_deref(), Some("why \"not\""));
        MemberContent::parse(r#"{"membership":"maybe"}"#).expect_err("unknown membership");
    }
}
