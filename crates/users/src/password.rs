//! Passwords: argon2id hashes in PHC strings.

use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use engram_base::Random;

/// What a password hash costs. A server uses [`PasswordCost::Standard`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordCost {
    /// 19 MiB and two passes: the OWASP minimum for argon2id.
    #[default]
    Standard,
    /// As little as argon2 takes: for tests, never for a server with real users.
    Minimal,
}

/// A password as it is kept: a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedPassword(pub(crate) String);

impl std::fmt::Debug for HashedPassword {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HashedPassword")
    }
}

/// Hashes and verifies passwords.
pub(crate) struct Passwords {
    hasher: Argon2<'static>,
    /// Verified against when there is no account or no password, so that a refusal takes as long.
    decoy: String,
}

impl Passwords {
    pub(crate) fn new(cost: PasswordCost, random: &Random) -> Self {
        let params = match cost {
            PasswordCost::Standard => Params::new(19 * 1024, 2, 1, None),
            PasswordCost::Minimal => Params::new(Params::MIN_M_COST, 1, 1, None),
        };
        let params = params.expect("both sets of parameters are within argon2's bounds");
        let mut passwords =
            Self { hasher: Argon2::new(Algorithm::Argon2id, Version::V0x13, params), decoy: String::new() };
        passwords.decoy = passwords.hash("decoy", random);
        passwords
    }

    /// A PHC string with a fresh salt.
    pub(crate) fn hash(&self, password: &str, random: &Random) -> String {
        let mut salt = [0_u8; 16];
        random(&mut salt);
        let salt = SaltString::encode_b64(&salt).expect("sixteen bytes make a salt");
        let hash = self.hasher.hash_password(password.as_bytes(), &salt);
        hash.expect("argon2 takes any password shorter than 4 GiB").to_string()
    }

    /// Whether a password is right. Takes as long without a hash, and is then false.
    pub(crate) fn verify(&self, password: &str, hash: Option<&str>) -> bool {
        let text = hash.unwrap_or(&self.decoy);
        let right = PasswordHash::new(text)
            .and_then(|parsed| self.hasher.verify_password(password.as_bytes(), &parsed))
            .is_ok();
        right && hash.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn only_the_right_password_verifies() {
        let random: Random = Arc::new(|bytes: &mut [u8]| bytes.fill(7));
        let passwords = Passwords::new(PasswordCost::Minimal, &random);
        let hash = passwords.hash("correct horse", &random);
        assert!(hash.starts_with("$argon2id$"));
        assert!(passwords.verify("correct horse", Some(&hash)));
        assert!(!passwords.verify("correct house", Some(&hash)));
        assert!(!passwords.verify("decoy", None), "the decoy opens nothing");
        assert!(!passwords.verify("x", Some("no PHC string")));
    }
}
