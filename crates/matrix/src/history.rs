//! History visibility: from when on a member may see a room's events.

use serde::{Deserialize, Serialize};

use crate::Pdu;

/// Who may see events sent while this value was in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryVisibility {
    /// Everybody, also who never joined.
    WorldReadable,
    /// Everybody who has joined at any time since.
    Shared,
    /// Members, from their invitation on.
    Invited,
    /// Members, from their joining on.
    Joined,
}

impl HistoryVisibility {
    /// The word in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorldReadable => "world_readable",
            Self::Shared => "shared",
            Self::Invited => "invited",
            Self::Joined => "joined",
        }
    }

    /// The visibility by the room's state: `Shared` without an event, or with one that says nothing known.
    pub fn in_state(event: Option<&Pdu>) -> Self {
        #[derive(Deserialize)]
        struct Content {
            history_visibility: HistoryVisibility,
        }
        event
            .and_then(|event| event.content::<Content>().ok())
            .map_or(Self::Shared, |content| content.history_visibility)
    }
}

#[cfg(test)]
mod tests {
    use super::HistoryVisibility;
    use crate::testing::{ALICE, TestRoom};

    #[test]
    fn unknown_and_missing_are_shared() {
        let mut room = TestRoom::new("11");
        assert_eq!(HistoryVisibility::in_state(None), HistoryVisibility::Shared);
        for (content, expected) in [
            (r#"{"history_visibility":"world_readable"}"#, HistoryVisibility::WorldReadable),
            (r#"{"history_visibility":"joined"}"#, HistoryVisibility::Joined),
            (r#"{"history_visibility":"whoever"}"#, HistoryVisibility::Shared),
            ("{}", HistoryVisibility::Shared),
        ] {
            let event = room.make(ALICE, "m.room.history_visibility", Some(""), content);
            assert_eq!(HistoryVisibility::in_state(Some(&event)), expected, "{content}");
        }
    }
}
