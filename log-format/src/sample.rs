//! One record of every kind, with every optional part present: for golden files and tests.

use crate::input::Input;
use crate::v1;

const ALICE: &str = "@alice:example.org";
const BOB: &str = "@bob:example.org";
const ROOM: &str = "!room:example.org";
const DEVICE: &str = "DEVICE";

fn text(value: &str) -> String {
    value.to_owned()
}

fn json(value: &str) -> Vec<u8> {
    value.as_bytes().to_vec()
}

fn transaction() -> v1::Transaction {
    v1::Transaction { user_id: text(ALICE), device_id: text(DEVICE), transaction_id: text("txn1") }
}

fn named(name: &str) -> v1::NamedJson {
    v1::NamedJson { name: text(name), json: json(r#"{"key":"AAAA"}"#) }
}

/// One record of every kind, in the order of their kinds.
pub fn all() -> Vec<Input> {
    let mut inputs = own();
    inputs.extend(accounts());
    inputs.extend(encryption());
    inputs.extend(rooms());
    inputs.extend(effects());
    inputs.sort_by_key(Input::kind);
    inputs
}

/// What was done outside.
fn effects() -> Vec<Input> {
    let effect = v1::EffectDelivered { effect: text("federation"), target: text("example.com"), since: 30, item: 1 };
    vec![effect.into()]
}

fn own() -> Vec<Input> {
    vec![
        v1::Genesis { server_name: text("example.org"), software: text("engram 0.1.0") }.into(),
        v1::OffsetLease { below: 0x0102_0304_0506_0708 }.into(),
        v1::Started { software: text("engram 0.1.0"), after_unclean_stop: true }.into(),
        v1::CleanShutdown { next: 77 }.into(),
        v1::Erased {
            reason: text("redaction"),
            records: vec![
                v1::ErasedRecord { offset: 20, replacement: Some([0xcd; 32]) },
                v1::ErasedRecord { offset: 21, replacement: None },
            ],
        }
        .into(),
    ]
}

fn accounts() -> Vec<Input> {
    let user_id = || text(ALICE);
    let device_id = || text(DEVICE);
    vec![
        v1::AccountCreated {
            user_id: user_id(),
            password_hash: Some(text("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA")),
            admin: true,
            guest: false,
            registration_token: Some(text("token")),
            appservice_id: Some(text("bridge")),
        }
        .into(),
        v1::PasswordSet { user_id: user_id(), password_hash: None }.into(),
        v1::AccountDeactivated { user_id: user_id(), erase: true }.into(),
        v1::RegistrationTokenCreated {
            token: text("token"),
            uses_allowed: Some(3),
            expires_ms: Some(1_700_000_000_000),
        }
        .into(),
        v1::DeviceLoggedIn {
            user_id: user_id(),
            device_id: device_id(),
            access_token_digest: [0xab; 32],
            display_name: Some(text("Laptop")),
            expires_ms: Some(1_700_000_000_000),
            ip: Some(text("192.0.2.1")),
        }
        .into(),
        v1::DevicesRemoved { user_id: user_id(), device_ids: vec![device_id(), text("OTHER")] }.into(),
        v1::DeviceRenamed { user_id: user_id(), device_id: device_id(), display_name: Some(text("Phone")) }.into(),
        v1::ProfileFieldSet { user_id: user_id(), key: text("displayname"), value: Some(json(r#""Alice""#)) }.into(),
        v1::AccountDataSet {
            user_id: user_id(),
            room_id: Some(text(ROOM)),
            event_type: text("m.tag"),
            content: json(r#"{"tags":{}}"#),
        }
        .into(),
        v1::FilterCreated { user_id: user_id(), filter_id: text("f1"), filter: json("{}") }.into(),
    ]
}

fn encryption() -> Vec<Input> {
    let user_id = || text(ALICE);
    let device_id = || text(DEVICE);
    vec![
        v1::DeviceKeysUploaded {
            user_id: user_id(),
            device_id: device_id(),
            device_keys: Some(json(r#"{"keys":{}}"#)),
            one_time_keys: vec![named("signed_curve25519:AAAA"), named("signed_curve25519:AAAB")],
            fallback_keys: vec![named("signed_curve25519:AAAC")],
        }
        .into(),
        v1::KeysClaimed {
            claims: vec![v1::KeyClaim {
                user_id: text(BOB),
                device_id: device_id(),
                key_id: text("signed_curve25519:AAAA"),
                fallback: true,
            }],
        }
        .into(),
        v1::CrossSigningKeysUploaded {
            user_id: user_id(),
            master_key: Some(json(r#"{"usage":["master"]}"#)),
            self_signing_key: None,
            user_signing_key: Some(json(r#"{"usage":["user_signing"]}"#)),
        }
        .into(),
        v1::KeySignaturesUploaded {
            user_id: user_id(),
            signed: vec![v1::SignedKey { user_id: text(BOB), key_id: device_id(), json: json(r#"{"signatures":{}}"#) }],
        }
        .into(),
        v1::ToDeviceSent {
            sender: user_id(),
            event_type: text("m.room.encrypted"),
            messages: vec![v1::ToDeviceMessage { user_id: text(BOB), device_id: device_id(), content: json("{}") }],
            transaction: Some(transaction()),
        }
        .into(),
        v1::ToDeviceDelivered { user_id: user_id(), device_id: device_id(), through: 41 }.into(),
    ]
}

fn rooms() -> Vec<Input> {
    let user_id = || text(ALICE);
    let room_id = || text(ROOM);
    vec![
        v1::Pdu {
            room_id: room_id(),
            event_id: text("$0123456789012345678901234567890123456789012"),
            room_version: text("12"),
            source: v1::PduSource::Federation,
            json: json(r#"{"content":{"body":"hello"},"type":"m.room.message"}"#),
            transaction: Some(transaction()),
            verified_keys: vec![text("example.org ed25519:1")],
        }
        .into(),
        v1::StateGiven {
            room_id: room_id(),
            event_id: text("$0123456789012345678901234567890123456789012"),
            state: vec![text("$create"), text("$power")],
            server: text("example.org"),
            anew: true,
        }
        .into(),
        v1::RoomsRejudged { room_ids: vec![room_id()], view_version: 3 }.into(),
        v1::RoomForgotten { user_id: user_id(), room_id: room_id() }.into(),
        v1::RoomAliasSet { alias: text("#a:example.org"), room_id: Some(room_id()), user_id: user_id() }.into(),
        v1::RoomPublished { room_id: room_id(), published: true }.into(),
        v1::ReceiptSent {
            room_id: room_id(),
            user_id: user_id(),
            receipt_type: text("m.read"),
            event_id: text("$event"),
            thread_id: Some(text("main")),
            at_ms: 1_700_000_000_000,
        }
        .into(),
        v1::TypingSet { room_id: room_id(), user_id: user_id(), until_ms: Some(1_700_000_000_000) }.into(),
        v1::PresenceSet {
            user_id: user_id(),
            presence: text("online"),
            status_msg: Some(text("here")),
            last_active_ms: 1_700_000_000_000,
            currently_active: true,
        }
        .into(),
    ]
}

#[cfg(test)]
mod tests {
    use crate::input::{InputRef, KINDS, kind_by_name, kind_name};

    #[test]
    fn every_kind_has_a_sample() {
        let kinds: Vec<_> = super::all().iter().map(crate::Input::kind).collect();
        assert_eq!(kinds, KINDS);
    }

    #[test]
    fn samples_survive_encoding() {
        for input in super::all() {
            let bytes = input.encode();
            assert_eq!(InputRef::decode(input.kind(), input.schema(), &bytes).expect("valid").to_owned(), input);
            let name = kind_name(input.kind()).expect("it has a name");
            assert_eq!(kind_by_name(name), Some(input.kind()));
        }
    }
}
