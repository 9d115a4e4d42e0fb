//! The form of files: each says at its top what it is for, none is long, and no line is wide.
//!
//! The rules: a Rust file begins with `//!` and has at most [`LINES_MAX`] lines, and most have fewer than
//! [`LINES_MEDIAN_MAX`]. No line is wider than [`COLUMNS_MAX`], but for one that holds a literal, which often cannot be
//! broken. In documents code, tables and addresses are free.

use std::collections::BTreeMap;

use super::sources::{self, Source};

const COLUMNS_MAX: usize = 120;
const LINES_MAX: usize = 500;
const LINES_MEDIAN_MAX: usize = 130;

/// Files that are too long, with the lines that they may have. This list only ever gets shorter.
const STILL_TOO_LONG: &[(&str, usize)] =
    &[("crates/rooms/src/tests/received.rs", 521), ("tools/engramctl/tests/cli.rs", 586)];

/// Directories and documents in which lines are wider, with the number of such lines. These numbers only ever get
/// smaller.
const STILL_TOO_WIDE: &[(&str, usize)] = &[];

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = sources::all(".rs")
        .into_iter()
        .filter(|source| !source.text.starts_with("//! ") && !source.text.starts_with("//!\n"))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "these files do not begin with `//!`: {silent:#?}");
}

#[test]
fn files_are_short() {
    let files = sources::all(".rs");
    assert!(files.len() > 300, "the sources were read: {}", files.len());
    let mut lengths: Vec<(usize, &str)> =
        files.iter().map(|source| (source.text.lines().count(), source.path.as_str())).collect();
    let allowed: BTreeMap<&str, usize> = STILL_TOO_LONG.iter().copied().collect();
    let max = |path: &str| allowed.get(path).copied().unwrap_or(LINES_MAX);
    let long: Vec<_> = lengths.iter().filter(|(lines, path)| *lines > max(path)).collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:#?}");
    let excused = |path: &str| lengths.iter().any(|(lines, other)| *other == path && *lines > LINES_MAX);
    let short: Vec<&str> = allowed.keys().copied().filter(|path| !excused(path)).collect();
    assert!(short.is_empty(), "these are short enough by now: take them off the list: {short:?}");
    lengths.sort_unstable();
    let (median, _) = lengths[lengths.len() / 2];
    assert!(median <= LINES_MEDIAN_MAX, "half of all files have more than {median} lines");
}

#[test]
fn no_line_of_rust_is_wide() {
    let mut wide: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources::all(".rs") {
        let found = too_wide(&source, |line| line.contains('"'));
        let directory = source.path.split('/').take(2).collect::<Vec<_>>().join("/");
        wide.entry(directory).or_default().extend(found);
    }
    check_wide(&wide);
}

#[test]
fn no_line_of_a_document_is_wide() {
    let mut wide: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources::all(".md") {
        let mut in_code = false;
        let found = too_wide(&source, |line| {
            in_code ^= line.trim_start().starts_with("```");
            in_code || line.starts_with("    ") || line.starts_with('|') || line.contains("http")
        });
        wide.insert(source.path.clone(), found);
    }
    check_wide(&wide);
}

/// The places of lines that are too wide and not excused. Every line is shown to `excuse`.
fn too_wide(source: &Source, mut excuse: impl FnMut(&str) -> bool) -> Vec<String> {
    let place = |(number, line): (usize, &str)| {
        let excused = excuse(line);
        (line.chars().count() > COLUMNS_MAX && !excused).then(|| format!("{}:{}", source.path, number + 1))
    };
    source.text.lines().enumerate().filter_map(place).collect()
}

fn check_wide(found: &BTreeMap<String, Vec<String>>) {
    for (place, lines) in found {
        let allowed = STILL_TOO_WIDE.iter().find(|(known, _)| known == place).map_or(0, |(_, count)| *count);
        let count = lines.len();
        assert!(count <= allowed, "{place}: {count} lines are wider than {COLUMNS_MAX} columns: {lines:#?}");
        assert!(count > 0 || allowed == 0, "{place}: no line is wide any more: take it off the list");
    }
}
