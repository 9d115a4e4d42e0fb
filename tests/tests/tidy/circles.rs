//! No circles among the modules of a crate.
//!
//! The rule: at each level, the modules that one module declares are looked at, each with everything below it. Whoever
//! uses whom among them must have an order: two that use each other, or several in a ring, cannot be understood, tested
//! or moved one without the other. A module and what lies below it are one thing here: a parent may name its children,
//! and they what it has for all of them. Re-exports are followed to where a thing is at home.

use std::collections::{BTreeMap, BTreeSet};

use engram_tests::binaries::workspace;

use super::modules::{ModulePath, Modules};
use super::sources::packages;

/// Modules that still use each other: the package, their parent, and they themselves. This list only ever gets shorter:
/// whatever is open has to be taken out of it.
const STILL_TO_OPEN: &[(&str, &str, &[&str])] = &[
    ("crates/eraser", "", &["effect", "eraser"]),
    ("crates/http", "", &["auth", "error", "handler", "json", "registry", "routes", "threads"]),
    ("crates/matrix", "", &["hash", "redact"]),
    ("crates/rooms", "", &["extremities", "projector", "query", "rows", "verdicts"]),
    ("crates/rooms", "projector", &["credit", "memo"]),
    ("crates/rooms", "projector", &["erasures", "redactions"]),
    ("crates/rooms", "projector", &["lookup", "resolution"]),
    ("crates/rooms", "writer", &["compose", "head", "power", "send"]),
    ("crates/rooms", "writer", &["guests", "membership"]),
    ("crates/sync", "", &["content", "hub"]),
    ("crates/sync", "", &["respond", "server"]),
    ("crates/sync", "hub", &["room", "user"]),
    ("crates/views", "", &["delta", "projector"]),
];

/// Modules of one parent that all use each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Circle {
    package: String,
    parent: String,
    members: BTreeSet<String>,
}

#[test]
fn the_modules_of_a_crate_form_no_circles() {
    let (mut found, mut uses) = (Vec::new(), 0);
    for package in packages() {
        for root in ["src/lib.rs", "src/main.rs"] {
            let root = workspace().join(&package).join(root);
            if root.exists() {
                let edges = Modules::read(&root).edges();
                uses += edges.len();
                found.extend(circles(&package, &edges));
            }
        }
    }
    assert!(uses > 1000, "the sources were read: {uses} uses");
    let covers = |(package, parent, members): &(&str, &str, &[&str]), circle: &Circle| {
        let all = || circle.members.iter().all(|member| members.contains(&member.as_str()));
        *package == circle.package && *parent == circle.parent && all()
    };
    let is_known = |circle: &&Circle| STILL_TO_OPEN.iter().any(|known| covers(known, circle));
    let new: Vec<&Circle> = found.iter().filter(|circle| !is_known(circle)).collect();
    assert!(new.is_empty(), "these modules use each other: {new:#?}");
    let open: Vec<_> = STILL_TO_OPEN.iter().filter(|known| !found.iter().any(|circle| covers(known, circle))).collect();
    assert!(open.is_empty(), "these circles are open by now: take them off the list: {open:#?}");
}

/// The circles among siblings.
fn circles(package: &str, edges: &[(ModulePath, ModulePath)]) -> Vec<Circle> {
    let mut levels: BTreeMap<&[String], BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for (from, to) in edges {
        let shared = from.iter().zip(to).take_while(|(one, two)| one == two).count();
        // Otherwise one of them lies below the other.
        if let (Some(one), Some(two)) = (from.get(shared), to.get(shared)) {
            levels.entry(&from[..shared]).or_default().entry(one).or_default().insert(two);
        }
    }
    let mut circles = Vec::new();
    for (parent, uses) in levels {
        circles.extend(components(&uses).into_iter().map(|members| Circle {
            package: package.to_owned(),
            parent: parent.join("::"),
            members: members.into_iter().map(str::to_owned).collect(),
        }));
    }
    circles
}

/// Sets of more than one, in each of which everybody reaches everybody.
fn components<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<BTreeSet<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = uses.keys().map(|from| (*from, reachable(uses, from))).collect();
    let mutual = |(from, reached_from): (&&'a str, &BTreeSet<&'a str>)| {
        let back = |to: &&&str| reached.get(**to).is_some_and(|reached| reached.contains(*from));
        reached_from.iter().filter(back).copied().collect::<BTreeSet<&str>>()
    };
    reached.iter().map(mutual).filter(|members| members.len() > 1).collect()
}

fn reachable<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        for to in uses.get(next).into_iter().flatten() {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}

#[test]
fn a_circle_is_found_at_the_level_of_siblings() {
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<ModulePath>();
    let check = |edges: &[(&str, &str)], expected: &[(&str, &str)]| {
        let edges: Vec<_> = edges.iter().map(|(from, to)| (path(from), path(to))).collect();
        let named = |circle: Circle| (circle.parent, circle.members.into_iter().collect::<Vec<_>>().join(" "));
        let found: Vec<(String, String)> = circles("p", &edges).into_iter().map(named).collect();
        let expected = expected.iter().map(|(parent, members)| ((*parent).to_owned(), (*members).to_owned()));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{edges:?}");
    };
    check(&[("rows", "query"), ("query::members", "rows")], &[("", "query rows")]);
    check(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")], &[("", "a b c")]);
    check(&[("a::x", "a::y::z"), ("a::y", "a::x")], &[("a", "x y")]);
    check(&[("a", "b"), ("a", "c"), ("b", "c")], &[]);
    check(&[("a", "a::x"), ("a::x", "a")], &[]);
}
