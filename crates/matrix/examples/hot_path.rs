//! Times what every message passes through: build and sign, parse, authorize, render.
//!
//! `cargo run --release -p engram-matrix --example hot_path`

use std::{hint::black_box, sync::Arc, time::Instant};

use engram_matrix::{
    Pdu, RoomVersion,
    auth::{self, Creation, PowerLevels},
    build::{Draft, Position, build},
    canonical, client,
    keys::SigningKey,
    membership::Membership,
    pdu,
};

const ROUNDS: u32 = 20_000;
const ALICE: &str = "@alice:example.org";
const CONTENT: &str = r#"{"msgtype":"m.text","body":"An ordinary message of some length, such as people send.",
    "m.mentions":{"user_ids":["@bob:example.org"]},"format":"org.matrix.custom.html","formatted_body":"<b>An</b> ordinary message"}"#;

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn time<T>(name: &str, mut work: impl FnMut() -> T) {
    for _ in 0..ROUNDS / 10 {
        black_box(work());
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(work());
    }
    println!("{name:<28} {:>8.2} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
}

fn main() {
    let version = RoomVersion::parse(RoomVersion::DEFAULT).expect("the default version is supported");
    let key = SigningKey::from_seed("ed25519:a_bench", [1; 32]).expect("a valid key ID");
    let make = |event_type, state_key, content, position: &Position<'_>| {
        let draft = Draft { sender: ALICE, event_type, state_key, content, redacts: None };
        build(version, &draft, position, "example.org", &key).expect("builds")
    };
    let parse = |built: &engram_matrix::build::BuiltEvent| {
        Arc::new(Pdu::parse(version, &built.event_id, &built.room_id, built.json.as_slice()).expect("parses"))
    };

    let create = make("m.room.create", Some(""), r#"{"room_version":"12"}"#, &Position::default());
    let room_id = create.room_id.clone();
    let ids = [create.event_id.as_str(), create.event_id.as_str()];
    let position = Position {
        room_id: Some(&room_id),
        prev_events: &ids[..1],
        auth_events: &ids,
        depth: 17,
        origin_server_ts: 1_700_000_000_000,
        ..Position::default()
    };
    let users: Vec<_> = (0..200).map(|index| format!("\"@user{index}:example.org\":{}", index % 100)).collect();
    let content = format!(r#"{{"users":{{{}}},"events":{{"m.room.name":50}}}}"#, users.join(","));
    let levels = parse(&make("m.room.power_levels", Some(""), &content, &position));
    let member = parse(&make("m.room.member", Some(ALICE), r#"{"membership":"join"}"#, &position));
    let create = parse(&create);
    let creation = Creation::parse(&create).expect("well-formed");
    let power = PowerLevels::parse(version, Some(&levels), &creation).expect("well-formed");
    let message = make("m.room.message", None, CONTENT, &position);
    let parsed = parse(&message);
    println!("message of {} bytes, power levels naming 200 users", message.json.len());

    time("build and sign", || make("m.room.message", None, CONTENT, &position));
    time("sign alone", || key.sign(&message.json));
    let shared: Arc<[u8]> = message.json.clone().into();
    time("parse", || Pdu::parse(version, &message.event_id, &room_id, Arc::clone(&shared)));
    time("auth types", || auth::auth_types(version, "m.room.message", ALICE, None, "{}"));
    time("auth, ordinary", || auth::check_ordinary(&parsed, &creation, &power, Membership::Join));
    let state = State { create, levels: Arc::clone(&levels), member };
    time("auth, full rules (ruma)", || auth::check_dependent(version, &parsed, &state));
    time("parse power levels", || PowerLevels::parse(version, Some(&levels), &creation));
    time("event ID", || pdu::event_id(version, &message.json));
    time("canonicalize content", || canonical::canonicalize_str(CONTENT));
    time("render for a client", || client::render(&parsed, true, &client::Unsigned::default()));
}

struct State {
    create: Arc<Pdu>,
    levels: Arc<Pdu>,
    member: Arc<Pdu>,
}

impl auth::StateMap for State {
    fn get(&self, event_type: &str, _state_key: &str) -> Option<Arc<Pdu>> {
        match event_type {
            "m.room.create" => Some(Arc::clone(&self.create)),
            "m.room.power_levels" => Some(Arc::clone(&self.levels)),
            "m.room.member" => Some(Arc::clone(&self.member)),
            _ => None,
        }
    }
}
