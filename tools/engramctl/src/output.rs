//! Standard output: lines and tables for people, or JSON for machines.

use std::fmt::{Display, Write as _};
use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

/// Where results go.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    json: bool,
}

impl Output {
    /// Standard output.
    pub(crate) fn new(json: bool) -> Self {
        Self { out: BufWriter::new(io::stdout()), json }
    }

    /// Whether machines read it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: impl Display) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    /// Writes a JSON value on a line of its own.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    /// Writes what is still buffered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes an error to standard error.
pub(crate) fn complain(error: &dyn Display) {
    // There is nobody left to tell if this fails.
    let _ = writeln!(io::stderr(), "engramctl: {error}");
}

/// Rows with their cells aligned; cells that hold numbers to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [bool],
}

impl Table {
    /// A table with these headings; `right` says which of the columns hold numbers.
    pub(crate) fn new(headings: &[&str], right: &'static [bool]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()], right }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Writes the table.
    pub(crate) fn write(&self, output: &mut Output) -> io::Result<()> {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(self.right) {
                let result = if *right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
                result.expect("writing to a string cannot fail");
            }
            output.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// A number of bytes for people: `12.3 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// A number of things for people: `12,345`.
pub(crate) fn count(count: u64) -> String {
    indicatif::HumanCount(count).to_string()
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// Text that others chose, made safe for a terminal: control characters are shown escaped.
pub(crate) fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .map(|char| if char.is_control() { char.escape_default().to_string() } else { char.to_string() })
        .collect()
}

/// The beginning of a text, with an ellipsis if it is not all of it.
pub(crate) fn shorten(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_wrote_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable("žluťoučký"), "žluťoučký");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shorten("žluť", 4), "žluť");
        assert_eq!(shorten("žluťoučký", 4), "žluť…");
    }

    #[test]
    fn figures_are_for_people() {
        assert_eq!(hex(&[0, 0xab]), "00ab");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(64 << 20), "64.00 MiB");
    }
}
