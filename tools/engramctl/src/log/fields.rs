//! A record's payload as named fields: the one place where lines for people and JSON for machines come from.

use std::fmt::Write as _;

use engram_log_format::{Input, v1};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::output;

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Nothing.
    Null,
    Flag(bool),
    Number(u64),
    Text(String),
    /// JSON, as the bytes that are in the log.
    Json(Vec<u8>),
    List(Vec<Field>),
    Object(Fields),
    /// Hidden unless asked for.
    Secret(Box<Field>),
}

/// Fields in the order of their type's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(&'static str, Field)>);

/// What is printed in the place of a secret.
const HIDDEN: &str = "(hidden)";

macro_rules! field {
    ($value:expr) => {
        Field::from($value)
    };
    ($value:expr, secret) => {
        Field::from($value).secret()
    };
}

// The patterns name every field of every type: one that is missing here does not compile.
macro_rules! fields {
    ($($variant:ident { $($field:ident $(: $how:ident)?),* })*) => {
        impl From<Input> for Fields {
            fn from(input: Input) -> Self {
                match input {
                    $(Input::$variant(v1::$variant { $($field),* }) => {
                        Self(vec![$((stringify!($field), field!($field $(, $how)?))),*])
                    })*
                }
            }
        }
    };
}

macro_rules! objects {
    ($($name:ident { $($field:ident),* })*) => {
        $(impl From<v1::$name> for Field {
            fn from(v1::$name { $($field),* }: v1::$name) -> Self {
                Self::Object(Fields(vec![$((stringify!($field), Field::from($field))),*]))
            }
        })*
    };
}

fields! {
    Genesis { server_name, software }
    OffsetLease { below }
    Started { software, after_unclean_stop }
    CleanShutdown { next }
    Erased { reason, records }
    Pdu { room_id, event_id, room_version, source, json, transaction, verified_keys }
    StateGiven { room_id, event_id, state, server, anew }
    RoomsRejudged { room_ids, view_version }
    AccountCreated { user_id, password_hash: secret, admin, guest, registration_token: secret, appservice_id }
    PasswordSet { user_id, password_hash: secret }
    AccountDeactivated { user_id, erase }
    RegistrationTokenCreated { token: secret, uses_allowed, expires_ms }
    DeviceLoggedIn { user_id, device_id, access_token_digest: secret, display_name, expires_ms, ip }
    DevicesRemoved { user_id, device_ids }
    DeviceRenamed { user_id, device_id, display_name }
    ProfileFieldSet { user_id, key, value }
    AccountDataSet { user_id, room_id, event_type, content }
    FilterCreated { user_id, filter_id, filter }
    DeviceKeysUploaded { user_id, device_id, device_keys, one_time_keys, fallback_keys }
    KeysClaimed { claims }
    CrossSigningKeysUploaded { user_id, master_key, self_signing_key, user_signing_key }
    KeySignaturesUploaded { user_id, signed }
    ToDeviceSent { sender, event_type, messages, transaction }
    ToDeviceDelivered { user_id, device_id, through }
    RoomForgotten { user_id, room_id }
    RoomAliasSet { alias, room_id, user_id }
    RoomPublished { room_id, published }
    ReceiptSent { room_id, user_id, receipt_type, event_id, thread_id, at_ms }
    TypingSet { room_id, user_id, until_ms }
    PresenceSet { user_id, presence, status_msg, last_active_ms, currently_active }
    EffectDelivered { effect, target, since, item }
}

objects! {
    ErasedRecord { offset, replacement }
    Transaction { user_id, device_id, transaction_id }
    NamedJson { name, json }
    KeyClaim { user_id, device_id, key_id, fallback }
    SignedKey { user_id, key_id, json }
    ToDeviceMessage { user_id, device_id, content }
}

