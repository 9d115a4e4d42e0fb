//! What is served and what is not, as tables for people: made from the registry and the list of the specification's
//! operations, so that neither can promise what the other does not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::registry::{Access, Masquerade, Place, Rate, Spec};

/// Every operation that the specification asks of a homeserver, a line each: surface, method, path, name, chapter.
const SPECIFICATION: &str = include_str!("specification.tsv");

/// An operation of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Specified {
    /// `client` or `federation`.
    pub surface: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// Its name.
    pub id: &'static str,
    /// The chapter that it belongs to.
    pub chapter: &'static str,
}

/// The operations of the specification.
pub fn specification() -> impl Iterator<Item = Specified> {
    SPECIFICATION.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let mut next = || columns.next();
        Some(Specified { surface: next()?, method: next()?, path: next()?, id: next()?, chapter: next()? })
    })
}

/// Whether an operation of the specification is served.
pub fn is_served(specs: &[Spec], wanted: &Specified) -> bool {
    specs.iter().any(|spec| spec.method.as_str() == wanted.method && spec.paths.contains(&wanted.path))
}

/// What is served: a table with a line per operation.
pub fn served(specs: &[Spec]) -> String {
    let mut table = String::from(
        "| Operation | Method and path | Also under | Who | Body, at most | Rate | Runs |\n|---|---|---|---|---|---|---|\n",
    );
    for spec in specs {
        let mut paths = format!("`{} {}`", spec.method, spec.paths[0]);
        for path in &spec.paths[1..] {
            write!(paths, ", `{path}`").expect("a string takes everything");
        }
        let old: Vec<&str> = spec.old.iter().map(|prefix| prefix.name()).collect();
        let body = spec.body_bytes_max.map_or_else(|| "none".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
        let note = if spec.specified { "" } else { " (not in the specification)" };
        writeln!(
            table,
            "| {}{note} | {paths} | {} | {} | {body} | {} | {} |",
            spec.id,
            old.join(", "),
            who(spec.access),
            rate(spec.rate),
            place(spec.place)
        )
        .expect("a string takes everything");
    }
    table
}

/// What the specification asks for and is not served: a table with a line per chapter.
pub fn missing(specs: &[Spec]) -> String {
    let mut chapters: BTreeMap<(&str, &str), Vec<Specified>> = BTreeMap::new();
    for wanted in specification().filter(|wanted| !is_served(specs, wanted)) {
        chapters.entry((wanted.surface, wanted.chapter)).or_default().push(wanted);
    }
    let mut table = String::from("| Surface | Chapter | Operations |\n|---|---|---|\n");
    for ((surface, chapter), operations) in chapters {
        let named: Vec<String> =
            operations.iter().map(|wanted| format!("`{} {}`", wanted.method, wanted.path)).collect();
        writeln!(table, "| {surface} | {chapter} | {} |", named.join("<br>")).expect("a string takes everything");
    }
    table
}

fn who(access: Access) -> String {
    let rules = match access {
        Access::Anybody => return "anybody".to_owned(),
        Access::AnybodyOrUser => return "anybody, and users as such".to_owned(),
        Access::Administrator => return "administrators".to_owned(),
        Access::Server => return "servers".to_owned(),
        Access::User(rules) => rules,
    };
    let mut who = String::from("users");
    for (allowed, name) in [(rules.guests, "guests"), (rules.suspended, "suspended"), (rules.locked, "locked")] {
        if allowed {
            who.extend([", ", name]);
        }
    }
    if rules.masquerade == Masquerade::Nobody {
        who.push_str("; in person");
    }
    who
}

fn rate(rate: Rate) -> &'static str {
    match rate {
        Rate::Free => "free",
        Rate::Read => "read",
        Rate::Heavy => "heavy",
        Rate::Change => "change",
        Rate::Message => "message",
        Rate::Join => "join",
        Rate::Credentials => "credentials",
    }
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Memory => "memory",
        Place::Read => "reader",
        Place::Write => "writer",
        Place::Hash => "writer, hashing",
        Place::Poll => "long poll",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_operations_are_told_apart() {
        let all: Vec<Specified> = specification().collect();
        assert!(all.len() > 190, "the list was read: {}", all.len());
        assert_eq!(all.len(), SPECIFICATION.lines().count(), "every line has its columns");
        for (index, one) in all.iter().enumerate() {
            let same = |other: &&Specified| (other.method, other.path) == (one.method, one.path);
            assert!(!all[..index].iter().any(|other| same(&other)), "{one:?}");
        }
    }
}
