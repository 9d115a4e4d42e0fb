//! Typing, receipts and presence.

use std::collections::BTreeSet;

use engram_ephemeral::{Live, Presence, query};
use engram_log::Offset;
use engram_rooms::{Membership, RoomNumber, query as rooms};
use engram_views::{Read, ViewError};

use super::Context;
use super::sharing::Sharing;
use crate::hub::RoomHub;
use crate::json::{push_key, push_number, push_string, push_strings};

/// What happened in a room after `after` that is no part of its history, as finished events.
pub(crate) fn room(context: &Context<'_>, room: &RoomHub, after: Offset) -> Result<Vec<String>, ViewError> {
    let filter = &context.filter.room.ephemeral;
    let mut events = Vec::new();
    if room.ephemeral.get() <= after || !filter.room(&room.id) {
        return Ok(events);
    }
    if filter.event.event_type("m.typing")
        && let Some(users) = context.live.typing_since(&room.id, after, context.position)
        && !(users.is_empty() && after == Offset::ZERO)
    {
        events.push(typing(users.iter().filter(|user_id| !context.ignored.contains(user_id.as_str()))));
    }
    if filter.event.event_type("m.receipt") {
        let receipts = query::receipts_since(context.reader(), &room.id, context.user_id(), after, context.position)?;
        events.extend(receipts.map(|content| format!("{{\"content\":{},\"type\":\"m.receipt\"}}", content.get())));
    }
    Ok(events)
}

fn typing<'a>(users: impl Iterator<Item = &'a String>) -> String {
    let mut event = String::from("{\"content\":{\"user_ids\":");
    push_strings(&mut event, users);
    event.push_str("},\"type\":\"m.typing\"}");
    event
}

/// The presence of those with whom the user shares a room, as finished events.
pub(crate) fn presence(context: &Context<'_>, sharing: &mut Sharing<'_>) -> Result<Vec<String>, ViewError> {
    let news = presence_news(context, sharing)?;
    Ok(news.iter().map(|(user_id, presence)| presence_event(user_id, presence, context.now_ms)).collect())
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

/// The presence of those with whom the user shares a room, as far as it is new or they are.
pub(crate) fn presence_news(
    context: &Context<'_>,
    sharing: &mut Sharing<'_>,
) -> Result<Vec<(String, Presence)>, ViewError> {
    let filter = &context.filter.presence;
    if !filter.event_type("m.presence") || !context.is_new(context.user.presence.get()) {
        return Ok(Vec::new());
    }
    let mut events = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |user_id: &str, presence: &Presence| {
        if filter.sender(user_id) && !context.ignored.contains(user_id) && seen.insert(user_id.to_owned()) {
            events.push((user_id.to_owned(), presence.clone()));
        }
    };
    for (user_id, presence) in context.live.presence_since(context.after()) {
        if presence.changed <= context.position && (user_id == context.user_id() || sharing.shares(&user_id)?) {
            add(&user_id, &presence);
        }
    }
    for user_id in &sharing.news()?.begun {
        if let Some(presence) = presence_of(context.reader(), context.live, user_id)? {
            add(user_id, &presence);
        }
    }
    Ok(events)
}

/// A user's presence. Of this server's own users it is known when they have not been there for as long as presence is
/// remembered: the last sign of life that is certain is their registration.
pub(crate) fn presence_of(reader: &dyn Read, live: &Live, user_id: &str) -> Result<Option<Presence>, ViewError> {
    if let Some(presence) = live.presence(user_id) {
        return Ok(Some(presence));
    }
    let account = engram_users::query::account(reader, user_id)?;
    Ok(account.map(|account| Presence {
        presence: "offline".into(),
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
    if presence.presence != "offline" {
        push_key(&mut event, "currently_active");
        event.push_str(if presence.currently_active { "true" } else { "false" });
    }
    push_key(&mut event, "last_active_ago");
    push_number(&mut event, now_ms.saturating_sub(presence.last_active.0));
    push_key(&mut event, "presence");
    push_string(&mut event, &presence.presence);
    if let Some(message) = &presence.status_msg {
        push_key(&mut event, "status_msg");
        push_string(&mut event, message);
    }
    event.push('}');
    event
}

#[cfg(test)]
mod tests {
    use engram_log::TimestampMs;

    use super::*;

    fn value(json: &str) -> serde_json::Value {
        serde_json::from_str(json).expect("valid")
    }

    #[test]
    fn presence_has_the_shape_of_the_specification() {
        let mut presence = Presence {
            presence: "online".into(),
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
        presence = Presence { presence: "offline".into(), status_msg: None, ..presence };
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
