//! The projector on a log in memory: what each record does, and that a rebuild gives the same tables.

use std::ops::{Bound, ControlFlow};

use engram_log::{Input, Offset};
use engram_log_format::v1;
use engram_views::testing::{MemoryLog, TestViews};
use engram_views::{Read, Snapshot, Table};
use proptest::prelude::*;

use super::UsersProjector;
use crate::{query, tables};

const ALICE: &str = "@alice:x.org";

fn views() -> TestViews {
    TestViews::new(vec![Box::new(UsersProjector)])
}

fn account(user_id: &str) -> v1::AccountCreated {
    v1::AccountCreated {
        user_id: user_id.to_owned(),
        password_hash: None,
        admin: false,
        guest: false,
        registration_token: None,
        appservice_id: None,
    }
}

fn login(user_id: &str, device_id: &str, token: u8) -> v1::DeviceLoggedIn {
    v1::DeviceLoggedIn {
        user_id: user_id.to_owned(),
        device_id: device_id.to_owned(),
        access_token_digest: [token; 32],
        display_name: Some(format!("name of {device_id}")),
        expires_ms: None,
        ip: None,
    }
}

fn named(name: &str, json: &str) -> v1::NamedJson {
    v1::NamedJson { name: name.to_owned(), json: json.as_bytes().to_vec() }
}

