//! What is Matrix but not a server: room versions, canonical JSON, identifiers, event building and parsing,
//! hashes, signatures, redaction, authorization rules, state resolution and the client event format.
//!
//! Everything here is a pure function of its arguments: no I/O, no clock, no randomness, no async. Room-version rules,
//! the full authorization rules and state resolution come from ruma; what every message passes through (building,
//! hashing and signing an event, parsing it, judging an ordinary event) is written here and cross-checked against ruma
//! in the tests.
//!
//! Start at [`pdu`] for reading events, [`build`] for making them and [`auth`] for judging them.

pub mod auth;
pub mod build;
pub mod canonical;
pub mod client;
pub mod hash;
pub mod history;
pub mod ids;
pub mod join_rules;
pub mod keys;
pub mod limits;
pub mod membership;
pub mod pdu;
pub mod power;
pub mod push;
pub mod received;
pub mod redact;
pub mod resolve;
pub mod room_version;
pub mod verify;
pub mod x_matrix;

#[cfg(test)]
mod testing;

pub use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};

pub use crate::{pdu::Pdu, room_version::RoomVersion};
