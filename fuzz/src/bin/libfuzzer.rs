//! The driver that is guided by coverage: one target under libFuzzer. See `fuzz/run`.
//!
//! `ENGRAM_FUZZ_TARGET` names the target, `ENGRAM_FUZZ_START` a directory into which its corpus and its seeds are
//! written first.

#![no_main]
#![expect(clippy::disallowed_methods, reason = "libFuzzer takes the command line for itself")]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs};

use engram_fuzz::{Target, corpus};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = env::var("ENGRAM_FUZZ_TARGET").expect("ENGRAM_FUZZ_TARGET names a target");
    engram_fuzz::target(&name).unwrap_or_else(|| panic!("there is no target {name}"))
});

fn write_start() {
    let dir = PathBuf::from(env::var_os("ENGRAM_FUZZ_START").expect("ENGRAM_FUZZ_START names a directory"));
    for input in corpus::inputs(&TARGET).expect("the corpus can be read") {
        fs::write(dir.join(corpus::file_name(&input)), &input).expect("the directory can be written");
    }
}

fuzz_target!(init: write_start(), |input: &[u8]| (TARGET.run)(input));
