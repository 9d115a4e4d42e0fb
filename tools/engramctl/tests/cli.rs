//! The program as it is used: arguments in, output and exit codes out, on data directories of a small server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use engram_log::{EmbeddedLog, FsStorage, Input, Lane, Log, OpenError, Options, TimestampMs};
use engram_log_format::v1;
use serde_json::Value;
use tempfile::TempDir;

/// 2026-11-21T10:00:00Z.
const START: TimestampMs = TimestampMs(1_795_255_200_000);
const ROOM: &str = "!room:localhost";

/// What a run of the program left.
struct Run {
    code: i32,
    out: String,
    err: String,
}

fn run_with(data_dir: &Path, line: &str, input: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engramctl"));
    command.arg("--data-dir").arg(data_dir).args(line.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn run(data_dir: &Path, line: &str) -> Run {
    run_with(data_dir, line, "")
}

/// Runs a command that has to succeed; its one JSON document.
fn json(data_dir: &Path, line: &str) -> Value {
    let Run { code, out, err } = run(data_dir, &format!("--json {line}"));
    assert_eq!(code, 0, "{line}: {err}");
    serde_json::from_str(&out).unwrap()
}

/// Runs a command that has to fail in this way, and say so.
fn fails(data_dir: &Path, line: &str, code: i32, complaint: &str) {
    let run = run(data_dir, line);
    assert_eq!(run.code, code, "{line}: {}{}", run.out, run.err);
    assert!(run.err.contains(complaint), "{line}: {}", run.err);
}

fn open(data_dir: &Path) -> Arc<EmbeddedLog> {
    let options = Options { now: START, segment_bytes: 1 << 20, ..Options::default() };
    let open = || EmbeddedLog::open(FsStorage::open(data_dir).unwrap(), options.clone());
    // A child that another test is just starting has all files of this process until it becomes a program of its own.
    for _ in 0..10_000 {
        match open() {
            Err(OpenError::Locked(_)) => std::thread::yield_now(),
            log => return log.unwrap(),
        }
    }
    open().unwrap()
}

fn inputs() -> Vec<(Lane, Input)> {
    let account = |name: &str| v1::AccountCreated {
        user_id: format!("@{name}:localhost"),
        password_hash: Some("$argon2id$secret".to_owned()),
        admin: false,
        guest: false,
        registration_token: None,
        appservice_id: None,
    };
    let data = v1::AccountDataSet {
        user_id: "@alice:localhost".to_owned(),
        room_id: Some(ROOM.to_owned()),
        event_type: "m.tag".to_owned(),
        content: b"{\"tags\":\n{}}".to_vec(),
    };
    let pdu = v1::Pdu {
        room_id: ROOM.to_owned(),
        event_id: "$event".to_owned(),
        room_version: "11".to_owned(),
        source: v1::PduSource::Local,
        json: br#"{"content":{"body":"hello"},"sender":"@alice:localhost","type":"m.room.message"}"#.to_vec(),
        transaction: None,
        verified_keys: Vec::new(),
    };
    let typing =
        v1::TypingSet { room_id: ROOM.to_owned(), user_id: "@alice:localhost".to_owned(), until_ms: Some(START.0) };
    vec![
        (Lane::Journal, account("alice").into()),
        (Lane::Journal, account("bob").into()),
        (Lane::Journal, data.into()),
        (Lane::Journal, pdu.into()),
        (Lane::Ephemeral, typing.into()),
    ]
}

/// The data of a server that has stopped. Its own records have the offsets 1 to 3, the inputs 4 to 8.
fn stopped() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    for (lane, input) in inputs() {
        log.append(lane, &[input], START).unwrap();
    }
    log.close().unwrap();
    directory
}

/// [`stopped`], with its views built.
fn with_views() -> TempDir {
    let directory = stopped();
    json(directory.path(), "view rebuild --all");
    directory
}

/// The segment of the journal that holds the inputs.
fn segment(directory: &TempDir) -> PathBuf {
    let dir = directory.path().join("log/journal");
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.remove(0)
}

#[test]
fn stat_says_what_there_is() {
    let directory = stopped();
    let stat = json(directory.path(), "log stat");
    assert_eq!(stat["server_name"], "localhost");
    assert_eq!(stat["records"], 9);
    assert_eq!(stat["last"], 9);
    assert!(stat["segments"].as_array().unwrap().iter().any(|segment| segment["lane"] == "ephemeral"));
    let human = run(directory.path(), "log stat");
    assert!(human.out.contains("log/journal/") && human.out.contains("2026-11-21T10:00:00.000Z"), "{}", human.out);
}

#[test]
fn cat_prints_one_line_per_record() {
    let directory = stopped();
    let human = run(directory.path(), "log cat");
    assert_eq!((human.code, human.out.lines().count()), (0, 9), "{}", human.out);
    let event =
        r#"2026-11-21T10:00:00.000Z  pdu  !room:localhost m.room.message @alice:localhost $event {"body":"hello"}"#;
    assert!(human.out.lines().nth(6).unwrap().ends_with(event), "{}", human.out);

    let machine = run(directory.path(), "--json log cat --kind pdu,account-data-set");
    let lines: Vec<Value> = machine.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["payload"]["content"]["tags"], serde_json::json!({}));
    assert_eq!(lines[1]["payload"]["json"]["content"]["body"], "hello");
    assert_eq!((&lines[1]["offset"], &lines[1]["lane"]), (&7.into(), &"journal".into()));
}

