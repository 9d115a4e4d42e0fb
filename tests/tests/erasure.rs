//! What is to be forgotten leaves the disk: redacted content, received messages to devices, the data of erased
//! accounts. And the log verifies, and the views rebuilt over it are those of the server that knew everything.

use std::fs;
use std::path::Path;
use std::process::Command;

use engram_benches::http::encode;
use engram_tests::server::external_url;
use engram_tests::user::{PASSWORD, next_batch};
use engram_tests::{Server, User, eventually};
use serde_json::{Value, json};

/// Everything is due at once.
const AT_ONCE: &str = "[erasure]\nredacted_after = \"0s\"\nto_device_after = \"0s\"\naccounts_after = \"0s\"\n";

/// The files below a directory that hold a text. By grep: segments are preallocated, and much to read for a test that
/// is not optimised.
fn files_with(directory: &Path, text: &str) -> Vec<String> {
    let output = Command::new("grep").args(["-rlaF", text]).arg(directory).output().expect("there is grep");
    // Files may go while it reads.
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn check(server: &Server) {
    for command in [["log", "verify"], ["view", "verify"]] {
        let (code, text) = server.engramctl(&command);
        assert_eq!(code, Some(0), "{command:?}: {text}");
    }
}

fn close_and_erase(user: &User) {
    let refused = user.post("/v3/account/deactivate", &json!({}));
    let identifier = json!({"type": "m.id.user", "user": user.id});
    let auth = json!({"type": "m.login.password", "identifier": identifier, "password": PASSWORD,
        "session": refused.body["session"]});
    user.post("/v3/account/deactivate", &json!({"erase": true, "auth": auth})).ok();
}

#[test]
fn what_is_to_be_forgotten_leaves_the_disk() {
    if external_url().is_some() {
        return;
    }
    let mut server = Server::start_with(AT_ONCE);
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let data = server.data_dir();
    let room = alice.create_room(&json!({"preset": "public_chat", "topic": "a-topic-to-forget"}));
    bob.join(&room).ok();
    let kept = alice.say(&room, "a-message-to-keep");
    let said = alice.say(&room, "a-message-to-forget");
    let topic = alice.room_get(&room, "/state/m.room.topic/?format=event").ok();
    let since = bob.sync_token();
    let content = json!({"messages": {bob.id.clone(): {bob.device.clone(): {"text": "a-whisper-to-forget"}}}});
    alice.put("/v3/sendToDevice/org.example.x/1", &content).ok();
    carol
        .put(&format!("/v3/profile/{}/displayname", encode(&carol.id)), &json!({"displayname": "a-name-to-forget"}))
        .ok();
    let note = json!({"text": "a-note-to-forget"});
    carol.put(&format!("/v3/user/{}/account_data/org.example.note", encode(&carol.id)), &note).ok();
    let marks =
        ["a-topic-to-forget", "a-message-to-forget", "a-whisper-to-forget", "a-name-to-forget", "a-note-to-forget"];
    for mark in marks {
        assert!(!files_with(&data.join("log"), mark).is_empty(), "{mark} is in the log");
    }

    for event_id in [&said, topic["event_id"].as_str().expect("an ID")] {
        alice.redact(&room, event_id).ok();
    }
    let heard = bob.sync_until(&since, "the whisper", |sync| sync["to_device"]["events"][0].is_object());
    bob.sync(&next_batch(&heard), "");
    close_and_erase(&carol);
    for mark in marks {
        eventually(&format!("{mark} leaves the disk"), || files_with(&data.join("log"), mark).is_empty().then_some(()));
    }
    let event = |event_id: &str| alice.room_get(&room, &format!("/event/{}", encode(event_id))).ok();
    assert_eq!(event(&said)["content"], json!({}));
    assert_eq!(event(&kept)["content"]["body"], "a-message-to-keep");

    // The key-value store of the views may keep what it has overwritten for a while, so it must never have had it; but
    // for the profile, which goes with the next rebuild at the latest.
    server.stop();
    check(&server);
    for mark in marks.iter().filter(|mark| **mark != "a-name-to-forget") {
        assert_eq!(files_with(&data, mark), [""; 0]);
    }
    fs::remove_dir_all(data.join("views")).expect("views can be deleted at any time");
    server.start_again();
    assert_eq!(event(&said)["content"], json!({}));
    assert_eq!(event(&kept)["content"]["body"], "a-message-to-keep");
    assert_eq!(alice.state(&room, "m.room.topic", "").ok(), Value::Object(serde_json::Map::new()));
    server.stop();
    check(&server);
    for mark in marks {
        assert_eq!(files_with(&data, mark), [""; 0]);
    }
}
