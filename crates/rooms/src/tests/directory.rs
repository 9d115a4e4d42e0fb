//! Aliases, published rooms, forgotten rooms.

use engram_log_format::v1;

use super::rig::{ALICE, BOB, Rig};
use crate::query;

fn alias(alias: &str, room_id: Option<&str>, user_id: &str) -> v1::RoomAliasSet {
    v1::RoomAliasSet { alias: alias.to_owned(), room_id: room_id.map(str::to_owned), user_id: user_id.to_owned() }
}

#[test]
fn aliases_point_to_rooms_until_they_are_removed() {
    let rig = Rig::empty("12");
    let log = &rig.views.log;
    log.journal(alias("#a:one.test", Some("!r:one.test"), ALICE), 1);
    log.journal(alias("#b:one.test", Some("!r:one.test"), BOB), 2);
    log.journal(alias("#c:one.test", Some("!r:one.testing"), BOB), 3);
    log.journal(alias("#b:one.test", Some("!s:one.test"), ALICE), 4);
    let snapshot = rig.snapshot();
    assert_eq!(query::aliases(&*snapshot, "!r:one.test").unwrap(), ["#a:one.test"]);
    assert_eq!(query::alias(&*snapshot, "#b:one.test").unwrap().as_deref(), Some("!s:one.test"));
    assert_eq!(query::alias_creator(&*snapshot, "#b:one.test").unwrap().as_deref(), Some(ALICE));
    log.journal(alias("#a:one.test", None, ALICE), 5);
    log.journal(alias("#never:one.test", None, ALICE), 6);
    let snapshot = rig.snapshot();
    assert!(query::aliases(&*snapshot, "!r:one.test").unwrap().is_empty());
    assert_eq!(query::alias(&*snapshot, "#a:one.test").unwrap(), None);
    assert_eq!(query::alias(&*snapshot, "").unwrap(), None);
}

#[test]
fn rooms_are_published_and_taken_back() {
    let rig = Rig::empty("12");
    let set = |published| v1::RoomPublished { room_id: "!r:one.test".to_owned(), published };
    rig.views.log.journal(set(true), 1);
    assert!(query::is_published(&*rig.snapshot(), "!r:one.test").unwrap());
    rig.views.log.journal(set(false), 2);
    assert!(!query::is_published(&*rig.snapshot(), "!r:one.test").unwrap());
}

#[test]
fn a_room_is_forgotten_after_leaving_and_remembered_on_the_next_invitation() {
    let mut rig = Rig::room("11");
    rig.join(BOB);
    let forgotten = |rig: &Rig| query::rooms_of(&*rig.snapshot(), BOB).unwrap()[0].forgotten;
    let forget = v1::RoomForgotten { user_id: BOB.to_owned(), room_id: rig.room_id.clone() };
    rig.views.log.journal(forget.clone(), 1);
    assert!(!forgotten(&rig), "a member cannot forget");
    rig.member(BOB, BOB, "leave");
    rig.views.log.journal(forget, 2);
    assert!(forgotten(&rig));
    rig.member(ALICE, BOB, "ban");
    assert!(forgotten(&rig), "what others do to who has left does not bring the room back");
    rig.member(ALICE, BOB, "leave");
    rig.member(ALICE, BOB, "invite");
    assert!(!forgotten(&rig));
}
