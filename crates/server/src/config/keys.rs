//! Every key of the configuration: its kind, default and effect. The documentation is generated from this table, and
//! whatever is not in it is an error.

use std::fmt::Write as _;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// `true` or `false`.
    Switch,
    /// A whole number, zero or greater.
    Number,
    /// A list of texts.
    Texts,
    /// One of some words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// For people.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Number => "a whole number".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
            Self::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "),
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its place: table and name with a dot between; `listener.` for those of every `[[listener]]`.
    pub path: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What holds if it is absent.
    pub default: &'static str,
    /// What it does, with its unit if it has one.
    pub effect: &'static str,
    /// Whether the part that it configures exists. If not, the key is accepted with a warning.
    pub built: bool,
}

const fn key(path: &'static str, kind: Kind, default: &'static str, effect: &'static str) -> Key {
    Key { path, kind, default, effect, built: true }
}

const fn later(path: &'static str, kind: Kind, default: &'static str, effect: &'static str) -> Key {
    Key { path, kind, default, effect, built: false }
}

use Kind::{Choice, Number, Switch, Text, Texts};

/// All keys, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key(
        "server_name",
        Text,
        "localhost",
        "The name after the colon in user IDs. Fixed by the first start: the log belongs to it.",
    ),
    key(
        "public_base_url",
        Text,
        "none",
        "Where clients reach the server, as /.well-known/matrix/client and logins tell them.",
    ),
    key("data_dir", Text, "./engram-data", "The directory of the log, the views, the media and the signing key."),
    key("default_room_version", Text, "12", "The version of rooms whose creator does not ask for one."),
    key("listener.bind", Text, "127.0.0.1:8008", "Address and port to listen on. Any number of [[listener]] tables."),
    key(
        "listener.tls_cert",
        Text,
        "none",
        "PEM file with the certificate chain: with it and tls_key the listener speaks TLS.",
    ),
    key("listener.tls_key", Text, "none", "PEM file with the private key of the certificate."),
    key("registration.open", Switch, "false", "Whether anybody may register without a token (m.login.dummy)."),
    key("registration.shared_secret", Text, "none", "Enables POST /_synapse/admin/v1/register for whoever knows it."),
    key("registration.guests", Switch, "false", "Whether guests may register."),
    later("registration.recaptcha_verify_url", Text, "none", "Where answers to a recaptcha are verified."),
    later("registration.recaptcha_public_key", Text, "none", "The site key of the recaptcha."),
    later("registration.recaptcha_private_key", Text, "none", "The secret key of the recaptcha."),
    key(
        "password_hash.cost",
        Choice(&["standard", "minimal"]),
        "standard",
        "What hashing a password costs; \"minimal\" is for tests only.",
    ),
    key(
        "log.format",
        Choice(&["human", "json"]),
        "human",
        "How the server's own messages are written to standard error.",
    ),
    key(
        "erasure.redacted_after",
        Text,
        "7d",
        "How long the log keeps the content of a redacted event, which nobody gets to see from the redaction on: a number with the unit d, h, m \
         or s, or \"never\" to keep it. Then the redacted form takes its place on the disk.",
    ),
    key(
        "erasure.to_device_after",
        Text,
        "1d",
        "How long the log keeps messages to devices once all their receivers have them: as above.",
    ),
    key(
        "erasure.accounts_after",
        Text,
        "7d",
        "How long the log keeps profile, account data, filters, device names and addresses of an account that was closed with erasure: as above.",
    ),
    key("limits.connections", Number, "10000", "Open connections per listener; further ones wait to be accepted."),
    key("journal.segment_bytes", Number, "67108864", "Size of a file of the log, in bytes; 4 KiB to 4 GiB."),
    key(
        "journal.reserve_bytes",
        Number,
        "67108864",
        "Space that the log keeps for the time when the disk is full, in bytes.",
    ),
    key(
        "journal.free_bytes_min",
        Number,
        "268435456",
        "Free space below which the server takes no more writes, in bytes: the views need some to go on.",
    ),
    key("journal.queue_bytes", Number, "67108864", "What may wait for the disk, in bytes; further writes are refused."),
    key(
        "journal.lease_offsets",
        Number,
        "1048576",
        "How many offsets of the log are reserved at once; a crash leaves the rest of them unused.",
    ),
    key(
        "scrub.bytes_per_second",
        Number,
        "4194304",
        "How fast sealed files of the log are read again to find rot, in bytes a second; 0 for never.",
    ),
    key("scrub.pause_seconds", Number, "3600", "How long to wait from one reading of the whole log to the next."),
    later("rate_limits.enabled", Switch, "true", "Whether clients that ask too often are told to wait."),
    later("federation.ca_file", Text, "none", "PEM file with further authorities for other servers' certificates."),
    later("federation.allow_private_ips", Switch, "false", "Whether other servers may have private addresses."),
    later(
        "outbound.insecure_skip_tls_verify",
        Switch,
        "false",
        "Do not verify certificates of identity servers, gateways, application services.",
    ),
    later("outbound.allow_private_ips", Switch, "false", "Whether those may have private addresses."),
    key(
        "room_directory.public_without_auth",
        Switch,
        "false",
        "Whether the room directory can be read without an account.",
    ),
    later(
        "room_directory.public_over_federation",
        Switch,
        "false",
        "Whether other servers can read the room directory.",
    ),
    later("media.url_previews", Switch, "false", "Whether the server fetches previews of links."),
    later(
        "media.url_preview_allow_private_ips",
        Switch,
        "false",
        "Whether previewed links may lead to private addresses.",
    ),
    later("appservices.registration_files", Texts, "none", "Registration files of application services."),
    later("email.smtp_host", Text, "none", "The mail server by which mail is sent."),
    later("email.smtp_port", Number, "465", "Its port."),
    later("email.smtp_tls", Choice(&["tls", "starttls", "none"]), "tls", "How the connection to it is protected."),
    later("email.from", Text, "none", "The sender of mail."),
    later("cas.server_url", Text, "none", "The CAS server for single sign-on."),
];

