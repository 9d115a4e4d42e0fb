//! The files of the repository that people write: Rust sources and documents.

use std::fs;
use std::path::{Path, PathBuf};

use engram_tests::binaries::workspace;

/// A text file of the repository.
pub(super) struct Source {
    /// From the repository's root.
    pub(super) path: String,
    pub(super) text: String,
}

/// All files below the repository's root whose names end like this, in order.
pub(super) fn all(ending: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut directories = vec![workspace().to_owned()];
    while let Some(directory) = directories.pop() {
        for path in entries(&directory) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                // What is built, what belongs to tools, and what the client libraries of the tests bring along.
                if !["target", "node_modules", "corpus", "artifacts"].contains(&name) && !name.starts_with('.') {
                    directories.push(path);
                }
            } else if name.ends_with(ending) {
                sources.push(read(&path));
            }
        }
    }
    sources.sort_by(|one, two| one.path.cmp(&two.path));
    sources
}

/// The directories of the packages, from the repository's root.
pub(super) fn packages() -> Vec<String> {
    let manifests = all("Cargo.toml").into_iter();
    let package = |source: Source| {
        let is_package = source.text.lines().any(|line| line == "[package]");
        is_package.then(|| source.path.trim_end_matches("/Cargo.toml").to_owned())
    };
    manifests.filter_map(package).collect()
}

pub(super) fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let relative = path.strip_prefix(workspace()).expect("it lies below the root");
    Source { path: relative.to_str().expect("paths are text").to_owned(), text }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("it can be listed").path()).collect()
}
