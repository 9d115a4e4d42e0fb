//! The whole server on a machine that misbehaves: a disk that stands still, a disk that is full, a file that rots, a
//! client that is slow, a handler with a bug.
//!
//! `ENGRAM_NIGHTLY=1` makes the disks slower and tries more sizes.

mod full_disk;
mod requests;
mod rot;
mod slow_disk;

use engram_tests::Reply;

/// Whether the long sizes are asked for.
fn nightly() -> bool {
    std::env::var_os("ENGRAM_NIGHTLY").is_some()
}

/// Expects a refusal that a client knows what to do with: an error with a code and a sentence, and when to come back.
#[track_caller]
fn told_to_come_back(reply: Reply) -> String {
    assert!([503, 429].contains(&reply.status), "{}: {} {}", reply.request, reply.status, reply.body);
    let seconds = reply.head.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{}: no Retry-After: {}", reply.request, reply.head.head);
    assert!(reply.body["errcode"].as_str().is_some_and(|code| code.starts_with("M_")), "{}", reply.body);
    reply.body["error"].as_str().expect("a sentence").to_owned()
}