#[test]
fn cat_selects_by_offset_kind_and_room() {
    let directory = stopped();
    let offsets = |line: &str| -> Vec<u64> {
        let run = run(directory.path(), &format!("--json log cat {line}"));
        assert_eq!(run.code, 0, "{}", run.err);
        run.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["offset"].as_u64().unwrap()).collect()
    };
    assert_eq!(offsets("--from 8"), [8, 9]);
    assert_eq!(offsets("--from 3 --to 5"), [3, 4, 5]);
    assert_eq!(offsets("--to 2"), [1, 2]);
    assert_eq!(offsets("--from 100"), [0; 0]);
    assert_eq!(offsets("--kind account-created"), [4, 5]);
    assert_eq!(offsets(&format!("--room {ROOM}")), [6, 7, 8]);
    assert_eq!(offsets("--room !other:localhost"), [0; 0]);
}

#[test]
fn secrets_are_printed_on_request_only() {
    let directory = stopped();
    for line in ["log cat", "--json log cat"] {
        assert!(!run(directory.path(), line).out.contains("$argon2id"), "{line}");
        assert!(run(directory.path(), &format!("{line} --secrets")).out.contains("$argon2id$secret"), "{line}");
    }
}

#[test]
fn a_whole_log_verifies_and_every_damage_is_found() {
    let directory = stopped();
    let report = json(directory.path(), "log verify");
    assert_eq!((&report["good"], &report["records"]), (&true.into(), &9.into()));

    let path = segment(&directory);
    let whole = fs::read(&path).unwrap();
    let payload = whole.windows(5).position(|window| window == b"hello").unwrap();
    // In the index, in the footer, and in a payload: the log was closed, and nothing in it is unfinished.
    for (at, what) in [(whole.len() - 300, "sealed"), (whole.len() - 1, "sealed"), (payload, "record 7")] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let run = run(directory.path(), "log verify");
        assert_eq!(run.code, 1, "{}", run.out);
        assert!(run.out.contains("DAMAGED log/journal/") && run.out.contains(what), "{}", run.out);
    }
    fails(directory.path(), "log cat", 1, "damaged");
    fails(directory.path(), "view rebuild --all", 1, "damaged");
}

