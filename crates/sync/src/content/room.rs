//! One room in an answer: joined, left, or with an invitation or a knock pending.

use engram_log::Offset;
use engram_rooms::Membership;
use engram_rooms::query::{self, Position};
use engram_rooms::state::Root;
use engram_views::ViewError;

use super::account::AccountData;
use super::sharing::is_joined;
use super::state::{self, Around};
use super::timeline::{self, Eyes, Stretch, Timeline};
use super::{Context, ephemeral, summary};
use crate::hub::Entry;
use crate::json::{push_events, push_joined, push_key, push_string};
use crate::limits;
use crate::token::Token;

/// There is no counting of notifications yet: push rules are needed for it.
pub(crate) const UNREAD: &str = "\"unread_notifications\":{\"highlight_count\":0,\"notification_count\":0}";

/// Which state comes with a timeline, and from where on.
#[derive(Clone, Copy)]
struct Since {
    /// The timeline is what came after.
    after: Offset,
    /// The state that the client has; nothing if it is to get everything.
    known: Option<Root>,
    /// Whether the room is new to the client.
    fresh: bool,
}

/// A joined room; none if nothing of it is new.
pub(crate) fn joined(
    context: &Context<'_>,
    entry: &Entry,
    account_data: &mut AccountData,
) -> Result<Option<String>, ViewError> {
    let room = &*entry.room;
    let since = since(context, entry)?;
    let new_events = since.fresh || context.is_new(room.latest.get());
    if !new_events && !context.full_state && !context.is_new(room.ephemeral.get()) && !account_data.has_room(&room.id) {
        return Ok(None);
    }
    let mut timeline =
        if new_events { read_timeline(context, entry, since, context.position)? } else { Timeline::empty(since.after) };
    let is_whole = since.fresh && new_events && is_whole(context, entry, &timeline)?;
    // Whatever the client still has from an earlier stay does not join on to what it gets now.
    timeline.limited |= since.fresh && context.since.is_some();
    let end = query::state_at(context.reader(), room.number, context.position)?;
    let around = around(context, entry, since, &timeline, end)?;
    let with_summary = since.fresh || context.full_state || room.members_changed.get() > since.after;
    let summary = if with_summary { Some(summary::summary(context, room, end)?) } else { None };
    let heroes = summary.as_ref().and_then(|summary| summary.heroes.as_deref()).unwrap_or_default();
    let state = state::section(context, room.number, &room.id, around, &timeline, heroes)?;
    let ephemeral = ephemeral::room(context, room, if since.fresh { Offset::ZERO } else { since.after })?;
    let account_data = account_data.room(context, &room.id, since.fresh)?;
    let quiet = timeline.events.is_empty() && !timeline.limited && state.is_empty() && ephemeral.is_empty();
    if quiet && account_data.is_empty() && !since.fresh && !context.full_state {
        return Ok(None);
    }
    let mut out = String::from("{");
    push_timeline(&mut out, context, &timeline, is_whole)?;
    push_state(&mut out, context, &state);
    push_key(&mut out, "ephemeral");
    push_events(&mut out, &ephemeral);
    push_key(&mut out, "account_data");
    push_events(&mut out, &account_data);
    if let Some(summary) = summary {
        push_key(&mut out, "summary");
        summary.push(&mut out);
    }
    out.push(',');
    out.push_str(UNREAD);
    out.push('}');
    Ok(Some(out))
}

/// A room that the user has left or been banned from: everything up to that event (SYNC-11).
pub(crate) fn left(
    context: &Context<'_>,
    entry: &Entry,
    account_data: &mut AccountData,
) -> Result<Option<String>, ViewError> {
    let (reader, room) = (context.reader(), &*entry.room);
    let Some(leave) = query::event(reader, room.number, entry.event)? else { return Ok(None) };
    let before = query::state_before(reader, room.number, &leave.meta)?;
    let mut out = String::from("{");
    if is_joined(reader, before, context.user_id())? {
        let since = since(context, entry)?;
        let timeline = read_timeline(context, entry, since, entry.event)?;
        let end = query::state_after(reader, room.number, entry.event, &leave.meta)?;
        let around = around(context, entry, since, &timeline, end)?;
        let state = state::section(context, room.number, &room.id, around, &timeline, &[])?;
        let is_whole = since.fresh && is_whole(context, entry, &timeline)?;
        push_timeline(&mut out, context, &timeline, is_whole)?;
        push_state(&mut out, context, &state);
    } else {
        // An invitation that was declined or withdrawn, a knock, a ban from outside: of the room itself there is
        // nothing to show.
        let shown = context.filter.room.timeline.event(&leave.pdu);
        let events = if shown { vec![leave] } else { Vec::new() };
        push_timeline(&mut out, context, &Timeline { events, ..Timeline::empty(entry.event) }, false)?;
        push_state(&mut out, context, &[]);
    }
    push_key(&mut out, "account_data");
    push_events(&mut out, &account_data.room(context, &room.id, context.since.is_none())?);
    out.push('}');
    Ok(Some(out))
}

