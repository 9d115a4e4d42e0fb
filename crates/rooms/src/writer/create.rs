//! `POST /createRoom`: all the events of a new room, appended at once or not at all (ROOM-01 to ROOM-06).

use std::collections::BTreeMap;
use std::sync::Arc;

use engram_log::{Input, Offset};
use engram_log_format::v1;
use engram_matrix::build::Draft;
use engram_matrix::pdu::Pdu;
use engram_matrix::room_version::RoomVersion;
use serde_json::{Map, Value, json};

use super::compose::record;
use super::fences::Decision;
use super::head::Head;
use super::member::MemberContent;
use super::membership::named_predecessor;
use super::{RoomError, RoomServer};
use crate::query;
use crate::types::Membership;

/// Default settings for common kinds of rooms (ROOM-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// `private_chat`
    Private,
    /// `trusted_private_chat`
    TrustedPrivate,
    /// `public_chat`
    Public,
}

/// A state event to begin with.
#[derive(Clone, Debug)]
pub struct InitialEvent {
    /// The type.
    pub event_type: String,
    /// The state key.
    pub state_key: String,
    /// The content.
    pub content: Value,
}

/// A room that a local user wants to have.
#[derive(Clone, Debug)]
pub struct CreateRoom {
    /// The creator.
    pub creator: String,
    /// The room version.
    pub room_version: String,
    /// The preset.
    pub preset: Preset,
    /// Whether the room is listed in the directory.
    pub published: bool,
    /// Localpart of the alias.
    pub alias_localpart: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The topic.
    pub topic: Option<String>,
    /// Further keys of the create event.
    pub creation_content: Map<String, Value>,
    /// Keys that replace those of the default power levels.
    pub power_levels: Map<String, Value>,
    /// State events to begin with.
    pub initial_state: Vec<InitialEvent>,
    /// Whom to invite.
    pub invite: Vec<String>,
    /// Marks the invites as those to a direct chat.
    pub is_direct: bool,
}

/// A room that has its place in the log. Readable once `offset` is applied.
#[derive(Clone, Debug)]
#[must_use = "what follows from it is for the caller to see to"]
pub struct Created {
    /// Its ID.
    pub room_id: String,
    /// Position of the last of its first records.
    pub offset: Offset,
    /// The room that it says it replaces: what its creator had set for that moves along (ROOM-25).
    pub moved_from: Option<String>,
}

/// Level that a tombstone needs in rooms whose creators stand above all levels (ROOM-05).
const TOMBSTONE_LEVEL: i64 = 150;
/// The level of a room's creator in versions before 12, and of those who share it.
pub(super) const CREATOR_LEVEL: i64 = 100;

impl RoomServer {
    /// Creates a room.
    pub async fn create_room(&self, request: &CreateRoom) -> Result<Created, RoomError> {
        self.no_guest(&request.creator)?;
        let version = RoomVersion::parse(&request.room_version)
            .ok_or_else(|| RoomError::UnsupportedVersion(request.room_version.clone()))?;
        let alias = self.new_alias(request)?;
        self.check_free(alias.as_deref())?;
        let (room_id, mut inputs) = NewRoom::write_events(self, request, version, alias.as_deref())?;
        if let Some(alias) = alias.clone() {
            let user_id = request.creator.clone();
            inputs.push(v1::RoomAliasSet { alias, room_id: Some(room_id.clone()), user_id }.into());
        }
        if request.published {
            inputs.push(v1::RoomPublished { room_id: room_id.clone(), published: true }.into());
        }
        let offset = self.settled(|keys| {
            if !keys.are_settled(alias.as_deref()) {
                return Ok(None);
            }
            self.check_free(alias.as_deref())?;
            let appended = self.append_all(&inputs)?.last;
            let keys = alias.iter().chain([&room_id]).cloned().collect();
            Ok(Some(Decision { value: appended, appended, keys }))
        });
        let moved_from = named_predecessor(&request.creation_content);
        Ok(Created { offset: offset.await?, room_id, moved_from })
    }

