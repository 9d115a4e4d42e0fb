//! `/events`: what happened after a position, in one list, as soon as there is something.

use std::sync::Arc;
use std::time::Duration;

use engram_log::Offset;
use engram_rooms::query;
use engram_rooms::{Membership, RoomNumber};
use engram_views::ViewError;
use tokio::time::sleep;

use super::{in_room, presence_event};
use crate::content::account::AccountData;
use crate::content::sharing::{Sharing, is_joined};
use crate::content::timeline::{self, Eyes, Stretch};
use crate::content::{Context, account, ephemeral};
use crate::event::{Format, viewer};
use crate::filter::Filter;
use crate::hub::{Entry, UserHub};
use crate::limits;
use crate::server::{Inner, SyncError, SyncServer};
use crate::token::Token;

/// A request to /events.
#[derive(Clone, Debug)]
pub struct StreamRequest {
    /// Who asks.
    pub user_id: String,
    /// With which device.
    pub device_id: String,
    /// Where to begin; none for now.
    pub from: Option<Token>,
    /// The only room that is of interest, by number and ID. It need not be one of the user's: whether they may look
    /// into it is for the caller to have checked.
    pub room: Option<(RoomNumber, String)>,
    /// Most events of each room at once; what is left comes next.
    pub limit: Option<u64>,
    /// How long to sleep at most if there is nothing to say.
    pub timeout: Duration,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct StreamAnswer {
    /// The events, as JSON.
    pub chunk: Vec<String>,
    /// Where they begin.
    pub start: Token,
    /// Where they end, and the next request begins.
    pub end: Token,
}

/// In the place of the member event of somebody who only looks in.
const VISITOR: Offset = Offset(u64::MAX);

impl SyncServer {
    /// The events after a position; sleeps until there are some, the time is over, or the server stops.
    pub async fn stream(&self, request: StreamRequest) -> Result<StreamAnswer, SyncError> {
        let inner = &self.inner;
        let request = Arc::new(request);
        let user = inner.hub.user(&request.user_id);
        let from = request.from.map_or_else(|| self.position().after, |token| token.after);
        let _peek = request.room.as_ref().map(|(number, room_id)| inner.hub.peek(*number, room_id, &user));
        let mut deadline = std::pin::pin!(sleep(request.timeout.min(limits::TIMEOUT_MAX)));
        let mut is_over = request.timeout.is_zero();
        loop {
            let mut signal = std::pin::pin!(user.signal());
            signal.as_mut().enable();
            let (held, asked, who) = (Arc::clone(inner), Arc::clone(&request), Arc::clone(&user));
            let task = inner.readers.spawn_blocking(move || happened(&held, &asked, &who, from));
            let (chunk, end) = match task.await {
                Ok(answer) => answer?,
                // Blocking tasks are never aborted, so it panicked: the panic belongs to the request that caused it.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            if is_over || !chunk.is_empty() || inner.hub.is_stopping() {
                return Ok(StreamAnswer { chunk, start: Token::sync(from), end: Token::sync(end) });
            }
            tokio::select! {
                () = signal => {}
                () = &mut deadline => is_over = true,
            }
        }
    }
}

/// What happened after `from`, and up to where that is all.
fn happened(
    inner: &Arc<Inner>,
    request: &StreamRequest,
    user: &Arc<UserHub>,
    from: Offset,
) -> Result<(Vec<String>, Offset), SyncError> {
    let (snapshot, mut entries) = inner.rooms_now(user)?;
    let now_ms = (inner.clock)().0;
    let filter = Filter::default();
    let viewer = viewer(&request.user_id, Some(&request.device_id), now_ms);
    let mut context = Context {
        snapshot: &snapshot,
        live: &inner.live,
        user,
        device_id: &request.device_id,
        filter: &filter,
        format: Format::of_stream(viewer),
        // A position that is not reached yet, or is lost, is taken for now.
        since: Some(from.min(snapshot.offset())),
        position: snapshot.offset(),
        full_state: false,
        use_state_after: false,
        now_ms,
        ignored: account::ignored(&*snapshot, user, snapshot.offset())?,
    };
    if let Some((number, room_id)) = &request.room {
        entries.retain(|entry| entry.room.number == *number);
        if !entries.iter().any(|entry| entry.membership == Membership::Join) {
            // A visitor sees what members see, as far as the history visibility lets them.
            let room = inner.hub.room(*number, room_id);
            entries = vec![Entry { room, membership: Membership::Join, event: VISITOR, forgotten: false }];
        }
    }
    let limit = usize::try_from(request.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut events = room_events(&mut context, &entries, limit.clamp(1, limits::TIMELINE_MAX))?;
    events.sort_by_key(|(offset, _)| *offset);
    let mut chunk: Vec<String> = events.into_iter().map(|(_, event)| event).collect();
    for entry in entries.iter().filter(|entry| entry.membership == Membership::Join) {
        let ephemeral = ephemeral::room(&context, &entry.room, context.after())?;
        chunk.extend(ephemeral.iter().map(|event| in_room(event, &entry.room.id)));
    }
    chunk.extend(account_data(&context, &entries, request.room.is_some())?);
    let present = if let Some((number, _)) = &request.room {
        ephemeral::presence_in(&context, *number)?
    } else {
        let (since, at) = (context.since, context.position);
        ephemeral::presence_news(&context, &mut Sharing::new(&snapshot, &user.id, since, at, &entries)?)?
    };
    chunk.extend(present.iter().map(|(user_id, presence)| presence_event(user_id, presence, now_ms)));
    Ok((chunk, context.position))
}

/// The user's notes: for their rooms, and unless one room alone is of interest also those that are for none.
fn account_data(context: &Context<'_>, entries: &[Entry], one_room: bool) -> Result<Vec<String>, ViewError> {
    let mut data = AccountData::read(context)?;
    let mut events = if one_room { Vec::new() } else { std::mem::take(&mut data.global) };
    for entry in entries.iter().filter(|entry| entry.membership == Membership::Join) {
        let of_room = data.room(context, &entry.room.id, false)?;
        events.extend(of_room.iter().map(|event| in_room(event, &entry.room.id)));
    }
    Ok(events)
}

/// The new events of all rooms. Where they are too many for one answer, the context's position moves back to where they
/// end.
fn room_events(context: &mut Context<'_>, entries: &[Entry], limit: usize) -> Result<Vec<(Offset, String)>, ViewError> {
    let mut found = Vec::new();
    let mut reached = context.position;
    for entry in entries.iter().filter(|entry| context.is_new(entry.room.latest.get().max(entry.event))) {
        let Some((after, through)) = stretch(context, entry)? else { continue };
        let stretch = Stretch::live(entry.room.number, after, through, false);
        let eyes = Eyes::of(context.user_id(), &context.ignored, entry);
        let filter = &context.filter.room.timeline;
        let timeline = timeline::read(context.reader(), stretch, limit, filter, &eyes)?;
        if timeline.limited {
            reached = reached.min(timeline.reached.live_before());
        }
        for event in timeline.events {
            let is_invite = entry.membership == Membership::Invite && event.offset == entry.event;
            if is_invite && context.ignored.contains(event.pdu.sender.as_str()) {
                continue;
            }
            found.push((event.offset, context.format.render(context.reader(), &event)?));
        }
    }
    context.position = reached;
    found.retain(|(offset, _)| *offset <= reached);
    Ok(found)
}

/// What of a room's timeline is new to its user: after a position, up to and including another.
fn stretch(context: &Context<'_>, entry: &Entry) -> Result<Option<(Offset, Offset)>, ViewError> {
    let after = context.after();
    if entry.event == VISITOR {
        return Ok(Some((after, context.position)));
    }
    let just_this = Offset(entry.event.0.saturating_sub(1));
    let is_new = entry.event > after;
    let before = query::state_at(context.reader(), entry.room.number, after)?;
    let was_joined = is_joined(context.reader(), before, context.user_id())?;
    Ok(match entry.membership {
        Membership::Join if was_joined || !is_new => Some((after, context.position)),
        Membership::Join => Some((just_this, context.position)),
        Membership::Leave | Membership::Ban if is_new && was_joined => Some((after, entry.event)),
        _ if is_new => Some((just_this, entry.event)),
        _ => None,
    })
}
