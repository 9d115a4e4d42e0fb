//! By which rules events are judged: those of the specification, or others, for whoever asks what would be if.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use engram_matrix::pdu::Pdu;
use engram_matrix::room_version::RoomVersion;

use crate::query::RoomInfo;

/// One of the checks on receipt (AUTH-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The rules against the event's own auth events.
    AuthEvents,
    /// The rules against the state before the event.
    StateBefore,
    /// The rules against the current state, by which events are soft-failed.
    CurrentState,
}

impl Check {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 3] = [Self::AuthEvents, Self::StateBefore, Self::CurrentState];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthEvents => "auth-events",
            Self::StateBefore => "state-before",
            Self::CurrentState => "current-state",
        }
    }
}

/// Rules for all rooms. By default those of the specification.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    versions: BTreeMap<&'static str, &'static RoomVersion>,
    left_out: BTreeSet<Check>,
}

impl Rules {
    /// Rooms of one version are judged, and their branches resolved, by the rules of another. The format of events and
    /// what redaction leaves of them stay what they are: the events are there already. Whether the two versions are
    /// near enough for that.
    #[must_use]
    pub fn assume_version(&mut self, of: &'static RoomVersion, rules: &'static RoomVersion) -> bool {
        let format = |version: &RoomVersion| (version.event_id_in_event(), version.create_is_room_id());
        if format(of) != format(rules) {
            return false;
        }
        self.versions.insert(of.id(), rules);
        true
    }

    /// A check is not made.
    pub fn leave_out(&mut self, check: Check) {
        self.left_out.insert(check);
    }

    /// Whether these are the rules of the specification.
    pub(super) fn are_standard(&self) -> bool {
        self.versions.is_empty() && self.left_out.is_empty()
    }

    pub(super) fn make(&self, check: Check) -> bool {
        !self.left_out.contains(&check)
    }

    /// The version by whose rules an event is judged. A create event says itself which those are.
    pub(super) fn version(&self, event: &Pdu) -> &'static RoomVersion {
        let own = event.version();
        if self.versions.is_empty() || event.event_type == "m.room.create" {
            return own;
        }
        self.versions.get(own.id()).copied().unwrap_or(own)
    }

    /// The room, with the version by whose rules its branches are resolved.
    pub(super) fn applied_to<'a>(&self, room: &'a RoomInfo) -> Cow<'a, RoomInfo> {
        match self.versions.get(room.version.id()) {
            None => Cow::Borrowed(room),
            Some(version) => Cow::Owned(RoomInfo { version, ..room.clone() }),
        }
    }
}
