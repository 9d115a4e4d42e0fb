//! The binary `engram`.

use std::process::ExitCode;

/// Many small allocations on many threads are what a server does all day.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    engram_server::cli::main()
}
