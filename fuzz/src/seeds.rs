//! Inputs to begin with: golden files of the format, events that a second implementation has made, examples of the
//! specification.

use std::fs;
use std::path::Path;

use engram_log_format::frame::FrameBuilder;
use engram_log_format::input::KINDS;
use engram_log_format::record::{self, Chain, Change, RecordFields};
use engram_log_format::{Input, Offset, TimestampMs, sample};
use engram_matrix::auth::auth_types;
use engram_matrix::build::{Draft, Position, build};
use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;
use rkyv::util::AlignedVec;
use serde_json::Value;

fn repository_file(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const LOG_FILES: [&str; 5] = [
    "journal/00000000000000000001.seg",
    "journal/00000000000000000022.seg",
    "journal/00000000000000000032.seg",
    "ephemeral/00000000000000000029.seg",
    "ephemeral/00000000000000000039.seg",
];

fn log_files() -> Vec<Vec<u8>> {
    LOG_FILES.map(|path| repository_file(&format!("crates/log/tests/golden/v1/log/{path}"))).into()
}

/// Segments, sealed and open.
pub(crate) fn segments() -> Vec<Vec<u8>> {
    let mut segments = log_files();
    segments.push(repository_file("log-format/golden/v1-segment.seg"));
    segments
}

/// Logs of one file, of a lane, of both lanes.
pub(crate) fn logs() -> Vec<Vec<u8>> {
    let files = log_files();
    vec![files[0].clone(), files[1].clone(), files[..3].concat(), files[2..4].concat(), files.concat()]
}

fn fields(offset: u64, input: &Input, ends_append: bool) -> RecordFields {
    let (kind, schema) = (input.kind(), input.schema());
    RecordFields { offset: Offset(offset), timestamp: TimestampMs(1_700_000_000_000), kind, schema, ends_append }
}

/// Frames of one record and of several.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let inputs = sample::all();
    let frame = |inputs: &[Input]| {
        let mut builder = FrameBuilder::with_capacity(0);
        for (offset, input) in (1..).zip(inputs) {
            let ends_append = offset % 2 == 0 || offset as usize == inputs.len();
            builder.push(&fields(offset, input, ends_append), &input.encode());
        }
        builder.finish(&[7; 32], &mut Chain([9; 32])).bytes.to_vec()
    };
    inputs.chunks(1).chain(inputs.chunks(5)).map(frame).collect()
}

/// A record of every kind, and one that was erased.
pub(crate) fn records() -> Vec<Vec<u8>> {
    let encode = |input: &Input| {
        let mut bytes = AlignedVec::new();
        record::push(&mut bytes, &fields(5, input, true), &input.encode());
        bytes.to_vec()
    };
    let mut records: Vec<Vec<u8>> = sample::all().iter().map(encode).collect();
    let mut erased = records[10][..64].to_vec();
    erased[..4].copy_from_slice(b"GONE");
    records.push(erased);
    let mut replaced = AlignedVec::new();
    let header = record::check(&records[10]).expect("it was just encoded");
    record::push_changed(&mut replaced, &records[10], &header, Change::Replace(b"another payload"));
    records.push(replaced.to_vec());
    records
}

/// A payload of every kind, behind the number of its kind.
pub(crate) fn payloads() -> Vec<Vec<u8>> {
    let number = |input: &Input| KINDS.iter().position(|kind| *kind == input.kind()).expect("a known kind") as u8;
    sample::all().iter().map(|input| [&[number(input)][..], &input.encode()].concat()).collect()
}

/// (Room version, event) of a second implementation.
fn golden_events() -> Vec<(String, String)> {
    let text = repository_file("crates/matrix/golden/events.json");
    let vectors: Vec<Value> = serde_json::from_slice(&text).expect("vectors are checked in whole");
    let field = |vector: &Value, name: &str| vector[name].as_str().expect("a text").to_owned();
    vectors.iter().map(|vector| (field(vector, "room_version"), field(vector, "event"))).collect()
}

