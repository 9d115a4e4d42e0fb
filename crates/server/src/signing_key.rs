//! The server's signing key: a file of its own, never in the log, made at the first start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use engram_base::Random;
use engram_failpoints::{Point, pass};
use engram_matrix::keys::SigningKey;

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file cannot be read or written.
    #[error("cannot access the signing key {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no key.
    #[error("{} is not a signing key: {why}. Restore it from a backup: other servers know this server by it", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Reads `keys/signing.key` of a data directory, or makes one if there is none.
pub fn load_or_create(data_dir: &Path, random: &Random) -> Result<SigningKey, SigningKeyError> {
    let directory = data_dir.join("keys");
    let path = directory.join("signing.key");
    let at = |source: io::Error| SigningKeyError::Io { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) => SigningKey::parse_text(&text)
            .map_err(|error| SigningKeyError::Malformed { path: path.clone(), why: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = generate(random);
            DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(at)?;
            write(&directory, &path, &key.to_text()).map_err(at)?;
            Ok(key)
        }
        Err(error) => Err(at(error)),
    }
}

fn generate(random: &Random) -> SigningKey {
    let (mut seed, mut name) = ([0; 32], [0; 4]);
    random(&mut seed);
    random(&mut name);
    let name = u32::from_be_bytes(name);
    SigningKey::from_seed(&format!("ed25519:a_{name:08x}"), seed)
        .expect("letters, digits and underscores make a key ID")
}

/// The whole file or none: a crash must not leave half a key behind.
fn write(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    let scratch = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&scratch)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    pass(Point::KeyWritten)?;
    fs::rename(&scratch, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_nobody_else_may_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let random = crate::root::random();
        let made = load_or_create(directory.path(), &random).expect("a new key");
        let found = load_or_create(directory.path(), &random).expect("the same key");
        assert_eq!(made.to_text(), found.to_text());
        let path = directory.path().join("keys/signing.key");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        fs::write(&path, "garbage").expect("written");
        assert!(matches!(load_or_create(directory.path(), &random), Err(SigningKeyError::Malformed { .. })));
    }
}
