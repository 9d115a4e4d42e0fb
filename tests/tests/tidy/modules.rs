//! The modules of a crate, and what each of them names of the others, read from the sources: imports and paths that
//! begin with `crate`, `self` or `super`. What is compiled for tests only is left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{sources, tokens};

/// Where a module stands: the names from the crate's root.
pub(super) type ModulePath = Vec<String>;

/// How often a name is followed from one re-export to the next.
const REEXPORTS_MAX: usize = 8;

/// What an item begins with. Its end is not a comma.
const ITEMS: [&str; 15] = [
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "macro_rules",
    "mod",
    "pub",
    "static",
    "struct",
    "trait",
    "type",
    "unsafe",
    "use",
];

/// One module.
#[derive(Debug, Default)]
struct Module {
    /// Paths that it names, from the crate's root.
    named: Vec<ModulePath>,
    /// What it imports, by the name that it has there.
    imports: BTreeMap<String, ModulePath>,
    children: Vec<String>,
}

/// All modules of a crate.
#[derive(Debug, Default)]
pub(super) struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    /// Reads a crate from its root file on.
    pub(super) fn read(root: &Path) -> Self {
        let mut modules = Self::default();
        let directory = root.parent().expect("a file has a directory").to_owned();
        let mut open = vec![(Vec::new(), root.to_owned(), directory)];
        while let Some((path, file, directory)) = open.pop() {
            let module = parse(&path, &tokens::of(&sources::read(&file).text));
            for child in &module.children {
                let flat = directory.join(format!("{child}.rs"));
                let nested = directory.join(child).join("mod.rs");
                if let Some(file) = [flat, nested].into_iter().find(|file: &PathBuf| file.exists()) {
                    let child_path = path.iter().cloned().chain([child.clone()]).collect();
                    open.push((child_path, file, directory.join(child)));
                }
            }
            modules.0.insert(path, module);
        }
        modules
    }

    /// Who uses whom: pairs of modules.
    pub(super) fn edges(&self) -> Vec<(ModulePath, ModulePath)> {
        let mut edges = Vec::new();
        for (from, module) in &self.0 {
            let targets = module.named.iter().map(|path| self.home(path));
            edges.extend(targets.filter(|to| to != from).map(|to| (from.clone(), to)));
        }
        edges
    }

    /// The module in which the thing that a path names is at home: re-exports are followed.
    fn home(&self, path: &[String]) -> ModulePath {
        let mut path = path.to_vec();
        for _ in 0..REEXPORTS_MAX {
            let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length])).unwrap_or(0);
            let (module, rest) = path.split_at(length);
            let imported = rest.first().and_then(|name| self.0.get(module)?.imports.get(name));
            match imported {
                Some(target) if *target != path => path = [target, &rest[1..]].concat(),
                _ => return module.to_vec(),
            }
        }
        panic!("{path:?} is re-exported in a circle")
    }
}

