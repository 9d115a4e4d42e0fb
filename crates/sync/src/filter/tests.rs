//! What passes a filter and what does not.

use engram_matrix::RoomVersion;

use super::*;

fn pdu(event_type: &str, sender: &str, content: &str) -> Pdu {
    let json = format!(
        r#"{{"auth_events":[],"content":{content},"depth":1,"hashes":{{"sha256":"x"}},"origin_server_ts":1,"prev_events":[],"room_id":"!r:a","sender":"{sender}","signatures":{{}},"type":"{event_type}"}}"#
    );
    let version = RoomVersion::parse("11").expect("known");
    Pdu::parse(version, "$e", "!r:a", json.into_bytes()).expect("a valid event")
}

fn check(filter: &str, event: &Pdu, passes: bool) {
    let filter = RoomEventFilter::parse(filter).expect("a valid filter");
    assert_eq!(filter.event(event), passes, "{filter:?}");
}

#[test]
fn not_lists_win_over_their_counterparts() {
    let event = pdu("m.room.message", "@a:a", r#"{"body":"x"}"#);
    check("{}", &event, true);
    check(r#"{"types":[]}"#, &event, false);
    check(r#"{"types":["m.room.message"]}"#, &event, true);
    check(r#"{"types":["m.room.*"],"not_types":["m.room.message"]}"#, &event, false);
    check(r#"{"senders":["@a:a"]}"#, &event, true);
    check(r#"{"senders":["@a:a"],"not_senders":["@a:a"]}"#, &event, false);
    check(r#"{"senders":["@b:a"]}"#, &event, false);
    check(r#"{"not_senders":["@b:a"]}"#, &event, true);
}

#[test]
fn contains_url_looks_at_the_content() {
    let with = pdu("m.room.message", "@a:a", r#"{"url":"mxc://a/b"}"#);
    let without = pdu("m.room.message", "@a:a", r#"{"body":"url"}"#);
    check(r#"{"contains_url":true}"#, &with, true);
    check(r#"{"contains_url":true}"#, &without, false);
    check(r#"{"contains_url":false}"#, &with, false);
    check(r#"{"contains_url":false}"#, &without, true);
}

#[test]
fn stars_match_any_sequence() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("*", "a.b", true),
        ("m.*", "m.room", true),
        ("m.*", "n.room", false),
        ("*.message", "m.room.message", true),
        ("m.*.message", "m.room.message", true),
        ("m.*.message", "m.message", false),
        ("a*a", "a", false),
        ("a*b*c", "aXbYc", true),
        ("a*b*c", "aXcYb", false),
        ("m.room", "m.room.message", false),
        ("a**b", "ab", true),
    ] {
        assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn malformed_filters_are_refused() {
    for json in [
        "",
        "[]",
        r#"{"presence":"x"}"#,
        r#"{"room":{"timeline":"x"}}"#,
        r#"{"room":{"state":{"lazy_load_members":"true"}}}"#,
        r#"{"room":{"state":{"lazy_load_members":1}}}"#,
        r#"{"room":{"timeline":{"senders":["alice"]}}}"#,
        r#"{"room":{"rooms":["lobby"]}}"#,
        r#"{"room":{"timeline":{"limit":-1}}}"#,
        r#"{"event_format":"xml"}"#,
    ] {
        assert!(Filter::parse(json).is_err(), "{json}");
    }
    let filter =
        Filter::parse(r#"{"room":{"timeline":{"limit":3,"unknown":1}},"unknown":[]}"#).expect("unknown fields pass");
    assert_eq!(filter.room.timeline.event.limit(10, 100), 3);
    assert_eq!(filter.room.state.event.limit(10, 100), 10);
}

#[test]
fn event_fields_keep_what_they_name() {
    let fields = Fields::new(&["type".into(), "content.body".into(), r"content.m\.x".into(), "content.none".into()]);
    let kept = fields.apply(r#"{"type":"t","sender":"s","content":{"body":"b","m.x":1,"other":2}}"#.into());
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("valid");
    assert_eq!(kept, serde_json::json!({"type": "t", "content": {"body": "b", "m.x": 1}}));
}
