//! Waiting for something to become true, with a deadline and without guessing how long it takes.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen: generous, since it is waited out only by a failing test.
pub const DEADLINE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until there is something to return. Panics at the deadline, naming what was awaited.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        thread::sleep(PAUSE);
    }
}
