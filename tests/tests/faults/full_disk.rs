//! R7 for the whole server: a file system of a few megabytes, in a user namespace, that fills up.
//!
//! Filled by the server's own writes, and then to the last byte by somebody else's. The server refuses to write and
//! says so; everybody can read; and once there is space it goes on, with the same process.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use engram_tests::server::external_url;
use engram_tests::user::texts;
use engram_tests::{Server, User, eventually};
use serde_json::{Value, json};

use super::{nightly, told_to_come_back};

const CONFIGURATION: &str = "[journal]\nsegment_bytes = 262144\nreserve_bytes = 2097152\nfree_bytes_min = 4194304\n";

/// What can be freed later.
const BALLAST_MIB: u32 = 14;

const TEXT_BYTES: usize = 50_000;

/// A file system of its own under a server's data directory. It goes when this goes.
struct SmallDisk(Child);

impl SmallDisk {
    /// None if the machine does not let anybody make one.
    fn mount_under(server: &mut Server, mebibytes: u32) -> Option<Self> {
        let data = server.data_dir();
        fs::create_dir_all(&data).expect("a directory can be made");
        let script = r#"mount -t tmpfs -o "size=$1m" tmpfs "$0" && echo mounted && exec cat"#;
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(&data)
            .arg(mebibytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = holder.ok()?;
        let mut line = String::new();
        let said = BufReader::new(holder.stdout.take().expect("it is piped")).read_line(&mut line);
        let disk = Self(holder);
        if said.is_err() || line != "mounted\n" {
            return None;
        }
        let pid = disk.0.id().to_string();
        let enter = ["nsenter", "--target", &pid, "--user", "--mount", "--preserve-credentials", "--"];
        server.run_under(enter.iter().map(Into::into).collect());
        Some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It holds nothing but the mount.
        let _ = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

/// Writes a file into the data directory; as much of it as there is space for.
fn fill(server: &Server, name: &str, mebibytes: u32) {
    let path = server.data_dir().join(name);
    let mut command = server.beside("dd");
    command.args(["if=/dev/zero", "bs=64k"]).arg(format!("count={}", mebibytes * 16));
    command.arg(format!("of={}", path.display())).stderr(Stdio::null()).status().expect("dd runs");
}

fn free(server: &Server, name: &str) {
    let removed = server.beside("rm").arg(server.data_dir().join(name)).status().expect("rm runs");
    assert!(removed.success());
}

struct World {
    // Dropped before the disk.
    server: Server,
    alice: User,
    room: String,
    /// What was acknowledged.
    said: Vec<String>,
    /// What was taken, and answered with an error, because it waits for space.
    late: Vec<String>,
    _disk: SmallDisk,
}

impl World {
    fn new(mebibytes: u32) -> Option<Self> {
        let mut server = Server::prepare(CONFIGURATION);
        server.expect_log("the disk is full");
        let disk = SmallDisk::mount_under(&mut server, mebibytes)?;
        fill(&server, "ballast", BALLAST_MIB);
        server.start_again();
        let alice = server.user("alice");
        let room = alice.create_room(&json!({"name": "Full"}));
        Some(Self { server, alice, room, said: Vec::new(), late: Vec::new(), _disk: disk })
    }

    /// Says something, or is told why not.
    fn try_to_say(&mut self, text: &str) -> Result<(), String> {
        let reply = self.alice.send(&self.room, "m.room.message", &json!({"msgtype": "m.text", "body": text}));
        if reply.status == 200 {
            self.said.push(text.to_owned());
            return Ok(());
        }
        let told = told_to_come_back(reply);
        assert!(told.contains("full"), "{told}");
        if told.contains("will be done") {
            self.late.push(text.to_owned());
        }
        Err(told)
    }

    /// Says something until there is no space for more.
    fn say_until_full(&mut self) {
        for _ in 0..2_000 {
            let text = format!("{} {}", self.said.len(), "x".repeat(TEXT_BYTES));
            if self.try_to_say(&text).is_err() {
                return;
            }
        }
        panic!("a disk of a few megabytes takes a few hundred")
    }

    /// Every kind of write is refused.
    fn nothing_can_be_written(&mut self) {
        let told = self.try_to_say("no").expect_err("the disk is full");
        assert!(told.contains("nothing can be written"), "{told}");
        let alice = &self.alice;
        told_to_come_back(alice.post("/v3/createRoom", &json!({})));
        told_to_come_back(alice.set_state(&self.room, "m.room.topic", "", &json!({"topic": "no"})));
        let account_data = format!("/v3/user/{}/account_data/org.example", alice.id);
        told_to_come_back(alice.put(&account_data, &json!({"no": true})));
        let typing = format!("/typing/{}", alice.id);
        told_to_come_back(alice.room_put(&self.room, &typing, &json!({"typing": true, "timeout": 1000})));
    }

    /// Everything that was acknowledged can be read, again and again: longer than it takes until idle views are synced.
    fn everything_can_be_read(&self) {
        let history = self.alice.history(&self.room);
        assert!(texts(&history) == self.said, "what was acknowledged is there, and no more");
        let mut since = self.alice.sync_token();
        for _ in 0..10 {
            let path = format!("/v3/sync?timeout=200&since={}", engram_benches::http::encode(&since));
            let sync: Value = self.alice.get(&path).ok();
            since = engram_tests::user::next_batch(&sync);
            assert_eq!(self.alice.state(&self.room, "m.room.name", "").ok()["name"], "Full");
        }
    }

    /// There is space, and writing works again.
    fn it_goes_on(&mut self) {
        let before = self.said.len();
        let mut attempts = 0;
        eventually("a message is taken again", || {
            attempts += 1;
            self.try_to_say(&format!("after {before}, attempt {attempts}")).ok()
        });
        // What had been taken goes first.
        self.said.splice(before..before, self.late.drain(..));
    }
}

fn a_disk_of(mebibytes: u32) -> Option<()> {
    let mut world = World::new(mebibytes)?;
    let pid = world.server.pid();
    world.say_until_full();
    assert!(world.said.len() > 10, "what there is room for is taken: {}", world.said.len());
    world.nothing_can_be_written();
    world.everything_can_be_read();

    // Somebody else takes what was left for the views.
    fill(&world.server, "filler", 1_000);
    world.nothing_can_be_written();
    world.everything_can_be_read();
    free(&world.server, "filler");
    free(&world.server, "ballast");
    world.it_goes_on();
    world.everything_can_be_read();

    // And all at once, while there would be room in the segment that is being written.
    fill(&world.server, "filler", 1_000);
    world.try_to_say("in between").expect_err("the disk is full");
    world.nothing_can_be_written();
    free(&world.server, "filler");
    world.it_goes_on();
    world.everything_can_be_read();
    assert_eq!(world.server.pid(), pid, "all with one process");

    // A server that is started on a full disk serves all the same.
    fill(&world.server, "ballast", BALLAST_MIB);
    world.say_until_full();
    world.server.kill();
    // It waited in memory, and nobody was promised anything.
    world.late.clear();
    world.server.start_again();
    world.everything_can_be_read();
    // What the segment did not use was given back at the start: somebody else takes it.
    fill(&world.server, "filler", 1_000);
    world.try_to_say("after the start").expect_err("the disk is full");
    world.nothing_can_be_written();
    free(&world.server, "filler");
    free(&world.server, "ballast");
    world.it_goes_on();
    world.everything_can_be_read();

    assert!(world.server.stop().success());
    assert_eq!(world.server.engramctl(&["log", "verify", "--deep"]).0, Some(0));
    assert_eq!(world.server.engramctl(&["view", "verify"]).0, Some(0));
    println!("a disk of {mebibytes} MiB: {} messages were taken, all there", world.said.len());
    Some(())
}

#[test]
fn a_full_disk_makes_the_server_read_only_until_there_is_space() {
    if external_url().is_some() {
        return;
    }
    let sizes = if nightly() { 40..72 } else { 40..41 };
    for mebibytes in sizes {
        if a_disk_of(mebibytes).is_none() {
            // Past the harness, which shows nothing of tests that pass.
            let what = "this machine lets nobody mount a file system in a user namespace (unshare, nsenter)";
            writeln!(io::stderr(), "SKIPPED: {what}").expect("standard error can be written");
            return;
        }
    }
}
