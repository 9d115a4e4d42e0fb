//! JSON that is kept as the text that was received, and the few things that are read from it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::strict::{self, Numbers};

/// One JSON value, kept as its exact text.
pub type RawJson = Box<RawValue>;

/// What stands for an object of an old log that not everybody could read: whoever is handed it finds nothing in it.
const EMPTY: &str = "{}";

/// Parses bytes from a record or a row; none if they are no JSON (a writer never lets that happen). What no longer
/// comes in, but may be in an old log, becomes an empty object: it must not spoil the answer that it is a part of.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<RawJson> {
    let json: RawJson = serde_json::from_slice(bytes).ok()?;
    if strict::check(&json, Numbers::Any).is_ok() {
        return Some(json);
    }
    Some(RawValue::from_string(EMPTY.to_owned()).expect("an empty object is JSON"))
}

/// Whether there is something in an object or a string.
pub(crate) fn is_empty(json: &RawValue) -> bool {
    matches!(json.get(), EMPTY | "\"\"")
}

/// An object from its text.
pub(crate) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(bytes).ok()
}

/// The text of an object.
pub(crate) fn to_raw(object: &Map<String, Value>) -> RawJson {
    serde_json::value::to_raw_value(object).expect("an object with string keys has a text")
}

/// Whether a text is a JSON object.
pub(crate) fn is_object(json: &RawValue) -> bool {
    json.get().trim_start().starts_with('{')
}

/// Whether two key objects have the same `keys`.
pub(crate) fn same_keys(left: &[u8], right: &[u8]) -> bool {
    match (object(left), object(right)) {
        (Some(left), Some(right)) => left.get("keys") == right.get("keys"),
        _ => false,
    }
}

/// Whether two keys are the same but for `signatures` and `unsigned`.
pub(crate) fn same_unsigned(left: &str, right: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok().map(without_signatures);
    matches!((parse(left), parse(right)), (Some(left), Some(right)) if left == right)
}

/// What is signed of a value: all but `signatures` and `unsigned`.
pub(crate) fn without_signatures(mut value: Value) -> Value {
    if let Value::Object(object) = &mut value {
        object.remove("signatures");
        object.remove("unsigned");
    }
    value
}

/// Key ID and public key of a cross-signing key, which has exactly one.
pub(crate) fn single_key(json: &[u8]) -> Option<(String, String)> {
    let object = object(json)?;
    let mut keys = object.get("keys")?.as_object()?.iter();
    let (Some((key_id, key)), None) = (keys.next(), keys.next()) else {
        return None;
    };
    Some((key_id.clone(), key.as_str()?.to_owned()))
}

/// The signatures that one user made in an object: signing key ID → signature.
pub(crate) fn signatures_by(json: &[u8], signer: &str) -> BTreeMap<String, String> {
    let object = object(json).unwrap_or_default();
    let signatures = object.get("signatures").and_then(|all| all.get(signer)).and_then(Value::as_object);
    signatures
        .into_iter()
        .flatten()
        .filter_map(|(key_id, signature)| Some((key_id.clone(), signature.as_str()?.to_owned())))
        .collect()
}
