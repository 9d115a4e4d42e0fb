//! The inputs that are kept: `fuzz/corpus/<target>/`, one file each, named by its digest.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::Target;

/// Where the inputs of a target are kept.
pub fn dir(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The name under which an input is kept.
pub fn file_name(input: &[u8]) -> String {
    blake3::hash(input).to_hex()[..16].to_owned()
}

/// All inputs to begin with, in an order that does not depend on the machine: seeds, then what was kept.
pub fn inputs(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs = (target.seeds)();
    let mut paths = Vec::new();
    match fs::read_dir(dir(target)) {
        Ok(entries) => {
            for entry in entries {
                paths.push(entry?.path());
            }
        }
        // Nothing was worth keeping yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    paths.sort();
    for path in paths {
        inputs.push(fs::read(path)?);
    }
    Ok(inputs)
}
