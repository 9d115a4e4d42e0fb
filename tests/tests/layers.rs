//! The architecture as cargo sees it: crates depend downwards only, and nothing that replays can reach a clock
//! driver or a random source.

use std::process::Command;

use engram_tests::binaries::workspace;
use serde_json::Value;

/// How high a crate stands (design: "Crates depend downwards only"). A new crate has to be given its place here.
const RANKS: [(&str, u32); 26] = [
    ("engram-failpoints", 0),
    ("engram-log-format", 0),
    ("engram-matrix", 0),
    ("engram-base", 1),
    ("engram-log", 1),
    ("engram-views", 2),
    ("engram-effects", 3),
    ("engram-rooms", 4),
    ("engram-users", 4),
    ("engram-ephemeral", 4),
    ("engram-eraser", 5),
    ("engram-sync", 5),
    ("engram-notify", 5),
    ("engram-search", 5),
    ("engram-appservice", 5),
    ("engram-media", 5),
    ("engram-federation", 5),
    ("engram-http", 6),
    ("engram-client-api", 7),
    ("engram-federation-api", 7),
    ("engram-admin-api", 7),
    ("engram-server", 8),
    ("engram-ctl", 9),
    ("engram-benches", 9),
    ("engram-fuzz", 9),
    ("engram-tests", 10),
];

/// Crates whose code runs during a replay.
const REPLAYED: [&str; 9] = [
    "engram-log-format",
    "engram-base",
    "engram-log",
    "engram-views",
    "engram-effects",
    "engram-rooms",
    "engram-users",
    "engram-ephemeral",
    "engram-eraser",
];

/// Other people's crates that link rand for calls which Engram does not make: ruma generates keys with it.
const MAY_USE_RAND: [&str; 1] = ["ruma-signatures"];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(workspace()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

fn rank(name: &str) -> u32 {
    let found = RANKS.iter().find(|(crate_name, _)| *crate_name == name);
    found.unwrap_or_else(|| panic!("{name} has no place in the order of layers")).1
}

#[test]
fn crates_depend_downwards_only() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).expect("JSON");
    let mut edges = 0;
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        for dependency in dependencies.filter(|dependency| dependency["path"].is_string()) {
            let below = dependency["name"].as_str().expect("a name");
            let downwards = match dependency["kind"].as_str() {
                // A crate's tests may use its neighbours, but nothing from above.
                Some("dev") => rank(below) <= rank(name),
                _ => rank(below) < rank(name),
            };
            assert!(downwards, "{name} must not depend on {below}");
            edges += 1;
        }
    }
    assert!(edges > 10, "the workspace was read: {edges} edges");
}

#[test]
fn nothing_that_replays_reaches_a_runtime_or_a_random_source() {
    for crate_name in REPLAYED {
        let packages = packages(&["tree", "-p", crate_name]);
        assert_eq!(packages.first().map(|(name, _)| name.as_str()), Some(crate_name));
        assert!(packages.iter().all(|(name, _)| name != "tokio"), "cargo tree -p {crate_name} -i tokio");
        // The lock file may hold several versions, of which not all are in this tree.
        for (_, version) in packages.iter().filter(|(name, _)| name == "rand") {
            let users = self::packages(&["tree", "-p", crate_name, "-i", &format!("rand@{version}"), "--depth", "1"]);
            // rand itself, then those that depend on it directly.
            let strangers: Vec<&String> =
                users[1..].iter().map(|(name, _)| name).filter(|user| !MAY_USE_RAND.contains(&user.as_str())).collect();
            assert!(strangers.is_empty(), "{crate_name} reaches rand through {strangers:?}");
        }
    }
}

#[test]
fn a_release_has_no_fail_points() {
    let features = |more: &[&str]| {
        let tree = ["tree", "-p", "engram-server", "-e", "normal,features", "-i", "engram-failpoints"];
        cargo(&[&tree, more].concat())
    };
    assert!(features(&["--features", "failpoints"]).contains("feature \"enabled\""), "it is called like this");
    assert!(!features(&[]).contains("feature \"enabled\""), "only tests ask for it");
}

/// The packages of a dependency tree, by name and version.
fn packages(arguments: &[&str]) -> Vec<(String, String)> {
    let form = ["-e", "normal,no-proc-macro", "--prefix", "none", "-f", "{p}"];
    let tree = cargo(&[arguments, &form].concat());
    let named = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        Some((name.to_owned(), rest.split(' ').next()?.to_owned()))
    };
    tree.lines().filter_map(named).collect()
}
