//! Writing the leaves of canonical JSON.

use std::fmt::Write as _;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends an integer in decimal.
pub fn push_integer(out: &mut String, value: i64) {
    write!(out, "{value}").expect("writing to a string does not fail");
}

/// Appends a float that canonical JSON does not have, the way the servers of room versions 1 to 5 wrote it, which is
/// Python's: the shortest digits that read back the same, always with a fraction or an exponent, exponents with sign
/// and two digits.
pub fn push_loose_float(out: &mut String, value: f64) {
    let text = format!("{value:?}");
    let Some((digits, exponent)) = text.split_once('e') else {
        out.push_str(&text);
        return;
    };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    write!(out, "{digits}e{sign}{exponent:0>2}").expect("writing to a string does not fail");
}

/// Appends a quoted string with the escapes of canonical JSON: `"`, `\`, and the characters below U+0020, the
/// latter by their short form where there is one and else as four lower-case hexadecimal digits.
pub fn push_string(out: &mut String, string: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (index, byte) in string.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&string[plain_from..index]);
        push_escape(out, byte);
        plain_from = index + 1;
    }
    out.push_str(&string[plain_from..]);
    out.push('"');
}

fn push_escape(out: &mut String, byte: u8) {
    let short = match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        0x08 => "\\b",
        0x0C => "\\f",
        b'\n' => "\\n",
        b'\r' => "\\r",
        b'\t' => "\\t",
        _ => {
            out.push_str("\\u00");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
            return;
        }
    };
    out.push_str(short);
}
