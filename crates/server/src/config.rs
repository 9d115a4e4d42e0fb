//! The configuration in two stages: as [`written`] and, here, as resolved: complete, typed, checked.

pub mod keys;
pub mod written;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engram_eraser::Grace;
use engram_matrix::room_version::RoomVersion;
use engram_users::PasswordCost;

use written::{Value, Values, Written, WrittenError};

/// What the command line says; it goes before the environment and the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Instead of `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// Instead of all listeners.
    pub listen: Option<String>,
    /// Instead of `server_name`.
    pub server_name: Option<String>,
}

/// The configuration, resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's name.
    pub server_name: String,
    /// Where clients reach the server, without a slash at the end.
    pub public_base_url: Option<String>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The version of rooms whose creator does not ask for one.
    pub default_room_version: String,
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Whether anybody may register.
    pub registration_open: bool,
    /// The secret of registration by tools.
    pub registration_shared_secret: Option<String>,
    /// Whether guests may register.
    pub guests: bool,
    /// Who can read the room directory.
    pub directory: Directory,
    /// What hashing a password costs.
    pub password_cost: PasswordCost,
    /// Whether messages are JSON.
    pub log_json: bool,
    /// How long what is to be erased is kept.
    pub grace: Grace,
    /// Open connections per listener.
    pub connections_max: usize,
    /// How the log is written.
    pub journal: Journal,
    /// How the log is read again to find rot.
    pub scrub: Scrub,
    /// Keys that are set and whose part does not exist yet: to be warned of.
    pub without_effect: Vec<&'static str>,
}

/// Who can read the room directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// Whoever has an account.
    Users,
    /// Everybody.
    Everybody,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Size of a segment.
    pub segment_bytes: u64,
    /// Space that is kept for a full disk.
    pub reserve_bytes: u64,
    /// Free space below which nothing is taken.
    pub free_bytes_min: u64,
    /// What may wait for the disk.
    pub queue_bytes: usize,
    /// Offsets that are reserved at once.
    pub lease_offsets: u64,
}

/// How the log is read again to find rot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// How fast; zero for never.
    pub bytes_per_second: u64,
    /// From the end of one round to the beginning of the next.
    pub pause: Duration,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub bind: SocketAddr,
    /// Certificate chain and private key, both PEM files; none for plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is wrong.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: WrittenError,
    },
    /// A variable of the environment is wrong.
    #[error("environment: {0}")]
    Environment(WrittenError),
    /// A value cannot be.
    #[error("`{key}` cannot be {value:?}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// A listener has a certificate without key or a key without certificate.
    #[error("the listener {0} needs both `tls_cert` and `tls_key`, or neither of them")]
    HalfTls(SocketAddr),
}

impl Config {
    /// Reads the file, if there is one, and lets the environment and then the command line override it.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: Overrides,
    ) -> Result<Self, ConfigError> {
        let mut written = match file {
            None => Written::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
                Written::parse(&text).map_err(|source| ConfigError::File { path: path.to_owned(), source })?
            }
        };
        written.override_by(environment).map_err(ConfigError::Environment)?;
        Self::resolve(&written, overrides)
    }

    /// Fills in the defaults and checks what can be checked.
    pub fn resolve(written: &Written, overrides: Overrides) -> Result<Self, ConfigError> {
        let values = &written.values;
        let server_name = overrides.server_name.unwrap_or_else(|| text_or_default(values, "server_name"));
        if !engram_matrix::ids::is_server_name(&server_name) {
            let why = "a server name is a host name or address, with a port if it needs one".to_owned();
            return Err(ConfigError::Value { key: "server_name", value: server_name, why });
        }
        let default_room_version = text_or_default(values, "default_room_version");
        if RoomVersion::parse(&default_room_version).is_none() {
            let why = "this server does not know that room version".to_owned();
            return Err(ConfigError::Value { key: "default_room_version", value: default_room_version, why });
        }
        let minimal = text_or_default(values, "password_hash.cost") == "minimal";
        let open_directory = switch(values, "room_directory.public_without_auth");
        Ok(Self {
            server_name,
            public_base_url: text(values, "public_base_url").map(|url| url.trim_end_matches('/').to_owned()),
            data_dir: overrides.data_dir.unwrap_or_else(|| text_or_default(values, "data_dir").into()),
            default_room_version,
            listeners: listeners(written, overrides.listen)?,
            registration_open: switch(values, "registration.open"),
            registration_shared_secret: text(values, "registration.shared_secret"),
            guests: switch(values, "registration.guests"),
            directory: if open_directory { Directory::Everybody } else { Directory::Users },
            password_cost: if minimal { PasswordCost::Minimal } else { PasswordCost::Standard },
            log_json: text_or_default(values, "log.format") == "json",
            connections_max: usize::try_from(number(values, "limits.connections")).unwrap_or(usize::MAX).max(1),
            journal: Journal {
                segment_bytes: number(values, "journal.segment_bytes"),
                reserve_bytes: number(values, "journal.reserve_bytes"),
                free_bytes_min: number(values, "journal.free_bytes_min"),
                queue_bytes: usize::try_from(number(values, "journal.queue_bytes")).unwrap_or(usize::MAX),
                lease_offsets: number(values, "journal.lease_offsets"),
            },
            scrub: Scrub {
                bytes_per_second: number(values, "scrub.bytes_per_second"),
                pause: Duration::from_secs(number(values, "scrub.pause_seconds")),
            },
            grace: grace(values)?,
            without_effect: without_effect(values),
        })
    }
}

