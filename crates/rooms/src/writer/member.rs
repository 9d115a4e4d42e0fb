//! The content of member events, which only this file makes: whatever a client sends, on whichever path, what a server
//! alone may say is not taken from it.

use engram_matrix::build::Draft;
use engram_matrix::pdu::Pdu;
use serde_json::{Map, Value, json};

use super::accounts::{Profile, ProfileField};
use super::head::Head;
use super::{RoomError, RoomServer};
use crate::types::Membership;

/// Names the member by whose power somebody joins a restricted room. The signature of that member's server vouches for
/// it, so that this server says it of its own accord or not at all.
const VOUCHER: &str = "join_authorised_via_users_server";

/// What no client may put into a member event: the voucher, and what an identity server signed, which is no content as
/// it stands.
const OF_SERVERS: [&str; 2] = [VOUCHER, "third_party_signed"];

/// What belongs to a change of membership, and not to the member: it goes when only the profile changes.
const OF_THE_CHANGE: [&str; 4] = ["reason", "is_direct", "third_party_invite", VOUCHER];

/// The content of a member event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MemberContent(Map<String, Value>);

impl MemberContent {
    /// A membership, with whatever else a client has to say.
    pub(super) fn new(membership: Membership, said: Map<String, Value>) -> Self {
        let mut content = said;
        for key in OF_SERVERS {
            content.remove(key);
        }
        content.insert("membership".to_owned(), json!(membership.as_str()));
        Self(content)
    }

    /// A member's content as it is, for another that differs in its profile only.
    pub(super) fn of_present(event: &Pdu) -> Self {
        let mut content: Map<String, Value> = event.content().unwrap_or_default();
        for key in OF_THE_CHANGE {
            content.remove(key);
        }
        Self(content)
    }

    pub(super) fn with(mut self, key: &str, value: Option<impl Into<Value>>) -> Self {
        assert!(!OF_SERVERS.contains(&key), "there is another way for what a server says");
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
        self
    }

    /// Shows the profile, where nothing else is said.
    pub(super) fn with_profile(mut self, profile: &Profile) -> Self {
        for field in ProfileField::ALL {
            if let Some(value) = field.of(profile) {
                self.0.entry(field.name()).or_insert_with(|| json!(value));
            }
        }
        self
    }

    /// Shows what the profile has in one field, whatever was said.
    pub(super) fn with_field(mut self, field: ProfileField, profile: &Profile) -> Self {
        match field.of(profile) {
            Some(value) => self.0.insert(field.name().to_owned(), json!(value)),
            None => self.0.remove(field.name()),
        };
        self
    }

    /// Names a local member in whose power it is to let the joiner in.
    pub(super) fn vouched_by(mut self, member: &str) -> Self {
        self.0.insert(VOUCHER.to_owned(), json!(member));
        self
    }

    /// Whether an event says the same, but for who vouched for it.
    pub(super) fn is_said_by(&self, event: &Pdu) -> bool {
        let mut said: Map<String, Value> = event.content().unwrap_or_default();
        said.remove(VOUCHER);
        let own = self.0.iter().filter(|(key, _)| *key != VOUCHER);
        said.len() == own.clone().count() && own.into_iter().all(|(key, value)| said.get(key) == Some(value))
    }
}

impl RoomServer {
    /// [`RoomServer::compose`] for a member event.
    pub(super) fn compose_member(
        &self,
        head: &Head,
        sender: &str,
        target: &str,
        content: &MemberContent,
    ) -> Result<std::sync::Arc<Pdu>, RoomError> {
        let content = Value::Object(content.0.clone()).to_string();
        let draft =
            Draft { sender, event_type: "m.room.member", state_key: Some(target), content: &content, redacts: None };
        self.compose_any(head, &draft, self.now().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn what_only_a_server_may_say_is_never_taken_from_a_client() {
        let said = json!({
            "membership": "ban", "displayname": "B", VOUCHER: "@x:other.example", "third_party_signed": {}, "custom": 1,
        });
        for membership in [Membership::Join, Membership::Invite, Membership::Leave, Membership::Ban, Membership::Knock]
        {
            let content = MemberContent::new(membership, map(&said));
            let expected = json!({ "membership": membership.as_str(), "displayname": "B", "custom": 1 });
            assert_eq!(Value::Object(content.0), expected);
        }
    }

    #[test]
    fn a_profile_fills_in_what_is_not_said() {
        let profile = Profile { displayname: Some("Global".to_owned()), avatar_url: Some("mxc://x/y".to_owned()) };
        let said = MemberContent::new(Membership::Join, map(&json!({ "displayname": "Here" })));
        let shown = said.with_profile(&profile);
        assert_eq!(shown.0.get("displayname"), Some(&json!("Here")));
        assert_eq!(shown.0.get("avatar_url"), Some(&json!("mxc://x/y")));
        let changed = shown.with_field(ProfileField::DisplayName, &profile);
        assert_eq!(changed.0.get("displayname"), Some(&json!("Global")));
        let gone = changed.with_field(ProfileField::DisplayName, &Profile::default());
        assert_eq!(gone.0.get("displayname"), None);
    }
}
