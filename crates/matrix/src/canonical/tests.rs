//! Canonical JSON against the specification's examples and against ruma.

use proptest::prelude::*;
use ruma::CanonicalJsonValue;
use serde_json::Value;

use super::{canonicalize_str, to_canonical};

#[track_caller]
fn check(input: &str, expected: &str) {
    let bytes = canonicalize_str(input).expect("has a canonical form");
    assert_eq!(std::str::from_utf8(&bytes), Ok(expected));
    let value: Value = serde_json::from_str(input).expect("JSON");
    assert_eq!(to_canonical(&value).expect("has a canonical form"), bytes);
}

#[test]
fn examples_of_the_appendices() {
    check("{}", "{}");
    check("{\n  \"one\": 1,\n  \"two\": \"Two\"\n}", r#"{"one":1,"two":"Two"}"#);
    check(r#"{"b":"2","a":"1"}"#, r#"{"a":"1","b":"2"}"#);
    check(
        r#"{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe",
            "three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}"#,
        r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
    );
    check(r#"{"a":"日本語"}"#, r#"{"a":"日本語"}"#);
    check(r#"{"本":2,"日":1}"#, r#"{"日":1,"本":2}"#);
    check(r#"{"a":"\u65E5"}"#, r#"{"a":"日"}"#);
    check(r#"{"a":null}"#, r#"{"a":null}"#);
    check(r#"{"a":-0,"b":1e10}"#, r#"{"a":0,"b":10000000000}"#);
}

#[test]
fn keys_sort_by_code_point_not_by_utf16_unit() {
    check("{\"\u{1F600}\":1,\"\u{FFFD}\":2}", "{\"\u{FFFD}\":2,\"\u{1F600}\":1}");
}

#[test]
fn control_characters_are_escaped_shortest() {
    check(
        r#""\u0000\u0008\u0009\u000A\u000b\u000c\u000D\u001F\u0022\/\\\u007f""#,
        "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\\"/\\\\\u{7f}\"",
    );
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    check(r#"{"b":0,"a":1,"a":2,"a":3}"#, r#"{"a":3,"b":0}"#);
}

#[test]
fn integers_end_at_two_to_the_53() {
    check("[9007199254740991,-9007199254740991]", "[9007199254740991,-9007199254740991]");
    for text in
        ["9007199254740992", "-9007199254740992", "18446744073709551615", "1.5", "1e300", "-9223372036854775808"]
    {
        canonicalize_str(text).expect_err(text);
        to_canonical(&serde_json::from_str(text).expect("JSON")).expect_err(text);
    }
}

#[test]
fn broken_text_is_told_from_bad_numbers() {
    assert!(matches!(canonicalize_str("{"), Err(super::CanonicalError::Syntax(_))));
    assert!(matches!(canonicalize_str("\"\\ud800\""), Err(super::CanonicalError::Syntax(_))));
    assert!(matches!(canonicalize_str("[0.5]"), Err(super::CanonicalError::Number(_))));
    canonicalize_str(&"[".repeat(100_000)).expect_err("nested too deeply");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[\\x00-\\x7f]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn equals_ruma_and_is_a_fixed_point(value in any_json()) {
        let ours = to_canonical(&value).expect("only canonical values are generated");
        let ruma: CanonicalJsonValue = value.clone().try_into().expect("only canonical values are generated");
        prop_assert_eq!(std::str::from_utf8(&ours).expect("UTF-8"), ruma.to_string());
        let pretty = serde_json::to_string_pretty(&value).expect("serialises");
        prop_assert_eq!(&canonicalize_str(&pretty).expect("canonical"), &ours);
        let again = canonicalize_str(std::str::from_utf8(&ours).expect("UTF-8")).expect("canonical");
        prop_assert_eq!(again, ours);
    }
}

#[test]
fn numbers_of_old_room_versions_keep_their_form() {
    let check = |text: &str, expected: &str| {
        let mut out = String::new();
        super::Tree::parse_tolerant(text.as_bytes()).expect("JSON").write(&mut out);
        assert_eq!(out, expected);
    };
    // The right sides are what Python's json module writes.
    check("[1.5,10.0,-0.0,1e10]", "[1.5,10.0,-0.0,10000000000.0]");
    check("[1e16,1.5e300,0.0001,0.00001,1e-7]", "[1e+16,1.5e+300,0.0001,1e-05,1e-07]");
    check(
        "[9007199254740993,-9223372036854775808,18446744073709551615]",
        "[9007199254740993,-9223372036854775808,18446744073709551615]",
    );
    check("[0.1,123456789012345680.0]", "[0.1,1.2345678901234568e+17]");
    check(r#"{"b":[{"d":1.0,"c":2}],"a":1}"#, r#"{"a":1,"b":[{"c":2,"d":1.0}]}"#);
    super::Tree::parse_tolerant(b"{} x").expect_err("trailing text");
}
