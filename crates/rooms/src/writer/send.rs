//! One event on a room's head: `PUT /send`, `PUT /state`, `PUT /redact`.

use std::sync::Arc;

use engram_log::{Input, Lane, Offset};
use engram_log_format::v1;
use engram_matrix::build::Draft;
use engram_matrix::pdu::Pdu;
use engram_matrix::power;

use super::compose::record;
use super::head::Head;
use super::{RoomError, RoomServer};
use crate::query;
use crate::types::Membership;

/// The transaction that a client sends an event in: the same one again has no second effect (API-11, API-12).
#[derive(Clone, Copy, Debug)]
pub struct TransactionScope<'a> {
    /// The device.
    pub device_id: &'a str,
    /// The ID that the client chose.
    pub transaction_id: &'a str,
}

impl TransactionScope<'_> {
    /// The ID becomes part of a table's key, which takes no more than 64 KiB, and stays there.
    pub(super) fn check(&self) -> Result<(), RoomError> {
        let length = self.transaction_id.len();
        if (1..=engram_matrix::limits::ID_BYTES_MAX).contains(&length) {
            return Ok(());
        }
        Err(RoomError::InvalidParameter(format!("a transaction ID has 1 to 255 bytes, not {length}")))
    }
}

/// An event that a local user wants to send.
#[derive(Clone, Copy, Debug)]
pub struct SendRequest<'a> {
    /// The room.
    pub room_id: &'a str,
    /// The sender.
    pub sender: &'a str,
    /// The type.
    pub event_type: &'a str,
    /// The state key of a state event.
    pub state_key: Option<&'a str>,
    /// JSON of the content.
    pub content: &'a str,
    /// For a redaction: the event that it redacts. May also stand in the content.
    pub redacts: Option<&'a str>,
    /// The client's transaction.
    pub transaction: Option<TransactionScope<'a>>,
    /// The time of the event, for application services; else the server's clock.
    pub timestamp_ms: Option<u64>,
}

/// An event that has its place in the log. Readable once `offset` is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its ID.
    pub event_id: String,
    /// Its position.
    pub offset: Offset,
}

impl RoomServer {
    /// Sends an event. A membership event has its own rules: see [`RoomServer::change_membership`].
    pub fn send(&self, request: &SendRequest<'_>) -> Result<Sent, RoomError> {
        request.transaction.as_ref().map_or(Ok(()), TransactionScope::check)?;
        let redaction = Redaction::of(request)?;
        self.with_head(request.room_id, |head| {
            if let Some(sent) = self.repeated(head, request)? {
                return Ok(sent);
            }
            Self::check_member(head, request.sender)?;
            self.check_content(head, request)?;
            let mut draft = Draft {
                sender: request.sender,
                event_type: request.event_type,
                state_key: request.state_key,
                content: request.content,
                redacts: None,
            };
            if let Some(redaction) = &redaction {
                self.check_redaction(head, request.sender, &redaction.target)?;
                draft.redacts = Some(&redaction.target);
                if !head.version.redacts_in_content() {
                    draft.content = &redaction.content;
                }
            }
            if let Some(sent) = self.unchanged_state(head, &draft)? {
                return Ok(sent);
            }
            let now_ms = request.timestamp_ms.unwrap_or_else(|| self.now().0);
            let event = self.compose(head, &draft, now_ms)?;
            self.append(head, event, request.transaction)
        })
    }

    /// Appends a composed event and moves the head past it.
    pub(super) fn append(
        &self,
        head: &mut Head,
        event: Arc<Pdu>,
        transaction: Option<TransactionScope<'_>>,
    ) -> Result<Sent, RoomError> {
        let sender = event.sender.as_str();
        let scope = transaction.map(|scope| v1::Transaction {
            user_id: sender.to_owned(),
            device_id: scope.device_id.to_owned(),
            transaction_id: scope.transaction_id.to_owned(),
        });
        let input = Input::Pdu(record(&event, head.version.id(), scope));
        let appended = self.parts.log.append(Lane::Journal, std::slice::from_ref(&input), self.now())?;
        head.appended = appended.last;
        let sent = Sent { event_id: event.event_id.to_string(), offset: appended.last };
        if let Some(scope) = transaction {
            head.remember(sender, scope, &event.event_type, &sent, &self.parts.views);
        }
        head.advance(event);
        Ok(sent)
    }

