//! From a draft to an event that the room's rules allow: selection of auth events, building, signing, judging.

use std::sync::Arc;

use engram_log_format::v1;
use engram_matrix::build::{self, BuildError, Draft, Position};
use engram_matrix::membership::Membership;
use engram_matrix::pdu::Pdu;
use engram_matrix::{auth, hash};
use smallvec::SmallVec;

use super::head::Head;
use super::{RoomError, RoomServer};
use crate::query;

impl RoomServer {
    /// Builds and signs the event that goes on this head, and judges it by the state there. The head stays as it is.
    ///
    /// For member events there is [`RoomServer::compose_member`], which knows what they may say.
    pub(super) fn compose(&self, head: &Head, draft: &Draft<'_>, now_ms: u64) -> Result<Arc<Pdu>, RoomError> {
        if draft.event_type == "m.room.member" {
            return Err(RoomError::BadContent("a member event has a state key, and is sent as such".to_owned()));
        }
        self.compose_any(head, draft, now_ms)
    }

    /// [`RoomServer::compose`] for whoever has made sure of the content.
    pub(super) fn compose_any(&self, head: &Head, draft: &Draft<'_>, now_ms: u64) -> Result<Arc<Pdu>, RoomError> {
        let auth_events = Self::auth_events(head, draft)?;
        let auth_ids: SmallVec<[&str; 6]> = auth_events.iter().map(|event| event.event_id.as_str()).collect();
        let prev_ids: SmallVec<[&str; 2]> = head.prev_events.iter().map(AsRef::as_ref).collect();
        let opaque = head.version.event_id_in_event().then(|| format!("${}:{}", self.opaque_id(), self.server_name()));
        let hashes = self.reference_hashes(head, &auth_events)?;
        let position = Position {
            room_id: (!head.room_id.is_empty()).then_some(&*head.room_id),
            prev_events: &prev_ids,
            auth_events: &auth_ids,
            // What peers claim may be the greatest depth there is (IDS-11).
            depth: head.depth.saturating_add(1).min(head.version.depth_max()),
            origin_server_ts: now_ms,
            event_id: opaque.as_deref(),
            reference_hashes: &hashes.iter().map(|(id, hash)| (&**id, &**hash)).collect::<Vec<_>>(),
        };
        let built = build::build(head.version, draft, &position, self.server_name(), &self.key).map_err(build_error)?;
        let event = Pdu::parse(head.version, &built.event_id, &built.room_id, built.json)
            .map_err(|error| RoomError::BadContent(error.to_string()))?;
        judge(head, &event, &auth_events)?;
        Ok(Arc::new(event))
    }

    /// The events of the head's state that permit the draft (AUTH-02).
    fn auth_events(head: &Head, draft: &Draft<'_>) -> Result<SmallVec<[Arc<Pdu>; 6]>, RoomError> {
        let mut events = SmallVec::new();
        let types = auth::auth_types(head.version, draft.event_type, draft.sender, draft.state_key, draft.content);
        for (event_type, state_key) in types {
            if let Some(event) = head.state.entry(&event_type, &state_key)? {
                events.push(event);
            }
        }
        Ok(events)
    }

    /// Room versions 1 and 2 name their parents and auth events with their hashes.
    fn reference_hashes(&self, head: &Head, auth_events: &[Arc<Pdu>]) -> Result<Vec<(String, String)>, RoomError> {
        if !head.version.references_with_hashes() {
            return Ok(Vec::new());
        }
        let hash_of = |event: &Pdu| {
            hash::reference_hash(head.version, event.json())
                .map(|hash| (event.event_id.to_string(), hash))
                .map_err(|error| RoomError::Internal(error.to_string()))
        };
        let mut hashes = auth_events.iter().map(|event| hash_of(event)).collect::<Result<Vec<_>, _>>()?;
        for event_id in &head.prev_events {
            if let Some(last) = head.last.as_ref().filter(|event| event.event_id == **event_id) {
                hashes.push(hash_of(last)?);
            } else {
                let snapshot = self.snapshot();
                let (_, offset) = query::locate(&*snapshot, event_id)?
                    .ok_or_else(|| RoomError::Internal(format!("the parent {event_id} is not in the views")))?;
                hashes.push(hash_of(&*query::pdu(&*snapshot, offset)?)?);
            }
        }
        Ok(hashes)
    }
}

/// The rules of the room, by the state at the head. What they say of the event's own `auth_events` holds by the way in
/// which those were selected, so that for an ordinary event only the state is asked.
fn judge(head: &Head, event: &Pdu, auth_events: &[Arc<Pdu>]) -> Result<(), RoomError> {
    let verdict = if auth::is_ordinary(head.version, &event.event_type) {
        let powers = head.powers()?;
        let sender = head.state.entry("m.room.member", event.sender.as_str())?;
        auth::check_ordinary(event, &powers.creation, &powers.levels, Membership::in_state(sender.as_deref()))
    } else {
        // Room version 12 looks for the create event by the room's ID, not among the `auth_events`.
        let create = head.state.entry("m.room.create", "")?;
        let known = || auth_events.iter().chain(&create);
        let fetch = |event_id: &str| known().find(|event| event.event_id == event_id).cloned();
        auth::check(head.version, event, &head.state, &fetch)
    };
    verdict.map_err(|denied| RoomError::Forbidden(denied.to_string()))
}

/// The record of an event that this server made.
pub(super) fn record(event: &Pdu, version: &str, transaction: Option<v1::Transaction>) -> v1::Pdu {
    v1::Pdu {
        room_id: event.room_id.to_string(),
        event_id: event.event_id.to_string(),
        room_version: version.to_owned(),
        source: v1::PduSource::Local,
        json: event.json().to_vec(),
        transaction,
        verified_keys: Vec::new(),
    }
}

fn build_error(error: BuildError) -> RoomError {
    match error {
        BuildError::Content(error) => RoomError::BadContent(error.to_string()),
        BuildError::TooLarge(_) | BuildError::TooLong { .. } => RoomError::TooLarge(error.to_string()),
        BuildError::Identifier(_) => RoomError::InvalidParameter(error.to_string()),
        BuildError::Position(_) | BuildError::Timestamp => RoomError::Internal(error.to_string()),
    }
}
