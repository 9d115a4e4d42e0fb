//! Typing, receipts and presence.

use std::collections::BTreeSet;

use engram_ephemeral::{Availability, Live, Presence, query};
use engram_log::{Offset, TimestampMs};
use engram_rooms::{Membership, RoomNumber, query as rooms};
use engram_views::{Read, ViewError};
use serde_json::value::RawValue;

use super::Context;
use super::sharing::Sharing;
use crate::hub::RoomHub;
use crate::json::{push_key, push_number, push_string, push_strings};
use crate::limits;

/// What happened in a room after `after` that is no part of its history, as finished events.
pub(crate) fn room(context: &Context<'_>, room: &RoomHub, after: Offset) -> Result<Vec<String>, ViewError> {
    let filter = &context.filter.room.ephemeral;
    let mut events = Vec::new();
    if room.ephemeral.get() <= after || !filter.room(&room.id) {
        return Ok(events);
    }
    if filter.event.event_type("m.typing")
        && let Some(users) = context.live.typing_since(&room.id, after, context.position)
    {
        events.push(typing(users.iter().filter(|user_id| !context.ignored.contains(user_id.as_str()))));
    }
    if filter.event.event_type("m.receipt") {
        let receipts = query::receipts_since(context.reader(), &room.id, context.user_id(), after, context.position)?;
        events.extend(receipts.iter().map(|content| receipt(content)));
    }
    Ok(events)
}

fn typing<'a>(users: impl Iterator<Item = &'a String>) -> String {
    let mut event = String::from("{\"content\":{\"user_ids\":");
    push_strings(&mut event, users);
    event.push_str("},\"type\":\"m.typing\"}");
    event
}

/// An event with receipts.
pub(crate) fn receipt(content: &RawValue) -> String {
    format!("{{\"content\":{},\"type\":\"m.receipt\"}}", content.get())
}

/// Presence as finished events.
pub(crate) fn presence_events(context: &Context<'_>, news: &[(String, Presence)]) -> Vec<String> {
    news.iter().map(|(user_id, presence)| presence_event(user_id, presence, context.now_ms)).collect()
}

/// The presence of those who are in a room, as far as it is new.
pub(crate) fn presence_in(context: &Context<'_>, room: RoomNumber) -> Result<Vec<(String, Presence)>, ViewError> {
    let mut news = Vec::new();
    for (user_id, presence) in context.live.presence_since(context.after()) {
        let membership = rooms::membership(context.reader(), room, &user_id)?;
        let is_here = matches!(membership, Some((Membership::Join, _)));
        if is_here && presence.changed <= context.position && !context.ignored.contains(&user_id) {
            news.push((user_id, presence));
        }
    }
    Ok(news)
}

/// The presence of the user and of those with whom they share a room, as far as it is new or they are.
pub(crate) fn presence_news(
    context: &Context<'_>,
    sharing: &mut Sharing<'_>,
) -> Result<Vec<(String, Presence)>, ViewError> {
    let filter = &context.filter.presence;
    if !filter.event_type("m.presence") || !context.is_new(context.user.presence.get()) {
        return Ok(Vec::new());
    }
    let mut news = match context.since {
        Some(since) => presence_since(context, sharing, since)?,
        None => presence_now(context, sharing)?,
    };
    let mut seen: BTreeSet<String> = news.iter().map(|(user_id, _)| user_id.clone()).collect();
    let begun = &sharing.news()?.begun;
    for user_id in begun.iter().filter(|user_id| *user_id != context.user_id()) {
        if begun.len() > limits::PRESENCE_INITIAL_MAX && news.len() >= limits::PRESENCE_INITIAL_MAX {
            break;
        }
        if seen.insert(user_id.clone())
            && let Some(presence) = presence_of_newcomer(context, user_id, begun.len())?
        {
            news.push((user_id.clone(), presence));
        }
    }
    news.retain(|(user_id, _)| filter.sender(user_id) && !context.ignored.contains(user_id));
    Ok(news)
}

/// In a crowd those are left out who are not there.
fn presence_of_newcomer(context: &Context<'_>, user_id: &str, crowd: usize) -> Result<Option<Presence>, ViewError> {
    if crowd > limits::PRESENCE_INITIAL_MAX {
        return Ok(context.live.presence(user_id).filter(is_there));
    }
    presence_of(context.reader(), context.live, user_id)
}