    /// The event that the same transaction made before, if it did.
    fn repeated(&self, head: &Head, request: &SendRequest<'_>) -> Result<Option<Sent>, RoomError> {
        let Some(scope) = request.transaction else {
            return Ok(None);
        };
        if let Some(sent) = head.remembered(request.sender, scope, request.event_type) {
            return Ok(Some(sent));
        }
        let snapshot = self.snapshot();
        let found = query::transaction(&*snapshot, request.sender, scope.device_id, scope.transaction_id)?;
        let Some((room, offset)) = found.filter(|(room, _)| head.number() == Some(*room)) else {
            return Ok(None);
        };
        let Some(event) = query::event(&*snapshot, room, offset)? else {
            return Ok(None);
        };
        let same_endpoint = event.pdu.event_type == request.event_type;
        Ok(same_endpoint.then(|| Sent { event_id: event.pdu.event_id.to_string(), offset }))
    }

    /// A clearer word than the auth rules have for the commonest refusal.
    pub(super) fn check_member(head: &Head, user_id: &str) -> Result<(), RoomError> {
        match head.state.membership(user_id)? {
            Some(Membership::Join) => Ok(()),
            _ => Err(RoomError::Forbidden(format!("{user_id} is not in the room {}", head.room_id))),
        }
    }

    /// What the rules of the room do not say, but the specification asks of a server that a client sends through.
    fn check_content(&self, head: &Head, request: &SendRequest<'_>) -> Result<(), RoomError> {
        match (request.event_type, request.state_key) {
            ("m.room.canonical_alias", Some("")) => self.check_canonical_alias(head, request.content),
            ("m.room.power_levels", Some("")) => check_power_levels(head, request.content),
            ("m.room.tombstone", _) => check_tombstone(head, request.content),
            _ => Ok(()),
        }
    }

    /// A user redacts their own events, or has the power to redact others' (AUTH-19). What is not known here is let
    /// through: servers judge it when they know both events.
    fn check_redaction(&self, head: &Head, sender: &str, target: &str) -> Result<(), RoomError> {
        let snapshot = self.snapshot();
        let Some((room, offset)) = query::locate(&*snapshot, target)? else {
            return Ok(());
        };
        if head.number() != Some(room) {
            return Err(RoomError::InvalidParameter(format!("{target} is not an event of the room {}", head.room_id)));
        }
        let event = query::pdu(&*snapshot, offset)?;
        if event.sender == sender {
            return Ok(());
        }
        if head.powers()?.levels.can_redact_others(sender) {
            return Ok(());
        }
        Err(RoomError::Forbidden(format!("{sender} may redact only their own events in {}", head.room_id)))
    }

    /// A state event that says again what the state says already, by the same sender, is not sent again; unless what it said
    /// was redacted.
    fn unchanged_state(&self, head: &Head, draft: &Draft<'_>) -> Result<Option<Sent>, RoomError> {
        let Some(state_key) = draft.state_key else {
            return Ok(None);
        };
        let Some(current) = head.state.entry(draft.event_type, state_key)? else {
            return Ok(None);
        };
        if current.sender != draft.sender {
            return Ok(None);
        }
        let content = engram_matrix::canonical::canonicalize_str(draft.content)
            .map_err(|error| RoomError::BadContent(error.to_string()))?;
        let same = current.content_str().as_bytes() == content && !query::is_redacted(&*self.snapshot(), &current)?;
        Ok(same.then(|| Sent { event_id: current.event_id.to_string(), offset: head.appended }))
    }
}

/// Power levels are integers (RV-12), whatever older rooms had to tolerate.
pub(super) fn check_power_levels(head: &Head, content: &str) -> Result<(), RoomError> {
    let powers = head.powers()?;
    power::check_client_content(head.version, content, &powers.creation)
        .map_err(|error| RoomError::BadContent(error.to_string()))
}

/// A room does not replace itself.
fn check_tombstone(head: &Head, content: &str) -> Result<(), RoomError> {
    let content: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(content).map_err(|error| RoomError::BadContent(error.to_string()))?;
    if content.get("replacement_room").and_then(serde_json::Value::as_str) == Some(&*head.room_id) {
        return Err(RoomError::InvalidParameter("a room cannot be replaced by itself".to_owned()));
    }
    Ok(())
}

/// A redaction as the client meant it, wherever it put the target (RED-08).
struct Redaction {
    target: String,
    /// The content without the target, for rooms that have it at the top level.
    content: String,
}

impl Redaction {
    fn of(request: &SendRequest<'_>) -> Result<Option<Self>, RoomError> {
        if request.event_type != "m.room.redaction" || request.state_key.is_some() {
            return Ok(None);
        }
        let mut content: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(request.content).map_err(|error| RoomError::BadContent(error.to_string()))?;
        let in_content = content.remove("redacts");
        let target = match (request.redacts, &in_content) {
            (Some(target), _) => target.to_owned(),
            (None, Some(serde_json::Value::String(target))) => target.clone(),
            (None, _) => {
                return Err(RoomError::BadContent("a redaction needs `redacts`, an event ID".to_owned()));
            }
        };
        let content = serde_json::Value::Object(content).to_string();
        Ok(Some(Self { target, content }))
    }
}
