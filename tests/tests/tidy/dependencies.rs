//! What other people's crates may enter the build, by `deny.toml`: licences, sources, duplicates, crates that are
//! banned.
//!
//! `cargo deny check` reads the same file and knows more: advisories above all. It takes longer to compile than
//! everything else that a fresh machine does, so what needs no network is checked here, from what cargo says about the
//! dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use engram_tests::binaries::workspace;
use serde_json::Value;

use super::sources;

/// Where crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Crates of which several versions are in the build, with their number. This list only ever gets shorter.
const STILL_SEVERAL_VERSIONS: &[(&str, usize)] = &[
    ("base64", 2),
    ("block-buffer", 2),
    ("const-oid", 2),
    ("cpufeatures", 2),
    ("crypto-common", 2),
    ("curve25519-dalek", 2),
    ("der", 2),
    ("digest", 2),
    ("ed25519", 2),
    ("ed25519-dalek", 2),
    ("getrandom", 3),
    ("hashbrown", 3),
    ("pkcs8", 2),
    ("rand", 2),
    ("rand_core", 3),
    ("sha2", 2),
    ("signature", 2),
    ("spki", 2),
    ("syn", 2),
    ("toml", 2),
    ("toml_datetime", 2),
    ("winnow", 2),
];

/// A crate of the build.
struct Package {
    name: String,
    version: String,
    license: String,
    /// None for those of this repository.
    source: Option<String>,
    /// Dependencies that any version would do for.
    wildcards: Vec<String>,
}

/// All crates that are compiled for the platform that most servers run on, those of tests among them.
fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform", &platform];
    let output = Command::new(cargo).args(arguments).current_dir(workspace()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Of the packages only those that are resolved: cargo lists more.
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a resolution");
    let resolved: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages.filter(|package| package["id"].as_str().is_some_and(|id| resolved.contains(id))).map(package).collect()
}

fn package(value: &Value) -> Package {
    let text = |member: &str| value[member].as_str().map(str::to_owned);
    let any = |dependency: &&Value| dependency["req"] == "*" && dependency["path"].is_null();
    let wildcards = value["dependencies"].as_array().into_iter().flatten().filter(any);
    Package {
        name: text("name").expect("a name"),
        version: text("version").expect("a version"),
        license: text("license").unwrap_or_default(),
        source: text("source"),
        wildcards: wildcards.filter_map(|dependency| dependency["name"].as_str().map(str::to_owned)).collect(),
    }
}

/// What `deny.toml` says.
struct Rules {
    licenses: BTreeSet<String>,
    exceptions: BTreeSet<(String, String)>,
    banned: BTreeSet<String>,
}

fn rules() -> Rules {
    let text = sources::read(&workspace().join("deny.toml")).text;
    let rules: toml::Table = text.parse().expect("deny.toml is TOML");
    let texts = |value: &toml::Value| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let name = |entry: &toml::Value| entry["crate"].as_str().expect("a crate's name").to_owned();
    let exception = |entry: &toml::Value| {
        let allowed = texts(&entry["allow"]);
        allowed.into_iter().map(|license| (name(entry), license)).collect::<Vec<_>>()
    };
    let entries = |value: &toml::Value| value.as_array().expect("a list").clone();
    Rules {
        licenses: texts(&rules["licenses"]["allow"]),
        exceptions: entries(&rules["licenses"]["exceptions"]).iter().flat_map(exception).collect(),
        banned: entries(&rules["bans"]["deny"]).iter().map(name).collect(),
    }
}

#[test]
fn only_licences_that_the_rules_name() {
    let rules = rules();
    assert!(rules.licenses.contains("MIT") && !rules.exceptions.is_empty(), "the rules were read");
    let strangers = packages().into_iter().filter(|package| package.source.is_some());
    let (mut checked, mut refused) = (0, Vec::new());
    for package in strangers {
        let excepted = |license: &str| rules.exceptions.contains(&(package.name.clone(), license.to_owned()));
        checked += 1;
        if !is_allowed(&package.license, &|license| rules.licenses.contains(license) || excepted(license)) {
            refused.push(format!("{} {}: {:?}", package.name, package.version, package.license));
        }
    }
    assert!(checked > 100, "the dependencies were read: {checked}");
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn only_crates_from_the_registry_with_versions_and_none_that_is_banned() {
    let rules = rules();
    for Package { name, version, source, wildcards, .. } in packages() {
        assert!(source.as_deref().is_none_or(|source| source == REGISTRY), "{name} {version} comes from {source:?}");
        assert!(!rules.banned.contains(&name), "{name} is banned: see deny.toml");
        assert!(source.is_some() || wildcards.is_empty(), "{name} takes any version of {wildcards:?}");
    }
}

#[test]
fn no_more_crates_are_there_in_several_versions() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        versions.entry(package.name).or_default().insert(package.version);
    }
    let found: BTreeMap<&str, usize> = versions
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| (name.as_str(), versions.len()))
        .collect();
    let known: BTreeMap<&str, usize> = STILL_SEVERAL_VERSIONS.iter().copied().collect();
    assert_eq!(found, known, "left what there is, right what the list says: it only ever gets shorter");
}

/// Whether a licence expression can be met with licences that are allowed.
fn is_allowed(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> bool {
    match words.next() {
        Some("(") => any_of(words, allowed) && words.next() == Some(")"),
        Some(license) if words.next_if_eq(&"WITH").is_some() => {
            words.next().is_some_and(|exception| allowed(&format!("{license} WITH {exception}")))
        }
        Some(license) => allowed(license),
        None => false,
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = |license: &str| ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].contains(&license);
    for (expression, expected) in [
        ("MIT", true),
        ("MIT/GPL-3.0", true),
        ("GPL-3.0 OR MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Apache-2.0", true),
        ("(MIT OR GPL-3.0) AND BSD-3-Clause", false),
        ("GPL-3.0 AND MIT OR Apache-2.0", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT WITH LLVM-exception", false),
        ("GPL-3.0", false),
        ("", false),
        ("MIT MIT", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}
