//! Requests that are given up at each place where they wait: before their turn, before what they must have seen is
//! applied, and after their append.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use engram_log::{InputRef, Record};
use engram_views::testing::TestViews;
use engram_views::{Apply, ProjectError, Projector, Table};
use parking_lot::{Condvar, Mutex};
use serde_json::json;

use super::{Fixture, fixture_over, raw};
use crate::query::Session;
use crate::writer::*;
use crate::{UserDelta, UsersProjector};

/// Holds up the views while it is closed.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn close(&self) {
        *self.closed.lock() = true;
    }

    fn open(&self) {
        *self.closed.lock() = false;
        self.opened.notify_all();
    }
}

/// Opens the gate also if a test fails: the views wait for their thread when they close.
struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// The projector behind a gate.
struct Gated(UsersProjector, Arc<Gate>);

impl Projector for Gated {
    type Delta = UserDelta;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn tables(&self) -> &'static [&'static Table] {
        self.0.tables()
    }

    fn apply(
        &mut self,
        record: &Record,
        input: InputRef<'_>,
        view: &mut Apply<'_, UserDelta>,
    ) -> Result<(), ProjectError> {
        let mut closed = self.1.closed.lock();
        while *closed {
            self.1.opened.wait(&mut closed);
        }
        drop(closed);
        self.0.apply(record, input, view)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

fn gated() -> (Fixture, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let projector = Gated(UsersProjector, Arc::clone(&gate));
    (fixture_over(TestViews::new(vec![Box::new(projector)])), gate)
}

fn poll<T, F: Future<Output = T> + ?Sized>(future: Pin<&mut F>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn wanted(localpart: &str) -> RegisterRequest {
    RegisterRequest { localpart: Some(localpart.to_owned()), ..RegisterRequest::default() }
}

/// What is asked for: by alice, who has a device and keys.
type Ask = for<'a> fn(&'a Users, &'a Session) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Each appends one record when it is asked for the first time, and none when it is asked for again.
const ASKED_ONCE: [(&str, Ask); 11] = [
    ("register", |users, _| Box::pin(async { drop(users.register(wanted("bob")).await) })),
    ("registration token", |users, _| {
        Box::pin(async { drop(users.create_registration_token(Some("t"), None, None).await) })
    }),
    ("profile", |users, alice| {
        Box::pin(async { drop(users.set_profile_field(&alice.user_id, "m.tz", Some(&raw(json!("UTC")))).await) })
    }),
    ("tag", |users, alice| {
        // The second and the third find it set, and leave it.
        let once = |present: Option<&serde_json::value::RawValue>| match present {
            None => Ok(raw(json!({ "tags": {} }))),
            Some(_) => Err(()),
        };
        Box::pin(async move { drop(users.update_account_data(&alice.user_id, Some("!r"), "m.tag", once).await) })
    }),
    ("filter", |users, alice| {
        Box::pin(async { drop(users.create_filter(&alice.user_id, &raw(json!({ "room": {} }))).await) })
    }),
    ("rename", |users, alice| {
        Box::pin(async { drop(users.rename_device(&alice.user_id, &alice.device_id, Some("phone")).await) })
    }),
    ("keys", |users, alice| {
        let one_time_keys = [("ed:new".to_owned(), raw(json!("k")))].into();
        let upload = KeysUpload { one_time_keys, ..KeysUpload::default() };
        Box::pin(async { drop(users.upload_keys(&alice.user_id, &alice.device_id, upload).await) })
    }),
    ("last one-time key", |users, alice| {
        let wanted = [(alice.user_id.clone(), [(alice.device_id.clone(), "ed".to_owned())].into())].into();
        Box::pin(async move { drop(users.claim_keys(&wanted).await) })
    }),
    ("to-device", |users, alice| {
        let messages = [(alice.user_id.clone(), [("*".to_owned(), raw(json!({})))].into())].into();
        Box::pin(async move { drop(users.send_to_device(alice, "m.test", "1", &messages).await) })
    }),
    ("logout", |users, alice| Box::pin(async { drop(users.logout(alice).await) })),
    ("deactivate", |users, alice| Box::pin(async { drop(users.deactivate(&alice.user_id, false).await) })),
];

/// A device without keys but one, so that it can be claimed once.
fn alice(fixture: &Fixture) -> Arc<Session> {
    let alice = fixture.register("alice");
    let one_time_keys = [("ed:1".to_owned(), raw(json!("k")))].into();
    let upload = KeysUpload { one_time_keys, ..KeysUpload::default() };
    engram_base::block_on(fixture.users.upload_keys(&alice.user_id, &alice.device_id, upload)).expect("uploads");
    fixture.users.session(&alice.access_token).expect("it is good")
}

#[test]
fn what_a_request_appended_before_it_was_dropped_is_seen_by_the_next() {
    for (name, ask) in ASKED_ONCE {
        let (fixture, gate) = gated();
        let (users, alice) = (&fixture.users, alice(&fixture));
        let before = fixture.views.log.len();
        let appended = || fixture.views.log.len() - before;
        gate.close();
        let closed = Closed(&gate);
        let mut first = ask(users, &alice);
        assert!(poll(first.as_mut()).is_none(), "{name}: it waits for the views");
        assert!(appended() > 0, "{name}: and has decided before");
        let records = appended();
        drop(first);
        let mut second = ask(users, &alice);
        let mut third = ask(users, &alice);
        assert!(
            poll(second.as_mut()).is_none() && poll(third.as_mut()).is_none(),
            "{name}: not before that is applied"
        );
        assert_eq!(appended(), records, "{name}: nobody decides from the past");
        // Given up at the front of its line; the third moves up.
        drop(second);
        drop(closed);
        engram_base::block_on(third);
        assert_eq!(appended(), records, "{name}: the record of the dropped request counts");
        users.decider.snapshot();
        drop(engram_base::block_on(users.register(wanted("carol"))));
        assert_eq!(users.decider.keys(), 0, "{name}: no key takes memory when all is applied");
    }
}

#[test]
fn a_logout_whose_request_is_dropped_ends_the_session_all_the_same() {
    let (fixture, gate) = gated();
    let token = fixture.register("alice").access_token;
    let session = fixture.users.session(&token).expect("it is good, and now in the cache");
    gate.close();
    let closed = Closed(&gate);
    let mut logout = Box::pin(fixture.users.logout(&session));
    assert!(poll(logout.as_mut()).is_none());
    drop(logout);
    assert!(fixture.users.session(&token).is_ok(), "nobody was told that it is over");
    drop(closed);
    fixture.views.settle();
    assert!(matches!(fixture.users.session(&token), Err(SessionError::Unknown)));
}

#[test]
fn decisions_about_different_things_do_not_wait_for_each_other() {
    let (fixture, gate) = gated();
    let session = alice(&fixture);
    let before = fixture.views.log.len();
    gate.close();
    let closed = Closed(&gate);
    let mut registrations: Vec<_> =
        (0..100).map(|number| Box::pin(fixture.users.register(wanted(&format!("user{number}"))))).collect();
    assert!(registrations.iter_mut().all(|registration| poll(registration.as_mut()).is_none()));
    let mut renamed = pin!(fixture.users.rename_device(&session.user_id, &session.device_id, Some("phone")));
    assert!(poll(renamed.as_mut()).is_none());
    assert_eq!(
        fixture.views.log.len() - before,
        3 * 100 + 1,
        "all are appended, on one thread, before anything is applied"
    );
    drop(closed);
    for registration in registrations {
        engram_base::block_on(registration).expect("the name is free");
    }
    engram_base::block_on(renamed).expect("the device is there");
}
