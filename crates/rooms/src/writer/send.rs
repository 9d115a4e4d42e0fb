//! One event on a room's head: `PUT /send`, `PUT /state`, `PUT /redact`.

use std::sync::Arc;

use engram_log::{Input, Offset};
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

/// The transaction of an event that was appended, as long as the views may not have it.
pub(super) struct OwnedScope {
    transaction: v1::Transaction,
    room_id: Box<str>,
    event_type: Box<str>,
    redacts: Option<Box<str>>,
}

impl OwnedScope {
    pub(super) fn is(&self, scope: &query::TransactionScope<'_>) -> bool {
        let own = query::TransactionScope {
            user_id: &self.transaction.user_id,
            device_id: &self.transaction.device_id,
            transaction_id: &self.transaction.transaction_id,
            room_id: &self.room_id,
            event_type: &self.event_type,
            redacts: self.redacts.as_deref(),
        };
        own == *scope
    }
}

/// An event that has its place in the log. Readable once `offset` is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "what follows from it is for the caller to see to"]
pub struct Sent {
    /// Its ID.
    pub event_id: String,
    /// Its position.
    pub offset: Offset,
    /// For a join: the room that this one replaced. What the user had set for it moves along (ROOM-25); for whoever
    /// repeats a join too, which may have been cut short.
    pub moved_from: Option<String>,
}

impl Sent {
    pub(super) fn new(event: &Pdu, offset: Offset) -> Self {
        Self { event_id: event.event_id.to_string(), offset, moved_from: None }
    }
}

impl RoomServer {
    /// Sends an event. A member event goes the way of all changes of membership: see [`RoomServer::change_membership`].
    pub async fn send(&self, request: &SendRequest<'_>) -> Result<Sent, RoomError> {
        request.transaction.as_ref().map_or(Ok(()), TransactionScope::check)?;
        if let ("m.room.member", Some(target)) = (request.event_type, request.state_key) {
            return self.put_member(request, target).await;
        }
        let redaction = Redaction::of(request)?;
        self.with_head(request.room_id, |head| self.send_on(head, request, redaction.as_ref())).await
    }

    fn send_on(
        &self,
        head: &mut Head,
        request: &SendRequest<'_>,
        redaction: Option<&Redaction>,
    ) -> Result<Sent, RoomError> {
        if let Some(sent) = self.repeated(head, request, redaction)? {
            return Ok(sent);
        }
        Self::check_member(head, request.sender)?;
        self.check_content(head, request.event_type, request.state_key, request.content)?;
        let mut draft = Draft {
            sender: request.sender,
            event_type: request.event_type,
            state_key: request.state_key,
            content: request.content,
            redacts: None,
        };
        if let Some(redaction) = redaction {
            self.check_redaction(head, request.sender, &redaction.target)?;
            draft.redacts = Some(&redaction.target);
            if !head.version.redacts_in_content() {
                draft.content = &redaction.content;
            }
        }
        if let Some(sent) = unchanged_state(head, &draft)? {
            return Ok(sent);
        }
        let now_ms = request.timestamp_ms.unwrap_or_else(|| self.now().0);
        let event = self.compose(head, &draft, now_ms)?;
        self.append(head, event, request.transaction)
    }

    /// Appends a composed event and moves the head past it.
    pub(super) fn append(
        &self,
        head: &mut Head,
        event: Arc<Pdu>,
        transaction: Option<TransactionScope<'_>>,
    ) -> Result<Sent, RoomError> {
        let transaction = transaction.map(|scope| v1::Transaction {
            user_id: event.sender.as_str().to_owned(),
            device_id: scope.device_id.to_owned(),
            transaction_id: scope.transaction_id.to_owned(),
        });
        let input = Input::Pdu(record(&event, head.version.id(), transaction.clone()));
        let appended = self.journal.append(std::slice::from_ref(&input), self.now())?;
        let scope = transaction.map(|transaction| OwnedScope {
            transaction,
            room_id: (&*head.room_id).into(),
            event_type: event.event_type.as_str().into(),
            redacts: event.redacts.as_ref().map(|target| target.as_str().into()),
        });
        let sent = Sent::new(&event, appended.last);
        head.appended(event, appended.last, scope, self.reading.applied());
        Ok(sent)
    }

    /// The event that the same transaction made before at the same endpoint, if it did (API-11, API-12).
    fn repeated(
        &self,
        head: &Head,
        request: &SendRequest<'_>,
        redaction: Option<&Redaction>,
    ) -> Result<Option<Sent>, RoomError> {
        let Some(scope) = request.transaction else {
            return Ok(None);
        };
        let scope = query::TransactionScope {
            user_id: request.sender,
            device_id: scope.device_id,
            transaction_id: scope.transaction_id,
            room_id: request.room_id,
            event_type: request.event_type,
            redacts: redaction.map(|redaction| redaction.target.as_str()),
        };
        let snapshot = self.snapshot();
        if let Some(sent) = head.remembered(&scope, snapshot.offset()) {
            return Ok(Some(sent));
        }
        let Some(offset) = query::transaction(&*snapshot, &scope)? else {
            return Ok(None);
        };
        let event = query::pdu(&*snapshot, offset)?;
        Ok(Some(Sent::new(&event, offset)))
    }

    /// A clearer word than the auth rules have for the commonest refusal, and the same one as for a room that does not
    /// exist.
    pub(super) fn check_member(head: &Head, user_id: &str) -> Result<(), RoomError> {
        match head.state.membership(user_id)? {
            Some(Membership::Join) => Ok(()),
            _ => Err(RoomError::NotInRoom(head.room_id.to_string())),
        }
    }

    /// What the rules of the room do not say, but the specification asks of a server that a client sends through.
    pub(super) fn check_content(
        &self,
        head: &Head,
        event_type: &str,
        state_key: Option<&str>,
        content: &str,
    ) -> Result<(), RoomError> {
        match (event_type, state_key) {
            // In version 12 it would be the beginning of another room, in earlier ones of none.
            ("m.room.create", _) => {
                Err(RoomError::InvalidParameter("a room has one create event, with which it begins".to_owned()))
            }
            ("m.room.canonical_alias", Some("")) => self.check_canonical_alias(head, content),
            ("m.room.power_levels", Some("")) => check_power_levels(head, content),
            ("m.room.tombstone", _) => check_tombstone(head, content),
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
}

/// A state event that says again what the state says already, by the same sender, is not sent again; unless what it
/// said was redacted.
fn unchanged_state(head: &Head, draft: &Draft<'_>) -> Result<Option<Sent>, RoomError> {
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
    let same = current.content_str().as_bytes() == content && !head.is_redacted(&current)?;
    Ok(same.then(|| Sent::new(&current, head.appended)))
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
