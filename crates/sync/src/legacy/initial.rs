//! `/initialSync` and `/rooms/{roomId}/initialSync`: how things stand now.

use std::collections::BTreeSet;

use engram_ephemeral::Live;
use engram_log::Offset;
use engram_rooms::query::{self, Viewer};
use engram_rooms::state::Root;
use engram_rooms::{Membership, RoomNumber};
use engram_views::{Snapshot, ViewError};

use super::{in_room, presence_event};
use crate::content::account::{all_account_data, read_ignored};
use crate::content::ephemeral::{presence_of, receipt};
use crate::event::Format;
use crate::filter::RoomEventFilter;
use crate::json::{push_joined, push_key, push_string};
use crate::messages::{HistoryError, Page, PageRequest, page};
use crate::token::Token;

/// One room, as one user may see it.
#[derive(Clone, Copy, Debug)]
pub struct RoomRequest<'a> {
    /// Who asks.
    pub viewer: Viewer<'a>,
    /// The room.
    pub room: RoomNumber,
    /// Its ID.
    pub room_id: &'a str,
    /// The state that the user may see: that it is theirs to see is for the caller to have checked.
    pub state: Root,
    /// What the user is to the room, if they are or were in it.
    pub membership: Option<Membership>,
    /// At most so many messages.
    pub limit: Option<u64>,
}

/// A room, its state and newest messages, who is there and who has read what.
pub fn room(snapshot: &Snapshot, live: &Live, request: &RoomRequest<'_>) -> Result<String, HistoryError> {
    let account_data = all_account_data(snapshot, request.viewer.user_id)?;
    let here = request.membership == Some(Membership::Join) || request.membership.is_none();
    let mut body = room_object(snapshot, request, account_data.get(&Some(request.room_id.to_owned())))?;
    let mut presence = Vec::new();
    if here {
        for member in query::members(snapshot, request.room, Some(&[Membership::Join]))? {
            if let Some(known) = presence_of(snapshot, live, &member.user_id)? {
                presence.push(presence_event(&member.user_id, &known, request.viewer.now_ms));
            }
        }
    }
    push_list(&mut body, "presence", &presence);
    push_list(&mut body, "receipts", &receipts(snapshot, request.viewer, request.room_id, here)?);
    body.push('}');
    Ok(body)
}

/// All of a user's rooms, also those they have left if `archived`, and everything else that is theirs.
pub fn everything(
    snapshot: &Snapshot,
    live: &Live,
    viewer: Viewer<'_>,
    limit: Option<u64>,
    archived: bool,
) -> Result<String, HistoryError> {
    let account_data = all_account_data(snapshot, viewer.user_id)?;
    let (mut rooms, mut receipt_events, mut together) = (Vec::new(), Vec::new(), BTreeSet::new());
    together.insert(viewer.user_id.to_owned());
    let ignored = read_ignored(snapshot, viewer.user_id)?;
    for row in query::rooms_of(snapshot, viewer.user_id)? {
        let room_id = query::room_by_number(snapshot, row.room)?.room_id;
        let state = match row.membership {
            Membership::Join => query::head(snapshot, row.room)?.state,
            Membership::Leave | Membership::Ban if archived && !row.forgotten => {
                let Some(meta) = query::meta(snapshot, row.room, row.event)? else { continue };
                query::state_after(snapshot, row.room, row.event, &meta)?
            }
            Membership::Invite => {
                if ignored.contains(query::pdu(snapshot, row.event)?.sender.as_str()) {
                    continue;
                }
                rooms.push(invite(snapshot, viewer, row.room, &room_id, row.event)?);
                continue;
            }
            _ => continue,
        };
        let membership = Some(row.membership);
        let request = RoomRequest { viewer, room: row.room, room_id: &room_id, state, membership, limit };
        let mut object = room_object(snapshot, &request, account_data.get(&Some(room_id.clone())))?;
        object.push('}');
        rooms.push(object);
        if row.membership == Membership::Join {
            receipt_events.extend(receipts(snapshot, viewer, &room_id, true)?);
            let members = query::members(snapshot, row.room, Some(&[Membership::Join]))?;
            together.extend(members.into_iter().map(|member| member.user_id));
        }
    }
    let mut presence = Vec::new();
    for user_id in &together {
        if let Some(known) = presence_of(snapshot, live, user_id)? {
            presence.push(presence_event(user_id, &known, viewer.now_ms));
        }
    }
    let mut body = String::from("{\"end\":");
    push_string(&mut body, &Token::sync(snapshot.offset()).to_string());
    push_list(&mut body, "rooms", &rooms);
    push_list(&mut body, "presence", &presence);
    push_list(&mut body, "receipts", &receipt_events);
    push_list(&mut body, "account_data", account_data.get(&None).map_or(&[][..], Vec::as_slice));
    body.push('}');
    Ok(body)
}

