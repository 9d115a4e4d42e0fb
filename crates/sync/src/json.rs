//! Writing JSON by pushing text into one buffer.

use std::fmt::Write;

pub(crate) use engram_matrix::canonical::push_string;

/// Appends a whole number.
pub(crate) fn push_number(out: &mut String, number: u64) {
    write!(out, "{number}").expect("writing to a string cannot fail");
}

/// Appends `"key":`, after a comma unless the object or list has just been opened.
pub(crate) fn push_key(out: &mut String, key: &str) {
    push_separator(out);
    push_string(out, key);
    out.push(':');
}

/// Appends a comma unless the object or list has just been opened.
pub(crate) fn push_separator(out: &mut String) {
    if !out.ends_with(['{', '[']) {
        out.push(',');
    }
}

/// Appends `{"events":[…]}` of finished events.
pub(crate) fn push_events<S: AsRef<str>>(out: &mut String, events: &[S]) {
    out.push_str("{\"events\":[");
    push_joined(out, events);
    out.push_str("]}");
}

/// Appends finished values, separated by commas.
pub(crate) fn push_joined<S: AsRef<str>>(out: &mut String, values: &[S]) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(value.as_ref());
    }
}

/// Appends a list of strings.
pub(crate) fn push_strings<S: AsRef<str>>(out: &mut String, values: impl IntoIterator<Item = S>) {
    out.push('[');
    for value in values {
        push_separator(out);
        push_string(out, value.as_ref());
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_valid_json() {
        let mut out = String::from("{");
        push_key(&mut out, "a\"b");
        push_strings(&mut out, ["x", "y\n"]);
        push_key(&mut out, "n");
        push_number(&mut out, 7);
        push_key(&mut out, "e");
        push_events(&mut out, &["{}", "1"]);
        push_key(&mut out, "none");
        push_strings(&mut out, Vec::<String>::new());
        out.push('}');
        let value: serde_json::Value = serde_json::from_str(&out).expect("valid");
        assert_eq!(value, serde_json::json!({"a\"b": ["x", "y\n"], "n": 7, "e": {"events": [{}, 1]}, "none": []}));
    }
}
