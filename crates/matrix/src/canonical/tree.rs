//! A JSON tree that borrows from its text. Parsed strictly, it can only hold what canonical JSON can say.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Unexpected, Visitor},
};

use super::{CanonicalError, integral, push_integer, push_loose_float, push_string};
use crate::limits;

/// A JSON value with a canonical form, or with one that old room versions agree on. Strings without escapes borrow from
/// the parsed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer within ±(2^53 − 1)
    Integer(i64),
    /// Any other number, in the words of [`push_loose_float`](super::push_loose_float): only [`Tree::parse_tolerant`]
    /// makes it
    Loose(String),
    /// A string
    String(Cow<'a, str>),
    /// An array
    Array(Vec<Tree<'a>>),
    /// An object
    Object(Object<'a>),
}

/// The entries of an object, sorted by key, each key once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Tree<'a>)>);

impl<'a> Tree<'a> {
    /// Parses one JSON value, refusing numbers that canonical JSON does not have.
    pub fn parse(json: &'a str) -> Result<Self, CanonicalError> {
        Ok(serde_json::from_str(json)?)
    }

    /// Parses one JSON value with any numbers, for room versions that allow them (1 to 5).
    pub fn parse_tolerant(json: &'a [u8]) -> Result<Self, CanonicalError> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let tree = TreeVisitor { is_tolerant: true }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(tree)
    }

    /// Appends the canonical form.
    // Recursion is bounded: the parser goes no deeper than 127 levels.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Integer(value) => push_integer(out, *value),
            Self::Loose(number) => out.push_str(number),
            Self::String(string) => push_string(out, string),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(object) => object.write(out),
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(string) = self { Some(string) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The object for change, if it is one.
    pub fn as_object_mut(&mut self) -> Option<&mut Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }
}

impl<'a> Object<'a> {
    /// Parses one JSON object.
    pub fn parse(json: &'a str) -> Result<Self, CanonicalError> {
        match Tree::parse(json)? {
            Tree::Object(object) => Ok(object),
            _ => Err(CanonicalError::NotObject),
        }
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Tree<'a>> {
        self.position(key).ok().map(|index| &self.0[index].1)
    }

    /// The value under a key, for change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Tree<'a>> {
        self.position(key).ok().map(|index| &mut self.0[index].1)
    }

    /// Sets a key.
    pub fn insert(&mut self, key: impl Into<Cow<'a, str>>, value: Tree<'a>) {
        let key = key.into();
        match self.position(&key) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (key, value)),
        }
    }

    /// Removes a key and returns what was there.
    pub fn remove(&mut self, key: &str) -> Option<Tree<'a>> {
        self.position(key).ok().map(|index| self.0.remove(index).1)
    }

    /// Keeps the entries whose key passes.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }

    /// The entries in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tree<'a>)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// Appends the canonical form.
    pub fn write(&self, out: &mut String) {
        self.write_without(out, &[]);
    }

    /// Appends the canonical form, leaving out some of the top-level keys.
    pub fn write_without(&self, out: &mut String, left_out: &[&str]) {
        out.push('{');
        let mut first = true;
        for (key, value) in self.iter().filter(|(key, _)| !left_out.contains(key)) {
            if !first {
                out.push(',');
            }
            first = false;
            push_string(out, key);
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(candidate, _)| (**candidate).cmp(key))
    }

    /// Sorts by key; of entries with one key the last stays.
    fn from_unsorted(mut entries: Vec<(Cow<'a, str>, Tree<'a>)>) -> Self {
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            // The sort is stable and dedup keeps the first, so look from the end.
            entries.reverse();
            entries.dedup_by(|a, b| a.0 == b.0);
            entries.reverse();
        }
        Self(entries)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Tree<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TreeVisitor { is_tolerant: false }.deserialize(deserializer)
    }
}

#[derive(Clone, Copy)]
struct TreeVisitor {
    is_tolerant: bool,
}

impl<'de> DeserializeSeed<'de> for TreeVisitor {
    type Value = Tree<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with a canonical form, with integers within ±(2^53 - 1)")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        if value.unsigned_abs() > limits::INTEGER_MAX.unsigned_abs() {
            if self.is_tolerant {
                return Ok(Tree::Loose(value.to_string()));
            }
            return Err(E::invalid_value(Unexpected::Signed(value), &self));
        }
        Ok(Tree::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) if self.is_tolerant => Ok(Tree::Loose(value.to_string())),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        if self.is_tolerant {
            let mut text = String::new();
            push_loose_float(&mut text, value);
            return Ok(Tree::Loose(text));
        }
        integral(value).map(Tree::Integer).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Tree::String(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Tree::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Tree::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            entries.push((key, map.next_value_seed(self)?));
        }
        Ok(Tree::Object(Object::from_unsorted(entries)))
    }
}

/// Reads a string, borrowed where the text allows it (serde's own `Cow` is always owned).
pub(crate) struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}
