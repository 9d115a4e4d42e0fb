//! The server's Ed25519 signing key, its text form, and signing of arbitrary JSON.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ed25519_dalek::Signer;
use serde_json::{Map, Value};

use crate::canonical::{self, CanonicalError};

/// Standard base64: written without padding, read with or without it.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What is wrong with a signing key's text or identifier.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The identifier is not `ed25519:` and one or more of `a-zA-Z0-9_`.
    #[error("key ID {0:?} is not `ed25519:` followed by letters, digits and underscores")]
    KeyId(String),
    /// The text is not the three words `ed25519 NAME SEED`.
    #[error("a signing key is written `ed25519 NAME SEED`")]
    Form,
    /// The seed is not 32 bytes in base64.
    #[error("the seed of a signing key is 32 bytes in unpadded base64")]
    Seed,
}

/// Why a JSON object could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignJsonError {
    /// The object has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// Not an object, or its `signatures` are not objects.
    #[error("only an object whose `signatures` are objects can be signed")]
    Shape,
}

/// An Ed25519 key pair with its Matrix key ID. The secret never shows in `Debug`.
#[derive(Clone)]
pub struct SigningKey {
    key_id: Box<str>,
    public_base64: Box<str>,
    pair: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// The key made from a seed; `key_id` is `ed25519:NAME`.
    pub fn from_seed(key_id: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        let name = key_id.strip_prefix("ed25519:").unwrap_or_default();
        let well_formed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(well_formed) {
            return Err(KeyError::KeyId(key_id.to_owned()));
        }
        let pair = ed25519_dalek::SigningKey::from_bytes(&seed);
        let public_base64 = BASE64.encode(pair.verifying_key().as_bytes()).into();
        Ok(Self { key_id: key_id.into(), public_base64, pair })
    }

    /// Reads the text form `ed25519 NAME SEED`, seed in base64.
    pub fn parse_text(text: &str) -> Result<Self, KeyError> {
        let mut words = text.split_ascii_whitespace();
        let (Some("ed25519"), Some(name), Some(seed), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(KeyError::Form);
        };
        let seed = BASE64.decode(seed).map_err(|_| KeyError::Seed)?;
        let seed = seed.try_into().map_err(|_| KeyError::Seed)?;
        Self::from_seed(&format!("ed25519:{name}"), seed)
    }

    /// The text form, which holds the secret: for the key file only.
    pub fn to_text(&self) -> String {
        format!("ed25519 {} {}\n", self.name(), BASE64.encode(self.pair.to_bytes()))
    }

    /// `ed25519:NAME`
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The part of the key ID after the algorithm.
    pub fn name(&self) -> &str {
        self.key_id.split_once(':').map_or("", |(_, name)| name)
    }

    /// The public key in unpadded base64.
    pub fn public_base64(&self) -> &str {
        &self.public_base64
    }

    /// The public key.
    pub fn public_bytes(&self) -> [u8; 32] {
        self.pair.verifying_key().to_bytes()
    }

    /// Signs bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).to_bytes()
    }

    /// Signs bytes and gives the signature in unpadded base64.
    pub fn sign_base64(&self, message: &[u8]) -> String {
        BASE64.encode(self.sign(message))
    }

    /// Signs a JSON object as `entity`, adding to the signatures it has. `unsigned` is not covered.
    pub fn sign_json(&self, entity: &str, value: &mut Value) -> Result<(), SignJsonError> {
        let object = value.as_object_mut().ok_or(SignJsonError::Shape)?;
        let signatures = object.remove("signatures").unwrap_or_else(|| Value::Object(Map::new()));
        let Value::Object(mut signatures) = signatures else {
            return Err(SignJsonError::Shape);
        };
        let unsigned = object.remove("unsigned");
        let bytes = canonical::to_canonical(value)?;
        let object = value.as_object_mut().ok_or(SignJsonError::Shape)?;
        signatures
            .entry(entity)
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut()
            .ok_or(SignJsonError::Shape)?
            .insert(self.key_id.to_string(), self.sign_base64(&bytes).into());
        object.insert("signatures".to_owned(), Value::Object(signatures));
        if let Some(unsigned) = unsigned {
            object.insert("unsigned".to_owned(), unsigned);
        }
        Ok(())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("key_id", &self.key_id)
            .field("public", &self.public_base64)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::{KeyError, SigningKey};

    /// The key of the specification's test vectors.
    pub(crate) fn spec_key() -> SigningKey {
        SigningKey::parse_text("ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1").expect("a key")
    }

    #[test]
    fn spec_vectors_for_json_signing() {
        let key = spec_key();
        assert_eq!(key.public_base64(), "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI");
        let mut empty = json!({});
        key.sign_json("domain", &mut empty).expect("signs");
        assert_eq!(
            empty["signatures"]["domain"]["ed25519:1"],
            "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"
        );
        let mut two =
            json!({"two": "Two", "one": 1, "unsigned": {"age": 1}, "signatures": {"other": {"ed25519:x": "s"}}});
        key.sign_json("domain", &mut two).expect("signs");
        assert_eq!(
            two["signatures"]["domain"]["ed25519:1"],
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"
        );
        assert_eq!(two["signatures"]["other"]["ed25519:x"], "s");
        assert_eq!(two["unsigned"]["age"], 1);
    }

    #[test]
    fn text_form_round_trips_and_debug_hides_the_seed() {
        let key = spec_key();
        let text = key.to_text();
        // The specification writes the seed with bits set beyond its last byte; they mean nothing.
        assert_eq!(text, "ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA0\n");
        assert_eq!(SigningKey::parse_text(&text).expect("a key").to_text(), text);
        assert!(!format!("{key:?}").contains("YJDBA9"));
    }

    #[test]
    fn malformed_keys_are_refused() {
        let check = |text: &str, error: KeyError| {
            assert_eq!(SigningKey::parse_text(text).expect_err(text), error);
        };
        check("", KeyError::Form);
        check("rsa 1 AAAA", KeyError::Form);
        check("ed25519 1 AAAA", KeyError::Seed);
        check("ed25519 1 !!!!", KeyError::Seed);
        check("ed25519 a-b YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1", KeyError::KeyId("ed25519:a-b".to_owned()));
        assert_eq!(
            SigningKey::from_seed("ed25519:", [0; 32]).expect_err("no name"),
            KeyError::KeyId("ed25519:".to_owned())
        );
    }
}
