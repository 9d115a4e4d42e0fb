//! The writer on a log in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engram_base::block_on;
use engram_log::{Offset, TimestampMs};
use engram_matrix::keys::SigningKey;
use engram_views::testing::TestViews;
use serde_json::json;

mod dropped;
mod rules;

use super::*;
use crate::json::RawJson;
use crate::query;

struct Fixture {
    users: Users,
    views: TestViews,
    now: Arc<AtomicU64>,
}

fn fixture() -> Fixture {
    fixture_over(TestViews::new(vec![Box::new(crate::UsersProjector)]))
}

fn fixture_over(views: TestViews) -> Fixture {
    let now = Arc::new(AtomicU64::new(1_000));
    let clock_now = Arc::clone(&now);
    let clock: Clock = Arc::new(move || TimestampMs(clock_now.load(Ordering::Relaxed)));
    // No two calls give the same bytes.
    let calls = AtomicU64::new(0);
    let random: Random = Arc::new(move |bytes: &mut [u8]| {
        let seed = blake3::hash(&calls.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        for (byte, random) in bytes.iter_mut().zip(seed.as_bytes()) {
            *byte = *random;
        }
    });
    let log = Arc::new(views.log.clone());
    let users = Users::new(log, Arc::clone(&views.views), "x.org", clock, random, PasswordCost::Minimal);
    Fixture { users, views, now }
}

impl Fixture {
    fn register(&self, localpart: &str) -> NewSession {
        let request = RegisterRequest {
            localpart: Some(localpart.to_owned()),
            password: Some(self.users.hash_password("secret").expect("it is short")),
            ..RegisterRequest::default()
        };
        block_on(self.users.register(request)).expect("the name is free").session.expect("a session was not inhibited")
    }

    fn login(&self, user: &str, password: &str, device_id: Option<&str>) -> Result<NewSession, LoginError> {
        let device = NewDevice { device_id: device_id.map(str::to_owned), ..NewDevice::default() };
        block_on(self.users.login(self.users.verify_password(user, password)?, device))
    }

    fn admin(&self, user_id: &str) -> bool {
        query::account(&*self.views.settle(), user_id).expect("reads").expect("it exists").admin
    }
}

fn raw(value: serde_json::Value) -> RawJson {
    serde_json::value::to_raw_value(&value).expect("a value has a text")
}

#[test]
fn the_first_account_is_the_administrator() {
    let fixture = fixture();
    let guest = RegisterRequest { guest: true, ..RegisterRequest::default() };
    let guest = block_on(fixture.users.register(guest)).expect("guests may come");
    assert!(!fixture.admin(&guest.user_id));
    assert_eq!(fixture.register("Alice").user_id, "@alice:x.org");
    fixture.register("bob");
    assert!(fixture.admin("@alice:x.org"));
    assert!(!fixture.admin("@bob:x.org"));
}

#[test]
fn a_name_is_given_once_even_to_many_at_a_time() {
    let fixture = fixture();
    let won = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..8)
            .map(|_| {
                let request = RegisterRequest { localpart: Some("alice".to_owned()), ..RegisterRequest::default() };
                scope.spawn(|| block_on(fixture.users.register(request)))
            })
            .collect();
        attempts.into_iter().flat_map(|attempt| attempt.join().expect("no panic")).count()
    });
    assert_eq!(won, 1);
    assert!(matches!(fixture.users.check_available("ALICE"), Err(RegisterError::InUse)));
    assert_eq!(fixture.users.check_available("bob").expect("free"), "@bob:x.org");
}

#[test]
fn a_registration_token_is_spent_as_often_as_it_may() {
    let fixture = fixture();
    let token = block_on(fixture.users.create_registration_token(None, Some(1), Some(5_000))).expect("created");
    assert!(fixture.users.check_registration_token(&token).expect("reads"));
    let request = |localpart: &str, token: &str| RegisterRequest {
        localpart: Some(localpart.to_owned()),
        registration_token: Some(token.to_owned()),
        ..RegisterRequest::default()
    };
    block_on(fixture.users.register(request("alice", &token))).expect("the token is good");
    assert!(matches!(block_on(fixture.users.register(request("bob", &token))), Err(RegisterError::BadToken)));
    assert!(block_on(fixture.users.create_registration_token(Some(&token), None, None)).is_err(), "it exists");
    let late = block_on(fixture.users.create_registration_token(Some("late"), None, Some(5_000))).expect("created");
    fixture.now.store(5_000, Ordering::Relaxed);
    assert!(!fixture.users.check_registration_token(&late).expect("reads"));
}

