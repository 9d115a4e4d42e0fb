//! The authorization rules as data, in every room version (AUTH-03 to AUTH-18): somebody tries something, and may or
//! may not.

use std::ops::RangeInclusive;

use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;

use super::rig::{ALICE, BOB, CAROL, Made, Rig};
use crate::query::Verdict;

const ALL: RangeInclusive<u32> = 1..=12;
const JOIN: &str = r#"{"membership":"join"}"#;
const INVITE: &str = r#"{"membership":"invite"}"#;
const LEAVE: &str = r#"{"membership":"leave"}"#;
const BAN: &str = r#"{"membership":"ban"}"#;
const KNOCK: &str = r#"{"membership":"knock"}"#;
const MEMBER: &str = "m.room.member";

/// Sender, type, state key, content, whether the rules allow it.
type Attempt = (&'static str, &'static str, &'static str, &'static str, bool);

/// Has the attempts made in a public room in which Alice has 100, Bob 50, and others 0.
#[track_caller]
fn check(versions: RangeInclusive<u32>, attempts: &[Attempt]) {
    let numbered = |version: &&RoomVersion| version.id().parse().is_ok_and(|number: u32| versions.contains(&number));
    for version in RoomVersion::supported().filter(numbered) {
        let mut rig = Rig::room(version.id());
        rig.power(ALICE, &[(BOB, 50)]);
        for (at, (sender, event_type, state_key, content, allowed)) in attempts.iter().enumerate() {
            let made = rig.state(sender, event_type, state_key, content);
            judged(&rig, &made, *allowed, at);
        }
    }
}

#[track_caller]
fn judged(rig: &Rig, made: &Made, allowed: bool, at: usize) {
    let expected = if allowed { Verdict::Accepted } else { Verdict::Rejected };
    let version = rig.version.id();
    assert_eq!(rig.verdict(made), expected, "version {version}, attempt {at}: {}", rig.reason(made));
}

