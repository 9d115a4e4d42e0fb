//! The room versions this server speaks and the rules of each.

use ruma::room_version_rules::{EventsReferenceFormatVersion, RoomVersionRules};

use crate::limits;

/// One room version: its identifier and its rules. Handed around as `&'static RoomVersion`, so copying one is free.
#[derive(Debug)]
pub struct RoomVersion {
    id: &'static str,
    rules: RoomVersionRules,
}

static TABLE: [RoomVersion; 12] = [
    RoomVersion { id: "1", rules: RoomVersionRules::V1 },
    RoomVersion { id: "2", rules: RoomVersionRules::V2 },
    RoomVersion { id: "3", rules: RoomVersionRules::V3 },
    RoomVersion { id: "4", rules: RoomVersionRules::V4 },
    RoomVersion { id: "5", rules: RoomVersionRules::V5 },
    RoomVersion { id: "6", rules: RoomVersionRules::V6 },
    RoomVersion { id: "7", rules: RoomVersionRules::V7 },
    RoomVersion { id: "8", rules: RoomVersionRules::V8 },
    RoomVersion { id: "9", rules: RoomVersionRules::V9 },
    RoomVersion { id: "10", rules: RoomVersionRules::V10 },
    RoomVersion { id: "11", rules: RoomVersionRules::V11 },
    RoomVersion { id: "12", rules: RoomVersionRules::V12 },
];

impl RoomVersion {
    /// The version of new rooms for which the client asks for none.
    pub const DEFAULT: &str = "12";

    /// The version with exactly this identifier, or `None` for one that this server does not speak.
    pub fn parse(id: &str) -> Option<&'static Self> {
        TABLE.iter().find(|version| version.id == id)
    }

    /// All versions, oldest first.
    pub fn supported() -> impl Iterator<Item = &'static Self> {
        TABLE.iter()
    }

    /// The identifier, `"1"` to `"12"`.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// The rules in ruma's terms.
    pub fn rules(&self) -> &RoomVersionRules {
        &self.rules
    }

    /// Versions 1 and 2: the event carries its own ID, and references to events are (ID, hash) pairs.
    pub fn event_id_in_event(&self) -> bool {
        self.rules.event_format.require_event_id
    }

    /// Versions 1 and 2: `prev_events` and `auth_events` hold (ID, hash) pairs.
    pub fn references_with_hashes(&self) -> bool {
        self.rules.events_reference_format == EventsReferenceFormatVersion::V1
    }

    /// Version 11 on: a redaction names its target in `content.redacts`, not at the top level.
    pub fn redacts_in_content(&self) -> bool {
        self.rules.redaction.content_field_redacts
    }

    /// Version 12 on: the room ID is the hash of the create event, which carries no `room_id`.
    pub fn create_is_room_id(&self) -> bool {
        self.rules.authorization.room_create_event_id_as_room_id
    }

    /// Versions 1 to 5: events may hold numbers that canonical JSON does not have (SIG-02).
    pub fn tolerates_any_number(&self) -> bool {
        !self.rules.authorization.strict_canonical_json
    }

    /// The largest `depth` an event may have.
    pub fn depth_max(&self) -> u64 {
        if self.rules.authorization.strict_canonical_json { limits::DEPTH_MAX } else { limits::DEPTH_MAX_BEFORE_V6 }
    }
}

impl PartialEq for RoomVersion {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for RoomVersion {}

#[cfg(test)]
mod tests {
    use super::RoomVersion;

    #[test]
    fn all_stable_versions_and_no_others() {
        let ids: Vec<_> = RoomVersion::supported().map(RoomVersion::id).collect();
        assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]);
        for id in ["0", "13", "", "01", "12 ", "org.matrix.msc2870"] {
            assert!(RoomVersion::parse(id).is_none(), "{id:?}");
        }
        assert!(RoomVersion::parse(RoomVersion::DEFAULT).is_some());
    }

    #[test]
    fn format_changes_happen_at_their_versions() {
        let first =
            |test: fn(&RoomVersion) -> bool| RoomVersion::supported().find(|v| test(v)).expect("some version").id();
        assert_eq!(first(|v| !v.event_id_in_event()), "3");
        assert_eq!(first(|v| !v.references_with_hashes()), "3");
        assert_eq!(first(|v| v.depth_max() == (1 << 53) - 1), "6");
        assert_eq!(first(RoomVersion::redacts_in_content), "11");
        assert_eq!(first(RoomVersion::create_is_room_id), "12");
    }
}