#[test]
fn sessions_begin_and_end() {
    let fixture = fixture();
    let first = fixture.register("alice");
    assert!(matches!(fixture.login("alice", "wrong", None), Err(LoginError::Forbidden)));
    assert!(matches!(fixture.login("nobody", "secret", None), Err(LoginError::Forbidden)));
    let second = fixture.login("@Alice:x.org", "secret", Some("DEV")).expect("the password is right");
    assert_eq!(second.device_id, "DEV");
    let session = fixture.users.session(&second.access_token).expect("it is good");
    assert!(session.admin);
    let third = fixture.login("alice", "secret", Some("DEV")).expect("the password is right");
    assert!(matches!(fixture.users.session(&second.access_token), Err(SessionError::Unknown)), "replaced");
    block_on(fixture.users.logout(&session)).expect("logs out");
    assert!(matches!(fixture.users.session(&third.access_token), Err(SessionError::Unknown)));
    assert!(fixture.users.session(&first.access_token).is_ok());
    block_on(fixture.users.logout_all("@alice:x.org")).expect("logs out");
    assert!(matches!(fixture.users.session(&first.access_token), Err(SessionError::Unknown)));
}

#[test]
fn a_new_password_ends_other_sessions_and_deactivation_ends_all() {
    let fixture = fixture();
    let first = fixture.register("alice");
    let second = fixture.login("alice", "secret", None).expect("the password is right");
    let new = fixture.users.hash_password("new").expect("it is short");
    let keep = LogoutOthers::AllBut(&second.device_id);
    block_on(fixture.users.change_password("@alice:x.org", new, keep)).expect("changes");
    assert!(fixture.users.session(&first.access_token).is_err());
    assert!(fixture.users.session(&second.access_token).is_ok());
    assert!(fixture.users.verify_password("alice", "secret").is_err());
    assert!(fixture.users.verify_password("alice", "new").is_ok());
    block_on(fixture.users.deactivate("@alice:x.org", false)).expect("closes");
    assert!(fixture.users.session(&second.access_token).is_err());
    assert!(matches!(fixture.login("alice", "new", None), Err(LoginError::Deactivated)));
    assert!(matches!(fixture.users.check_available("alice"), Err(RegisterError::InUse)));
}

#[test]
fn a_one_time_key_is_handed_out_once() {
    let fixture = fixture();
    let device = fixture.register("alice");
    let upload = |keys: &[(&str, &str)]| KeysUpload {
        one_time_keys: keys.iter().map(|(name, key)| ((*name).to_owned(), raw(json!({ "key": key })))).collect(),
        ..KeysUpload::default()
    };
    let put =
        |keys: &[(&str, &str)]| block_on(fixture.users.upload_keys(&device.user_id, &device.device_id, upload(keys)));
    let keys: Vec<String> = (0..20).map(|number| format!("ed:{number:02}")).collect();
    let pairs: Vec<_> = keys.iter().map(|name| (name.as_str(), "k")).collect();
    assert_eq!(put(&pairs).expect("uploads")["ed"], 20);
    assert_eq!(put(&pairs).expect("the same again is no harm")["ed"], 20);
    assert!(matches!(put(&[("ed:05", "other")]), Err(UploadKeysError::Conflict(name)) if name == "ed:05"));
    assert!(matches!(put(&[("nocolon", "k")]), Err(UploadKeysError::Invalid(_))));

    let devices: BTreeMap<String, String> = [(device.device_id.clone(), "ed".to_owned())].into();
    let wanted: BTreeMap<String, BTreeMap<String, String>> = [(device.user_id.clone(), devices)].into();
    let mut claimed: Vec<String> = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..20).map(|_| scope.spawn(|| block_on(fixture.users.claim_keys(&wanted)))).collect();
        let keys = claims.into_iter().map(|claim| claim.join().expect("no panic").expect("claims"));
        keys.flat_map(|keys| keys[&device.user_id][&device.device_id].keys().cloned().collect::<Vec<_>>()).collect()
    });
    claimed.sort();
    assert_eq!(claimed, keys);
    assert!(block_on(fixture.users.claim_keys(&wanted)).expect("claims").is_empty());

    let fallback = [("ed:f".to_owned(), raw(json!("f")))].into();
    let upload = KeysUpload { fallback_keys: fallback, ..KeysUpload::default() };
    block_on(fixture.users.upload_keys(&device.user_id, &device.device_id, upload)).expect("uploads");
    for _ in 0..2 {
        let claimed = block_on(fixture.users.claim_keys(&wanted)).expect("claims");
        assert!(claimed[&device.user_id][&device.device_id].contains_key("ed:f"), "a fallback key stays");
    }
}

