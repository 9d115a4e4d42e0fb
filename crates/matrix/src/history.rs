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