fn presence_since(
    context: &Context<'_>,
    sharing: &mut Sharing<'_>,
    since: Offset,
) -> Result<Vec<(String, Presence)>, ViewError> {
    let changes = context.live.presence_since(since).into_iter();
    let changes: Vec<_> = changes.filter(|(_, presence)| presence.changed <= context.position).collect();
    let sharing = sharing.among(changes.iter().map(|(user_id, _)| user_id.clone()).collect())?;
    Ok(changes.into_iter().filter(|(user_id, _)| sharing.contains(user_id)).collect())
}

/// Who is there: the user, and those whose presence changed last of those with whom they share rooms. Whoever is not
/// told of is offline, for all that a client knows.
fn presence_now(context: &Context<'_>, sharing: &mut Sharing<'_>) -> Result<Vec<(String, Presence)>, ViewError> {
    let live = context.live;
    let own = live.presence_to_tell(context.user_id(), TimestampMs(context.now_ms));
    let own = own.or_else(|| live.presence(context.user_id()));
    let mut there: Vec<(String, Presence)> = if sharing.has_fewer_than(live.seen_count())? {
        let everybody = sharing.everybody()?.into_iter();
        everybody.filter_map(|user_id| live.presence(&user_id).map(|presence| (user_id, presence))).collect()
    } else {
        live.presence_since(Offset::ZERO)
    };
    there.retain(|(user_id, presence)| {
        is_there(presence) && presence.changed <= context.position && user_id != context.user_id()
    });
    there.sort_unstable_by_key(|(_, presence)| std::cmp::Reverse(presence.changed));
    there.truncate(limits::PRESENCE_LOOK_MAX);
    let shared = sharing.among(there.iter().map(|(user_id, _)| user_id.clone()).collect())?;
    there.retain(|(user_id, _)| shared.contains(user_id));
    there.truncate(limits::PRESENCE_INITIAL_MAX);
    there.extend(own.filter(is_there).map(|presence| (context.user_id().to_owned(), presence)));
    Ok(there)
}

fn is_there(presence: &Presence) -> bool {
    presence.availability != Availability::Offline || presence.status_msg.is_some()
}

/// A user's presence. Of this server's own users it is known when they have not been there for as long as presence is
/// remembered: the last sign of life that is certain is their registration.
pub(crate) fn presence_of(reader: &dyn Read, live: &Live, user_id: &str) -> Result<Option<Presence>, ViewError> {
    if let Some(presence) = live.presence(user_id) {
        return Ok(Some(presence));
    }
    let account = engram_users::query::account(reader, user_id)?;
    Ok(account.map(|account| Presence {
        availability: Availability::Offline,
        status_msg: None,
        last_active: account.created,
        currently_active: false,
        changed: Offset::ZERO,
    }))
}

fn presence_event(user_id: &str, presence: &Presence, now_ms: u64) -> String {
    let mut event = format!("{{\"content\":{},\"sender\":", presence_content(presence, now_ms));
    push_string(&mut event, user_id);
    event.push_str(",\"type\":\"m.presence\"}");
    event
}

/// The content of a presence event.
pub(crate) fn presence_content(presence: &Presence, now_ms: u64) -> String {
    let mut event = String::from("{");
    if presence.availability != Availability::Offline {
        push_key(&mut event, "currently_active");
        event.push_str(if presence.currently_active { "true" } else { "false" });
    }
    push_key(&mut event, "last_active_ago");
    push_number(&mut event, now_ms.saturating_sub(presence.last_active.0));
    push_key(&mut event, "presence");
    push_string(&mut event, presence.availability.as_str());
    if let Some(message) = &presence.status_msg {
        push_key(&mut event, "status_msg");
        push_string(&mut event, message);
    }
    event.push('}');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> serde_json::Value {
        serde_json::from_str(json).expect("valid")
    }

    #[test]
    fn presence_has_the_shape_of_the_specification() {
        let mut presence = Presence {
            availability: Availability::Online,
            status_msg: Some("a \"b\"".into()),
            last_active: TimestampMs(100),
            currently_active: true,
            changed: Offset(1),
        };
        assert_eq!(
            value(&presence_event("@a:a", &presence, 130)),
            serde_json::json!({"type": "m.presence", "sender": "@a:a", "content":
                {"presence": "online", "currently_active": true, "last_active_ago": 30, "status_msg": "a \"b\""}})
        );
        presence = Presence { availability: Availability::Offline, status_msg: None, ..presence };
        assert_eq!(
            value(&presence_event("@a:a", &presence, 0))["content"],
            serde_json::json!({"presence": "offline", "last_active_ago": 0})
        );
    }

    #[test]
    fn typing_has_no_room_id() {
        let event = value(&typing(["@a:a".to_owned()].iter()));
        assert_eq!(event, serde_json::json!({"type": "m.typing", "content": {"user_ids": ["@a:a"]}}));
    }
}