impl From<bool> for Field {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Field {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Field {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Byte strings of variable length in payloads are JSON, all of them.
impl From<Vec<u8>> for Field {
    fn from(json: Vec<u8>) -> Self {
        Self::Json(json)
    }
}

/// Those of fixed length are digests.
impl From<[u8; 32]> for Field {
    fn from(digest: [u8; 32]) -> Self {
        Self::Text(output::hex(&digest))
    }
}

impl From<v1::PduSource> for Field {
    fn from(source: v1::PduSource) -> Self {
        let name = match source {
            v1::PduSource::Local => "local",
            v1::PduSource::Federation => "federation",
            v1::PduSource::Backfill => "backfill",
            v1::PduSource::Outlier => "outlier",
        };
        Self::Text(name.to_owned())
    }
}

impl<T: Into<Field>> From<Option<T>> for Field {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! lists {
    ($($item:ty),*) => {
        $(impl From<Vec<$item>> for Field {
            fn from(items: Vec<$item>) -> Self {
                Self::List(items.into_iter().map(Into::into).collect())
            }
        })*
    };
}

lists!(String, v1::ErasedRecord, v1::NamedJson, v1::KeyClaim, v1::SignedKey, v1::ToDeviceMessage);

impl Field {
    fn secret(self) -> Self {
        if self == Self::Null { self } else { Self::Secret(Box::new(self)) }
    }
}

impl Fields {
    /// A field by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, field)| field)
    }

    /// A text by its name.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Field::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Takes the veil off what is secret.
    pub(crate) fn reveal(&mut self) {
        for (_, field) in &mut self.0 {
            if let Field::Secret(secret) = field {
                *field = std::mem::replace(secret, Field::Null);
            }
        }
    }

    /// For people: `user_id=@alice:localhost admin=true`, without what is not set, values shortened.
    pub(crate) fn summary(&self, chars_max: usize) -> String {
        let mut line = String::new();
        for (name, field) in self.0.iter().filter(|(_, field)| *field != Field::Null) {
            let value = match field {
                Field::Text(text) => output::printable(text),
                Field::Json(json) => output::printable(&String::from_utf8_lossy(json)),
                Field::Secret(_) => HIDDEN.to_owned(),
                field => output::printable(&serde_json::to_string(field).unwrap_or_default()),
            };
            let space = if line.is_empty() { "" } else { " " };
            write!(line, "{space}{name}={}", output::shorten(&value, chars_max))
                .expect("writing to a string cannot fail");
        }
        line
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, field) in &self.0 {
            map.serialize_entry(name, field)?;
        }
        map.end()
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Json(json) => serialize_json(json, serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(fields) => fields.serialize(serializer),
            Self::Secret(_) => serializer.serialize_str(HIDDEN),
        }
    }
}

/// Embeds JSON as it is, so that numbers keep their digits; what is none becomes a text.
fn serialize_json<S: Serializer>(json: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    // Line breaks in JSON are only ever between tokens, and a record is one line.
    let text = String::from_utf8_lossy(json).replace(['\n', '\r'], " ");
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(raw) => raw.serialize(serializer),
        Err(_) => serializer.serialize_str(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(input: impl Into<Input>) -> String {
        serde_json::to_string(&Fields::from(input.into())).expect("plain values")
    }

    #[test]
    fn json_is_embedded_as_it_is_on_one_line() {
        let set = |value: &str| v1::ProfileFieldSet {
            user_id: "@a:b".to_owned(),
            key: "k".to_owned(),
            value: Some(value.as_bytes().to_vec()),
        };
        assert_eq!(json(set("{\"n\":\n1.50}")), r#"{"user_id":"@a:b","key":"k","value":{"n": 1.50}}"#);
        assert_eq!(json(set("{no")), r#"{"user_id":"@a:b","key":"k","value":"{no"}"#);
    }

    #[test]
    fn secrets_are_shown_on_request_only() {
        let created = v1::AccountCreated {
            user_id: "@a:b".to_owned(),
            password_hash: Some("$argon2id$x".to_owned()),
            admin: true,
            guest: false,
            registration_token: None,
            appservice_id: None,
        };
        let mut fields = Fields::from(Input::from(created));
        assert_eq!(fields.summary(80), "user_id=@a:b password_hash=(hidden) admin=true guest=false");
        let hidden = serde_json::to_string(&fields).expect("plain values");
        assert!(!hidden.contains("argon2") && hidden.contains(r#""registration_token":null"#), "{hidden}");
        fields.reveal();
        assert!(serde_json::to_string(&fields).expect("plain values").contains("$argon2id$x"));
    }

    #[test]
    fn lists_and_objects_are_whole() {
        let claim = v1::KeyClaim {
            user_id: "@a:b".to_owned(),
            device_id: "D".to_owned(),
            key_id: "curve25519:1".to_owned(),
            fallback: true,
        };
        let expected = r#"{"claims":[{"user_id":"@a:b","device_id":"D","key_id":"curve25519:1","fallback":true}]}"#;
        assert_eq!(json(v1::KeysClaimed { claims: vec![claim] }), expected);
    }
}