    /// Refuses an alias that points to a room.
    pub(super) fn check_free(&self, alias: Option<&str>) -> Result<(), RoomError> {
        match alias {
            Some(alias) if query::alias(&*self.snapshot(), alias)?.is_some() => {
                Err(RoomError::AliasInUse(alias.to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn new_alias(&self, request: &CreateRoom) -> Result<Option<String>, RoomError> {
        let Some(localpart) = &request.alias_localpart else {
            return Ok(None);
        };
        if localpart.is_empty() || localpart.contains([':', '\0']) || localpart.chars().any(char::is_whitespace) {
            return Err(RoomError::InvalidParameter(format!("{localpart:?} cannot be the local part of an alias")));
        }
        let alias = format!("#{localpart}:{}", self.server_name());
        self.check_local_alias(&alias)?;
        Ok(Some(alias))
    }
}

/// A room in the making: its head moves with every event, its records gather until all are there.
pub(super) struct NewRoom<'a> {
    pub(super) server: &'a RoomServer,
    pub(super) request: &'a CreateRoom,
    pub(super) head: Head,
    pub(super) inputs: Vec<Input>,
}

impl NewRoom<'_> {
    /// All events of a room: its ID, and the records in order.
    fn write_events(
        server: &RoomServer,
        request: &CreateRoom,
        version: &'static RoomVersion,
        alias: Option<&str>,
    ) -> Result<(String, Vec<Input>), RoomError> {
        let mut room = NewRoom { server, request, head: Head::new_room(version), inputs: Vec::new() };
        room.write_create()?;
        room.write_join()?;
        room.write_all_state(alias)?;
        for user_id in &request.invite {
            room.write_invite(user_id)?;
        }
        Ok((room.head.room_id.to_string(), room.inputs))
    }

    fn write_all_state(&mut self, alias: Option<&str>) -> Result<(), RoomError> {
        let request = self.request;
        let levels = self.power_levels()?;
        self.write("m.room.power_levels", "", &levels)?;
        if let Some(alias) = alias {
            self.write("m.room.canonical_alias", "", &json!({ "alias": alias }))?;
        }
        self.write_preset()?;
        for event in &request.initial_state {
            self.write_initial(event)?;
        }
        if let Some(name) = &request.name {
            self.write("m.room.name", "", &json!({ "name": name }))?;
        }
        if let Some(topic) = &request.topic {
            let blocks = json!({ "m.text": [{ "body": topic }] });
            self.write("m.room.topic", "", &json!({ "topic": topic, "m.topic": blocks }))?;
        }
        Ok(())
    }

    /// The creator's join.
    pub(super) fn write_join(&mut self) -> Result<(), RoomError> {
        let creator = &self.request.creator;
        let profile = self.server.accounts.profile(&*self.server.snapshot(), creator)?;
        let content = MemberContent::new(Membership::Join, Map::new()).with_profile(&profile);
        self.write_member(creator, &content)
    }

    /// The create event; the room gets its ID with it unless it has one.
    pub(super) fn write_create(&mut self) -> Result<(), RoomError> {
        let (request, version) = (self.request, self.head.version);
        let mut content = request.creation_content.clone();
        content.insert("room_version".to_owned(), json!(version.id()));
        content.remove("creator");
        if !version.rules().authorization.use_room_create_sender {
            content.insert("creator".to_owned(), json!(request.creator));
        }
        if version.rules().authorization.explicitly_privilege_room_creators && request.preset == Preset::TrustedPrivate
        {
            add_creators(&mut content, request.invite.iter().map(String::as_str));
        }
        if !version.create_is_room_id() && self.head.room_id.is_empty() {
            self.head.room_id = self.server.new_room_id().into();
        }
        self.write("m.room.create", "", &Value::Object(content))
    }

    /// The default levels, with the request's in the place of those that it names.
    pub(super) fn power_levels(&self) -> Result<Value, RoomError> {
        let (request, version) = (self.request, self.head.version);
        let mut users = BTreeMap::new();
        let mut events = json!({
            "m.room.name": 50, "m.room.avatar": 50, "m.room.canonical_alias": 50,
            "m.room.power_levels": 100, "m.room.history_visibility": 100, "m.room.tombstone": 100,
            "m.room.server_acl": 100, "m.room.encryption": 100,
        });
        if version.rules().authorization.explicitly_privilege_room_creators {
            events["m.room.tombstone"] = json!(TOMBSTONE_LEVEL);
        } else {
            users.insert(request.creator.as_str(), CREATOR_LEVEL);
            if request.preset == Preset::TrustedPrivate {
                users.extend(request.invite.iter().map(|user_id| (user_id.as_str(), CREATOR_LEVEL)));
            }
        }
        let invite = if request.preset == Preset::Public { 50 } else { 0 };
        let mut levels = json!({
            "users": users, "users_default": 0, "events": events, "events_default": 0, "state_default": 50,
            "ban": 50, "kick": 50, "redact": 50, "invite": invite, "historical": 100,
        });
        for (key, value) in &request.power_levels {
            levels[key] = value.clone();
        }
        super::send::check_power_levels(&self.head, &levels.to_string())?;
        Ok(levels)
    }

    fn write_preset(&mut self) -> Result<(), RoomError> {
        let public = self.request.preset == Preset::Public;
        let join_rule = if public { "public" } else { "invite" };
        self.write_default("m.room.join_rules", &json!({ "join_rule": join_rule }))?;
        self.write_default("m.room.history_visibility", &json!({ "history_visibility": "shared" }))?;
        if public {
            // Guests are kept out where nothing says that they may come in.
            return Ok(());
        }
        self.write_default("m.room.guest_access", &json!({ "guest_access": "can_join" }))
    }

    /// Writes an event of the preset unless the initial state has its own.
    fn write_default(&mut self, event_type: &str, content: &Value) -> Result<(), RoomError> {
        let given = |event: &InitialEvent| event.event_type == event_type && event.state_key.is_empty();
        if self.request.initial_state.iter().any(given) {
            return Ok(());
        }
        self.write(event_type, "", content)
    }

    fn write_initial(&mut self, event: &InitialEvent) -> Result<(), RoomError> {
        match event.event_type.as_str() {
            "m.room.create" | "m.room.member" => {
                let why = format!("`{}` cannot be given in `initial_state`", event.event_type);
                Err(RoomError::InvalidInitialState(why))
            }
            "m.room.power_levels" if !event.state_key.is_empty() => {
                // Nothing that counts; but nothing either that any client means.
                super::send::check_power_levels(&self.head, &event.content.to_string())?;
                self.write(&event.event_type, &event.state_key, &event.content)
            }
            event_type => {
                let content = event.content.to_string();
                self.server.check_content(&self.head, event_type, Some(&event.state_key), &content)?;
                self.write(event_type, &event.state_key, &event.content)
            }
        }
    }

    fn write_invite(&mut self, user_id: &str) -> Result<(), RoomError> {
        if !engram_matrix::ids::is_user_id(user_id) {
            return Err(RoomError::InvalidParameter(format!("{user_id:?} is not a user ID")));
        }
        if user_id == self.request.creator {
            return Err(RoomError::Forbidden("the creator of a room is in it already".to_owned()));
        }
        let profile = self.server.accounts.profile(&*self.server.snapshot(), user_id)?;
        let is_direct = self.request.is_direct.then_some(true);
        let content = MemberContent::new(Membership::Invite, Map::new()).with("is_direct", is_direct);
        self.write_member(user_id, &content.with_profile(&profile))
    }

    /// Composes one state event on the head and moves the head past it.
    pub(super) fn write(&mut self, event_type: &str, state_key: &str, content: &Value) -> Result<(), RoomError> {
        let content = content.to_string();
        let sender = &self.request.creator;
        let draft = Draft { sender, event_type, state_key: Some(state_key), content: &content, redacts: None };
        let composed = self.server.compose(&self.head, &draft, self.server.now().0);
        self.keep(composed)
    }

    /// [`NewRoom::write`] for a member event.
    pub(super) fn write_member(&mut self, target: &str, content: &MemberContent) -> Result<(), RoomError> {
        let composed = self.server.compose_member(&self.head, &self.request.creator, target, content);
        self.keep(composed)
    }

    fn keep(&mut self, composed: Result<Arc<Pdu>, RoomError>) -> Result<(), RoomError> {
        let event = match composed {
            Err(RoomError::Forbidden(why)) => return Err(RoomError::InvalidInitialState(why)),
            composed => composed?,
        };
        self.inputs.push(record(&event, self.head.version.id(), None).into());
        self.head.advance(event);
        Ok(())
    }
}

/// Adds to `additional_creators` whoever is not there yet (ROOM-04).
fn add_creators<'a>(content: &mut Map<String, Value>, users: impl Iterator<Item = &'a str>) {
    let creators = content.entry("additional_creators").or_insert_with(|| json!([]));
    let Some(creators) = creators.as_array_mut() else {
        return;
    };
    for user_id in users {
        if !creators.iter().any(|creator| creator == user_id) {
            creators.push(json!(user_id));
        }
    }
}
