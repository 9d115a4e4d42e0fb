//! The server's own messages: to standard error, for people or as JSON. `RUST_LOG` says what is written.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// What is written if `RUST_LOG` does not say: the libraries' news are of interest only when something is wrong.
const FILTER_DEFAULT: &str = "info,fjall=warn,lsm_tree=warn,ruma_state_res=warn";

/// Starts logging. `filter` is `RUST_LOG`, `no_colour` whether `NO_COLOR` is set.
pub fn start(json: bool, filter: Option<&str>, no_colour: bool) {
    let filter = EnvFilter::new(filter.filter(|filter| !filter.is_empty()).unwrap_or(FILTER_DEFAULT));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let outcome = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(!no_colour && stderr().is_terminal()).with_target(false).try_init()
    };
    // In a test another server of the same process may have been first.
    drop(outcome);
}
