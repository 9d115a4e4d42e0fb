//! The rows with more than one field, and their bytes.

use engram_base::{Key, Parts};
use engram_log::Offset;

use crate::token::TokenDigest;

const ADMIN: u8 = 1;
const GUEST: u8 = 2;
const DEACTIVATED: u8 = 4;
const ERASED: u8 = 8;

/// Row of `users.accounts`: flags (byte), created (number), password hash, application service (optional strings).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about an account, not a state")]
pub(crate) struct AccountRow {
    pub(crate) admin: bool,
    pub(crate) guest: bool,
    pub(crate) deactivated: bool,
    pub(crate) erased: bool,
    pub(crate) created_ms: u64,
    pub(crate) password_hash: Option<String>,
    pub(crate) appservice_id: Option<String>,
}

impl AccountRow {
    pub(crate) fn encode(&self) -> Key {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.admin, ADMIN)
            | flag(self.guest, GUEST)
            | flag(self.deactivated, DEACTIVATED)
            | flag(self.erased, ERASED);
        Key::new()
            .byte(flags)
            .number(self.created_ms)
            .optional_string(self.password_hash.as_deref())
            .optional_string(self.appservice_id.as_deref())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Parts(bytes);
        let flags = parts.byte()?;
        let row = Self {
            admin: flags & ADMIN != 0,
            guest: flags & GUEST != 0,
            deactivated: flags & DEACTIVATED != 0,
            erased: flags & ERASED != 0,
            created_ms: parts.number()?,
            password_hash: parts.optional_string()?,
            appservice_id: parts.optional_string()?,
        };
        parts.end()?;
        Some(row)
    }
}

/// Row of `users.devices`: token digest (32 bytes), last login (number), expiry (optional number), display name,
/// address of the last login (optional strings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceRow {
    pub(crate) token_digest: TokenDigest,
    pub(crate) last_login_ms: u64,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) display_name: Option<String>,
    pub(crate) ip: Option<String>,
}

impl DeviceRow {
    pub(crate) fn encode(&self) -> Key {
        Key::new()
            .array(&self.token_digest)
            .number(self.last_login_ms)
            .optional_number(self.expires_ms)
            .optional_string(self.display_name.as_deref())
            .optional_string(self.ip.as_deref())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Parts(bytes);
        let row = Self {
            token_digest: parts.array()?,
            last_login_ms: parts.number()?,
            expires_ms: parts.optional_number()?,
            display_name: parts.optional_string()?,
            ip: parts.optional_string()?,
        };
        parts.end()?;
        Some(row)
    }
}

/// Row of `users.registration_tokens`: uses allowed, expiry (optional numbers), uses so far (number).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RegistrationTokenRow {
    pub(crate) uses_allowed: Option<u64>,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) used: u64,
}

impl RegistrationTokenRow {
    pub(crate) fn encode(self) -> Key {
        Key::new().optional_number(self.uses_allowed).optional_number(self.expires_ms).number(self.used)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Parts(bytes);
        let row = Self {
            uses_allowed: parts.optional_number()?,
            expires_ms: parts.optional_number()?,
            used: parts.number()?,
        };
        parts.end()?;
        Some(row)
    }
}

/// Row of `users.one_time_key_ids`, and the end of a row of `users.fallback_keys`: where a key's JSON is, as the offset
/// of its record (number) and its position there (index).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyPlace {
    pub(crate) offset: Offset,
    pub(crate) index: u32,
}

impl KeyPlace {
    pub(crate) fn encode(self) -> Key {
        Key::new().offset(self.offset).index(self.index)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Parts(bytes);
        let place = Self { offset: parts.offset()?, index: parts.index()? };
        parts.end()?;
        Some(place)
    }
}

/// Row of `users.fallback_keys`: used (byte), place, `algorithm:id` (text).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FallbackRow {
    pub(crate) used: bool,
    pub(crate) place: KeyPlace,
    pub(crate) key_id: String,
}

impl FallbackRow {
    pub(crate) fn encode(&self) -> Key {
        Key::new().byte(u8::from(self.used)).offset(self.place.offset).index(self.place.index).text(&self.key_id)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Parts(bytes);
        let row = Self {
            used: parts.flag()?,
            place: KeyPlace { offset: parts.offset()?, index: parts.index()? },
            key_id: parts.text()?.to_owned(),
        };
        parts.end()?;
        Some(row)
    }
}

/// Row of `users.cross_signing_keys`: the record (number), the public key in unpadded base64 (text).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrossSigningRow {
    pub(crate) offset: Offset,
    pub(crate) public_key: String,
}

impl CrossSigningRow {
    pub(crate) fn encode(&self) -> Key {
        Key::new().offset(self.offset).text(&self.public_key)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Parts(bytes);
        let row = Self { offset: parts.offset()?, public_key: parts.text()?.to_owned() };
        parts.end()?;
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn account_rows_come_back(flags in 0_u8..16, created_ms: u64, hash in proptest::option::of(".{0,90}")) {
            let row = AccountRow {
                admin: flags & 1 != 0,
                guest: flags & 2 != 0,
                deactivated: flags & 4 != 0,
                erased: flags & 8 != 0,
                created_ms,
                password_hash: hash.clone(),
                appservice_id: hash,
            };
            prop_assert_eq!(AccountRow::decode(&row.encode()), Some(row));
        }

        #[test]
        fn device_rows_come_back(digest: [u8; 32], last: u64, expires: Option<u64>, name in proptest::option::of(".{0,30}")) {
            let row = DeviceRow {
                token_digest: digest,
                last_login_ms: last,
                expires_ms: expires,
                display_name: name,
                ip: None,
            };
            let bytes = row.encode();
            prop_assert_eq!(DeviceRow::decode(&bytes), Some(row));
            prop_assert_eq!(DeviceRow::decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
