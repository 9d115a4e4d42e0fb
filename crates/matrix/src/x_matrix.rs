//! The `Authorization` header by which servers sign their requests to each other (server-server API, Request
//! Authentication).
//!
//! ```text
//! X-Matrix origin="a.example",destination="b.example",key="ed25519:1",sig="…"
//! ```
//!
//! Reads what RFC 9110, section 11.4, lets anybody send, and colons outside quotes, which old servers send; writes the
//! one form that old servers read. Says nothing about whether the signature is right.

use std::{borrow::Cow, fmt, str::FromStr};

use crate::{ids, limits};

/// Who sends a request, to whom, and what vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XMatrix {
    /// The sending server.
    pub origin: String,
    /// The receiving server; old servers leave it out. A request to another server must be refused with 401.
    pub destination: Option<String>,
    /// The key of the sending server, `ed25519:NAME`.
    pub key_id: String,
    /// The signature in base64.
    pub signature: String,
}

/// Why a header is not one of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XMatrixError {
    /// Longer than any server has reason to send.
    #[error("the header has {0} bytes, at most {max} are read", max = limits::X_MATRIX_BYTES_MAX)]
    TooLong(usize),
    /// Another scheme, or none.
    #[error("the scheme is not X-Matrix")]
    Scheme,
    /// Not a list of `name=value`.
    #[error("the header is malformed at byte {0}")]
    Malformed(usize),
    /// A parameter is there twice: nobody can say which is meant.
    #[error("`{0}` is there twice")]
    Twice(&'static str),
    /// A parameter is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A parameter is not what its name says.
    #[error("`{name}` cannot be {value:?}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

impl FromStr for XMatrix {
    type Err = XMatrixError;

    fn from_str(header: &str) -> Result<Self, XMatrixError> {
        if header.len() > limits::X_MATRIX_BYTES_MAX {
            return Err(XMatrixError::TooLong(header.len()));
        }
        let scheme = header.split(' ').next().unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("X-Matrix") || scheme.len() == header.len() {
            return Err(XMatrixError::Scheme);
        }
        let [mut origin, mut destination, mut key_id, mut signature] = [const { None }; 4];
        let mut parameters = Parameters { text: header, at: scheme.len() };
        while let Some((name, value)) = parameters.next()? {
            // The specification calls the last one `sig` in its examples, as all servers do, and `signature` in its
            // list.
            let (name, slot) = match name.to_ascii_lowercase().as_str() {
                "origin" => ("origin", &mut origin),
                "destination" => ("destination", &mut destination),
                "key" => ("key", &mut key_id),
                "sig" | "signature" => ("sig", &mut signature),
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(XMatrixError::Twice(name));
            }
        }
        Ok(Self {
            origin: checked("origin", origin, ids::is_server_name)?,
            destination: destination.map(|name| checked("destination", Some(name), ids::is_server_name)).transpose()?,
            key_id: checked("key", key_id, is_key_id)?,
            signature: checked("sig", signature, is_base64)?,
        })
    }
}

impl fmt::Display for XMatrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // None of the values can hold a quote or a backslash: see the checks.
        write!(formatter, "X-Matrix origin=\"{}\"", self.origin)?;
        if let Some(destination) = &self.destination {
            write!(formatter, ",destination=\"{destination}\"")?;
        }
        write!(formatter, ",key=\"{}\",sig=\"{}\"", self.key_id, self.signature)
    }
}

fn checked(name: &'static str, value: Option<String>, good: fn(&str) -> bool) -> Result<String, XMatrixError> {
    let value = value.ok_or(XMatrixError::Missing(name))?;
    if good(&value) { Ok(value) } else { Err(XMatrixError::Value { name, value }) }
}

/// `algorithm:name`. Which algorithms can be checked is for those to say who check.
fn is_key_id(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    text.split_once(':').is_some_and(|(algorithm, name)| word(algorithm) && word(name))
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    !digits.is_empty()
        && text.len() - digits.len() <= 2
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}

/// A comma-separated list of `name=value`.
struct Parameters<'a> {
    text: &'a str,
    /// How far it was read, in bytes.
    at: usize,
}

