//! Canonical JSON: shortest UTF-8 form, keys sorted by code point, integers within ±(2^53 − 1), no floats.
//!
//! A number written with a fraction or an exponent is taken when its value is such an integer (`1e10`, `-0`, as in the
//! specification's examples) and refused otherwise. Of duplicate keys the last one counts.

mod tree;
mod write;

pub(crate) use self::tree::KeySeed;
pub use self::{
    tree::{Object, Tree},
    write::{push_integer, push_loose_float, push_string},
};
use crate::limits;

/// Why a text has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Not JSON at all, or nested deeper than 127 levels.
    #[error("not valid JSON: {0}")]
    Syntax(serde_json::Error),
    /// JSON, but with a number that canonical JSON does not have.
    #[error("no canonical form: {0}")]
    Number(serde_json::Error),
    /// A JSON value of which an object was expected.
    #[error("expected a JSON object")]
    NotObject,
    /// A number outside ±(2^53 − 1) or with a fraction.
    #[error("number {0} is not an integer within ±(2^53 - 1)")]
    NotInteger(String),
}

impl From<serde_json::Error> for CanonicalError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() { Self::Number(error) } else { Self::Syntax(error) }
    }
}

/// The canonical form of a parsed value.
pub fn to_canonical(value: &serde_json::Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = String::with_capacity(256);
    write_value(&mut out, value)?;
    Ok(out.into_bytes())
}

/// The canonical form of a JSON text.
pub fn canonicalize_str(json: &str) -> Result<Vec<u8>, CanonicalError> {
    let mut out = String::with_capacity(json.len());
    Tree::parse(json)?.write(&mut out);
    Ok(out.into_bytes())
}

// The recursion is bounded: serde_json parses no deeper than 127 levels.
fn write_value(out: &mut String, value: &serde_json::Value) -> Result<(), CanonicalError> {
    use serde_json::Value;
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => push_integer(out, canonical_number(number)?),
        Value::String(string) => push_string(out, string),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            // The map may keep insertion order, depending on features other crates switch on.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_string(out, key);
                out.push(':');
                write_value(out, item)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn canonical_number(number: &serde_json::Number) -> Result<i64, CanonicalError> {
    number
        .as_i64()
        .filter(|value| value.unsigned_abs() <= limits::INTEGER_MAX.unsigned_abs())
        .or_else(|| number.as_f64().filter(|_| number.is_f64()).and_then(integral))
        .ok_or_else(|| CanonicalError::NotInteger(number.to_string()))
}

/// The integer that a float stands for, if it is one canonical JSON can hold.
fn integral(value: f64) -> Option<i64> {
    #[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is exact in a float")]
    let max = limits::INTEGER_MAX as f64;
    (value.fract() == 0.0 && value.abs() <= max).then_some(value as i64)
}

#[cfg(test)]
mod tests;
