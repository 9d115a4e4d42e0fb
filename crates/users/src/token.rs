//! Access tokens: made here, handed to the client once, and known to the log only by their digest.

/// BLAKE3 of an access token: what the log and the views know of it.
pub type TokenDigest = [u8; 32];

/// The digest under which a token is known.
pub fn digest(token: &str) -> TokenDigest {
    *blake3::hash(token.as_bytes()).as_bytes()
}
