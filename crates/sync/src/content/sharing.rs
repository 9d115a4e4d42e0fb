//! With whom a user shares rooms, and since when: what device lists and presence go by.
//!
//! All of it is said of a position, which may lie before the snapshot that is read: whoever asks later gets the answer
//! that was given then.

use std::collections::{BTreeMap, BTreeSet};

use engram_log::Offset;
use engram_rooms::query;
use engram_rooms::state::{self, Change, Root};
use engram_rooms::{Membership, RoomNumber};
use engram_views::{Read, Snapshot, ViewError};
use serde::Deserialize;

use crate::hub::Entry;

/// The user's rooms and what has changed about who is in them.
pub(crate) struct Sharing<'a> {
    pub(crate) reader: &'a dyn Read,
    pub(crate) user_id: &'a str,
    /// Where the last answer ended; nothing in an initial sync.
    pub(crate) since: Option<Offset>,
    /// The position of this one.
    pub(crate) at: Offset,
    /// Whether the position is that of the reader: then it is the current state that counts.
    is_now: bool,
    joined: BTreeSet<RoomNumber>,
    entries: &'a [Entry],
    known: BTreeMap<String, bool>,
    news: Option<News>,
}

/// What has changed since the last answer.
#[derive(Default)]
pub(crate) struct News {
    /// Users with whom a room is shared since then; the user, if they have come into a room themselves.
    pub(crate) begun: BTreeSet<String>,
    /// Users with whom no room is shared any more.
    pub(crate) ended: BTreeSet<String>,
}

impl<'a> Sharing<'a> {
    /// `entries` are all the user's rooms, as they are in the snapshot.
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        user_id: &'a str,
        since: Option<Offset>,
        at: Offset,
        entries: &'a [Entry],
    ) -> Result<Self, ViewError> {
        assert!(at <= snapshot.offset(), "nothing is known of what is to come");
        let is_now = at == snapshot.offset();
        let mut joined = BTreeSet::new();
        for entry in entries {
            let room = entry.room.number;
            let is_in = entry.membership == Membership::Join;
            if if is_now { is_in } else { is_joined_at(snapshot, room, user_id, at)? } {
                joined.insert(room);
            }
        }
        let (known, news) = (BTreeMap::new(), None);
        Ok(Self { reader: snapshot, user_id, since, at, is_now, joined, entries, known, news })
    }

    /// Those of some users who share a room with the user, or are the user. Each once, in order.
    pub(crate) fn among(&mut self, users: Vec<String>) -> Result<BTreeSet<String>, ViewError> {
        if self.has_fewer_than(users.len())? {
            let everybody = self.everybody()?;
            return Ok(users.into_iter().filter(|user| user == self.user_id || everybody.contains(user)).collect());
        }
        let mut sharing = BTreeSet::new();
        for user_id in users {
            if user_id == self.user_id || self.shares(&user_id)? {
                sharing.insert(user_id);
            }
        }
        Ok(sharing)
    }

    /// Whether the user's rooms have fewer members than that: then it is cheaper to look at all of them.
    pub(crate) fn has_fewer_than(&self, count: usize) -> Result<bool, ViewError> {
        let mut members = 0;
        for room in &self.joined {
            members += query::head(self.reader, *room)?.joined;
            if members >= count as u64 {
                return Ok(false);
            }
        }
        Ok(members < count as u64)
    }

    /// Everybody who is in one of the user's rooms.
    pub(crate) fn everybody(&self) -> Result<BTreeSet<String>, ViewError> {
        let mut everybody = BTreeSet::new();
        for room in &self.joined {
            everybody.extend(self.members(*room, self.at)?);
        }
        Ok(everybody)
    }

    /// Whether the user shares a room with somebody.
    pub(crate) fn shares(&mut self, user_id: &str) -> Result<bool, ViewError> {
        if let Some(shares) = self.known.get(user_id) {
            return Ok(*shares);
        }
        let mut shares = false;
        for row in query::rooms_of(self.reader, user_id)? {
            let is_in = row.membership == Membership::Join;
            // Whoever has been in a room has a row for it for ever.
            shares = self.joined.contains(&row.room)
                && if self.is_now { is_in } else { is_joined_at(self.reader, row.room, user_id, self.at)? };
            if shares {
                break;
            }
        }
        self.known.insert(user_id.to_owned(), shares);
        Ok(shares)
    }

    /// What has changed since the last answer; nothing in an initial sync.
    pub(crate) fn news(&mut self) -> Result<&News, ViewError> {
        if self.news.is_none() {
            let news = match self.since {
                Some(since) if since < self.at => self.read_news(since)?,
                _ => News::default(),
            };
            self.news = Some(news);
        }
        Ok(self.news.as_ref().expect("it has just been set"))
    }

    fn read_news(&mut self, since: Offset) -> Result<News, ViewError> {
        let mut news = News::default();
        let mut gone = BTreeSet::new();
        for entry in self.entries {
            let room = entry.room.number;
            if entry.event <= since && entry.room.members_changed.get() <= since {
                continue;
            }
            let (before, after) =
                (query::state_at(self.reader, room, since)?, query::state_at(self.reader, room, self.at)?);
            let was_joined = is_joined(self.reader, before, self.user_id)?;
            match (was_joined, self.joined.contains(&room)) {
                (true, true) => member_changes(self.reader, before, after, &mut news.begun, &mut gone)?,
                (false, true) => news.begun.extend(self.members(room, self.at)?),
                (true, false) => gone.extend(self.members(room, since)?),
                (false, false) => {}
            }
        }
        gone.remove(self.user_id);
        for user_id in gone {
            if !self.shares(&user_id)? {
                assert!(!news.begun.contains(&user_id), "whoever came into a shared room shares one");
                news.ended.insert(user_id);
            }
        }
        Ok(news)
    }

    /// Who is in a room at a position: the present members, but for what has changed since.
    fn members(&self, room: RoomNumber, at: Offset) -> Result<BTreeSet<String>, ViewError> {
        let members = query::members(self.reader, room, Some(&[Membership::Join]))?;
        let mut members: BTreeSet<String> = members.into_iter().map(|member| member.user_id).collect();
        if !self.is_now || at != self.at {
            let (then, now) = (query::state_at(self.reader, room, at)?, query::head(self.reader, room)?.state);
            let (mut came, mut went) = (BTreeSet::new(), BTreeSet::new());
            member_changes(self.reader, then, now, &mut came, &mut went)?;
            members.retain(|user_id| !came.contains(user_id));
            members.extend(went);
        }
        Ok(members)
    }
}

/// Whether a user is joined in a state.
pub(crate) fn is_joined(reader: &dyn Read, root: Root, user_id: &str) -> Result<bool, ViewError> {
    membership_at(reader, query::state_entry(reader, root, "m.room.member", user_id)?)
        .map(|membership| membership == Some(Membership::Join))
}

fn is_joined_at(reader: &dyn Read, room: RoomNumber, user_id: &str, at: Offset) -> Result<bool, ViewError> {
    is_joined(reader, query::state_at(reader, room, at)?, user_id)
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

/// Sorts the members whose membership differs between two states into those who came and those who went.
fn member_changes(
    reader: &dyn Read,
    before: Root,
    after: Root,
    came: &mut BTreeSet<String>,
    went: &mut BTreeSet<String>,
) -> Result<(), ViewError> {
    if before == after {
        return Ok(());
    }
    for Change { pair, before, after } in state::diff(reader, before, after)? {
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
