//! Validity of identifiers, and the one helper that takes them apart.
//!
//! Room IDs are opaque: nothing here, and nothing elsewhere, takes a domain out of one.

use ruma::{OwnedServerName, RoomAliasId, RoomId, ServerName, UserId};

use crate::limits::ID_BYTES_MAX;

/// Whether a new account may have this localpart: `a-z 0-9 . _ = - / +`, not empty.
pub fn is_new_localpart(localpart: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte);
    !localpart.is_empty() && localpart.bytes().all(allowed)
}

/// Whether this is a user ID that a new account may have.
pub fn is_new_user_id(user_id: &str) -> bool {
    is_user_id(user_id) && localpart(user_id).is_some_and(is_new_localpart)
}

/// Whether this is a user ID as events may hold it, the historical ones included: any localpart without `:` and NUL.
pub fn is_user_id(user_id: &str) -> bool {
    user_id.len() <= ID_BYTES_MAX
        && <&UserId>::try_from(user_id).is_ok()
        && localpart(user_id).is_some_and(|part| !part.contains('\0'))
}

/// Whether a user ID may be shown to clients outside events: localpart not empty and within U+0021 to U+007E.
pub fn is_compliant_user_id(user_id: &str) -> bool {
    is_user_id(user_id)
        && localpart(user_id).is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Whether this is a room ID: `!opaque:domain`, or from room version 12 `!` and 43 characters of URL-safe base64.
pub fn is_room_id(room_id: &str) -> bool {
    let Some(opaque) = room_id.strip_prefix('!') else {
        return false;
    };
    let well_formed = match opaque.split_once(':') {
        Some((local, domain)) => !local.is_empty() && is_server_name(domain),
        None => is_url_safe_hash(opaque),
    };
    well_formed && room_id.len() <= ID_BYTES_MAX && <&RoomId>::try_from(room_id).is_ok()
}

/// Whether this is a room alias: `#localpart:domain`.
pub fn is_room_alias(alias: &str) -> bool {
    let has_localpart = !alias.starts_with("#:");
    has_localpart && alias.len() <= ID_BYTES_MAX && <&RoomAliasId>::try_from(alias).is_ok()
}

/// Whether this is an event ID of any room version: `$opaque:domain` or `$hash`.
pub fn is_event_id(event_id: &str) -> bool {
    event_id.len() > 1 && event_id.len() <= ID_BYTES_MAX && <&ruma::EventId>::try_from(event_id).is_ok()
}

/// Whether this is a server name: `hostname`, IPv4 or `[IPv6]`, with an optional port.
pub fn is_server_name(name: &str) -> bool {
    <&ServerName>::try_from(name).is_ok()
}

/// Whether this is an opaque identifier: 1 to 255 of `0-9A-Za-z-._~`.
pub fn is_opaque(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

/// Whether this follows the grammar of room versions: 1 to 32 of `a-z 0-9 . -`.
pub fn is_room_version(version: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    (1..=32).contains(&version.len()) && version.bytes().all(allowed)
}

/// The server of a user: what follows the first `:`.
pub fn server_name_of(user_id: &str) -> Option<&str> {
    user_id.strip_prefix('@')?.split_once(':').map(|(_, server)| server)
}

/// The localpart of a user ID: what lies between `@` and the first `:`.
pub fn localpart(user_id: &str) -> Option<&str> {
    user_id.strip_prefix('@')?.split_once(':').map(|(local, _)| local)
}

/// The server name as ruma's type.
pub fn parse_server_name(name: &str) -> Option<OwnedServerName> {
    ServerName::parse(name).ok()
}

fn is_url_safe_hash(hash: &str) -> bool {
    hash.len() == 43 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(test: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for id in good {
            assert!(test(id), "{id:?} is valid");
        }
        for id in bad {
            assert!(!test(id), "{id:?} is not valid");
        }
    }

    #[test]
    fn user_ids() {
        let longest = format!("@{}:x.org", "a".repeat(248));
        let too_long = format!("@{}:x.org", "a".repeat(249));
        assert_eq!(longest.len(), 255);
        check(
            is_new_user_id,
            &["@a:x.org", "@a.b_c=d-e/f+9:x.org:8448", "@a:[::1]:80", "@a:1.2.3.4", &longest],
            &["@A:x.org", "@:x.org", "@é:x.org", "a:x.org", "@a", "@a:", "@a:x y", "@a:x.org:99999", &too_long],
        );
        check(is_user_id, &["@A:x.org", "@:x.org", "@é:x.org", &longest], &["@a\0:x.org", "@a", "a", &too_long]);
        check(is_compliant_user_id, &["@A!:x.org"], &["@:x.org", "@é:x.org", "@a b:x.org"]);
        assert_eq!(server_name_of("@a:x.org:8448"), Some("x.org:8448"));
        assert_eq!(localpart("@a:x.org:8448"), Some("a"));
    }

    #[test]
    fn rooms_aliases_events() {
        check(
            is_room_id,
            &["!abc:x.org", "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"],
            &["!abc", "abc:x.org", "!:x.org", "!abc:", "!31hneApxJ/1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"],
        );
        check(is_room_alias, &["#a:x.org", "#ä:x.org"], &["#a", "a:x.org", "#:x.org", "#a:x y"]);
        check(
            is_event_id,
            &["$abc:x.org", "$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk"],
            &["$", "", "abc", "$abc:x y"],
        );
    }

    #[test]
    fn opaque_and_versions() {
        check(is_opaque, &["a", "A-._~0"], &["", "a b", "a/b", &"a".repeat(256)]);
        check(is_room_version, &["12", "org.matrix.msc-1"], &["", "A", "a_b", &"1".repeat(33)]);
        check(is_server_name, &["x", "x.org:1", "[::1]", "127.0.0.1:8008"], &["", ":1", "x:", "x_y", "x:-1", "[::1"]);
    }
}