/// The key at a path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether a path is that of a table.
pub fn is_table(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The key or table whose path is most like an unknown one, if any is like it at all.
pub fn similar(path: &str) -> Option<&'static str> {
    let tables = KEYS.iter().filter_map(|key| key.path.split_once('.').map(|(table, _)| table));
    let candidates = KEYS.iter().map(|key| key.path).chain(tables);
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(candidate, path), candidate));
    scored.filter(|(score, _)| *score > 0.85).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

/// The environment variable of a key: `registration.open` is `ENGRAM_REGISTRATION__OPEN`.
pub fn environment_name(path: &str) -> String {
    format!("ENGRAM_{}", path.replace('.', "__").to_ascii_uppercase())
}

/// The documentation of all keys, for `engram config`.
pub fn documentation() -> String {
    let mut text = String::from(
        "The configuration is a TOML file. Keys before the first [table] stand at the top of it. A variable in the\n\
         environment overrides its key, except for those of [[listener]].\n",
    );
    let mut table = "";
    for key in KEYS {
        let (now, name) = key.path.split_once('.').unwrap_or(("", key.path));
        if now != table {
            table = now;
            let heading = if now == "listener" { "[[listener]]".to_owned() } else { format!("[{now}]") };
            write!(text, "\n{heading}\n").expect("writing to a string cannot fail");
        }
        let built = if key.built { "" } else { " (accepted, but without effect yet)" };
        let variable = if now == "listener" { String::new() } else { format!("\n    {}", environment_name(key.path)) };
        write!(
            text,
            "\n{name}: {kind}; default: {default}{built}\n    {effect}{variable}\n",
            kind = key.kind.describe(),
            default = key.default,
            effect = key.effect,
        )
        .expect("writing to a string cannot fail");
    }
    text
}