/// A room without its closing brace.
fn room_object(
    snapshot: &Snapshot,
    request: &RoomRequest<'_>,
    account_data: Option<&Vec<String>>,
) -> Result<String, HistoryError> {
    let RoomRequest { viewer, room, room_id, state, membership, limit } = *request;
    let format = Format::of_stream(viewer);
    let filter = RoomEventFilter::default();
    let newest = PageRequest { viewer, room, from: None, to: None, backwards: true, limit, filter: &filter };
    let Page { mut chunk, start: end, end: start, .. } = page(snapshot, newest, &format)?;
    chunk.reverse();
    let mut entries = Vec::new();
    for (_, offset) in engram_rooms::state::entries(snapshot, state)? {
        entries.push(format.render_at(snapshot, room, offset)?);
    }
    let mut body = String::from("{\"room_id\":");
    push_string(&mut body, room_id);
    if let Some(membership) = membership {
        push_key(&mut body, "membership");
        push_string(&mut body, membership.as_str());
    }
    push_key(&mut body, "visibility");
    push_string(&mut body, if query::is_published(snapshot, room_id)? { "public" } else { "private" });
    push_key(&mut body, "messages");
    body.push_str("{\"chunk\":[");
    push_joined(&mut body, &chunk);
    body.push(']');
    // Without `start` there is nothing older; old clients expect one all the same.
    for (key, token) in [("start", start.unwrap_or(Token::timeline(Offset::ZERO))), ("end", end)] {
        push_key(&mut body, key);
        push_string(&mut body, &token.to_string());
    }
    body.push('}');
    push_list(&mut body, "state", &entries);
    push_list(&mut body, "account_data", account_data.map_or(&[][..], Vec::as_slice));
    Ok(body)
}

fn invite(
    snapshot: &Snapshot,
    viewer: Viewer<'_>,
    room: RoomNumber,
    room_id: &str,
    event: Offset,
) -> Result<String, ViewError> {
    let mut body = String::from("{\"room_id\":");
    push_string(&mut body, room_id);
    push_key(&mut body, "membership");
    push_string(&mut body, "invite");
    push_key(&mut body, "inviter");
    push_string(&mut body, query::pdu(snapshot, event)?.sender.as_str());
    push_key(&mut body, "invite");
    body.push_str(&Format::of_stream(viewer).render_at(snapshot, room, event)?);
    body.push('}');
    Ok(body)
}

fn receipts(snapshot: &Snapshot, viewer: Viewer<'_>, room_id: &str, here: bool) -> Result<Vec<String>, ViewError> {
    if !here {
        return Ok(Vec::new());
    }
    let all = snapshot.offset();
    let contents = engram_ephemeral::query::receipts_since(snapshot, room_id, viewer.user_id, Offset::ZERO, all)?;
    Ok(contents.iter().map(|content| in_room(&receipt(content), room_id)).collect())
}

fn push_list(out: &mut String, key: &str, values: &[String]) {
    push_key(out, key);
    out.push('[');
    push_joined(out, values);
    out.push(']');
}