#[test]
fn a_member_event_says_a_membership() {
    check(
        ALL,
        &[
            (BOB, MEMBER, BOB, "{}", false),
            (BOB, MEMBER, BOB, r#"{"membership":"maybe"}"#, false),
            (BOB, MEMBER, BOB, JOIN, true),
        ],
    );
    for version in ["1", "6", "11", "12"] {
        let mut rig = Rig::room(version);
        let made = rig.send(ALICE, MEMBER, None, JOIN);
        judged(&rig, &made, false, 0);
    }
}

#[test]
fn who_may_join() {
    check(
        ALL,
        &[
            (BOB, MEMBER, CAROL, JOIN, false),
            (BOB, MEMBER, BOB, JOIN, true),
            (ALICE, "m.room.join_rules", "", r#"{"join_rule":"invite"}"#, true),
            (CAROL, MEMBER, CAROL, JOIN, false),
            (BOB, MEMBER, BOB, r#"{"membership":"join","displayname":"B"}"#, true),
            (ALICE, MEMBER, CAROL, INVITE, true),
            (CAROL, MEMBER, CAROL, JOIN, true),
            (ALICE, MEMBER, CAROL, BAN, true),
            (CAROL, MEMBER, CAROL, JOIN, false),
            (ALICE, "m.room.join_rules", "", r#"{"join_rule":"public"}"#, true),
            (CAROL, MEMBER, CAROL, JOIN, false),
        ],
    );
}

#[test]
fn restricted_joins_are_vouched_for() {
    const BY_ALICE: &str = r#"{"membership":"join","join_authorised_via_users_server":"@alice:one.test"}"#;
    const BY_BOB: &str = r#"{"membership":"join","join_authorised_via_users_server":"@bob:two.test"}"#;
    for (rule, first) in [("restricted", 8), ("knock_restricted", 10)] {
        let content: &'static str = match rule {
            "restricted" => r#"{"join_rule":"restricted","allow":[]}"#,
            _ => r#"{"join_rule":"knock_restricted","allow":[]}"#,
        };
        check(
            first..=12,
            &[
                (ALICE, "m.room.join_rules", "", content, true),
                (CAROL, MEMBER, CAROL, JOIN, false),
                (CAROL, MEMBER, CAROL, BY_BOB, false),
                (CAROL, MEMBER, CAROL, BY_ALICE, true),
                (ALICE, MEMBER, BOB, INVITE, true),
                (BOB, MEMBER, BOB, JOIN, true),
            ],
        );
        let before = [(ALICE, "m.room.join_rules", "", content, true), (CAROL, MEMBER, CAROL, BY_ALICE, false)];
        check(1..=first - 1, &before);
    }
}

#[test]
fn who_may_invite() {
    check(
        ALL,
        &[
            (BOB, MEMBER, CAROL, INVITE, false),
            (BOB, MEMBER, BOB, JOIN, true),
            (ALICE, MEMBER, BOB, INVITE, false),
            (BOB, MEMBER, CAROL, INVITE, true),
            (ALICE, MEMBER, CAROL, BAN, true),
            (BOB, MEMBER, CAROL, INVITE, false),
            (BOB, MEMBER, CAROL, LEAVE, true),
            (CAROL, MEMBER, CAROL, JOIN, true),
            (CAROL, MEMBER, "@dave:four.test", INVITE, true),
            (BOB, "m.room.third_party_invite", "token", "{}", true),
            (CAROL, "m.room.third_party_invite", "other", "{}", true),
        ],
    );
}

#[test]
fn who_may_leave_and_whom_others_may_remove() {
    check(
        ALL,
        &[
            (BOB, MEMBER, BOB, LEAVE, false),
            (BOB, MEMBER, BOB, JOIN, true),
            (CAROL, MEMBER, CAROL, JOIN, true),
            (CAROL, MEMBER, BOB, LEAVE, false),
            (BOB, MEMBER, ALICE, LEAVE, false),
            (BOB, MEMBER, CAROL, LEAVE, true),
            (ALICE, MEMBER, CAROL, INVITE, true),
            (CAROL, MEMBER, CAROL, LEAVE, true),
            (CAROL, MEMBER, CAROL, JOIN, true),
            (CAROL, MEMBER, BOB, BAN, false),
            (BOB, MEMBER, ALICE, BAN, false),
            (BOB, MEMBER, BOB, BAN, false),
            (BOB, MEMBER, CAROL, BAN, true),
            (CAROL, MEMBER, CAROL, LEAVE, false),
            (BOB, MEMBER, CAROL, LEAVE, true),
        ],
    );
}

#[test]
fn who_may_knock() {
    const RULES: Attempt = (ALICE, "m.room.join_rules", "", r#"{"join_rule":"knock"}"#, true);
    check(
        7..=12,
        &[
            (CAROL, MEMBER, CAROL, KNOCK, false),
            RULES,
            (BOB, MEMBER, CAROL, KNOCK, false),
            (CAROL, MEMBER, CAROL, KNOCK, true),
            (CAROL, MEMBER, CAROL, JOIN, false),
            (CAROL, MEMBER, CAROL, LEAVE, true),
            (CAROL, MEMBER, CAROL, KNOCK, true),
            (ALICE, MEMBER, CAROL, INVITE, true),
            (CAROL, MEMBER, CAROL, JOIN, true),
            (CAROL, MEMBER, CAROL, KNOCK, false),
            (ALICE, MEMBER, CAROL, BAN, true),
            (CAROL, MEMBER, CAROL, KNOCK, false),
        ],
    );
    check(1..=6, &[RULES, (CAROL, MEMBER, CAROL, KNOCK, false)]);
    let both = (ALICE, "m.room.join_rules", "", r#"{"join_rule":"knock_restricted","allow":[]}"#, true);
    check(10..=12, &[both, (CAROL, MEMBER, CAROL, KNOCK, true)]);
    check(1..=9, &[both, (CAROL, MEMBER, CAROL, KNOCK, false)]);
}

#[test]
fn what_members_may_set() {
    check(
        ALL,
        &[
            (BOB, "m.room.topic", "", "{}", false),
            (BOB, MEMBER, BOB, JOIN, true),
            (CAROL, MEMBER, CAROL, JOIN, true),
            (BOB, "m.room.topic", "", "{}", true),
            (CAROL, "m.room.topic", "", "{}", false),
            (BOB, "x.custom", BOB, "{}", true),
            (BOB, "x.custom", CAROL, "{}", false),
            (ALICE, "x.custom", CAROL, "{}", false),
        ],
    );
}

#[test]
fn aliases_once_were_a_servers_own() {
    let joined = [(BOB, MEMBER, BOB, JOIN, true), (CAROL, MEMBER, CAROL, JOIN, true)];
    let attempt = |key, allowed| -> Vec<Attempt> {
        joined.into_iter().chain([(CAROL, "m.room.aliases", key, "{}", allowed)]).collect()
    };
    check(1..=5, &attempt("three.test", true));
    check(1..=5, &attempt("one.test", false));
    check(6..=12, &attempt("three.test", false));
}

#[test]
fn redactions_once_were_a_matter_of_the_rules() {
    for version in RoomVersion::supported() {
        let mut rig = Rig::room(version.id());
        rig.join(BOB);
        rig.join(CAROL);
        let by_rules = ["1", "2"].contains(&version.id());
        let (alices, bobs) = (rig.message(ALICE, "x"), rig.message(BOB, "y"));
        let foreign = rig.redact(BOB, &alices.event_id);
        judged(&rig, &foreign, !by_rules, 0);
        let own = rig.redact(BOB, &bobs.event_id);
        judged(&rig, &own, true, 1);
        let redacted = |rig: &Rig, made: &Made| rig.stored(made).meta.redacted_by.is_some();
        assert!(!redacted(&rig, &alices) && redacted(&rig, &bobs), "version {}", version.id());
        let powerful = rig.redact(ALICE, &alices.event_id);
        judged(&rig, &powerful, true, 2);
        assert!(redacted(&rig, &alices), "version {}", version.id());
    }
}

#[test]
fn an_invitation_by_a_third_party_is_signed() {
    let key = SigningKey::from_seed("ed25519:0", [9; 32]).expect("a valid key ID");
    let signed = |mxid: &str, token: &str, key: &SigningKey| {
        let text = format!(r#"{{"mxid":"{mxid}","token":"{token}"}}"#);
        let signature = key.sign_base64(text.as_bytes());
        format!(
            r#"{{"membership":"invite","third_party_invite":{{"display_name":"c","signed":{{"mxid":"{mxid}","token":"{token}","signatures":{{"id.test":{{"ed25519:0":"{signature}"}}}}}}}}}}"#
        )
    };
    let other = SigningKey::from_seed("ed25519:0", [8; 32]).expect("a valid key ID");
    for version in RoomVersion::supported() {
        let mut rig = Rig::room(version.id());
        rig.join(BOB);
        let keys = format!(r#"{{"display_name":"c","public_keys":[{{"public_key":"{}"}}]}}"#, key.public_base64());
        rig.state(ALICE, "m.room.third_party_invite", "token", &keys);
        let attempts = [
            (ALICE, signed(CAROL, "token", &other), false),
            (ALICE, signed(CAROL, "another", &key), false),
            (ALICE, signed("@dave:four.test", "token", &key), false),
            (BOB, signed(CAROL, "token", &key), false),
            (ALICE, signed(CAROL, "token", &key), true),
        ];
        for (at, (sender, content, allowed)) in attempts.into_iter().enumerate() {
            let made = rig.state(sender, MEMBER, CAROL, &content);
            judged(&rig, &made, allowed, at);
        }
    }
}
