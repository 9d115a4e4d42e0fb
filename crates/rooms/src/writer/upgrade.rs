//! `POST /rooms/{roomId}/upgrade`: a room of another version takes the place of an old one (ROOM-21 to ROOM-24).
//!
//! The new room, the tombstone of the old one and the aliases that move are one append: there is never a tombstone that
//! points nowhere, nor a replacement that nobody is told of. What then closes the old room is done as far as the
//! user may.

use std::collections::BTreeSet;
use std::sync::Arc;

use engram_log::{Input, Offset};
use engram_log_format::v1;
use engram_matrix::build::Draft;
use engram_matrix::pdu::Pdu;
use engram_matrix::room_version::RoomVersion;
use engram_views::Read;
use serde_json::{Map, Value, json};

use super::compose::record;
use super::create::{CREATOR_LEVEL, CreateRoom, Created, NewRoom, Preset};
use super::fences::{Attempt, Decision};
use super::head::Head;
use super::member::MemberContent;
use super::{RoomError, RoomServer};
use crate::query;
use crate::types::Membership;

/// A room that a local user wants to have in another version.
#[derive(Clone, Debug)]
pub struct UpgradeRoom<'a> {
    /// The room.
    pub room_id: &'a str,
    /// Who upgrades it, and creates the new one.
    pub user_id: &'a str,
    /// The version of the new room.
    pub new_version: &'a str,
    /// Who else is to be a creator of it, in versions that know such.
    pub additional_creators: &'a [String],
}

/// State that is copied: it says how the room looks and who may do what, whoever sent it (ROOM-22). Power levels come
/// last.
const COPIED: [&str; 9] = [
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.canonical_alias",
];

/// What power levels consist of, as far as the rules look at them.
const LEVELS: [&str; 10] = [
    "ban",
    "events",
    "events_default",
    "invite",
    "kick",
    "notifications",
    "redact",
    "state_default",
    "users",
    "users_default",
];

/// In the old room nobody below this level is to send or invite any more.
const CLOSED_LEVEL: i64 = 50;

/// A room that is to replace another, and what the old one says of it.
struct Replacement {
    room_id: String,
    inputs: Vec<Input>,
    tombstone: Arc<Pdu>,
}

impl RoomServer {
    /// Replaces a room by one of another version. Whoever may send the tombstone may do so.
    pub async fn upgrade_room(&self, request: &UpgradeRoom<'_>) -> Result<Created, RoomError> {
        self.no_guest(request.user_id)?;
        let version = RoomVersion::parse(request.new_version)
            .ok_or_else(|| RoomError::UnsupportedVersion(request.new_version.to_owned()))?;
        loop {
            let attempt = self.with_head(request.room_id, |old| {
                Self::check_member(old, request.user_id)?;
                let attempt = self.replace(old, request, version)?;
                if matches!(attempt, Attempt::Decided(_)) {
                    self.close(old, request.user_id)?;
                }
                Ok((attempt, old.appended))
            });
            match attempt.await? {
                (Attempt::Decided(room_id), offset) => {
                    return Ok(Created { room_id, offset, moved_from: Some(request.room_id.to_owned()) });
                }
                // An alias that is to move is on its way to the old room, or away from it.
                (Attempt::After(offset), _) => self.reading.caught_up(offset).await?,
            }
        }
    }

    /// Appends the new room with the tombstone that points to it.
    fn replace(
        &self,
        old: &mut Head,
        request: &UpgradeRoom<'_>,
        version: &'static RoomVersion,
    ) -> Result<Attempt<String>, RoomError> {
        let replacement = self.replacement(old, request, version)?;
        let tombstone = Arc::clone(&replacement.tombstone);
        let attempt = self.fences.attempt(self.reading.applied(), |keys| {
            if !keys.are_settled([request.room_id]) {
                return Ok(None);
            }
            let decision = self.append_replacement(old, request, replacement)?;
            Ok(Some(decision))
        })?;
        Ok(match attempt {
            Attempt::Decided((room_id, first)) => {
                old.appended(tombstone, first, None, self.reading.applied());
                Attempt::Decided(room_id)
            }
            Attempt::After(offset) => Attempt::After(offset),
        })
    }

