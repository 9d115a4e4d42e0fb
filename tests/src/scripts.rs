//! Client libraries of other languages, installed below `target/test-env`, and scripts that drive them.
//!
//! Versions are pinned in `clients/`; a stamp says which of them are installed, so that this happens once.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::binaries::target_dir;

/// Runs a Python script of `clients/` with matrix-nio at hand. The script panics the test unless it exits with 0.
pub fn run_python(script: &str, arguments: &[&str]) -> String {
    static ENVIRONMENT: OnceLock<PathBuf> = OnceLock::new();
    let environment = ENVIRONMENT.get_or_init(|| install("python", "requirements.txt", install_python));
    run(environment.join("bin/python"), clients().join(script), arguments, environment)
}

/// Runs a node script of `clients/` with matrix-js-sdk at hand. The script panics the test unless it exits with 0.
pub fn run_node(script: &str, arguments: &[&str]) -> String {
    static ENVIRONMENT: OnceLock<PathBuf> = OnceLock::new();
    let environment = ENVIRONMENT.get_or_init(|| install("node", "package-lock.json", install_node));
    // Imports are looked up from where the script is.
    for file in [script, "js_common.mjs"] {
        fs::copy(clients().join(file), environment.join(file)).expect("a script can be copied");
    }
    run("node", environment.join(script), arguments, environment)
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The folder of an environment, made anew unless its stamp has the same pins.
fn install(name: &str, pins: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = target_dir().join("test-env").join(name);
    let stamp = folder.join("installed");
    let wanted = fs::read_to_string(clients().join(pins)).expect("the pins can be read");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return folder;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an old environment can be removed");
    }
    fs::create_dir_all(&folder).expect("an environment can be made");
    make(&folder);
    fs::write(stamp, wanted).expect("a stamp can be written");
    folder
}

fn install_python(folder: &Path) {
    must(Command::new("python3").args(["-m", "venv"]).arg(folder));
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    must(pip.arg(clients().join("requirements.txt")));
}

fn install_node(folder: &Path) {
    for file in ["package.json", "package-lock.json"] {
        fs::copy(clients().join(file), folder.join(file)).expect("the pins can be copied");
    }
    must(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder));
}

fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

fn run(program: impl AsRef<OsStr>, script: PathBuf, arguments: &[&str], folder: &Path) -> String {
    let text = must(Command::new(program).arg(script).args(arguments).current_dir(folder));
    println!("{}", text.lines().last().unwrap_or_default());
    text
}
