//! From a path to its operations. A path may have one for each method.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use axum::http::{HeaderValue, Method};
use smallvec::SmallVec;

use crate::limits::PATH_SEGMENTS_MAX;
use crate::registry::Spec;

/// The number of an operation in the registry.
pub(crate) type Number = usize;

/// Where in a path its open segments are; still percent-encoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments(SmallVec<[Range<u32>; PATH_SEGMENTS_MAX]>);

impl Segments {
    pub(crate) fn get<'a>(&self, path: &'a str, index: usize) -> Option<&'a str> {
        let range = self.0.get(index)?;
        path.get(range.start as usize..range.end as usize)
    }
}

/// The operations of one path.
#[derive(Debug)]
pub(crate) struct Methods {
    operations: SmallVec<[(Method, Number); 3]>,
    /// What `Allow` says.
    pub(crate) allow: HeaderValue,
}

impl Methods {
    /// The operation for a method. Whoever may GET may ask for the head alone.
    pub(crate) fn get(&self, method: &Method) -> Option<Number> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.operations.iter().find(|(known, _)| known == method).map(|(_, number)| *number)
    }
}

/// All paths.
#[derive(Debug)]
pub(crate) struct Routes {
    router: matchit::Router<Methods>,
}

impl Routes {
    /// The paths of all operations, in the order of their numbers. Panics if two have the same path and method, or if a
    /// path cannot be one: every start and every test would meet that.
    pub(crate) fn new<'a>(specs: impl Iterator<Item = &'a Spec>) -> Self {
        let mut paths: BTreeMap<String, SmallVec<[(Method, Number); 3]>> = BTreeMap::new();
        for (number, spec) in specs.enumerate() {
            for path in spec.all_paths() {
                let operations = paths.entry(pattern(&path)).or_default();
                assert!(operations.iter().all(|(method, _)| *method != spec.method), "{} {path} twice", spec.method);
                operations.push((spec.method.clone(), number));
            }
        }
        let mut router = matchit::Router::new();
        for (path, operations) in paths {
            let allow = allow(&operations);
            let inserted = router.insert(&path, Methods { operations, allow });
            assert!(inserted.is_ok(), "{path}: {inserted:?}");
        }
        Self { router }
    }

    pub(crate) fn find(&self, path: &str) -> Option<(&Methods, Segments)> {
        let matched = self.router.at(path).ok()?;
        let place = |value: &str| {
            let start = value.as_ptr() as usize - path.as_ptr() as usize;
            start as u32..(start + value.len()) as u32
        };
        let segments = matched.params.iter().map(|(_, value)| place(value)).collect();
        Some((matched.value, Segments(segments)))
    }
}

/// A path with its open segments named by their number, so that different operations may name them as they like.
fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    let mut open = 0;
    for part in path.split('/').skip(1) {
        pattern.push('/');
        if part.starts_with('{') {
            write!(pattern, "{{s{open}}}").expect("a string takes everything");
            open += 1;
        } else {
            pattern.push_str(part);
        }
    }
    assert!(open <= PATH_SEGMENTS_MAX, "{path} leaves {open} segments open");
    pattern
}

fn allow(operations: &[(Method, Number)]) -> HeaderValue {
    let mut names: Vec<&str> = operations.iter().map(|(method, _)| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.sort_unstable();
    HeaderValue::from_str(&names.join(", ")).expect("methods are tokens")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Draft, Prefix, Unsaid, delete, get, put};

    fn routes(lines: Vec<Draft<Unsaid>>) -> Routes {
        let specs: Vec<Spec> = lines.into_iter().map(Draft::into_spec).collect();
        Routes::new(specs.iter())
    }

    #[test]
    fn a_path_leads_to_its_operations_under_all_its_prefixes() {
        let routes = routes(vec![
            get("getState", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}"),
            put("setState", "/_matrix/client/v3/rooms/{room}/state/{type}")
                .and("/_matrix/client/v3/rooms/{room}/x/{y}/"),
            delete("other", "/_matrix/client/v3/keys/{id}").old(Prefix::Unstable),
        ]);
        for (path, method, expected) in [
            ("/_matrix/client/v3/rooms/!a/state/t", Method::GET, Some((0, "!a", Some("t")))),
            ("/_matrix/client/v3/rooms/!a/state/t", Method::HEAD, Some((0, "!a", Some("t")))),
            ("/_matrix/client/r0/rooms/%21a%2Fb/state/t", Method::PUT, Some((1, "%21a%2Fb", Some("t")))),
            ("/_matrix/client/r0/rooms/!a/x/t/", Method::PUT, Some((1, "!a", Some("t")))),
            ("/_matrix/client/unstable/keys/1", Method::DELETE, Some((2, "1", None))),
            ("/_matrix/client/unstable/rooms/!a/state/t", Method::GET, None),
            ("/_matrix/client/v3/rooms/!a/state/t", Method::POST, None),
            ("/_matrix/client/v3/rooms/!a/state", Method::GET, None),
        ] {
            let found = routes.find(path).and_then(|(methods, segments)| Some((methods.get(&method)?, segments)));
            let found = found.map(|(number, segments)| {
                (number, segments.get(path, 0).expect("there is one"), segments.get(path, 1))
            });
            assert_eq!(found, expected, "{method} {path}");
        }
        let (methods, _) = routes.find("/_matrix/client/v3/rooms/!a/state/t").expect("it is there");
        assert_eq!(methods.allow, "GET, HEAD, OPTIONS, PUT");
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn no_two_operations_have_the_same_path_and_method() {
        routes(vec![get("one", "/_matrix/client/v3/{a}/x"), get("two", "/_matrix/client/v3/{b}/x")]);
    }
}
