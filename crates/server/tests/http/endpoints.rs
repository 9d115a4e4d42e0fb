//! What the documentation says about endpoints is what the registry says.
//!
//! `ENGRAM_REFRESH=1 cargo test -p engram-server --test http` writes the document anew.

use engram_client_api::operations;
use engram_http::registry::Spec;
use engram_http::table;

use crate::document::document;

const INTRODUCTION: &str = "# Endpoints

Made from the registry of operations; do not edit. `ENGRAM_REFRESH=1 cargo test -p engram-server --test http` writes it
anew, and the test fails as long as it says something else than the server does.

*Who*: guests, suspended and locked accounts are refused where they are not named; *in person* means that no application
service may do it for a user. *Rate* is the class in which a call counts once rates are limited. *Runs* says on which
threads ([ARCHITECTURE.md](../ARCHITECTURE.md), Blocking). Who gets what answer is in [access.md](access.md).
";

fn specs() -> Vec<Spec> {
    operations().into_iter().map(|operation| operation.spec).collect()
}

#[test]
fn the_document_lists_what_is_served_and_what_is_not() {
    let specs = specs();
    let wanted = table::specification().count();
    let served = table::specification().filter(|wanted| table::is_served(&specs, wanted)).count();
    let text = format!(
        "{INTRODUCTION}\n## Served\n\n{served} of the {wanted} operations that the specification has for homeservers, and some \
         for tools and old clients.\n\n{}\n## Not there yet\n\nThese answer 404 `M_UNRECOGNIZED`.\n\n{}",
        table::served(&specs),
        table::missing(&specs)
    );
    document("endpoints.md", &text);
}

/// A path or name that is misspelt here is missing there.
#[test]
fn every_operation_is_the_specification_s_or_says_that_it_is_not() {
    for spec in specs() {
        let found =
            table::specification().find(|wanted| wanted.method == spec.method.as_str() && wanted.path == spec.paths[0]);
        assert_eq!(
            found.map(|wanted| wanted.id),
            spec.specified.then_some(spec.id),
            "{} {}",
            spec.method,
            spec.paths[0]
        );
    }
}

#[test]
fn who_reads_no_body_has_no_limit_for_it_and_who_is_anonymous_a_small_one() {
    use engram_http::registry::Access;
    for spec in specs() {
        let anonymous = matches!(spec.access, Access::Anybody | Access::AnybodyOrUser);
        let limit = if anonymous { 64 * 1024 } else { 4 * 1024 * 1024 };
        assert!(spec.body_bytes_max.is_none_or(|bytes_max| bytes_max <= limit), "{}", spec.id);
        let writes = spec.method == "POST" || spec.method == "PUT";
        assert!(spec.body_bytes_max.is_none() || writes || spec.method == "DELETE", "{} has a body", spec.id);
    }
}
