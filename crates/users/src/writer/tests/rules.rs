//! Rules of accounts that hold whoever comes, by whichever way.

use std::collections::BTreeMap;

use engram_base::block_on;
use engram_log::Offset;
use engram_log_format::v1;
use serde_json::json;
use serde_json::value::RawValue;

use super::{cross_signing_key, fixture, raw, signing_key};
use crate::json::RawJson;
use crate::query;
use crate::writer::*;

fn text(json: &str) -> RawJson {
    RawValue::from_string(json.to_owned()).expect("JSON by its grammar")
}

/// What passes for JSON, and is none for one reader or the other.
const UNSOUND: [&str; 3] = [r#"{"key":1e999}"#, r#"{"key":"\ud800"}"#, r#"{"key":"a","key":"b"}"#];

#[test]
fn json_that_not_everybody_reads_alike_does_not_come_in() {
    let fixture = fixture();
    let alice = fixture.register("alice");
    let session = fixture.users.session(&alice.access_token).expect("it is good");
    let (users, user_id) = (&fixture.users, alice.user_id.as_str());
    let records = fixture.views.log.len();
    for json in UNSOUND.map(text) {
        let keys = || BTreeMap::from([("ed:1".to_owned(), json.clone())]);
        for upload in [
            KeysUpload { one_time_keys: keys(), ..KeysUpload::default() },
            KeysUpload { fallback_keys: keys(), ..KeysUpload::default() },
            KeysUpload { device_keys: Some(json.clone()), ..KeysUpload::default() },
        ] {
            let refused = block_on(users.upload_keys(user_id, &alice.device_id, upload));
            assert!(matches!(refused, Err(UploadKeysError::Unsound(_))), "{json}");
        }
        let messages = [(user_id.to_owned(), [("*".to_owned(), json.clone())].into())].into();
        let refused = block_on(users.send_to_device(&session, "m.test", "1", &messages));
        assert!(matches!(refused, Err(ToDeviceError::Unsound(_))), "{json}");
        let refused = block_on(users.put_account_data(user_id, None, "org.x", &json));
        assert!(matches!(refused, Err(AccountDataError::Unsound(_))), "{json}");
        let refused = block_on(users.update_account_data(user_id, None, "org.x", |_| Ok::<_, ()>(json.clone())));
        assert!(matches!(refused, Err(AccountDataError::Unsound(_))), "{json}");
        let refused = block_on(users.create_filter(user_id, &json));
        assert!(matches!(refused, Err(FilterError::Unsound(_))), "{json}");
        let refused = block_on(users.set_profile_field(user_id, "org.x", Some(&json)));
        assert!(matches!(refused, Err(ProfileError::Unsound(_))), "{json}");
        let upload = CrossSigningUpload { master_key: Some(json.clone()), ..CrossSigningUpload::default() };
        let refused = block_on(users.upload_cross_signing(user_id, upload));
        assert!(matches!(refused, Err(CrossSigningError::Unsound(_))), "{json}");
    }
    assert_eq!(fixture.views.log.len(), records, "nothing was appended");
}

#[test]
fn what_an_old_log_holds_spoils_no_answer_and_costs_nobody_a_key() {
    let fixture = fixture();
    let alice = fixture.register("alice");
    let (user_id, device_id) = (alice.user_id.clone(), alice.device_id.clone());
    let named = |name: &str, json: &str| v1::NamedJson { name: name.to_owned(), json: json.as_bytes().to_vec() };
    let log = &fixture.views.log;
    log.journal(
        v1::DeviceKeysUploaded {
            user_id: user_id.clone(),
            device_id: device_id.clone(),
            device_keys: None,
            one_time_keys: vec![
                named("ed:1", UNSOUND[0]),
                named("ed:2", UNSOUND[1]),
                named("ed:3", r#"{"key":"good"}"#),
                named("ed:4", r#"{"key":"next"}"#),
            ],
            fallback_keys: vec![named("x:1", UNSOUND[0])],
        },
        1,
    );
    log.journal(
        v1::ToDeviceSent {
            sender: user_id.clone(),
            event_type: "m.test".to_owned(),
            messages: vec![v1::ToDeviceMessage {
                user_id: user_id.clone(),
                device_id: device_id.clone(),
                content: UNSOUND[1].as_bytes().to_vec(),
            }],
            transaction: None,
        },
        2,
    );
    let view = fixture.views.settle();
    let claim = |algorithm: &str| {
        let wanted = [(user_id.clone(), [(device_id.clone(), algorithm.to_owned())].into())].into();
        block_on(fixture.users.claim_keys(&wanted)).expect("claims")
    };
    assert_eq!(claim("ed")[&user_id][&device_id].keys().collect::<Vec<_>>(), ["ed:3"], "the first that is of use");
    assert_eq!(claim("ed")[&user_id][&device_id].keys().collect::<Vec<_>>(), ["ed:4"], "none was used up for nothing");
    assert!(claim("ed").is_empty() && claim("x").is_empty());
    let messages = query::to_device(&*view, &user_id, &device_id, Offset::ZERO, view.offset(), 10).expect("reads");
    assert_eq!(messages[0].content.get(), "{}");
}

#[test]
fn guests_change_their_display_name_and_nothing_else() {
    let fixture = fixture();
    let guest = RegisterRequest { guest: true, ..RegisterRequest::default() };
    let guest = block_on(fixture.users.register(guest)).expect("guests may come").user_id;
    let (users, object) = (&fixture.users, raw(json!({ "a": 1 })));
    block_on(users.set_profile_field(&guest, "displayname", Some(&raw(json!("G"))))).expect("that they may");
    for key in ["avatar_url", "m.tz", "org.x"] {
        for value in [None, Some(&*raw(json!("x")))] {
            let refused = block_on(users.set_profile_field(&guest, key, value));
            assert!(matches!(refused, Err(ProfileError::Guest(_))), "{key}");
        }
    }
    let refused = block_on(users.put_account_data(&guest, None, "org.x", &object));
    assert!(matches!(refused, Err(AccountDataError::Guest(_))));
    let refused = block_on(users.set_account_data(&guest, Some("!r"), "m.fully_read", &object));
    assert!(matches!(refused, Err(AccountDataError::Guest(_))));
    let refused = block_on(users.update_account_data(&guest, None, "m.push_rules", |_| Ok::<_, ()>(object.clone())));
    assert!(matches!(refused, Err(AccountDataError::Guest(_))));
    assert!(matches!(block_on(users.create_filter(&guest, &object)), Err(FilterError::Guest(_))));
    let master_key = Some(raw(json!({})));
    let upload = CrossSigningUpload { master_key, ..CrossSigningUpload::default() };
    assert!(matches!(block_on(users.upload_cross_signing(&guest, upload)), Err(CrossSigningError::Guest(_))));
}

#[test]
fn a_new_account_is_called_by_its_localpart_and_has_no_empty_password() {
    let fixture = fixture();
    let name = |user_id: &str| {
        let field = query::profile_field(&*fixture.views.settle(), user_id, "displayname").expect("reads");
        field.map(|name| name.get().to_owned())
    };
    assert_eq!(name(&fixture.register("Alice").user_id).as_deref(), Some(r#""alice""#));
    let display_name = Some("Bob".to_owned());
    let bob = RegisterRequest { localpart: Some("bob".to_owned()), display_name, ..RegisterRequest::default() };
    block_on(fixture.users.register(bob)).expect("the name is free");
    assert_eq!(name("@bob:x.org").as_deref(), Some(r#""Bob""#));
    let guest = RegisterRequest { guest: true, ..RegisterRequest::default() };
    let guest = block_on(fixture.users.register(guest)).expect("guests may come").user_id;
    assert_eq!(name(&guest), None);
    assert!(matches!(fixture.users.hash_password(""), Err(RegisterError::InvalidParam(_))));
}

#[test]
fn names_of_profile_fields_follow_the_grammar_and_null_is_a_value() {
    let fixture = fixture();
    let alice = fixture.register("alice").user_id;
    let set =
        |key: &str, value: serde_json::Value| block_on(fixture.users.set_profile_field(&alice, key, Some(&raw(value))));
    for key in ["Bad!Key", "k", "UPPER", "", ".a", "a.", "org.1x", "org..x", "m.TZ"] {
        assert!(matches!(set(key, json!(1)), Err(ProfileError::InvalidKey)), "{key}");
    }
    assert!(matches!(set(&"a.".repeat(200), json!(1)), Err(ProfileError::KeyTooLarge)));
    for key in ["m.tz", "org.example.field_1", "avatar_url"] {
        set(key, json!(null)).expect("the name is good");
        let stored = query::profile_field(&*fixture.views.settle(), &alice, key).expect("reads");
        assert_eq!(stored.expect("it is there").get(), "null", "{key}");
    }
}

#[test]
fn both_names_of_fallback_keys_may_come_and_the_stable_one_wins() {
    let read = |body: serde_json::Value| -> KeysUpload { serde_json::from_value(body).expect("it is taken") };
    let unstable = "org.matrix.msc2732.fallback_keys";
    let names = |upload: KeysUpload| upload.fallback_keys.into_keys().collect::<Vec<_>>();
    assert_eq!(names(read(json!({ "fallback_keys": { "a:1": "k" }, unstable: { "a:2": "k" } }))), ["a:1"]);
    assert_eq!(names(read(json!({ unstable: { "a:2": "k" } }))), ["a:2"]);
    assert!(names(read(json!({ "device_keys": null, "one_time_keys": null }))).is_empty());
}

#[test]
fn device_keys_that_lack_something_are_malformed() {
    let fixture = fixture();
    let alice = fixture.register("alice");
    let device_keys = json!({ "user_id": alice.user_id, "device_id": alice.device_id });
    let upload = KeysUpload { device_keys: Some(raw(device_keys)), ..KeysUpload::default() };
    let refused = block_on(fixture.users.upload_keys(&alice.user_id, &alice.device_id, upload));
    assert!(matches!(refused, Err(UploadKeysError::Malformed(_))));
}

#[test]
fn cross_signing_keys_go_with_their_master_key_and_with_the_account() {
    let fixture = fixture();
    let alice = fixture.register("alice").user_id;
    let (old, new, own) = (signing_key(1), signing_key(2), signing_key(3));
    let upload = |master, signer: Option<&_>| {
        let upload = CrossSigningUpload {
            master_key: Some(raw(cross_signing_key("master", master, None))),
            self_signing_key: signer.map(|signer| raw(cross_signing_key("self_signing", &own, Some(signer)))),
            user_signing_key: None,
        };
        block_on(fixture.users.upload_cross_signing(&alice, upload)).expect("the keys are good");
    };
    let shown = || {
        let asked = [(alice.clone(), Vec::new())].into();
        let found = query::keys_query(&*fixture.views.settle(), "@bob:x.org", &asked).expect("reads");
        (found.master_keys.get(&alice).cloned(), found.self_signing_keys.contains_key(&alice))
    };
    upload(&old, Some(&old));
    let (master, self_signing) = shown();
    assert!(self_signing);
    assert!(!master.expect("it is there").get().contains("signatures"), "as it was uploaded, without any");
    upload(&new, None);
    assert!(!shown().1, "the old master key vouched for it, and nobody else");
    upload(&new, Some(&new));
    assert!(shown().1);
    block_on(fixture.users.deactivate(&alice, false)).expect("closes");
    assert!(matches!(shown(), (None, false)), "nobody is behind them any more");
}
