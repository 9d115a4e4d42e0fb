//! Power loss under live views: what the disk may have of a store's files, as images.
//!
//! The store has no seam for a simulated disk. So its directory is recorded at moments while it runs; what changed
//! between two moments may be on the disk or not: each file as it was, as it is, cut anywhere, or with zeros or garbage
//! for a tail. That is more than a disk that keeps its promises can do: also what was synced is cut.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engram_views::testing::{MemoryLog, flush, scratch_dir};

use super::damage::{Image, heal};
use super::generate::{Random, history};
use super::support::{asked, expected, open};

/// Images that are tried where nobody asks for more.
const IMAGES: u64 = 80;
/// Images of one run.
const IMAGES_EACH: u64 = 40;

/// What the disk has of a file that was `before` and is `now`.
fn fate(before: Option<&(Vec<u8>, usize)>, now: &(Vec<u8>, usize), random: &mut Random) -> Option<(Vec<u8>, usize)> {
    let (mut bytes, length) = now.clone();
    let same = before.map_or(0, |before| before.0.iter().zip(&bytes).take_while(|(one, two)| one == two).count());
    // Mostly in what is new, now and then in what was there.
    let start = if random.below(4) == 0 { 0 } else { same.min(bytes.len()) };
    let at = start + random.below(bytes.len() - start + 1);
    match random.below(8) {
        0 | 1 => return before.cloned(),
        2 | 3 => return Some((bytes, length)),
        4 => {
            bytes.truncate(at);
            return Some((bytes, at));
        }
        5 => bytes.truncate(at),
        6 => {
            let tail = 1 + random.below(2048);
            bytes.iter_mut().skip(at).take(tail).for_each(|byte| *byte = random.below(256) as u8);
        }
        _ => {
            // One page of the new part is missing, what lies behind it is there.
            let page = at / 4096 * 4096;
            bytes.iter_mut().skip(page.max(start)).take(4096).for_each(|byte| *byte = 0);
        }
    }
    let length = length.max(bytes.len());
    Some((bytes, length))
}

/// A crash between two moments.
fn crash(before: &Image, now: &Image, random: &mut Random) -> Image {
    let mut image = Image::default();
    let paths: std::collections::BTreeSet<&PathBuf> = before.0.keys().chain(now.0.keys()).collect();
    for path in paths {
        let file = match (before.0.get(path), now.0.get(path)) {
            (old, Some(new)) if old != Some(new) => fate(old, new, random),
            (_, Some(new)) => Some(new.clone()),
            // Deleted since: the deletion may not have reached the disk.
            (Some(old), None) => (random.below(2) == 0).then(|| old.clone()),
            (None, None) => None,
        };
        if let Some(file) = file {
            image.0.insert(path.clone(), file);
        }
    }
    image
}

#[test]
fn every_image_opens_or_heals() {
    let count = asked("ENGRAM_POWER_CUTS", IMAGES);
    let first = asked("ENGRAM_SEED", 1);
    let mut healed = BTreeMap::new();
    let mut tried = 0;
    for seed in first.. {
        if tried >= count {
            break;
        }
        let mut random = Random(seed ^ 0x90e7);
        let history = history(seed ^ 0x90e7, 300);
        let log = MemoryLog::new();
        let directory = scratch_dir();
        let mut moments = vec![Image::default()];
        let mut views = open(directory.path(), &log, 0).expect("it opens");
        views.start(Vec::new());
        for append in &history {
            views.wait_applied_blocking(append.to(&log)).expect("the pipeline runs");
            match random.below(40) {
                0..3 => moments.push(Image::of(directory.path())),
                3 => flush(&views.snapshot()),
                4 => {
                    // A restart, which deletes, creates and marks.
                    drop(views);
                    moments.push(Image::of(directory.path()));
                    views = open(directory.path(), &log, 1 + random.below(500)).expect("it opens");
                    moments.push(Image::of(directory.path()));
                    views.start(Vec::new());
                }
                _ => {}
            }
        }
        moments.push(Image::of(directory.path()));
        drop(views);
        moments.push(Image::of(directory.path()));
        let right = expected(&log);
        for number in 0..IMAGES_EACH.min(count - tried) {
            let now = 1 + random.below(moments.len() - 1);
            // Mostly the last moment before, now and then long ago.
            let before = if random.below(4) == 0 { random.below(now) } else { now - 1 };
            let image = crash(&moments[before], &moments[now], &mut random);
            let what = format!("seed {seed}, image {number}: between moments {before} and {now} of {}", moments.len());
            *healed.entry(heal(&image, &log, &right, &what)).or_insert(0u64) += 1;
            tried += 1;
        }
    }
    println!("{tried} images of interrupted writes: {healed:?}");
}