#[test]
fn a_running_server_is_left_alone() {
    let directory = with_views();
    let running = open(directory.path());
    let holder = format!("in use by process {}", std::process::id());
    let commands = [
        "log stat",
        "log cat",
        "log verify",
        "view list",
        "view digest",
        "view verify",
        "view rebuild --all",
        "room state !a:b",
    ];
    for line in commands.into_iter().chain(["user create eve --password pw"]) {
        fails(directory.path(), line, 2, &holder);
    }
    running.close().unwrap();
    assert_eq!(run(directory.path(), "log stat").code, 0);
}

#[test]
fn what_is_no_servers_data_is_refused_and_stays_empty() {
    let directory = tempfile::tempdir().unwrap();
    for line in ["log stat", "log verify", "view list", "view verify", "user create eve --password pw"] {
        fails(directory.path(), line, 2, "there is no log in");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    fails(&directory.path().join("nothing"), "log stat", 2, "there is no data directory");
    fails(directory.path(), "log frobnicate", 2, "unrecognized");
    fails(directory.path(), "--config /nowhere.toml log stat", 2, "cannot read the configuration");
}

#[test]
fn the_configuration_says_where_the_data_is() {
    let directory = stopped();
    let file = directory.path().join("engram.toml");
    fs::write(&file, format!("data_dir = {:?}\n", directory.path())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_engramctl"));
    let output = command.arg("--config").arg(&file).args(["--json", "log", "stat"]).output().unwrap();
    let stat: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stat["records"], 9);
}

#[test]
fn views_are_listed_digested_and_rebuilt_to_the_same() {
    let directory = with_views();
    let list = json(directory.path(), "view list");
    let names: Vec<_> = list["views"].as_array().unwrap().iter().map(|view| view["name"].clone()).collect();
    assert_eq!(names, ["rooms", "users", "ephemeral", "erasures"]);
    let before = json(directory.path(), "view digest");
    assert_eq!(before["offset"], 9);
    assert_eq!(json(directory.path(), "view digest users")["views"][0], before["views"][1]);
    assert_eq!(json(directory.path(), "view rebuild users")["views"][0], before["views"][1]);
    assert_eq!(json(directory.path(), "view rebuild --all"), before);
    fails(directory.path(), "view digest nothing", 2, "there is no view \"nothing\"");

    let verified = json(directory.path(), "view verify");
    assert_eq!(verified["good"], true);
    let leftovers = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(leftovers.into_iter().all(|name| !name.to_string_lossy().starts_with("scratch")), "the scratch is gone");
}

#[test]
fn a_view_can_be_seen_as_it_was() {
    let directory = with_views();
    let into = |name: &str| directory.path().join(name).display().to_string();
    let rows = |line: String| {
        let digests = json(directory.path(), &line);
        let tables = digests["views"][0]["tables"].as_array().unwrap().clone();
        let accounts = tables.into_iter().find(|table| table["name"] == "users.accounts").unwrap();
        (digests["offset"].as_u64().unwrap(), accounts["rows"].as_u64().unwrap())
    };
    assert_eq!(rows(format!("view rebuild users --into {} --to 4", into("a"))), (4, 1));
    assert_eq!(rows(format!("view rebuild users --into {} --to 5", into("b"))), (5, 2));
    assert_eq!(rows(format!("view rebuild users --into {} --until 2026-11-21T09:59:59Z", into("c"))).1, 0);
    assert_eq!(rows(format!("view rebuild users --into {} --until 2026-11-21T10:00:01Z", into("d"))).1, 2);
    fails(directory.path(), &format!("view rebuild --all --into {}", into("a")), 2, "is not empty");
}

#[test]
fn views_that_a_start_would_heal_are_found() {
    let directory = with_views();
    let mark = directory.path().join("views/clean");
    fs::write(&mark, "3").unwrap();
    for line in ["view verify", "view verify", "view digest"] {
        fails(directory.path(), line, 1, "stopped cleanly at 3");
    }
    json(directory.path(), "view rebuild --all");
    assert_eq!(run(directory.path(), "view verify").code, 0);
}

#[test]
fn an_account_is_created_as_by_the_server() {
    let directory = stopped();
    let created = json(directory.path(), "user create carol --password hunter2 --admin");
    assert_eq!(created["user_id"], "@carol:localhost");
    fails(directory.path(), "user create carol --password hunter2", 2, "the user ID is taken");
    fails(directory.path(), "user create @dave:elsewhere --password hunter2", 2, "is no user of this server");
    fails(directory.path(), "user create dave", 2, "there is no password");
    assert_eq!(run_with(directory.path(), "user create @dave:localhost", "hunter2\n").out, "created @dave:localhost\n");

    let created = run(directory.path(), "--json log cat --kind account-created --from 9 --secrets");
    let created: Vec<Value> = created.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(created.len(), 2);
    assert_eq!(created[0]["payload"]["admin"], true);
    assert_eq!(created[1]["payload"]["admin"], false);
    assert!(created[1]["payload"]["password_hash"].as_str().unwrap().starts_with("$argon2id$"));
    assert_eq!(json(directory.path(), "log verify")["good"], true);
    assert_eq!(json(directory.path(), "view verify")["good"], true);
}

/// Sender, type, state key, content, parents and auth events by number.
type Step<'a> = (&'a str, &'a str, Option<&'a str>, &'a str, &'a [usize], &'a [usize]);

/// A room of version 11 in which a fork is joined and an outsider is refused. Offsets 10 to 17; one a second.
fn with_room() -> (TempDir, Vec<String>) {
    use engram_matrix::build::{Draft, Position, build};
    let directory = stopped();
    let log = open(directory.path());
    let version = engram_matrix::RoomVersion::parse("11").unwrap();
    let key = engram_matrix::keys::SigningKey::from_seed("ed25519:1", [1; 32]).unwrap();
    let (alice, eve, member) = ("@alice:localhost", "@eve:localhost", r#"{"membership":"join"}"#);
    let steps: [Step<'_>; 8] = [
        (alice, "m.room.create", Some(""), r#"{"room_version":"11"}"#, &[], &[]),
        (alice, "m.room.member", Some(alice), member, &[0], &[0]),
        (alice, "m.room.power_levels", Some(""), r#"{"users":{"@alice:localhost":100}}"#, &[1], &[0, 1]),
        (alice, "m.room.topic", Some(""), r#"{"topic":"one"}"#, &[2], &[0, 1, 2]),
        (alice, "m.room.topic", Some(""), r#"{"topic":"other"}"#, &[2], &[0, 1, 2]),
        (eve, "m.room.message", None, r#"{"body":"spam"}"#, &[3], &[0, 2]),
        (alice, "m.room.message", None, r#"{"body":"joined"}"#, &[3, 4], &[0, 1, 2]),
        (alice, "m.room.topic", Some(""), r#"{"topic":"last"}"#, &[6], &[0, 1, 2]),
    ];
    let mut ids: Vec<String> = Vec::new();
    for (sender, event_type, state_key, content, parents, auth) in steps {
        let named = |numbers: &[usize]| numbers.iter().map(|number| ids[*number].clone()).collect::<Vec<_>>();
        let (parents, auth) = (named(parents), named(auth));
        let position = Position {
            room_id: Some("!forked:localhost"),
            prev_events: &parents.iter().map(String::as_str).collect::<Vec<_>>(),
            auth_events: &auth.iter().map(String::as_str).collect::<Vec<_>>(),
            depth: ids.len() as u64 + 1,
            origin_server_ts: START.0 + ids.len() as u64,
            ..Position::default()
        };
        let draft = Draft { sender, event_type, state_key, content, redacts: None };
        let built = build(version, &draft, &position, "localhost", &key).unwrap();
        let pdu = v1::Pdu {
            room_id: built.room_id,
            event_id: built.event_id.clone(),
            room_version: "11".to_owned(),
            source: v1::PduSource::Federation,
            json: built.json,
            transaction: None,
            verified_keys: Vec::new(),
        };
        log.append(Lane::Journal, &[pdu.into()], TimestampMs(START.0 + 1000 * ids.len() as u64)).unwrap();
        ids.push(built.event_id);
    }
    log.close().unwrap();
    json(directory.path(), "view rebuild --all");
    (directory, ids)
}

#[test]
fn an_event_is_explained() {
    let (directory, ids) = with_room();
    let explained = json(directory.path(), &format!("room explain {}", ids[5]));
    assert_eq!((&explained["verdict"], &explained["room_version"]), (&"rejected".into(), &"11".into()));
    assert!(explained["reason"].as_str().unwrap().contains("by its auth events"), "{explained}");
    assert_eq!(explained["auth_events"][1]["event_id"], ids[2]);
    assert_eq!(explained["state_before"]["entries"], 4);
    let joined = run(directory.path(), &format!("room explain {}", ids[6]));
    assert!(joined.out.contains("verdict: accepted\n"), "{}", joined.out);
    assert!(joined.out.contains("resolved from several branches, has 4 entries"), "{}", joined.out);
    fails(directory.path(), "room explain $nothing", 2, "the event \"$nothing\" is not known");
}

#[test]
fn a_rooms_state_is_shown_as_it_was() {
    let (directory, ids) = with_room();
    let topic = |at: &str| {
        let state = json(directory.path(), &format!("room state !forked:localhost {at}"));
        let entries = state["state"].as_array().unwrap().clone();
        let topic = entries.iter().find(|event| event["type"] == "m.room.topic");
        (entries.len(), topic.map(|event| event["content"]["topic"].as_str().unwrap().to_owned()))
    };
    let of = |topic: &str| (4, Some(topic.to_owned()));
    assert_eq!(topic(""), of("last"));
    assert_eq!(topic(&format!("--at {}", ids[3])), of("one"));
    assert_eq!(topic(&format!("--at {}", ids[4])), of("other"));
    assert_eq!(topic(&format!("--at {}", ids[2])), (3, None));
    let offset = json(directory.path(), &format!("room explain {}", ids[3]))["event"]["offset"].as_u64().unwrap();
    assert_eq!(topic(&format!("--at {offset}")), of("one"));
    assert_eq!(topic(&format!("--at {}", offset - 1)), (3, None));
    assert_eq!(topic("--at 2026-11-21T10:00:03Z"), of("one"));
    assert_eq!(topic("--at 2026-11-21T10:00:02.999Z"), (3, None));
    assert_eq!(topic("--at 2026-11-20"), (0, None));
    fails(directory.path(), "room state !nowhere:localhost", 2, "is not known");
}

#[test]
fn a_rooms_graph_shows_forks_verdicts_and_extremities() {
    let (directory, ids) = with_room();
    let graph = json(directory.path(), "room graph !forked:localhost --format json");
    assert_eq!(graph["extremities"], serde_json::json!([ids[7]]));
    assert_eq!(graph["forks"], serde_json::json!([ids[2]]));
    let verdicts: Vec<_> =
        graph["events"].as_array().unwrap().iter().map(|event| event["verdict"] == "rejected").collect();
    assert_eq!(verdicts, [false, false, false, false, false, true, false, false]);
    let dot = run(directory.path(), "room graph !forked:localhost --last 3").out;
    assert_eq!(dot.lines().filter(|line| line.contains("label=")).count(), 3, "{dot}");
    assert!(dot.starts_with("digraph \"!forked:localhost\" {") && dot.ends_with("}\n"), "{dot}");
    assert!(dot.contains(&format!("\"{}\" -> \"{}\";", ids[6], ids[4])), "{dot}");
}

/// Lines of JSON, without what differs from log to log.
fn lines(out: &str) -> Vec<Value> {
    let without_offset = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("offset");
        line
    };
    out.lines().map(without_offset).collect()
}

fn exported(directory: &TempDir) -> String {
    let run = run(directory.path(), "room export !forked:localhost --format jsonl");
    assert_eq!(run.code, 0, "{}", run.err);
    run.out
}

fn import(directory: &TempDir, text: &str) -> Run {
    let file = directory.path().join("room.jsonl");
    fs::write(&file, text).unwrap();
    run(directory.path(), &format!("--json room import {}", file.display()))
}

#[test]
fn a_room_moves_to_another_server_as_it_is() {
    let (origin, ids) = with_room();
    let text = exported(&origin);
    let there = stopped();
    let report = import(&there, &text);
    assert_eq!(report.code, 0, "{}{}", report.out, report.err);
    let report: Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!((&report["events"], &report["appended"], &report["same_state"]), (&8.into(), &8.into(), &true.into()));
    assert_eq!(lines(&exported(&there)), lines(&text), "verdicts, reasons, extremities, state, every byte");
    assert_eq!(json(there.path(), "view verify")["good"], true);
    assert_eq!(json(there.path(), "log verify")["good"], true);
    let explained = json(there.path(), &format!("room explain {}", ids[5]));
    assert_eq!(explained["verdict"], "rejected");
    // Once more, and nothing happens.
    let again: Value = serde_json::from_str(&import(&there, &text).out).unwrap();
    assert_eq!((&again["appended"], &again["same_state"]), (&0.into(), &true.into()));

    let records = json(there.path(), "log stat")["records"].clone();
    let other = stopped();
    for (what, bad) in [
        ("`hashes` is missing or malformed", text.replace("\"joined\"", "\"forged\"")),
        ("expected", text.replace(&ids[7], &ids[6])),
        ("not a room", text.replacen("engram-room", "something", 1)),
        ("is not known here", text.replacen("\"room_version\":\"11\"", "\"room_version\":\"99\"", 1)),
        ("line 3", text.replacen("\"kind\":\"event\"", "\"kind\":\"nothing\"", 2)),
        ("line 1", String::new()),
    ] {
        let run = import(&other, &bad);
        assert_eq!(run.code, 2, "{what}: {}", run.err);
        assert!(run.err.contains("Nothing was changed"), "{what}: {}", run.err);
    }
    assert_eq!(json(there.path(), "log stat")["records"], records);
    assert_eq!(json(other.path(), "log stat")["records"], 9);
    fails(other.path(), "room import /nowhere", 2, "cannot read the file");
}

/// A server that joined later: the state as outliers, then what was said since, then the past.
#[test]
fn a_room_that_was_joined_moves_with_what_was_known_of_it() {
    let (origin, ids) = with_room();
    let text = exported(&origin);
    let all: Vec<&str> = text.lines().collect();
    let as_source = |number: usize, source: &str| all[number + 1].replacen("\"federation\"", &format!("{source:?}"), 1);
    let state = serde_json::json!({
        "kind": "state", "offset": 0, "event_id": ids[6], "state": [ids[0], ids[1], ids[2], ids[4]],
        "server": "localhost", "anew": true,
    });
    let mut joined = vec![all[0].to_owned()];
    joined.extend([0, 1, 2, 4].map(|number| as_source(number, "outlier")));
    joined.push(state.to_string());
    joined.extend([6, 7].map(|number| as_source(number, "federation")));
    joined.extend([0, 1, 2, 3, 4].map(|number| as_source(number, "backfill")));
    let there = stopped();
    let report = import(&there, &joined.join("\n"));
    assert_eq!(report.code, 0, "{}{}", report.out, report.err);
    let graph = json(there.path(), "room graph !forked:localhost --format json");
    assert_eq!(graph["extremities"], serde_json::json!([ids[7]]));
    assert_eq!(graph["backward_extremities"], serde_json::json!([]));
    assert!(graph["events"].as_array().unwrap().iter().all(|event| event["verdict"] == "accepted"), "{graph}");
    let explained = json(there.path(), &format!("room explain {}", ids[3]));
    assert_eq!(explained["place"], "past");
    assert_eq!(json(there.path(), "view verify")["good"], true);
    // And on from there.
    let third = stopped();
    let report = import(&third, &exported(&there));
    assert_eq!(report.code, 0, "{}{}", report.out, report.err);
    assert_eq!(lines(&exported(&third)), lines(&exported(&there)));
}

#[test]
fn other_rules_show_what_they_would_change() {
    let (directory, ids) = with_room();
    let before = run(directory.path(), "room verdicts").out;
    assert_eq!(before.lines().count(), 8);
    assert_eq!(run(directory.path(), "room verdicts !forked:localhost --format jsonl").out, before);
    let digest = json(directory.path(), "view digest");
    let what_if = |line: &str| {
        let run = run(directory.path(), &format!("--json view what-if {line}"));
        (run.code, run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>(), run.err)
    };
    // Who is not in the room is refused twice: only without both checks it goes through.
    for line in ["--without-check current-state", "--without-check auth-events"] {
        let (code, differences, err) = what_if(line);
        assert_eq!((code, differences.len()), (0, 0), "{line}: {err}");
    }
    // Up to version 10 a room has a creator only if the create event says so.
    assert_eq!(what_if("--assume-room-version 11=10").1.len(), 6);
    let (code, differences, err) =
        what_if("--without-check auth-events --without-check state-before --without-check current-state");
    assert_eq!((code, differences.len()), (1, 1), "{err}");
    let difference = &differences[0];
    assert_eq!(
        (&difference["event_id"], &difference["room_id"]),
        (&ids[5].as_str().into(), &"!forked:localhost".into())
    );
    assert_eq!((&difference["before"], &difference["after"]), (&"rejected".into(), &"accepted".into()));
    assert!(difference["reason_before"].as_str().unwrap().starts_with("by its auth events"), "{difference}");
    fails(directory.path(), "view what-if --assume-room-version 11=12", 2, "another format");

    // Another version of the program had thought otherwise of one event, and did not know another.
    let file = directory.path().join("verdicts.jsonl");
    let theirs: Vec<_> = before.lines().skip(1).collect();
    fs::write(&file, theirs.join("\n").replacen("\"accepted\"", "\"soft-failed\"", 1)).unwrap();
    let (code, differences, err) = what_if(&format!("--against {}", file.display()));
    assert_eq!((code, differences.len()), (1, 2), "{err}");
    assert_eq!((&differences[0]["before"], &differences[1]["before"]), (&"not known".into(), &"soft-failed".into()));
    let human = run(directory.path(), &format!("view what-if --against {}", file.display()));
    assert!(human.out.ends_with("2 of 8 verdicts differ\n"), "{}", human.out);
    assert_eq!(json(directory.path(), "view digest"), digest, "nothing of it is in the server's views");
}

#[test]
fn the_log_of_a_running_server_is_followed() {
    let directory = TempDir::new().unwrap();
    let running = open(directory.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_engramctl"));
    command.arg("--data-dir").arg(directory.path()).args([
        "--json",
        "log",
        "cat",
        "--follow",
        "--kind",
        "room-published",
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Each is appended only after the one before was printed, so all but the first are waited for.
    for number in 0..5 {
        let room_id = format!("!{number}:localhost");
        let input = Input::RoomPublished(v1::RoomPublished { room_id: room_id.clone(), published: true });
        let appended = running.append(Lane::Journal, &[input], START).unwrap();
        running.wait_durable(appended.last).unwrap();
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&line["offset"], &line["payload"]["room_id"]), (&appended.last.0.into(), &room_id.into()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    running.close().unwrap();
}
