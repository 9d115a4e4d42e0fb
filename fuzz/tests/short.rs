//! The corpus and bounded random changes of it, on every run of the test suite.
//!
//! `ENGRAM_FUZZ_RUNS=1000000 cargo test -p engram-fuzz --test short -- pdu` is a longer run of one target, without the
//! guidance of coverage. `ENGRAM_FUZZ_SEED` varies it. An input that fails is written to `target/fuzz/failed/`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::{env, fs};

use engram_fuzz::mutate::{Random, mutate};
use engram_fuzz::{Target, corpus, target};

#[expect(clippy::disallowed_methods, reason = "a long run is asked for by the environment, not by the test")]
fn asked(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

fn run(target: &Target, input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    if let Err(panic) = outcome {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../fuzz/failed").join(target.name);
        fs::create_dir_all(&dir).expect("the target directory can be written");
        let path = dir.join(corpus::file_name(input));
        fs::write(&path, input).expect("the target directory can be written");
        eprintln!("the input is {}; it belongs into fuzz/corpus/{} once it passes", path.display(), target.name);
        resume_unwind(panic);
    }
}

fn check(name: &str) {
    let target = target(name).expect("a target");
    let inputs = corpus::inputs(target).expect("the corpus can be read");
    assert!(inputs.iter().all(|input| !input.is_empty()), "an empty input shows nothing");
    for input in &inputs {
        run(target, input);
    }
    let runs = asked("ENGRAM_FUZZ_RUNS").unwrap_or(target.short_runs);
    let mut random = Random(asked("ENGRAM_FUZZ_SEED").unwrap_or(1));
    let mut pool: Vec<Vec<u8>> = inputs.iter().filter(|input| input.len() <= target.bytes_max).cloned().collect();
    for _ in 0..runs {
        let mut input = pool[random.below(pool.len())].clone();
        let other = &inputs[random.below(inputs.len())];
        mutate(&mut random, &mut input, other, target.bytes_max);
        run(target, &input);
        // Without coverage nobody knows which change was worth keeping; some are, so that changes add up.
        if random.below(16) == 0 {
            let at = random.below(pool.len() + 64);
            if at < pool.len() { pool[at] = input } else { pool.push(input) }
        }
    }
    println!("{name}: {} inputs of the corpus, {runs} mutations", inputs.len());
}

/// Machines of the test suite have few cores, and other tests run beside these.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

macro_rules! targets {
    ($($function:ident = $name:literal;)*) => {
        $(#[test]
        fn $function() {
            let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            check($name);
        })*

        #[test]
        fn every_target_is_run() {
            let here = [$($name),*];
            assert!(engram_fuzz::TARGETS.iter().map(|target| target.name).eq(here), "{here:?}");
        }
    };
}

targets! {
    segment = "segment";
    frame = "frame";
    record = "record";
    payload = "payload";
    log = "log";
    canonical = "canonical";
    pdu = "pdu";
    rooms = "rooms";
    x_matrix = "x-matrix";
    config = "config";
    client = "client";
}

#[test]
fn the_corpus_stays_small() {
    let kept: usize = engram_fuzz::TARGETS
        .iter()
        .flat_map(|target| fs::read_dir(corpus::dir(target)).into_iter().flatten())
        .map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |metadata| metadata.len() as usize))
        .sum();
    assert!(kept < 1 << 20, "{kept} bytes are kept: minimise them");
}
