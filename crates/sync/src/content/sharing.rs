//! With whom a user shares rooms, and since when: what device lists and presence go by.

use std::collections::{BTreeMap, BTreeSet};

use engram_log::Offset;
use engram_rooms::query;
use engram_rooms::state::{self, Change, Root};
use engram_rooms::{Membership, RoomNumber};
use engram_views::{Read, ViewError};
use serde::Deserialize;

use super::Context;
use crate::hub::Entry;

/// The user's rooms and what has changed about who is in them.
pub(crate) struct Sharing<'a> {
    context: &'a Context<'a>,
    joined: BTreeSet<RoomNumber>,
    entries: &'a [Entry],
    known: BTreeMap<String, bool>,
    news: Option<News>,
}

/// What has changed since the last answer.
#[derive(Default)]
pub(crate) struct News {
    /// Users with whom a room is shared since then.
    pub(crate) begun: BTreeSet<String>,
    /// Users with whom no room is shared any more.
    pub(crate) ended: BTreeSet<String>,
}

impl<'a> Sharing<'a> {
    /// `entries` are all the user's rooms.
    pub(crate) fn new(context: &'a Context<'a>, entries: &'a [Entry]) -> Self {
        let joined = entries.iter().filter(|entry| entry.membership == Membership::Join);
        let joined = joined.map(|entry| entry.room.number).collect();
        Self { context, joined, entries, known: BTreeMap::new(), news: None }
    }

    /// Whether the user shares a room with somebody.
    pub(crate) fn shares(&mut self, user_id: &str) -> Result<bool, ViewError> {
        if let Some(shares) = self.known.get(user_id) {
            return Ok(*shares);
        }
        let rooms = query::rooms_of(self.context.reader(), user_id)?;
        let shares = rooms.iter().any(|row| row.membership == Membership::Join && self.joined.contains(&row.room));
        self.known.insert(user_id.to_owned(), shares);
        Ok(shares)
    }

    /// What has changed since the last answer; nothing in an initial sync.
    pub(crate) fn news(&mut self) -> Result<&News, ViewError> {
        if self.news.is_none() {
            let news = match self.context.since {
                Some(since) => self.read_news(since)?,
                None => News::default(),
            };
            self.news = Some(news);
        }
        Ok(self.news.as_ref().expect("it has just been set"))
    }

    fn read_news(&mut self, since: Offset) -> Result<News, ViewError> {
        let reader = self.context.reader();
        let mut news = News::default();
        let mut gone = BTreeSet::new();
        for entry in self.entries {
            let room = entry.room.number;
            let changed = entry.event > since || entry.room.members_changed.get() > since;
            if !changed || !matches!(entry.membership, Membership::Join | Membership::Leave | Membership::Ban) {
                continue;
            }
            let before = query::state_at(reader, room, since)?;
            let was_joined = entry.event <= since || is_joined(reader, before, self.context.user_id())?;
            match (was_joined, entry.membership == Membership::Join) {
                (true, true) => {
                    member_changes(reader, before, room, self.context.position, &mut news.begun, &mut gone)?;
                }
                (false, true) => news.begun.extend(joined_members(reader, room)?),
                (true, false) => gone.extend(joined_members(reader, room)?),
                (false, false) => {}
            }
        }
        news.begun.remove(self.context.user_id());
        gone.remove(self.context.user_id());
        for user_id in gone {
            if !self.shares(&user_id)? {
                news.begun.remove(&user_id);
                news.ended.insert(user_id);
            }
        }
        Ok(news)
    }
}

/// Whether a user is joined in a state.
pub(crate) fn is_joined(reader: &dyn Read, root: Root, user_id: &str) -> Result<bool, ViewError> {
    membership_at(reader, query::state_entry(reader, root, "m.room.member", user_id)?)
        .map(|membership| membership == Some(Membership::Join))
}

fn membership_at(reader: &dyn Read, event: Option<Offset>) -> Result<Option<Membership>, ViewError> {
    #[derive(Deserialize)]
    struct Content {
        membership: String,
    }
    let Some(offset) = event else { return Ok(None) };
    let content = query::pdu(reader, offset)?.content::<Content>().ok();
    Ok(content.and_then(|content| Membership::parse(&content.membership)))
}

fn joined_members(reader: &dyn Read, room: RoomNumber) -> Result<impl Iterator<Item = String>, ViewError> {
    let members = query::members(reader, room, Some(&[Membership::Join]))?;
    Ok(members.into_iter().map(|member| member.user_id))
}

/// Sorts the members whose membership has changed into those who came and those who went.
fn member_changes(
    reader: &dyn Read,
    before: Root,
    room: RoomNumber,
    at: Offset,
    came: &mut BTreeSet<String>,
    went: &mut BTreeSet<String>,
) -> Result<(), ViewError> {
    let now = query::state_at(reader, room, at)?;
    if now == before {
        return Ok(());
    }
    for Change { pair, before, after } in state::diff(reader, before, now)? {
        let (event_type, user_id) = state::pair_name(reader, pair)?;
        if event_type != "m.room.member" {
            continue;
        }
        let was = membership_at(reader, before)? == Some(Membership::Join);
        let is = membership_at(reader, after)? == Some(Membership::Join);
        match (was, is) {
            (false, true) => _ = came.insert(user_id),
            (true, false) => _ = went.insert(user_id),
            _ => {}
        }
    }
    Ok(())
}