fn number_of(version: &str) -> u8 {
    RoomVersion::supported().position(|known| known.id() == version).expect("a known version") as u8
}

/// JSON of all sorts.
pub(crate) fn events() -> Vec<Vec<u8>> {
    let examples = [
        r#"{"one":1,"two":"Two"}"#,
        r#"{"b":"2","a":"1"}"#,
        r#"{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe"}}}"#,
        r#"{"a":"日本語"}"#,
        r#"{"本":2,"日":1}"#,
        r#"{"a":"\u65E5"}"#,
        r#"{"a":null,"b":-0,"c":1e10}"#,
        r#"[1.5,1e400,-1E-7,9007199254740993,"\ud83d\ude00\u0007\/"]"#,
    ];
    let events = golden_events().into_iter().map(|(_, event)| event.into_bytes());
    examples.iter().map(|text| text.as_bytes().to_vec()).chain(events.step_by(3)).collect()
}

/// Events behind the number of their room version.
pub(crate) fn pdus() -> Vec<Vec<u8>> {
    golden_events().iter().map(|(version, event)| [&[number_of(version)][..], event.as_bytes()].concat()).collect()
}

/// Small rooms behind the number of their version: an event a line.
pub(crate) fn rooms() -> Vec<Vec<u8>> {
    ["10", "11", "12"]
        .into_iter()
        .map(|version| [&[number_of(version)][..], &Room::new(version).text()].concat())
        .collect()
}

const ALICE: &str = "@alice:one.test";
const BOB: &str = "@bob:two.test";

struct Room {
    version: &'static RoomVersion,
    key: SigningKey,
    id: String,
    /// Type, state key and ID of state events, the newest last.
    state: Vec<(String, String, String)>,
    /// IDs of all events, and how deep they lie.
    events: Vec<(String, u64)>,
    lines: Vec<Vec<u8>>,
}

