//! What becomes of a payload that is due.

use engram_log::{Input, PayloadState, Record};
use engram_log_format::v1;
use engram_matrix::redact;
use engram_matrix::room_version::RoomVersion;

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it is gone, or holds nothing that has to go.
    Stays,
    /// This payload takes its place.
    Replaced(Vec<u8>),
    /// It goes as a whole.
    Gone,
}

/// What becomes of a record's payload once it is due.
///
/// Of an event the part stays by which it and others are judged ([`redact::prune`]); of the records by which an
/// account and its devices came to be, all but what tells of the person, since the account's name stays taken and
/// others have been told of the devices.
pub fn outcome(record: &Record) -> Outcome {
    if record.state() == PayloadState::Gone {
        return Outcome::Stays;
    }
    let Ok(input) = record.input() else { return Outcome::Stays };
    let replacement: Input = match input.to_owned() {
        Input::Pdu(pdu) => match pruned(&pdu) {
            Some(json) => v1::Pdu { json, ..pdu }.into(),
            None => return Outcome::Stays,
        },
        Input::AccountCreated(account) => v1::AccountCreated { password_hash: None, ..account }.into(),
        Input::DeviceLoggedIn(login) => v1::DeviceLoggedIn { display_name: None, ip: None, ..login }.into(),
        Input::DeviceRenamed(renamed) => v1::DeviceRenamed { display_name: None, ..renamed }.into(),
        Input::ToDeviceSent(_)
        | Input::PasswordSet(_)
        | Input::ProfileFieldSet(_)
        | Input::AccountDataSet(_)
        | Input::FilterCreated(_) => return Outcome::Gone,
        _ => return Outcome::Stays,
    };
    let payload = replacement.encode().to_vec();
    if payload == record.payload() { Outcome::Stays } else { Outcome::Replaced(payload) }
}

fn pruned(pdu: &v1::Pdu) -> Option<Vec<u8>> {
    let version = RoomVersion::parse(&pdu.room_version)?;
    redact::prune(version, &pdu.json).ok().filter(|json| *json != pdu.json)
}