/// Reads one file.
fn parse(path: &ModulePath, tokens: &[String]) -> Module {
    let mut module = Module { children: children(tokens), ..Module::default() };
    let mut at = 0;
    // Modules that are written out inside of the file, with the number of brackets that are open around them.
    let (mut inline, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "#" if is_test_attribute(&tokens[at..]) => {
                at = after_item(tokens, at);
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.pop_if(|(_, outside)| *outside == depth);
            }
            "mod" if tokens.get(at + 2).is_some_and(|token| token == "{") => {
                inline.push((tokens[at + 1].clone(), depth));
            }
            "use" if tokens.get(at + 1).is_some_and(|token| token != "<") => {
                let here = [path.clone(), inline.iter().map(|(name, _)| name.clone()).collect()].concat();
                at = import(&mut module, &here, tokens, at + 1);
                continue;
            }
            "crate" | "self" | "super" if tokens.get(at + 1).is_some_and(|token| token == "::") => {
                let here = [path.clone(), inline.iter().map(|(name, _)| name.clone()).collect()].concat();
                let (written, next) = written_path(tokens, at);
                module.named.extend(absolute(&here, &written, &module.children));
                at = next;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    module
}

/// The modules that a file declares and does not hold.
fn children(tokens: &[String]) -> Vec<String> {
    let mut children = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "#" && is_test_attribute(&tokens[at..]) {
            at = after_item(tokens, at);
            continue;
        }
        if let [word, name, end, ..] = &tokens[at..]
            && word == "mod"
            && end == ";"
        {
            children.push(name.clone());
        }
        at += 1;
    }
    children
}

/// Whether an attribute begins here that leaves an item out unless tests are compiled.
fn is_test_attribute(tokens: &[String]) -> bool {
    let inside: Vec<&str> = tokens.iter().skip(1).take_while(|token| *token != "]").map(String::as_str).collect();
    inside.starts_with(&["[", "cfg"]) && inside.contains(&"test") && !inside.contains(&"not")
}

/// Where it goes on behind an item and its attributes, or a field, an arm, a statement.
fn after_item(tokens: &[String], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token == "#") {
        at = after_brackets(tokens, at + 1);
    }
    let is_item = tokens.get(at).is_some_and(|token| ITEMS.contains(&token.as_str()));
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "(" | "[" => at = after_brackets(tokens, at),
            "{" => return after_brackets(tokens, at),
            "}" => return at,
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Where it goes on behind the brackets that open here.
fn after_brackets(tokens: &[String], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Reads a `use` from behind the word on. Returns where it ends.
fn import(module: &mut Module, here: &ModulePath, tokens: &[String], mut at: usize) -> usize {
    // What the brackets that are open stand behind.
    let mut prefixes: Vec<ModulePath> = vec![Vec::new()];
    let mut path = ModulePath::new();
    let mut name = None;
    loop {
        let token = tokens.get(at).map_or(";", String::as_str);
        at += 1;
        match token {
            "{" => prefixes.push(std::mem::take(&mut path)),
            "," | "}" | ";" => {
                if !path.is_empty() {
                    note_import(module, here, &std::mem::take(&mut path), name.take());
                }
                if token == "}" {
                    prefixes.pop();
                    // The bracket stood for the whole of what was before it.
                    path = ModulePath::new();
                } else if token == ";" {
                    return at;
                }
            }
            "as" => {
                name = tokens.get(at).cloned();
                at += 1;
            }
            "::" => {}
            word => {
                if path.is_empty() {
                    path.clone_from(prefixes.last().expect("the outermost is never closed"));
                }
                // Of a module itself, among what is taken of it.
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
            }
        }
    }
}

fn note_import(module: &mut Module, here: &ModulePath, path: &[String], name: Option<String>) {
    let Some(absolute) = absolute(here, path, &module.children) else { return };
    let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
    module.named.push(absolute.clone());
    module.imports.insert(name, absolute);
}

fn written_path(tokens: &[String], mut at: usize) -> (ModulePath, usize) {
    let mut path = vec![tokens[at].clone()];
    while let [separator, name, ..] = &tokens[at + 1..]
        && separator == "::"
        && name.starts_with(|char: char| char.is_alphabetic() || char == '_')
    {
        path.push(name.clone());
        at += 2;
    }
    (path, at + 1)
}

/// A path from the crate's root, unless it leads out of the crate.
fn absolute(here: &ModulePath, path: &[String], children: &[String]) -> Option<ModulePath> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => here.clone(),
        "super" => here[..here.len().checked_sub(1)?].to_vec(),
        child if children.iter().any(|known| known == child) => [here.clone(), vec![child.to_owned()]].concat(),
        _ => return None,
    };
    while let Some((first, more)) = rest.split_first()
        && first == "super"
    {
        base.pop()?;
        rest = more;
    }
    Some([base, rest.to_vec()].concat())
}