impl Room {
    fn new(version: &str) -> Self {
        Self {
            version: RoomVersion::parse(version).expect("a known version"),
            key: SigningKey::from_seed("ed25519:1", [7; 32]).expect("a valid key ID"),
            id: "!room:one.test".to_owned(),
            state: Vec::new(),
            events: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// A room with a fork, a ban and a redaction.
    fn text(mut self) -> Vec<u8> {
        let create = format!(r#"{{"room_version":"{}","creator":"{ALICE}"}}"#, self.version.id());
        self.put(&[], ALICE, "m.room.create", Some(""), &create);
        self.put(&[0], ALICE, "m.room.member", Some(ALICE), r#"{"membership":"join"}"#);
        let levels = if self.version.create_is_room_id() { String::new() } else { format!(r#""{ALICE}":100,"#) };
        let levels = format!(r#"{{"users":{{{levels}"{BOB}":50}}}}"#);
        self.put(&[1], ALICE, "m.room.power_levels", Some(""), &levels);
        self.put(&[2], ALICE, "m.room.join_rules", Some(""), r#"{"join_rule":"public"}"#);
        self.put(&[3], BOB, "m.room.member", Some(BOB), r#"{"membership":"join"}"#);
        self.put(&[4], BOB, "m.room.topic", Some(""), r#"{"topic":"one"}"#);
        self.put(&[4], ALICE, "m.room.member", Some(BOB), r#"{"membership":"ban"}"#);
        self.put(&[5, 6], ALICE, "m.room.message", None, r#"{"body":"text","msgtype":"m.text"}"#);
        let redaction = format!(r#"{{"redacts":"{}"}}"#, self.events[7].0);
        self.put(&[7], ALICE, "m.room.redaction", None, &redaction);
        self.lines.join(&b'\n')
    }

    fn put(&mut self, parents: &[usize], sender: &str, event_type: &str, state_key: Option<&str>, content: &str) {
        let wanted = auth_types(self.version, event_type, sender, state_key, content);
        let in_state = |wanted: &(String, String)| {
            self.state.iter().rev().find(|entry| (&entry.0, &entry.1) == (&wanted.0, &wanted.1)).map(|entry| &*entry.2)
        };
        let position = Position {
            room_id: (event_type != "m.room.create" || !self.version.create_is_room_id()).then_some(&self.id),
            prev_events: &parents.iter().map(|parent| &*self.events[*parent].0).collect::<Vec<_>>(),
            auth_events: &wanted.iter().filter_map(in_state).collect::<Vec<_>>(),
            depth: parents.iter().map(|parent| self.events[*parent].1).max().unwrap_or(0) + 1,
            origin_server_ts: 1_700_000_000_000 + self.events.len() as u64,
            event_id: None,
            reference_hashes: &[],
        };
        let redacts = (event_type == "m.room.redaction").then(|| self.events[7].0.clone());
        let draft = Draft { sender, event_type, state_key, content, redacts: redacts.as_deref() };
        let server = sender.split_once(':').expect("a user ID has a server").1;
        let built = build(self.version, &draft, &position, server, &self.key).expect("a valid event");
        let depth = position.depth;
        self.id.clone_from(&built.room_id);
        self.events.push((built.event_id.clone(), depth));
        if let Some(state_key) = state_key {
            self.state.push((event_type.to_owned(), state_key.to_owned(), built.event_id));
        }
        self.lines.push(built.json);
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Headers of requests between servers.
pub(crate) fn x_matrix() -> Vec<Vec<u8>> {
    texts(&[
        "X-Matrix origin=\"origin.hs.example.com\",destination=\"destination.hs.example.com\",key=\"ed25519:key1\",sig=\"ABCDEF\"",
        "x-matrix  key=ed25519:1 , Origin=a:80\t,SIG=AA,destination=\"[::1]:8448\"",
        r#"X-Matrix origin="\a",x="\"\\ü",key="ed25519:1",sig="a+/b=","#,
    ])
}

/// Configurations.
pub(crate) fn config() -> Vec<Vec<u8>> {
    texts(&[
        "server_name = \"example.org\"\ndata_dir = \"/var/lib/engram\"\n\n[[listener]]\nbind = \"[::]:8448\"\ntls_cert = \"a\"\n\
         tls_key = \"b\"\n\n[[listener]]\nbind = \"127.0.0.1:8008\"\n",
        "[registration]\nopen = true\nshared_secret = 'x'\n[limits]\nconnections = 0x10\n[email]\nsmtp_tls = \"tls\"\n",
        "default_room_version = \"12\"\nappservices.registration_files = [\"a\", \"b\"]\nENGRAM_SERVER_NAME=a.b\n\
         ENGRAM_REGISTRATION__OPEN=false\nENGRAM_APPSERVICES__REGISTRATION_FILES=a,b\n",
        "[password_hash]\ncost = \"minimal\"\n[log]\nformat = \"\"\"json\"\"\"\nENGRAM_LIMITS__CONNECTIONS=7\n",
    ])
}

/// Tokens, filters, keys, identifiers.
pub(crate) fn client() -> Vec<Vec<u8>> {
    texts(&[
        "s123_45",
        "t18446744073709551615",
        "s0",
        r#"{"event_fields":["content.body","a\\.b"],"event_format":"client","presence":{"types":["m.*"],"limit":10},"room":{"rooms":["!a:b"],"not_rooms":["!c:d"],"include_leave":true,"state":{"lazy_load_members":true,"contains_url":false},"timeline":{"limit":5,"senders":["@a:b"],"not_senders":["@c:d"],"unread_thread_notifications":true}}}"#,
        r#"{"limit":5,"rooms":["!a:b"],"not_types":["m.room.*"],"contains_url":true}"#,
        "ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1",
        "@alice:example.org:8448",
        "@UP per:[::1]",
        "!room:example.org",
        "!YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW3XA1o",
        "#alias:1.2.3.4",
        "$event:b",
    ])
}