    /// The new room and the tombstone, composed.
    fn replacement(
        &self,
        old: &Head,
        request: &UpgradeRoom<'_>,
        version: &'static RoomVersion,
    ) -> Result<Replacement, RoomError> {
        // Where the ID of a room is the hash of its create event, the create event cannot name the tombstone.
        let chosen_id = (!version.create_is_room_id()).then(|| self.new_room_id());
        let early = chosen_id.as_deref().map(|room_id| self.tombstone(old, request.user_id, room_id)).transpose()?;
        let mut predecessor = Map::from_iter([("room_id".to_owned(), json!(request.room_id))]);
        if let Some(tombstone) = &early {
            predecessor.insert("event_id".to_owned(), json!(tombstone.event_id.as_str()));
        }
        let creation = creation(old, request, version, predecessor)?;
        let mut room = NewRoom { server: self, request: &creation, head: Head::new_room(version), inputs: Vec::new() };
        room.head.room_id = chosen_id.unwrap_or_default().into();
        write_replacement(&mut room, old, &*self.snapshot())?;
        let (room_id, inputs) = (room.head.room_id.to_string(), room.inputs);
        let tombstone = match early {
            Some(tombstone) => tombstone,
            None => self.tombstone(old, request.user_id, &room_id)?,
        };
        Ok(Replacement { room_id, inputs, tombstone })
    }

    /// Appends it all, with the aliases and the listing, which are settled. The tombstone comes first.
    fn append_replacement(
        &self,
        old: &Head,
        request: &UpgradeRoom<'_>,
        replacement: Replacement,
    ) -> Result<Decision<(String, Offset)>, RoomError> {
        let snapshot = self.snapshot();
        let Replacement { room_id, inputs, tombstone } = replacement;
        let mut keys = vec![request.room_id.to_owned(), room_id.clone()];
        let mut all = vec![record(&tombstone, old.version.id(), None).into()];
        all.extend(inputs);
        for alias in query::aliases(&*snapshot, request.room_id)? {
            let creator = query::alias_creator(&*snapshot, &alias)?;
            let user_id = creator.unwrap_or_else(|| request.user_id.to_owned());
            keys.push(alias.clone());
            all.push(v1::RoomAliasSet { alias, room_id: Some(room_id.clone()), user_id }.into());
        }
        if query::is_published(&*snapshot, request.room_id)? {
            all.push(v1::RoomPublished { room_id: request.room_id.to_owned(), published: false }.into());
            all.push(v1::RoomPublished { room_id: room_id.clone(), published: true }.into());
        }
        let appended = self.append_all(&all)?;
        Ok(Decision { value: (room_id, appended.first), appended: appended.last, keys })
    }

    fn tombstone(&self, old: &Head, user_id: &str, room_id: &str) -> Result<Arc<Pdu>, RoomError> {
        let content = json!({ "body": "This room has been replaced", "replacement_room": room_id }).to_string();
        self.compose(old, &state_draft(user_id, "m.room.tombstone", &content), self.now().0)
    }

    /// Takes the old room's names away and keeps people from talking in it, as far as the user may.
    fn close(&self, old: &mut Head, user_id: &str) -> Result<(), RoomError> {
        let named = old.state.entry("m.room.canonical_alias", "")?;
        if named.is_some_and(|event| event.content_str() != "{}") {
            self.try_state(old, user_id, "m.room.canonical_alias", "{}")?;
        }
        let event = old.state.entry("m.room.power_levels", "")?;
        let mut levels = event.map(|event| levels_of(old, &event)).transpose()?.unwrap_or_default();
        let level = |levels: &Map<String, Value>, key: &str| levels.get(key).and_then(Value::as_i64).unwrap_or(0);
        let closed = CLOSED_LEVEL.max(level(&levels, "users_default").saturating_add(1));
        let before = levels.clone();
        for key in ["events_default", "invite"] {
            if level(&levels, key) < closed {
                levels.insert(key.to_owned(), json!(closed));
            }
        }
        if levels != before {
            self.try_state(old, user_id, "m.room.power_levels", &Value::Object(levels).to_string())?;
        }
        Ok(())
    }

