//! What an encrypting device needs: messages to it, whose device lists changed, which of its keys are left.

use std::collections::BTreeSet;
use std::sync::Arc;

use engram_log::Offset;
use engram_users::query;
use engram_views::ViewError;

use super::Context;
use super::sharing::Sharing;
use crate::json::{push_key, push_number, push_string, push_strings};
use crate::limits;

/// Messages to the device.
pub(crate) struct ToDevice {
    /// Finished events.
    pub(crate) events: Vec<String>,
    /// Where the next answer goes on, if not everything fitted in.
    pub(crate) rest_after: Option<Offset>,
}

/// The messages after an offset.
pub(crate) fn to_device(context: &Context<'_>, after: Offset) -> Result<ToDevice, ViewError> {
    let mut found = ToDevice { events: Vec::new(), rest_after: None };
    if context.user.to_device.get() <= after {
        return Ok(found);
    }
    let (user_id, device_id, limit) = (context.user_id(), context.device_id, limits::TO_DEVICE_MAX);
    let rows = query::to_device(context.reader(), user_id, device_id, after, context.position, limit)?;
    if rows.len() >= limit {
        found.rest_after = rows.last().map(|row| row.offset).filter(|last| *last < context.position);
    }
    for row in rows {
        let mut event = String::from("{\"content\":");
        event.push_str(row.content.get());
        event.push_str(",\"sender\":");
        push_string(&mut event, &row.sender);
        event.push_str(",\"type\":");
        push_string(&mut event, &row.event_type);
        event.push('}');
        found.events.push(event);
    }
    Ok(found)
}

/// Whether messages at or below an offset, which the device has received, still wait to be dropped.
pub(crate) fn has_received(context: &Context<'_>, through: Offset) -> Result<bool, ViewError> {
    let rows = query::to_device(context.reader(), context.user_id(), context.device_id, Offset::ZERO, through, 1)?;
    Ok(!rows.is_empty())
}

/// Whose keys have to be fetched, and whose may be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceLists {
    /// Users who share a room, and whose keys changed or who share one anew.
    pub changed: BTreeSet<String>,
    /// Users who no longer share a room.
    pub left: BTreeSet<String>,
}

/// The `device_lists` object; none if nothing changed, or in an initial sync.
pub(crate) fn lists(context: &Context<'_>, sharing: &mut Sharing<'_>) -> Result<Option<String>, ViewError> {
    if context.since.is_none_or(|since| context.user.device_lists.get() <= since) {
        return Ok(None);
    }
    let lists = changes(sharing)?;
    if lists.changed.is_empty() && lists.left.is_empty() {
        return Ok(None);
    }
    let mut out = String::from("{");
    push_key(&mut out, "changed");
    push_strings(&mut out, &lists.changed);
    push_key(&mut out, "left");
    push_strings(&mut out, &lists.left);
    out.push('}');
    Ok(Some(out))
}

/// What has changed between two positions: what /sync tells, and `/keys/changes` (E2E-11, E2E-12). Nothing without a
/// first position.
pub(crate) fn changes(sharing: &mut Sharing<'_>) -> Result<DeviceLists, ViewError> {
    let Some(since) = sharing.since else { return Ok(DeviceLists::default()) };
    let (reader, own_id, through) = (sharing.reader, sharing.user_id, sharing.at);
    let mut changed: BTreeSet<String> =
        query::signatures_changed(reader, own_id, since, through)?.into_iter().collect();
    changed.extend(sharing.among(query::device_lists_changed(reader, since, through)?)?);
    let news = sharing.news()?;
    changed.extend(news.begun.iter().cloned());
    let left = news.ended.clone();
    assert!(!left.contains(own_id), "nobody leaves themselves");
    Ok(DeviceLists { changed, left })
}

/// Whether the device's own keys changed since the last answer, so that their counts are news.
pub(crate) fn has_new_counts(context: &Context<'_>) -> bool {
    let changed = context.user.keys.get(context.device_id);
    // What is beyond this answer wakes the request for the next one.
    context.since.is_some_and(|since| since < changed) && changed <= context.position
}

/// The counts of one-time keys and the unused fallback keys: two members of the answer, finished.
pub(crate) fn counts(context: &Context<'_>) -> Result<Arc<str>, ViewError> {
    let known = context.user.device(context.device_id, |memory| memory.counts.clone());
    if let Some((at, counts)) = known
        && at >= context.user.keys.get(context.device_id)
    {
        return Ok(counts);
    }
    let (reader, user_id, device_id) = (context.reader(), context.user_id(), context.device_id);
    let mut out = String::new();
    out.push_str("\"device_one_time_keys_count\":{");
    for (algorithm, count) in query::one_time_key_counts(reader, user_id, device_id)? {
        push_key(&mut out, &algorithm);
        push_number(&mut out, count);
    }
    out.push_str("},\"device_unused_fallback_key_types\":");
    push_strings(&mut out, query::unused_fallback_types(reader, user_id, device_id)?);
    let counts: Arc<str> = out.into();
    context.user.device(device_id, |memory| memory.counts = Some((context.position, Arc::clone(&counts))));
    Ok(counts)
}
