//! What other servers get to see of a room: history visibility for all of their users together (HIST-01, for servers).

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::history::HistoryVisibility;
use engram_matrix::ids::server_name_of;
use engram_matrix::pdu::Pdu;
use engram_matrix::redact;
use engram_views::{Read, ReadExt as _, ViewError};

use super::{StoredEvent, Verdict, meta, pdu, state_after, state_entry};
use crate::state::Root;
use crate::tables::MEMBERS;
use crate::types::{Membership, RoomNumber};

/// One server's look into one room. It remembers what it found, since events that follow each other mostly have one
/// state.
pub struct ServerSight<'a> {
    reader: &'a dyn Read,
    room: RoomNumber,
    /// The server's users who are or were in the room.
    users: Vec<String>,
    by_root: HashMap<Root, bool>,
}

impl<'a> ServerSight<'a> {
    /// Looks up who of the server's users the room knows.
    pub fn new(reader: &'a dyn Read, room: RoomNumber, server: &str) -> Result<Self, ViewError> {
        let mut users = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            let user_id = std::str::from_utf8(&key[4..]).unwrap_or_default();
            if server_name_of(user_id) == Some(server) {
                users.push(user_id.to_owned());
            }
            ControlFlow::Continue(())
        };
        reader.scan_prefix(&MEMBERS, &room.0.to_be_bytes(), &mut visit)?;
        Ok(Self { reader, room, users, by_root: HashMap::new() })
    }

    /// Whether the server may see an event: the history is open to all or to whoever joins later, or one of its users
    /// was there. Where members see only what they were invited to, an invitation is enough.
    pub fn may_see(&mut self, event: &StoredEvent) -> Result<bool, ViewError> {
        if matches!(event.meta.verdict, Verdict::Rejected | Verdict::Outlier) {
            return Ok(false);
        }
        let root = state_after(self.reader, self.room, event.offset, &event.meta)?;
        if let Some(known) = self.by_root.get(&root) {
            return Ok(*known);
        }
        let seen = self.state_allows(root)?;
        self.by_root.insert(root, seen);
        Ok(seen)
    }

    /// The event as the server gets it: what was redacted is gone, and so is what the server may not see.
    pub fn presented(&mut self, event: &StoredEvent) -> Result<Arc<[u8]>, ViewError> {
        if event.meta.redacted_by.is_none() && self.may_see(event)? {
            return Ok(event.pdu.json_shared());
        }
        redacted(&event.pdu)
    }

    /// The state event at an offset as the server gets it. That a server may have the state follows from its being in
    /// the room.
    pub fn presented_state(&self, offset: Offset, event: &Pdu) -> Result<Arc<[u8]>, ViewError> {
        let is_redacted = meta(self.reader, self.room, offset)?.is_some_and(|meta| meta.redacted_by.is_some());
        if is_redacted { redacted(event) } else { Ok(event.json_shared()) }
    }

    fn state_allows(&self, root: Root) -> Result<bool, ViewError> {
        let visibility = match state_entry(self.reader, root, "m.room.history_visibility", "")? {
            Some(offset) => HistoryVisibility::in_state(Some(&*pdu(self.reader, offset)?)),
            None => HistoryVisibility::in_state(None),
        };
        let enough: &[Membership] = match visibility {
            HistoryVisibility::WorldReadable | HistoryVisibility::Shared => return Ok(true),
            HistoryVisibility::Invited => &[Membership::Join, Membership::Invite],
            HistoryVisibility::Joined => &[Membership::Join],
        };
        for user_id in &self.users {
            let Some(offset) = state_entry(self.reader, root, "m.room.member", user_id)? else { continue };
            if Membership::of(&*pdu(self.reader, offset)?).is_some_and(|membership| enough.contains(&membership)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn redacted(event: &Pdu) -> Result<Arc<[u8]>, ViewError> {
    let damaged = |what: &dyn std::fmt::Display| {
        ViewError::Log(engram_log::ReadError::Damaged(format!("{}: {what}", event.event_id)))
    };
    redact::redact(event.version(), event.json()).map(Arc::from).map_err(|error| damaged(&error))
}
