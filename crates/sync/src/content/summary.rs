//! The summary of a room: who is in it, for a client that has to make up a name.

use std::sync::Arc;

use engram_log::Offset;
use engram_rooms::query;
use engram_rooms::state::Root;
use engram_rooms::{Membership, RoomNumber};
use engram_views::{Read, ViewError};
use serde::Deserialize;

use super::Context;
use crate::hub::RoomHub;
use crate::json::{push_key, push_number, push_strings};
use crate::limits;

/// The members of a room, as far as summaries need them.
pub(crate) struct Members {
    joined: u64,
    invited: u64,
    /// The first of the joined and invited; if those are one at most, the first of the others.
    first: Vec<String>,
    first_others: Vec<String>,
}

/// A room's summary for one user.
pub(crate) struct Summary {
    joined: u64,
    invited: u64,
    /// Whom to name the room after; none if it has a name.
    pub(crate) heroes: Option<Vec<String>>,
}

/// The summary of a room with the given state.
pub(crate) fn summary(context: &Context<'_>, room: &RoomHub, state: Root) -> Result<Summary, ViewError> {
    let reader = context.reader();
    let members = members(context, room)?;
    let named = has_name(reader, room.number, state)?;
    let heroes = (!named).then(|| heroes(&members, context.user_id()));
    Ok(Summary { joined: members.joined, invited: members.invited, heroes })
}

fn members(context: &Context<'_>, room: &RoomHub) -> Result<Arc<Members>, ViewError> {
    let known = room.members.lock().clone();
    if let Some((at, members)) = known
        && at >= room.members_changed.get()
    {
        return Ok(members);
    }
    let members = Arc::new(read_members(context.reader(), room.number)?);
    *room.members.lock() = Some((context.position, Arc::clone(&members)));
    Ok(members)
}

fn read_members(reader: &dyn Read, room: RoomNumber) -> Result<Members, ViewError> {
    let head = query::head(reader, room)?;
    let mut here: Vec<(Offset, String)> = Vec::new();
    let mut others = Vec::new();
    for member in query::members(reader, room, None)? {
        match member.membership {
            Membership::Join | Membership::Invite => here.push((member.event, member.user_id)),
            Membership::Leave | Membership::Ban => others.push((member.event, member.user_id)),
            Membership::Knock => {}
        }
    }
    Ok(Members { joined: head.joined, invited: head.invited, first: first(here), first_others: first(others) })
}

/// The first few by the time of their event: one more than is needed, since a user is not their own hero.
fn first(mut members: Vec<(Offset, String)>) -> Vec<String> {
    members.sort_unstable();
    members.truncate(limits::HEROES_MAX + 1);
    members.into_iter().map(|(_, user_id)| user_id).collect()
}

fn heroes(members: &Members, user_id: &str) -> Vec<String> {
    let besides = |list: &[String]| -> Vec<String> {
        list.iter().filter(|member| *member != user_id).take(limits::HEROES_MAX).cloned().collect()
    };
    let here = besides(&members.first);
    if here.is_empty() { besides(&members.first_others) } else { here }
}

fn has_name(reader: &dyn Read, room: RoomNumber, state: Root) -> Result<bool, ViewError> {
    #[derive(Deserialize)]
    struct Named {
        name: Option<String>,
        alias: Option<String>,
    }
    for event_type in ["m.room.name", "m.room.canonical_alias"] {
        if let Some(offset) = query::state_entry(reader, state, event_type, "")? {
            let named = query::presented_at(reader, room, offset)?.content::<Named>().ok();
            let name = named.and_then(|named| if event_type == "m.room.name" { named.name } else { named.alias });
            if name.is_some_and(|name| !name.is_empty()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

impl Summary {
    /// Appends the object.
    pub(crate) fn push(&self, out: &mut String) {
        out.push('{');
        if let Some(heroes) = &self.heroes {
            push_key(out, "m.heroes");
            push_strings(out, heroes);
        }
        push_key(out, "m.joined_member_count");
        push_number(out, self.joined);
        push_key(out, "m.invited_member_count");
        push_number(out, self.invited);
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(first: &[&str], others: &[&str], expected: &[&str]) {
        let own = |list: &[&str]| list.iter().map(|&user| user.to_owned()).collect();
        let members = Members { joined: 1, invited: 0, first: own(first), first_others: own(others) };
        assert_eq!(heroes(&members, "@me:a"), expected);
    }

    #[test]
    fn heroes_are_the_first_five_others() {
        check(&["@me:a", "@b:a", "@c:a"], &["@gone:a"], &["@b:a", "@c:a"]);
        check(&["@1:a", "@2:a", "@3:a", "@4:a", "@5:a", "@6:a"], &[], &["@1:a", "@2:a", "@3:a", "@4:a", "@5:a"]);
        check(&["@me:a"], &["@gone:a", "@me:a"], &["@gone:a"]);
        check(&["@me:a"], &[], &[]);
    }

    #[test]
    fn the_first_are_by_the_time_of_their_event() {
        let members =
            vec![(Offset(3), "@a:a".to_owned()), (Offset(1), "@b:a".to_owned()), (Offset(2), "@c:a".to_owned())];
        assert_eq!(first(members), ["@b:a", "@c:a", "@a:a"]);
    }
}