impl<'a> Parameters<'a> {
    /// The next parameter, its value unquoted. Empty elements of the list are passed over, as RFC 9110 asks.
    fn next(&mut self) -> Result<Option<(&'a str, Cow<'a, str>)>, XMatrixError> {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b','));
        if self.at == self.text.len() {
            return Ok(None);
        }
        let name = self.take_while(is_token);
        self.skip_blanks();
        if name.is_empty() || !self.take(b'=') {
            return Err(XMatrixError::Malformed(self.at));
        }
        self.skip_blanks();
        let value = if self.take(b'"') { self.quoted()? } else { Cow::Borrowed(self.unquoted()?) };
        self.skip_blanks();
        if self.at < self.text.len() && !self.take(b',') {
            return Err(XMatrixError::Malformed(self.at));
        }
        Ok(Some((name, value)))
    }

    fn unquoted(&mut self) -> Result<&'a str, XMatrixError> {
        let value = self.take_while(|byte| is_token(byte) || byte == b':');
        if value.is_empty() { Err(XMatrixError::Malformed(self.at)) } else { Ok(value) }
    }

    /// What follows an opening quote, up to the closing one.
    fn quoted(&mut self) -> Result<Cow<'a, str>, XMatrixError> {
        let plain = self.take_while(is_quotable);
        if self.take(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut value = plain.to_owned();
        while !self.take(b'"') {
            if self.take(b'\\') {
                let escaped =
                    self.text[self.at..].chars().next().filter(|char| *char == '\t' || !char.is_ascii_control());
                let escaped = escaped.ok_or(XMatrixError::Malformed(self.at))?;
                value.push(escaped);
                self.at += escaped.len_utf8();
            } else {
                let plain = self.take_while(is_quotable);
                if plain.is_empty() {
                    return Err(XMatrixError::Malformed(self.at));
                }
                value.push_str(plain);
            }
        }
        Ok(Cow::Owned(value))
    }

    fn skip_blanks(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn take(&mut self, wanted: u8) -> bool {
        let taken = self.text.as_bytes().get(self.at) == Some(&wanted);
        self.at += usize::from(taken);
        taken
    }

    /// Takes ASCII bytes of a kind, or whole characters beyond ASCII if the kind takes all of their bytes.
    fn take_while(&mut self, kind: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let length = rest.bytes().position(|byte| !kind(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `qdtext` of RFC 9110, section 5.6.4.
fn is_quotable(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control() && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(origin: &str, destination: Option<&str>) -> XMatrix {
        XMatrix {
            origin: origin.to_owned(),
            destination: destination.map(str::to_owned),
            key_id: "ed25519:key1".to_owned(),
            signature: "ABCDEF".to_owned(),
        }
    }

    fn check(text: &str, expected: Result<XMatrix, XMatrixError>) {
        assert_eq!(text.parse(), expected, "{text}");
    }

    #[test]
    fn the_example_of_the_specification_and_the_form_that_is_sent() {
        let text = "X-Matrix origin=\"origin.hs.example.com\",destination=\"destination.hs.example.com\",\
                    key=\"ed25519:key1\",sig=\"ABCDEF\"";
        let expected = header("origin.hs.example.com", Some("destination.hs.example.com"));
        assert_eq!(expected.to_string(), text);
        check(text, Ok(expected));
        check(&header("a:1", None).to_string(), Ok(header("a:1", None)));
        check(&header("[::1]:8448", Some("b")).to_string(), Ok(header("[::1]:8448", Some("b"))));
    }

    #[test]
    fn whatever_the_grammar_allows() {
        for text in [
            // Tokens need no quotes, and colons are let through.
            "X-Matrix origin=a:80,destination=b,key=ed25519:key1,sig=ABCDEF",
            // More spaces, tabs around commas, any order, any case of names and scheme.
            "x-matrix   SIG=\"ABCDEF\" \t,\t Key=\"ed25519:key1\" , destination=b ,origin=\"a:80\"",
            // Blanks around the equals sign, which nobody may send and everybody must read.
            "X-Matrix origin = \"a:80\",destination\t=b,key= ed25519:key1,sig=ABCDEF",
            // Escaped characters, needlessly.
            r#"X-Matrix origin="\a:8\0",destination="b",key="ed25519\:key1",sig="ABCDEF""#,
            // Unknown parameters are ignored, whatever they hold, also twice.
            r#"X-Matrix origin="a:80",x="\"\\ ,=ü\ü",x=1,destination="b",key="ed25519:key1",sig="ABCDEF""#,
            // Empty elements of the list.
            "X-Matrix ,, origin=\"a:80\",,destination=b,key=ed25519:key1,sig=ABCDEF,",
            // The name in the specification's list.
            "X-Matrix origin=\"a:80\",destination=b,key=ed25519:key1,signature=ABCDEF",
        ] {
            check(text, Ok(header("a:80", Some("b"))));
        }
    }

    #[test]
    fn nothing_else() {
        use XMatrixError::{Malformed, Missing, Scheme, TooLong, Twice};
        check("", Err(Scheme));
        check("X-Matrix", Err(Scheme));
        check("X-Matrixorigin=a", Err(Scheme));
        check("X-Matrix\torigin=a", Err(Scheme));
        check("Bearer origin=a", Err(Scheme));
        check("X-Matrix ", Err(Missing("origin")));
        check("X-Matrix origin=a,key=ed25519:1", Err(Missing("sig")));
        check("X-Matrix origin=a,origin=b", Err(Twice("origin")));
        check("X-Matrix sig=a,signature=a", Err(Twice("sig")));
        check("X-Matrix origin", Err(Malformed(15)));
        check("X-Matrix origin=", Err(Malformed(16)));
        check("X-Matrix =a", Err(Malformed(9)));
        check("X-Matrix origin=a destination=b", Err(Malformed(18)));
        check("X-Matrix origin=[::1]", Err(Malformed(16)));
        check("X-Matrix origin=\"a", Err(Malformed(18)));
        check("X-Matrix origin=\"a\\", Err(Malformed(19)));
        check("X-Matrix origin=\"a\"b", Err(Malformed(19)));
        check("X-Matrix origin=\"a\u{1}\"", Err(Malformed(18)));
        check("X-Matrix origin=ü", Err(Malformed(16)));
        check(&format!("X-Matrix x=\"{}\"", "a".repeat(5000)), Err(TooLong(5013)));
        for (name, text) in [
            ("origin", "X-Matrix origin=\"a b\",key=ed25519:1,sig=A"),
            ("origin", "X-Matrix origin=\"\",key=ed25519:1,sig=A"),
            ("destination", "X-Matrix origin=a,destination=\"b\\\"\",key=ed25519:1,sig=A"),
            ("key", "X-Matrix origin=a,key=ed25519,sig=A"),
            ("key", "X-Matrix origin=a,key=\"ed25519:\",sig=A"),
            ("sig", "X-Matrix origin=a,key=ed25519:1,sig=\"A=A\""),
            ("sig", "X-Matrix origin=a,key=ed25519:1,sig=\"===\""),
        ] {
            let error = text.parse::<XMatrix>().expect_err(text);
            assert!(matches!(error, XMatrixError::Value { name: found, .. } if found == name), "{text}: {error}");
        }
    }
}
