//! Where the programs under test are. They are built here, once, so that one test command suffices.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The programs under test.
pub struct Binaries {
    /// The server.
    pub engram: PathBuf,
    /// The tool for logs and views.
    pub engramctl: PathBuf,
}

/// Builds the programs with the profile that the tests were built with, or takes those in `ENGRAM_BIN_DIR`.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| match std::env::var_os("ENGRAM_BIN_DIR").map(PathBuf::from) {
        Some(dir) => Binaries { engram: dir.join("engram"), engramctl: dir.join("engramctl") },
        None => build(),
    })
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace")
}

/// The target directory that this test runs from.
pub fn target_dir() -> PathBuf {
    let executable = std::env::current_exe().expect("a process knows its executable");
    // target/PROFILE/deps/main-HASH
    executable.ancestors().nth(3).expect("tests run from target/PROFILE/deps").to_owned()
}

fn build() -> Binaries {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, so that features are unified as in the build of the tests and little is built twice.
    command.args(["build", "--workspace", "--bins", "--message-format=json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.arg("--target-dir").arg(target_dir());
    // What cargo tells this test about its own package would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let output = command.current_dir(workspace()).stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "the programs under test do not build");
    let artifacts: Vec<Value> =
        output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let executable = |name: &str| {
        let artifact = artifacts.iter().find(|artifact| {
            artifact["reason"] == "compiler-artifact"
                && artifact["target"]["name"] == name
                && artifact["executable"].is_string()
        });
        let path = artifact.and_then(|artifact| artifact["executable"].as_str());
        PathBuf::from(path.unwrap_or_else(|| panic!("cargo did not build a binary {name}")))
    };
    Binaries { engram: executable("engram"), engramctl: executable("engramctl") }
}