    /// Sends a state event unless the room's rules forbid it to the user.
    fn try_state(&self, head: &mut Head, user_id: &str, event_type: &str, content: &str) -> Result<(), RoomError> {
        match self.compose(head, &state_draft(user_id, event_type, content), self.now().0) {
            Ok(event) => self.append(head, event, None).map(|_| ()),
            Err(RoomError::Forbidden(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn state_draft<'a>(sender: &'a str, event_type: &'a str, content: &'a str) -> Draft<'a> {
    Draft { sender, event_type, state_key: Some(""), content, redacts: None }
}

/// The new room, as far as a create event and its creator make it.
fn creation(
    old: &Head,
    request: &UpgradeRoom<'_>,
    version: &RoomVersion,
    predecessor: Map<String, Value>,
) -> Result<CreateRoom, RoomError> {
    let create = old.state.entry("m.room.create", "")?;
    let old_content: Map<String, Value> = create.and_then(|event| event.content().ok()).unwrap_or_default();
    let kept = old_content.into_iter().filter(|(key, _)| matches!(key.as_str(), "type" | "m.federate"));
    let mut creation_content: Map<String, Value> = kept.collect();
    creation_content.insert("predecessor".to_owned(), Value::Object(predecessor));
    if has_creators(version) && !request.additional_creators.is_empty() {
        creation_content.insert("additional_creators".to_owned(), json!(request.additional_creators));
    }
    Ok(CreateRoom {
        creator: request.user_id.to_owned(),
        room_version: version.id().to_owned(),
        preset: Preset::Private,
        published: false,
        alias_localpart: None,
        name: None,
        topic: None,
        creation_content,
        power_levels: Map::new(),
        initial_state: Vec::new(),
        invite: Vec::new(),
        is_direct: false,
    })
}

fn has_creators(version: &RoomVersion) -> bool {
    version.rules().authorization.explicitly_privilege_room_creators
}

/// The events of the new room. Its power levels come last: until then its creator may do everything.
fn write_replacement(room: &mut NewRoom<'_>, old: &Head, reader: &dyn Read) -> Result<(), RoomError> {
    room.write_create()?;
    room.write_join()?;
    for event_type in COPIED {
        match old.state.entry(event_type, "")? {
            Some(event) => {
                let is_redacted = old.is_redacted(&event)?;
                let event = if is_redacted { query::redacted(&event)? } else { event };
                let content = event.content::<Value>().unwrap_or_else(|_| json!({}));
                // What says nothing any more in the old room is not said in the new one.
                if !is_redacted || content != json!({}) {
                    room.write(event_type, "", &content)?;
                }
            }
            // The new room says it, for clients that take the presets for granted.
            None if event_type == "m.room.guest_access" => {
                room.write(event_type, "", &json!({ "guest_access": "forbidden" }))?;
            }
            None => {}
        }
    }
    // The rooms of a space are what it is.
    for (state_key, event) in old.state.of_type("m.space.child")? {
        let event = if old.is_redacted(&event)? { query::redacted(&event)? } else { event };
        let content = event.content::<Value>().unwrap_or_else(|_| json!({}));
        if content.get("via").is_some() {
            room.write("m.space.child", &state_key, &content)?;
        }
    }
    write_bans(room, old, reader)?;
    let levels = match old.state.entry("m.room.power_levels", "")? {
        Some(event) => copied_levels(room, old, levels_of(old, &event)?)?,
        None => default_levels(room, old)?,
    };
    room.write("m.room.power_levels", "", &levels)
}

/// Bans whoever is banned from the old room: as of the views, and of what is on its way to them.
fn write_bans(room: &mut NewRoom<'_>, old: &Head, reader: &dyn Read) -> Result<(), RoomError> {
    let Some(number) = old.number() else {
        return Err(RoomError::Internal(format!("the room {} is not in the views", old.room_id)));
    };
    let stored = query::members(reader, number, Some(&[Membership::Ban]))?;
    let mut users: BTreeSet<String> = stored.into_iter().map(|member| member.user_id).collect();
    users.extend(old.state.remembered_of_type("m.room.member").into_keys());
    for user_id in users {
        // Whoever upgrades the room is in it, and thus not banned.
        let Some(event) = old.presented("m.room.member", &user_id)? else { continue };
        if Membership::of(&event) == Some(Membership::Ban) {
            let content = event.content::<Map<String, Value>>().unwrap_or_default();
            let ban = MemberContent::new(Membership::Ban, Map::new());
            room.write_member(&user_id, &ban.with("reason", content.get("reason").cloned()))?;
        }
    }
    Ok(())
}

/// The levels that an event sets: all of it, or only those if the event was redacted. They hold as before.
fn levels_of(head: &Head, event: &Pdu) -> Result<Map<String, Value>, RoomError> {
    let mut levels: Map<String, Value> = event.content().unwrap_or_default();
    if head.is_redacted(event)? {
        levels.retain(|key, _| LEVELS.contains(&key.as_str()));
    }
    Ok(levels)
}

/// Where no levels were set, those who made the old room had the power in it.
fn default_levels(room: &NewRoom<'_>, old: &Head) -> Result<Value, RoomError> {
    let Value::Object(mut levels) = room.power_levels()? else {
        return Err(RoomError::Internal("power levels are an object".to_owned()));
    };
    if !has_creators(room.head.version) {
        raise(&mut levels, creators_of(old)?, CREATOR_LEVEL);
    }
    Ok(Value::Object(levels))
}

/// The old room's power levels, as they can stand in the new one: creators are named there only in versions in which
/// they do not stand above all levels (ROOM-24), and levels are numbers.
fn copied_levels(room: &NewRoom<'_>, old: &Head, mut levels: Map<String, Value>) -> Result<Value, RoomError> {
    levels.values_mut().for_each(make_number);
    for key in ["users", "events", "notifications"] {
        if let Some(Value::Object(entries)) = levels.get_mut(key) {
            entries.values_mut().for_each(make_number);
        }
    }
    if has_creators(room.head.version) {
        if let Some(Value::Object(users)) = levels.get_mut("users") {
            for creator in creators_of(&room.head)? {
                users.remove(&creator);
            }
        }
    } else if has_creators(old.version) {
        // There they stood above all levels.
        let mut rulers = creators_of(old)?;
        rulers.push(room.request.creator.clone());
        let highest = highest_level(&levels);
        raise(&mut levels, rulers, highest);
    }
    Ok(Value::Object(levels))
}

/// Who made a room.
fn creators_of(head: &Head) -> Result<Vec<String>, RoomError> {
    let create = head.state.entry("m.room.create", "")?;
    let create = create.ok_or_else(|| RoomError::Internal("a room has no create event".to_owned()))?;
    let mut creators = vec![create.sender.as_str().to_owned()];
    if has_creators(head.version) {
        let content: Map<String, Value> = create.content().unwrap_or_default();
        let others = content.get("additional_creators").and_then(Value::as_array).cloned().unwrap_or_default();
        creators.extend(others.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    Ok(creators)
}

/// The highest level that anything in a room takes, or anybody has; at least that of a creator.
fn highest_level(levels: &Map<String, Value>) -> i64 {
    let single = LEVELS.iter().filter_map(|key| levels.get(*key)?.as_i64());
    let maps = ["users", "events"].into_iter().filter_map(|key| levels.get(key)?.as_object());
    let each = maps.flat_map(|entries| entries.values().filter_map(Value::as_i64));
    single.chain(each).fold(CREATOR_LEVEL, i64::max)
}

/// Gives users the highest level, so that they can ban, set levels, and replace the room again.
fn raise(levels: &mut Map<String, Value>, users: Vec<String>, highest: i64) {
    if let Some(Value::Object(known)) = levels.get_mut("users") {
        known.extend(users.into_iter().map(|user_id| (user_id, json!(highest))));
    } else {
        levels.insert("users".to_owned(), users.into_iter().map(|user_id| (user_id, json!(highest))).collect());
    }
}

/// Rooms before version 10 may have levels that are written as text.
fn make_number(level: &mut Value) {
    if let Some(number) = level.as_str().and_then(|text| text.trim().parse::<i64>().ok()) {
        *level = json!(number);
    }
}