/// A room with an invitation or a knock; none if an ignored user invites.
pub(crate) fn pending(context: &Context<'_>, entry: &Entry) -> Result<Option<String>, ViewError> {
    let (reader, room) = (context.reader(), &*entry.room);
    let is_invite = entry.membership == Membership::Invite;
    if is_invite && context.ignored.contains(query::pdu(reader, entry.event)?.sender.as_str()) {
        return Ok(None);
    }
    let state = query::stripped_state(reader, room.number, context.user_id(), entry.event)?;
    let mut out = String::from("{");
    push_key(&mut out, if is_invite { "invite_state" } else { "knock_state" });
    push_events(&mut out, &state);
    out.push('}');
    Ok(Some(out))
}

/// What the client has of a room.
fn since(context: &Context<'_>, entry: &Entry) -> Result<Since, ViewError> {
    let (reader, room) = (context.reader(), entry.room.number);
    let Some(since) = context.since else { return Ok(Since { after: Offset::ZERO, known: None, fresh: true }) };
    let before = query::state_at(reader, room, since)?;
    // With a membership from before, the client has the room already; with a later one, it depends on the one before
    // that.
    let had =
        (entry.event <= since && entry.membership == Membership::Join) || is_joined(reader, before, context.user_id())?;
    if !had || is_rejudged(context, entry)? {
        return Ok(Since { after: Offset::ZERO, known: None, fresh: true });
    }
    Ok(Since { after: since, known: (!context.full_state).then_some(before), fresh: false })
}

/// Whether a timeline from the beginning leaves nothing out: neither for its length, nor what lies before what was seen
/// live.
fn is_whole(context: &Context<'_>, entry: &Entry, timeline: &Timeline) -> Result<bool, ViewError> {
    Ok(!timeline.limited && !query::has_past(context.reader(), entry.room.number)?)
}

/// Whether the room was judged anew since, with another outcome: what the client has of it is void (the tokens are
/// not).
pub(crate) fn is_rejudged(context: &Context<'_>, entry: &Entry) -> Result<bool, ViewError> {
    // The hub knows when that cannot be.
    if !context.is_new(entry.room.state_changed.get()) {
        return Ok(false);
    }
    Ok(context.is_new(query::rejudged(context.reader(), entry.room.number)?))
}

fn read_timeline(context: &Context<'_>, entry: &Entry, since: Since, through: Offset) -> Result<Timeline, ViewError> {
    let filter = &context.filter.room.timeline;
    if !filter.room(&entry.room.id) {
        return Ok(Timeline::empty(since.after));
    }
    let default = if context.since.is_none() { limits::TIMELINE_INITIAL } else { limits::TIMELINE_INCREMENTAL };
    let limit = filter.event.limit(default, limits::TIMELINE_MAX);
    let stretch = Stretch::live(entry.room.number, since.after, through, true);
    let mut eyes = Eyes::of(context.user_id(), &context.ignored, entry);
    if entry.membership == Membership::Join {
        eyes.current = Some(query::state_at(context.reader(), entry.room.number, through)?);
    }
    let mut timeline = timeline::read(context.reader(), stretch, limit, filter, &eyes)?;
    timeline.events.reverse();
    Ok(timeline)
}

fn around(
    context: &Context<'_>,
    entry: &Entry,
    since: Since,
    timeline: &Timeline,
    end: Root,
) -> Result<Around, ViewError> {
    let start = match timeline.events.first() {
        Some(event) => query::state_before(context.reader(), entry.room.number, &event.meta)?,
        None => end,
    };
    Ok(Around { known: since.known, start, end })
}

fn push_timeline(
    out: &mut String,
    context: &Context<'_>,
    timeline: &Timeline,
    is_whole: bool,
) -> Result<(), ViewError> {
    let mut events = Vec::with_capacity(timeline.events.len());
    for event in &timeline.events {
        events.push(context.format.render(context.reader(), event)?);
    }
    let previous = match timeline.events.first() {
        // Nothing is known of before. Whoever pages back all the same finds what they have, and that it ends there,
        // rather than an empty page: that is what clients are used to.
        _ if is_whole => Token::timeline(context.position),
        Some(event) => Token::before(event.offset),
        None => Token::at(timeline.reached),
    };
    push_key(out, "timeline");
    out.push_str("{\"events\":[");
    push_joined(out, &events);
    out.push_str(if timeline.limited { "],\"limited\":true" } else { "],\"limited\":false" });
    push_key(out, "prev_batch");
    push_string(out, &previous.to_string());
    out.push('}');
    Ok(())
}

fn push_state(out: &mut String, context: &Context<'_>, events: &[String]) {
    push_key(out, if context.use_state_after { "state_after" } else { "state" });
    push_events(out, events);
}

impl Timeline {
    fn empty(at: Offset) -> Self {
        Self { events: Vec::new(), limited: false, reached: Position::live(at.next()) }
    }
}
