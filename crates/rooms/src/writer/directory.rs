//! What this server keeps about rooms beside their events: aliases, the published list, who has forgotten what.

use engram_log::{Input, Offset};
use engram_log_format::v1;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fences::Decision;
use super::head::Head;
use super::{RoomError, RoomServer, SendRequest};
use crate::query;
use crate::types::Membership;

impl RoomServer {
    /// Points a local alias to a room that the user is in. Fails if it is taken.
    pub async fn create_alias(&self, alias: &str, room_id: &str, user_id: &str) -> Result<Offset, RoomError> {
        self.no_guest(user_id)?;
        self.check_local_alias(alias)?;
        self.with_head(room_id, |head| Self::check_member(head, user_id)).await?;
        let set = v1::RoomAliasSet {
            alias: alias.to_owned(),
            room_id: Some(room_id.to_owned()),
            user_id: user_id.to_owned(),
        };
        let made = self.settled(|keys| {
            if !keys.are_settled([alias, room_id]) {
                return Ok(None);
            }
            self.check_free(Some(alias))?;
            self.decide(set.clone(), [alias, room_id]).map(Some)
        });
        made.await
    }

    /// Removes a local alias: its creator may, and whoever may change the room's canonical alias.
    pub async fn remove_alias(&self, alias: &str, user_id: &str, admin: bool) -> Result<Offset, RoomError> {
        self.no_guest(user_id)?;
        // Whether the user has the power is asked before the decision, for the room that the alias points to now.
        let Some(room_id) = query::alias(&*self.snapshot(), alias)? else {
            return Err(RoomError::UnknownAlias(alias.to_owned()));
        };
        let may = admin || self.with_head(&room_id, |head| may_set_canonical_alias(head, user_id)).await?;
        let removal = v1::RoomAliasSet { alias: alias.to_owned(), room_id: None, user_id: user_id.to_owned() };
        let removed = self.settled(|keys| {
            if !keys.are_settled([alias, &room_id]) {
                return Ok(None);
            }
            let snapshot = self.snapshot();
            let points_to = query::alias(&*snapshot, alias)?;
            if points_to.is_none() {
                return Err(RoomError::UnknownAlias(alias.to_owned()));
            }
            let own = query::alias_creator(&*snapshot, alias)?.as_deref() == Some(user_id);
            if !own && !admin && (!may || points_to.as_deref() != Some(&*room_id)) {
                return Err(RoomError::Forbidden(format!("{alias} was made by somebody else")));
            }
            self.decide(removal.clone(), [alias, &room_id]).map(Some)
        });
        let offset = removed.await?;
        Ok(self.unset_canonical_alias(&room_id, alias, user_id).await?.unwrap_or(offset))
    }