#[test]
fn to_device_messages_are_sent_once_for_a_transaction() {
    let fixture = fixture();
    let sender = fixture.register("alice");
    let receiver = fixture.register("bob");
    block_on(fixture.users.create_session("@bob:x.org", NewDevice::default())).expect("a second device");
    let session = fixture.users.session(&sender.access_token).expect("it is good");
    let content =
        [("*".to_owned(), raw(json!({ "for": "all" }))), (receiver.device_id.clone(), raw(json!({ "for": "one" })))];
    let messages = [("@bob:x.org".to_owned(), content.into()), ("@nobody:x.org".to_owned(), BTreeMap::new())].into();
    for _ in 0..2 {
        block_on(fixture.users.send_to_device(&session, "m.test", "1", &messages)).expect("sends");
    }
    let view = fixture.views.settle();
    let mut contents = Vec::new();
    for device in query::devices(&*view, "@bob:x.org").expect("reads") {
        let rows = query::to_device(&*view, "@bob:x.org", &device.device_id, Offset::ZERO, view.offset(), 10);
        contents.extend(rows.expect("reads").into_iter().map(|row| row.content.get().to_owned()));
    }
    contents.sort();
    assert_eq!(contents, [r#"{"for":"all"}"#, r#"{"for":"one"}"#]);

    let (user_id, device_id) = (&receiver.user_id, &receiver.device_id);
    fixture.users.acknowledge_to_device(user_id, device_id, view.offset()).expect("appends");
    let records = fixture.views.log.len();
    let view = fixture.views.settle();
    assert!(query::to_device(&*view, user_id, device_id, Offset::ZERO, view.offset(), 10).expect("reads").is_empty());
    fixture.users.acknowledge_to_device(user_id, device_id, view.offset()).expect("appends");
    assert_eq!(fixture.views.log.len(), records, "nothing is left to be dropped");
}

#[test]
fn account_data_profiles_and_filters_are_checked() {
    let fixture = fixture();
    let alice = fixture.register("alice").user_id;
    let users = &fixture.users;
    let object = raw(json!({ "a": 1 }));
    assert!(matches!(
        block_on(users.put_account_data(&alice, None, "m.push_rules", &object)),
        Err(AccountDataError::Reserved(_))
    ));
    assert!(matches!(
        block_on(users.put_account_data(&alice, None, "x", &raw(json!(1)))),
        Err(AccountDataError::NotAnObject)
    ));
    block_on(users.set_account_data(&alice, Some("!r"), "m.fully_read", &object)).expect("the server may");
    let refused = block_on(users.update_account_data(&alice, None, "m.push_rules", |present| {
        assert!(present.is_some_and(|rules| rules.get().contains(".m.rule.master")), "the defaults are there");
        Err::<RawJson, _>("no")
    }));
    assert_eq!(refused.expect("reads"), Err("no"));

    let filter = block_on(users.create_filter(&alice, &object)).expect("stores");
    assert_eq!(block_on(users.create_filter(&alice, &object)).expect("is there"), filter);
    let stored = query::filter(&*fixture.views.settle(), &alice, &filter).expect("reads").expect("it is there");
    assert_eq!(stored.get(), object.get());

    block_on(users.set_profile_field(&alice, "displayname", Some(&raw(json!("Alice"))))).expect("sets");
    assert!(matches!(
        block_on(users.set_profile_field(&alice, "displayname", Some(&raw(json!(1))))),
        Err(ProfileError::InvalidValue(_))
    ));
    let large = raw(json!("x".repeat(70_000)));
    assert!(matches!(block_on(users.set_profile_field(&alice, "org.x", Some(&large))), Err(ProfileError::TooLarge)));
    assert!(matches!(block_on(users.set_profile_field("@no:x.org", "org.a", None)), Err(ProfileError::UnknownUser)));
    block_on(users.set_profile_field(&alice, "displayname", None)).expect("removes");
    assert!(query::profile(&*fixture.views.settle(), &alice).expect("reads").is_empty());
}

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_seed("ed25519:unused", [seed; 32]).expect("a good key ID")
}

/// A cross-signing key, signed by another if one is given.
fn cross_signing_key(usage: &str, key: &SigningKey, signer: Option<&SigningKey>) -> serde_json::Value {
    let public = key.public_base64();
    let mut object = json!({
        "user_id": "@alice:x.org", "usage": [usage], "keys": { format!("ed25519:{public}"): public },
    });
    if let Some(signer) = signer {
        sign(&mut object, signer, signer.public_base64());
    }
    object
}

fn sign(object: &mut serde_json::Value, key: &SigningKey, name: &str) {
    let signed = crate::json::without_signatures(object.clone());
    let text = engram_matrix::canonical::to_canonical(&signed).expect("it has a canonical form");
    object["signatures"]["@alice:x.org"][format!("ed25519:{name}")] = json!(key.sign_base64(&text));
}

#[test]
fn cross_signing_keys_and_signatures_are_verified() {
    let fixture = fixture();
    let alice = fixture.register("alice");
    let (user_id, users) = (alice.user_id.as_str(), &fixture.users);
    let (master, own, other) = (signing_key(1), signing_key(2), signing_key(3));
    let self_signing = |signer: &SigningKey| Some(raw(cross_signing_key("self_signing", &own, Some(signer))));
    let alone = CrossSigningUpload { self_signing_key: self_signing(&master), ..CrossSigningUpload::default() };
    assert!(matches!(block_on(users.upload_cross_signing(user_id, alone)), Err(CrossSigningError::MissingMasterKey)));
    let master_key = Some(raw(cross_signing_key("master", &master, None)));
    let upload = |signer| CrossSigningUpload {
        master_key: master_key.clone(),
        self_signing_key: self_signing(signer),
        user_signing_key: None,
    };
    let forged = block_on(users.upload_cross_signing(user_id, upload(&other)));
    assert!(matches!(forged, Err(CrossSigningError::InvalidSignature(_))));
    assert!(!users.cross_signing_needs_auth(user_id, &upload(&master)).expect("reads"), "the first keys are free");
    block_on(users.upload_cross_signing(user_id, upload(&master))).expect("the keys are good");
    assert!(!users.cross_signing_needs_auth(user_id, &upload(&master)).expect("reads"), "nothing new");
    let replaced = Some(raw(cross_signing_key("master", &other, None)));
    let replaced = CrossSigningUpload { master_key: replaced, ..CrossSigningUpload::default() };
    assert!(users.cross_signing_needs_auth(user_id, &replaced).expect("reads"));
    let named_alike = NewDevice { device_id: Some(master.public_base64().to_owned()), ..NewDevice::default() };
    assert!(matches!(block_on(users.create_session(user_id, named_alike)), Err(LoginError::Forbidden)));

    let mut device_keys = json!({ "user_id": user_id, "device_id": alice.device_id, "algorithms": [], "keys": {} });
    let uploaded = KeysUpload { device_keys: Some(raw(device_keys.clone())), ..KeysUpload::default() };
    block_on(users.upload_keys(user_id, &alice.device_id, uploaded)).expect("uploads");
    let signatures = |object: &serde_json::Value| {
        let by_key: BTreeMap<_, _> = [(alice.device_id.clone(), raw(object.clone()))].into();
        block_on(users.upload_signatures(user_id, [(user_id.to_owned(), by_key)].into())).expect("reads")
    };
    let mut forged = device_keys.clone();
    sign(&mut forged, &other, own.public_base64());
    assert_eq!(signatures(&forged)[user_id][&alice.device_id].errcode, "M_INVALID_SIGNATURE");
    let mut altered = device_keys.clone();
    altered["algorithms"] = json!(["x"]);
    sign(&mut altered, &own, own.public_base64());
    assert_eq!(signatures(&altered)[user_id][&alice.device_id].errcode, "M_INVALID_PARAM");
    sign(&mut device_keys, &own, own.public_base64());
    assert!(signatures(&device_keys).is_empty());
    let found = query::keys_query(&*fixture.views.settle(), "@bob:x.org", &[(user_id.to_owned(), Vec::new())].into());
    let found = found.expect("reads");
    let seen: serde_json::Value =
        serde_json::from_str(found.device_keys[user_id][&alice.device_id].get()).expect("JSON");
    assert_eq!(seen["signatures"], device_keys["signatures"]);
    assert!(found.master_keys.contains_key(user_id) && found.self_signing_keys.contains_key(user_id));
}

/// Whoever shows the old password while it is being changed must not come out of it with a session.
#[test]
fn a_password_that_was_changed_while_it_was_verified_gives_no_session() {
    let fixture = fixture();
    let alice = fixture.register("alice");
    let verified = fixture.users.verify_password("alice", "secret").expect("it is the password");
    let new = fixture.users.hash_password("new").expect("it is short");
    block_on(fixture.users.change_password(&alice.user_id, new, LogoutOthers::All)).expect("changed");
    let late = block_on(fixture.users.login(verified, NewDevice::default()));
    assert!(matches!(late, Err(LoginError::Forbidden)));
    assert!(query::devices(&*fixture.views.settle(), &alice.user_id).expect("reads").is_empty());
}
