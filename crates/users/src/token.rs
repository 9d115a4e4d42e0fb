//! Access tokens and other random names. A token is handed to the client once; the log knows only its digest.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engram_base::Random;

/// BLAKE3 of an access token: what the log and the views know of it.
pub type TokenDigest = [u8; 32];

/// Marks our tokens, so that one that leaks into a log or a repository can be recognised by scanners.
const ACCESS_TOKEN_PREFIX: &str = "ea_";
const DEVICE_ID_LENGTH: usize = 10;

/// The digest under which a token is known.
pub fn digest(token: &str) -> TokenDigest {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// A new access token: 256 random bits.
pub(crate) fn access_token(random: &Random) -> String {
    let mut bytes = [0_u8; 32];
    random(&mut bytes);
    format!("{ACCESS_TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// A new device ID: ten capital letters. No secret, so the slight bias of the remainder does no harm.
pub(crate) fn device_id(random: &Random) -> String {
    letters(random, DEVICE_ID_LENGTH, b'A', 26)
}

/// A random localpart for a user who did not ask for one.
pub(crate) fn localpart(random: &Random) -> String {
    letters(random, 12, b'a', 26)
}

/// A random numeric localpart, which only guests have.
pub(crate) fn guest_localpart(random: &Random) -> String {
    letters(random, 16, b'0', 10)
}

/// A random registration token: letters of one case, easy to read out.
pub(crate) fn registration_token(random: &Random) -> String {
    letters(random, 20, b'a', 26)
}

fn letters(random: &Random, count: usize, first: u8, of: u8) -> String {
    let mut bytes = vec![0_u8; count];
    random(&mut bytes);
    bytes.into_iter().map(|byte| char::from(first + byte % of)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn names_have_their_shapes() {
        let random: Random = Arc::new(|bytes: &mut [u8]| {
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = (index * 37 + 11) as u8;
            }
        });
        let token = access_token(&random);
        assert_eq!(token.len(), 3 + 43);
        assert!(token.starts_with("ea_"));
        assert_ne!(digest(&token), digest(&token[1..]));
        let device = device_id(&random);
        assert_eq!(device.len(), 10);
        assert!(device.bytes().all(|byte| byte.is_ascii_uppercase()));
        assert!(guest_localpart(&random).bytes().all(|byte| byte.is_ascii_digit()));
        assert!(localpart(&random).bytes().all(|byte| byte.is_ascii_lowercase()));
    }
}