fn keys(user_id: &str, device_id: &str, one_time: &[&str], fallback: &[&str]) -> v1::DeviceKeysUploaded {
    v1::DeviceKeysUploaded {
        user_id: user_id.to_owned(),
        device_id: device_id.to_owned(),
        device_keys: Some(format!(r#"{{"user_id":"{user_id}","keys":{{"k":"{device_id}"}}}}"#).into_bytes()),
        one_time_keys: one_time.iter().map(|name| named(name, &format!(r#""{name}""#))).collect(),
        fallback_keys: fallback.iter().map(|name| named(name, &format!(r#""{name}""#))).collect(),
    }
}

fn message(user_id: &str, device_id: &str, number: u64) -> v1::ToDeviceMessage {
    v1::ToDeviceMessage {
        user_id: user_id.to_owned(),
        device_id: device_id.to_owned(),
        content: format!(r#"{{"n":{number}}}"#).into_bytes(),
    }
}

fn sent(messages: Vec<v1::ToDeviceMessage>) -> v1::ToDeviceSent {
    v1::ToDeviceSent { sender: "@bob:x.org".to_owned(), event_type: "m.test".to_owned(), messages, transaction: None }
}

fn alice_with_device(views: &TestViews) {
    views.log.journal(account(ALICE), 1);
    views.log.journal(login(ALICE, "A", 1), 2);
}

/// Every row of every table.
fn dump(snapshot: &Snapshot) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for table in tables::ALL {
        snapshot
            .scan(table, Bound::Unbounded, Bound::Unbounded, false, &mut |key, value| {
                rows.push((table.name, key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })
            .expect("the view can be read");
    }
    rows
}

#[test]
fn a_login_replaces_the_token_of_its_device_and_keeps_the_name() {
    let views = views();
    alice_with_device(&views);
    let again = v1::DeviceLoggedIn { display_name: Some("other".to_owned()), ..login(ALICE, "A", 2) };
    views.log.journal(again, 3);
    let view = views.settle();
    assert_eq!(query::session(&*view, &[1; 32]).expect("reads"), None);
    let session = query::session(&*view, &[2; 32]).expect("reads").expect("the new token is good");
    assert_eq!((session.user_id.as_str(), session.device_id.as_str()), (ALICE, "A"));
    let device = query::device(&*view, ALICE, "A").expect("reads").expect("it is there");
    assert_eq!(device.display_name.as_deref(), Some("name of A"));
    assert_eq!(query::device_lists_changed(&*view, Offset(2), Offset(3)).expect("reads"), Vec::<String>::new());
    assert_eq!(query::device_lists_changed(&*view, Offset(1), Offset(2)).expect("reads"), [ALICE]);
}

#[test]
fn a_removed_device_takes_everything_along() {
    let views = views();
    alice_with_device(&views);
    let before = dump(&views.settle());
    views.log.journal(login(ALICE, "B", 2), 3);
    views.log.journal(keys(ALICE, "B", &["ed:1", "ed:2"], &["ed:f"]), 4);
    views.log.journal(sent(vec![message(ALICE, "B", 1)]), 5);
    let gone = v1::DevicesRemoved { user_id: ALICE.to_owned(), device_ids: vec!["B".to_owned(), "X".to_owned()] };
    views.log.journal(gone, 6);
    let count =
        |rows: &[(&str, Vec<u8>, Vec<u8>)], table: &Table| rows.iter().filter(|row| row.0 == table.name).count();
    // What tells of a removed device: that its owner's devices changed, and which of the log's records are to be
    // erased.
    let told = [&tables::DEVICE_LIST_CHANGES, &tables::PERSONAL, &tables::TO_DEVICE_RECORDS, &tables::RECEIVED];
    let rest = |mut rows: Vec<(&'static str, Vec<u8>, Vec<u8>)>| {
        rows.retain(|row| told.iter().all(|table| row.0 != table.name));
        rows
    };
    let after = dump(&views.settle());
    assert_eq!(count(&after, &tables::DEVICE_LIST_CHANGES), 4, "login, login, keys, removal");
    assert_eq!(count(&after, &tables::PERSONAL), 2, "the names of both devices");
    let due = tables::DUE_MESSAGES.after(&*views.settle(), None, 9).expect("reads");
    assert_eq!(
        due.iter().map(|due| due.record).collect::<Vec<_>>(),
        [Offset(5)],
        "its message has no receiver any more"
    );
    assert_eq!(rest(after), rest(before));
}

#[test]
fn one_time_keys_go_in_upload_order_and_are_counted() {
    let views = views();
    alice_with_device(&views);
    views.log.journal(keys(ALICE, "A", &["ed:9", "ed:8"], &["ed:f"]), 3);
    views.log.journal(keys(ALICE, "A", &["ed:1"], &[]), 4);
    let first = query::first_one_time_keys(&*views.settle(), ALICE, "A", "ed", 2).expect("reads");
    assert_eq!(first.iter().map(|(key_id, _)| key_id).collect::<Vec<_>>(), ["ed:9", "ed:8"]);
    let claim = |key_id: &str, fallback| v1::KeyClaim {
        user_id: ALICE.to_owned(),
        device_id: "A".to_owned(),
        key_id: key_id.to_owned(),
        fallback,
    };
    views.log.journal(v1::KeysClaimed { claims: vec![claim("ed:9", false), claim("ed:9", false)] }, 5);
    let view = views.settle();
    let first = query::first_one_time_keys(&*view, ALICE, "A", "ed", 1).expect("reads");
    assert_eq!(first.first().map(|(key_id, _)| key_id.as_str()), Some("ed:8"));
    assert_eq!(query::one_time_key_counts(&*view, ALICE, "A").expect("reads")["ed"], 2);
    assert_eq!(query::unused_fallback_types(&*view, ALICE, "A").expect("reads"), ["ed"]);
    views.log.journal(v1::KeysClaimed { claims: vec![claim("ed:f", true)] }, 6);
    let view = views.settle();
    assert!(query::unused_fallback_types(&*view, ALICE, "A").expect("reads").is_empty());
    assert_eq!(query::one_time_key_counts(&*view, ALICE, "A").expect("reads")["ed"], 2);
}

#[test]
fn to_device_messages_come_in_order_and_a_record_is_not_split() {
    let views = views();
    alice_with_device(&views);
    let first =
        views.log.journal(sent(vec![message(ALICE, "A", 1), message(ALICE, "gone", 9), message(ALICE, "A", 2)]), 3);
    let second = views.log.journal(sent(vec![message(ALICE, "A", 3)]), 4);
    let view = views.settle();
    let read = |after, through, limit| {
        let rows = query::to_device(&*view, ALICE, "A", after, through, limit).expect("reads");
        rows.into_iter().map(|row| row.content.get().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(read(Offset::ZERO, second, 10), [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
    assert_eq!(read(Offset::ZERO, second, 1), [r#"{"n":1}"#, r#"{"n":2}"#]);
    assert_eq!(read(first, second, 10), [r#"{"n":3}"#]);
    assert_eq!(read(Offset::ZERO, first, 10), [r#"{"n":1}"#, r#"{"n":2}"#]);
    let user_id = ALICE.to_owned();
    views.log.journal(v1::ToDeviceDelivered { user_id, device_id: "A".to_owned(), through: first.0 }, 5);
    let rows = query::to_device(&*views.settle(), ALICE, "A", Offset::ZERO, second, 10).expect("reads");
    assert_eq!(rows.len(), 1);
}

#[test]
fn account_data_is_found_by_the_offset_of_its_last_change() {
    let views = views();
    alice_with_device(&views);
    let set = |room: Option<&str>, event_type: &str, content: &str| v1::AccountDataSet {
        user_id: ALICE.to_owned(),
        room_id: room.map(str::to_owned),
        event_type: event_type.to_owned(),
        content: content.as_bytes().to_vec(),
    };
    let first = views.log.journal(set(None, "a", r#"{"v":1}"#), 3);
    let second = views.log.journal(set(Some("!r"), "a", r#"{"v":2}"#), 4);
    let third = views.log.journal(set(None, "a", r#"{"v":3}"#), 5);
    let view = views.settle();
    let since = |offset| {
        let rows = query::account_data_since(&*view, ALICE, offset).expect("reads");
        rows.into_iter().map(|row| (row.room_id, row.event_type, row.content.get().to_owned())).collect::<Vec<_>>()
    };
    let row = |room: Option<&str>, text: &str| (room.map(str::to_owned), "a".to_owned(), text.to_owned());
    assert_eq!(since(first), [row(Some("!r"), r#"{"v":2}"#), row(None, r#"{"v":3}"#)]);
    assert_eq!(since(second), [row(None, r#"{"v":3}"#)]);
    assert_eq!(since(third), []);
    let all = since(Offset::ZERO);
    assert_eq!(all.len(), 3);
    assert_eq!(all[2].1, "m.push_rules", "an initial sync has the default push rules");
}

#[test]
fn signatures_are_merged_for_those_who_may_see_them() {
    let views = views();
    alice_with_device(&views);
    views.log.journal(keys(ALICE, "A", &[], &[]), 3);
    let sign = |signer: &str, signature: &str| v1::KeySignaturesUploaded {
        user_id: signer.to_owned(),
        signed: vec![v1::SignedKey {
            user_id: ALICE.to_owned(),
            key_id: "A".to_owned(),
            json: format!(
                r#"{{"signatures":{{"{signer}":{{"ed25519:k":"{signature}"}},"@eve:x.org":{{"ed25519:k":"e"}}}}}}"#
            )
            .into_bytes(),
        }],
    };
    views.log.journal(sign(ALICE, "a"), 4);
    let by_bob = views.log.journal(sign("@bob:x.org", "b"), 5);
    let view = views.settle();
    let seen_by = |viewer: &str| {
        let query = [(ALICE.to_owned(), Vec::new())].into();
        let found = query::keys_query(&*view, viewer, &query).expect("reads");
        let keys: serde_json::Value = serde_json::from_str(found.device_keys[ALICE]["A"].get()).expect("JSON");
        assert_eq!(keys["unsigned"]["device_display_name"], "name of A");
        let signers = keys["signatures"].as_object().expect("an object");
        signers.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(seen_by(ALICE), [ALICE]);
    assert_eq!(seen_by("@bob:x.org"), [ALICE, "@bob:x.org"]);
    assert_eq!(seen_by("@eve:x.org"), [ALICE], "nobody signs in another's name");
    let before = Offset(by_bob.0 - 1);
    assert_eq!(query::signatures_changed(&*view, "@bob:x.org", before, by_bob).expect("reads"), [ALICE]);
    assert!(query::device_lists_changed(&*view, before, by_bob).expect("reads").is_empty());
}

fn operation() -> impl Strategy<Value = Input> {
    let user = prop_oneof![Just("@a:x"), Just("@b:x"), Just("@c:x")];
    let device = prop_oneof![Just("D"), Just("E")];
    let name = prop_oneof![Just("ed:1"), Just("ed:2"), Just("cv:1")];
    (0..16_u8, user, device, name, any::<u8>(), 0..60_u64).prop_map(|(kind, user, device, name, byte, number)| {
        let (user_id, device_id) = (user.to_owned(), device.to_owned());
        let json = format!(r#"{{"v":{number}}}"#).into_bytes();
        match kind {
            0 | 1 => account(user).into(),
            2 | 3 => login(user, device, byte).into(),
            4 => v1::DevicesRemoved { user_id, device_ids: vec![device_id] }.into(),
            5 => v1::DeviceRenamed { user_id, device_id, display_name: None }.into(),
            6 => v1::ProfileFieldSet { user_id, key: name.to_owned(), value: (byte > 99).then_some(json) }.into(),
            7 => {
                let room_id = (byte > 99).then(|| "!r".to_owned());
                v1::AccountDataSet { user_id, room_id, event_type: name.to_owned(), content: json }.into()
            }
            8 | 9 => keys(user, device, &[name], &[name]).into(),
            10 => {
                let claim = v1::KeyClaim { user_id, device_id, key_id: name.to_owned(), fallback: byte > 99 };
                v1::KeysClaimed { claims: vec![claim] }.into()
            }
            11 => v1::CrossSigningKeysUploaded {
                user_id,
                master_key: Some(format!(r#"{{"keys":{{"ed25519:{byte}":"{byte}"}}}}"#).into_bytes()),
                self_signing_key: None,
                user_signing_key: (byte > 99).then_some(json),
            }
            .into(),
            12 => {
                let json = format!(r#"{{"signatures":{{"{user}":{{"ed25519:{name}":"{byte}"}}}}}}"#).into_bytes();
                let signed = vec![v1::SignedKey { user_id: "@a:x".to_owned(), key_id: device_id, json }];
                v1::KeySignaturesUploaded { user_id, signed }.into()
            }
            13 | 14 => sent(vec![message(user, device, number), message("@a:x", "D", number)]).into(),
            _ if byte > 99 => v1::ToDeviceDelivered { user_id, device_id, through: number }.into(),
            _ => v1::AccountDeactivated { user_id, erase: byte > 50 }.into(),
        }
    })
}

/// The tables as a rebuild from the log gives them.
fn rebuilt(log: &MemoryLog) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let views = TestViews::over(log.prefix(log.len()), vec![Box::new(UsersProjector)], Vec::new());
    dump(&views.settle())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_rebuild_gives_the_same_tables(operations in proptest::collection::vec(operation(), 1..80)) {
        let views = views();
        for (time, operation) in (1_u64..).zip(operations) {
            let offset = views.log.journal(operation, time);
            if time % 7 == 0 {
                views.wait(offset);
            }
        }
        prop_assert_eq!(dump(&views.settle()), rebuilt(&views.log));
    }
}
