//! Texts that people and programs write: headers, configuration, tokens, filters, keys, identifiers.

use engram_matrix::ids;
use engram_matrix::keys::SigningKey;
use engram_matrix::x_matrix::XMatrix;
use engram_server::config::written::Written;
use engram_server::config::{Config, Overrides};
use engram_sync::filter::{Filter, RoomEventFilter};
use engram_sync::token::Token;

/// An `Authorization` header of another server.
pub(crate) fn x_matrix(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.parse::<XMatrix>() {
        Ok(header) => {
            assert!(ids::is_server_name(&header.origin));
            assert_eq!(header.to_string().parse(), Ok(header), "a header is read as it was written");
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A configuration file; lines that begin like a variable are the environment.
pub(crate) fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let is_variable = |line: &&str| line.starts_with("ENGRAM_");
    let file: Vec<&str> = text.lines().filter(|line| !is_variable(line)).collect();
    let environment = text.lines().filter(is_variable).filter_map(|line| line.split_once('='));
    let parsed = Written::parse(&file.join("\n")).and_then(|mut written| {
        written.override_by(environment.map(|(name, value)| (name.to_owned(), value.to_owned())))?;
        Ok(written)
    });
    match parsed {
        Err(error) => drop(error.to_string()),
        Ok(written) => match Config::resolve(&written, Overrides::default()) {
            Err(error) => drop(error.to_string()),
            Ok(config) => {
                assert!(ids::is_server_name(&config.server_name));
                assert!(!config.listeners.is_empty() && config.connections_max > 0);
            }
        },
    }
}

/// What clients send in queries and bodies: tokens, filters, identifiers; and the text of a signing key.
pub(crate) fn client(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string().parse(), Ok(token), "a token is read as it was written");
    }
    for filter in [Filter::parse(text).map(drop), RoomEventFilter::parse(text).map(drop)] {
        if let Err(error) = filter {
            drop(error.to_string());
        }
    }
    if let Ok(key) = SigningKey::parse_text(text) {
        let again = SigningKey::parse_text(&key.to_text()).expect("a key is read as it was written");
        assert_eq!(again.public_bytes(), key.public_bytes());
    }
    if ids::is_user_id(text) {
        assert!(ids::server_name_of(text).is_some_and(ids::is_server_name), "a user has a server");
        assert!(ids::localpart(text).is_some());
    }
    assert!(!ids::is_new_user_id(text) || ids::is_compliant_user_id(text), "new user IDs are compliant");
    let _ = (ids::is_room_id(text), ids::is_room_alias(text), ids::is_event_id(text), ids::is_opaque(text));
}