fn listeners(written: &Written, listen: Option<String>) -> Result<Vec<Listener>, ConfigError> {
    if let Some(address) = listen {
        return Ok(vec![Listener { bind: address_of(address)?, tls: None }]);
    }
    let defaults = [Values::new()];
    let listeners: &[Values] = if written.listeners.is_empty() { &defaults } else { &written.listeners };
    listeners.iter().map(listener).collect()
}

fn listener(values: &Values) -> Result<Listener, ConfigError> {
    let bind = address_of(text_or_default(values, "listener.bind"))?;
    let files = (text(values, "listener.tls_cert"), text(values, "listener.tls_key"));
    let tls = match files {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (None, None) => None,
        _ => return Err(ConfigError::HalfTls(bind)),
    };
    Ok(Listener { bind, tls })
}

fn address_of(text: String) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| {
        let why = "an address to listen on is an IP address and a port, like 127.0.0.1:8008".to_owned();
        ConfigError::Value { key: "listener.bind", value: text, why }
    })
}

fn grace(values: &Values) -> Result<Grace, ConfigError> {
    Ok(Grace {
        redacted: duration(values, "erasure.redacted_after")?,
        to_device: duration(values, "erasure.to_device_after")?,
        accounts: duration(values, "erasure.accounts_after")?,
    })
}

/// A length of time such as `7d`; none for `never`.
fn duration(values: &Values, key: &'static str) -> Result<Option<Duration>, ConfigError> {
    let value = text_or_default(values, key);
    if value == "never" {
        return Ok(None);
    }
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let parsed =
        units.iter().find_map(|(unit, seconds)| value.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*seconds));
    parsed.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(|| {
        let why = "a length of time is a number with a unit, like 7d, 12h, 30m or 0s, or `never`".to_owned();
        ConfigError::Value { key, value: value.clone(), why }
    })
}

/// Keys that are set, and not to their default, though nothing acts on them yet.
fn without_effect(values: &Values) -> Vec<&'static str> {
    let unbuilt = values.keys().filter(|path| keys::find(path).is_some_and(|key| !key.built));
    unbuilt.copied().collect()
}

fn text(values: &Values, path: &'static str) -> Option<String> {
    match values.get(path) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn text_or_default(values: &Values, path: &'static str) -> String {
    text(values, path).unwrap_or_else(|| default(path).to_owned())
}

fn switch(values: &Values, path: &'static str) -> bool {
    match values.get(path) {
        Some(Value::Switch(switch)) => *switch,
        _ => default(path) == "true",
    }
}

fn number(values: &Values, path: &'static str) -> u64 {
    match values.get(path) {
        Some(Value::Number(number)) => *number,
        _ => default(path).parse().expect("the default of a number is one"),
    }
}

fn default(path: &'static str) -> &'static str {
    keys::find(path).expect("a key that is asked for is in the table").default
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Config, ConfigError> {
        Config::resolve(&Written::parse(text).expect("well-formed"), Overrides::default())
    }

    #[test]
    fn nothing_written_is_a_working_configuration() {
        let config = resolve("").expect("the defaults");
        assert_eq!(config.server_name, "localhost");
        assert_eq!(config.data_dir, Path::new("./engram-data"));
        assert_eq!(config.listeners, [Listener { bind: ([127, 0, 0, 1], 8008).into(), tls: None }]);
        assert!(!config.registration_open);
        assert!(config.without_effect.is_empty());
    }

    #[test]
    fn every_default_is_of_its_kind() {
        for key in keys::KEYS.iter().filter(|key| key.default != "none") {
            let good = match key.kind {
                keys::Kind::Number => key.default.parse::<u64>().is_ok(),
                keys::Kind::Switch => key.default.parse::<bool>().is_ok(),
                keys::Kind::Choice(words) => words.contains(&key.default),
                keys::Kind::Text | keys::Kind::Texts => true,
            };
            assert!(good, "{}", key.path);
            assert!(keys::documentation().contains(key.effect), "{}", key.path);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_and_what_is_not_built_is_noted() {
        for bad in [
            "server_name = \"a b\"",
            "default_room_version = \"99\"",
            "[[listener]]\nbind = \"localhost\"",
            "[erasure]\nredacted_after = \"soon\"",
            "[erasure]\naccounts_after = \"7\"",
            "[[listener]]\nbind = \"127.0.0.1:1\"\ntls_cert = \"a\"",
        ] {
            assert!(resolve(bad).is_err(), "{bad}");
        }
        let config = resolve("[email]\nfrom = \"a@b\"\n[cas]\nserver_url = \"c\"").expect("accepted");
        assert_eq!(config.without_effect, ["cas.server_url", "email.from"]);
    }

    #[test]
    fn what_is_kept_for_how_long() {
        let day = Duration::from_secs(86_400);
        let grace = |text: &str| resolve(text).expect("good").grace;
        assert_eq!(grace(""), Grace { redacted: Some(7 * day), to_device: Some(day), accounts: Some(7 * day) });
        let written = "[erasure]\nredacted_after = \"never\"\nto_device_after = \"36h\"\naccounts_after = \"0s\"";
        let expected = Grace { redacted: None, to_device: Some(day + day / 2), accounts: Some(Duration::ZERO) };
        assert_eq!(grace(written), expected);
    }

    #[test]
    fn the_command_line_goes_first() {
        let overrides = Overrides {
            data_dir: Some("/d".into()),
            listen: Some("0.0.0.0:80".to_owned()),
            server_name: Some("x.org".to_owned()),
        };
        let written = Written::parse("server_name = \"a\"\ndata_dir = \"/e\"").expect("well-formed");
        let config = Config::resolve(&written, overrides).expect("good");
        assert_eq!((config.server_name.as_str(), config.data_dir.as_path()), ("x.org", Path::new("/d")));
        assert_eq!(config.listeners[0].bind.port(), 80);
    }
}
