//! What JSON must be before it is stored and handed on to others as it came.
//!
//! A text that is JSON by its grammar can still hold numbers that nobody can represent, halves of characters, nesting
//! without end, and a key twice, of which each reader takes another. One reader of it fails, the next understands
//! something else, and an answer that contains it cannot be read at all. So it is looked through once on the way in;
//! and what an old log may hold of the kind is passed over on the way out.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits::JSON_DEPTH_MAX;

/// Largest integer of canonical JSON, and with a minus sign the smallest (specification, canonical JSON).
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Which numbers there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// All that a 64-bit float holds.
    Any,
    /// Those of canonical JSON: what is signed has no others.
    Canonical,
}

/// Why a text must not be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON that everybody reads alike: {0}")]
pub struct Unsound(String);

/// Looks through a JSON text.
pub(crate) fn check(json: &RawValue, numbers: Numbers) -> Result<(), Unsound> {
    check_text(json.get(), numbers)
}

/// [`check`] of a text that may be no JSON at all.
pub(crate) fn check_text(json: &str, numbers: Numbers) -> Result<(), Unsound> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let looked = Look { numbers, depth_left: JSON_DEPTH_MAX }.deserialize(&mut reader).and_then(|()| reader.end());
    looked.map_err(|error| Unsound(error.to_string()))
}

/// A value that is looked at and not built. Recursion is bounded by the depth that is left.
#[derive(Clone, Copy)]
struct Look {
    numbers: Numbers,
    depth_left: usize,
}

impl Look {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("it is nested too deeply"))?;
        Ok(Self { depth_left, ..self })
    }

    fn integer<E: Error>(self, magnitude: u64) -> Result<(), E> {
        match self.numbers {
            Numbers::Canonical if magnitude > INTEGER_MAX => Err(E::custom("an integer is too large")),
            _ => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Look {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.integer(number.unsigned_abs())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.integer(number)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        match self.numbers {
            Numbers::Any => Ok(()),
            Numbers::Canonical => Err(E::custom("a number is no integer")),
        }
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while items.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        let mut keys: HashSet<String> = HashSet::new();
        while let Some(key) = members.next_key()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("an object has a key twice"));
            }
            members.next_value_seed(deeper)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn sound(json: &str, any: bool, canonical: bool) {
        let found = [Numbers::Any, Numbers::Canonical].map(|numbers| check_text(json, numbers).is_ok());
        assert_eq!(found, [any, canonical], "{json}");
    }

    #[test]
    fn what_readers_would_not_understand_alike_is_unsound() {
        sound(r#"{"a": [1, -1, true, null, "\ud83d\ude00"], "b": {"a": {}}}"#, true, true);
        sound("0.5", true, false);
        sound("1e3", true, false);
        sound("9007199254740991", true, true);
        sound("-9007199254740992", true, false);
        sound("18446744073709551616", true, false);
        sound("1e999", false, false);
        sound(r#""\ud800""#, false, false);
        sound(r#"{"\udc00": 1}"#, false, false);
        sound(r#"{"a": 1, "b": 2, "\u0061": 3}"#, false, false);
        sound("{} {}", false, false);
        sound("nonsense", false, false);
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        sound(&nested(JSON_DEPTH_MAX), true, true);
        sound(&nested(JSON_DEPTH_MAX + 1), false, false);
    }
}