    /// Takes a removed alias out of `m.room.canonical_alias`, if it is there and the user may (ROOM-17). Where they may
    /// not the alias is gone all the same.
    async fn unset_canonical_alias(
        &self,
        room_id: &str,
        alias: &str,
        user_id: &str,
    ) -> Result<Option<Offset>, RoomError> {
        let shown = self.with_head(room_id, |head| Ok(head.state.entry("m.room.canonical_alias", "")?)).await?;
        let mut content: Map<String, Value> = match shown {
            Some(event) => event.content().unwrap_or_default(),
            None => return Ok(None),
        };
        let before = content.clone();
        if content.get("alias").and_then(Value::as_str) == Some(alias) {
            content.remove("alias");
        }
        if let Some(Value::Array(others)) = content.get_mut("alt_aliases") {
            others.retain(|other| other != alias);
            if others.is_empty() {
                content.remove("alt_aliases");
            }
        }
        if content == before {
            return Ok(None);
        }
        let content = Value::Object(content).to_string();
        let request = SendRequest {
            room_id,
            sender: user_id,
            event_type: "m.room.canonical_alias",
            state_key: Some(""),
            content: &content,
            redacts: None,
            transaction: None,
            timestamp_ms: None,
        };
        match self.send(&request).await {
            Ok(sent) => Ok(Some(sent.offset)),
            Err(RoomError::Forbidden(_) | RoomError::NotInRoom(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists a room in the directory, or takes it off. Members with the power to set the canonical alias may.
    pub async fn publish(
        &self,
        room_id: &str,
        user_id: &str,
        published: bool,
        admin: bool,
    ) -> Result<Offset, RoomError> {
        self.no_guest(user_id)?;
        let allowed = self.with_head(room_id, |head| {
            if admin || may_set_canonical_alias(head, user_id)? {
                return Ok(());
            }
            Self::check_member(head, user_id)?;
            Err(RoomError::Forbidden(format!("{user_id} may not change whether {room_id} is listed")))
        });
        allowed.await?;
        let record = v1::RoomPublished { room_id: room_id.to_owned(), published };
        let set = self.settled(|keys| {
            if !keys.are_settled([room_id]) {
                return Ok(None);
            }
            self.decide(record.clone(), [room_id]).map(Some)
        });
        set.await
    }

    /// Forgets a room that the user has left (ROOM-08).
    pub async fn forget(&self, room_id: &str, user_id: &str) -> Result<Offset, RoomError> {
        let forgotten = self.with_head(room_id, |head| match head.state.membership(user_id)? {
            Some(Membership::Leave | Membership::Ban) => {
                let record = v1::RoomForgotten { user_id: user_id.to_owned(), room_id: room_id.to_owned() };
                Ok(self.append_all(&[record.into()])?.last)
            }
            Some(_) => Err(RoomError::NotLeft(room_id.to_owned())),
            None => Err(RoomError::NotInRoom(room_id.to_owned())),
        });
        forgotten.await
    }

    /// Appends what is the last word about its keys.
    fn decide<'k>(
        &self,
        record: impl Into<Input>,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<Decision<Offset>, RoomError> {
        let appended = self.append_all(&[record.into()])?.last;
        let keys = keys.into_iter().map(str::to_owned).collect();
        Ok(Decision { value: appended, appended, keys })
    }

    pub(super) fn check_local_alias(&self, alias: &str) -> Result<(), RoomError> {
        if !engram_matrix::ids::is_room_alias(alias) {
            return Err(RoomError::InvalidParameter(format!("{alias:?} is not a room alias")));
        }
        match alias.split_once(':') {
            Some((_, server)) if server == self.server_name() => Ok(()),
            _ => Err(RoomError::NotLocal(alias.to_owned())),
        }
    }

    /// Aliases that are new in `m.room.canonical_alias` are well formed and point to this room (ROOM-17).
    pub(super) fn check_canonical_alias(&self, head: &Head, content: &str) -> Result<(), RoomError> {
        let new: CanonicalAlias =
            serde_json::from_str(content).map_err(|error| RoomError::BadContent(error.to_string()))?;
        let old: CanonicalAlias = match head.state.entry("m.room.canonical_alias", "")? {
            Some(event) => event.content().unwrap_or_default(),
            None => CanonicalAlias::default(),
        };
        let known = old.all();
        let snapshot = self.snapshot();
        for alias in new.all() {
            if known.contains(&alias) {
                continue;
            }
            if !engram_matrix::ids::is_room_alias(alias) {
                return Err(RoomError::InvalidParameter(format!("{alias:?} is not a room alias")));
            }
            if query::alias(&*snapshot, alias)?.as_deref() != Some(&*head.room_id) {
                return Err(RoomError::BadAlias(format!("the alias {alias} does not point to {}", head.room_id)));
            }
        }
        Ok(())
    }
}

fn may_set_canonical_alias(head: &Head, user_id: &str) -> Result<bool, RoomError> {
    if head.state.membership(user_id)? != Some(Membership::Join) {
        return Ok(false);
    }
    Ok(head.powers()?.levels.can_send(user_id, "m.room.canonical_alias", true))
}

#[derive(Deserialize, Default)]
struct CanonicalAlias {
    #[serde(default)]
    alias: Option<String>,
    #[serde(default)]
    alt_aliases: Vec<String>,
}

impl CanonicalAlias {
    fn all(&self) -> Vec<&str> {
        let main = self.alias.as_deref().filter(|alias| !alias.is_empty());
        main.into_iter().chain(self.alt_aliases.iter().map(String::as_str)).collect()
    }
}
