//! What the store says about itself: which generation of which view is current, and how far each has come.
//!
//! Two rows of the keyspace `meta`. Integers are big-endian.
//!
//! ```text
//! layout    format: u8 = 1, then per view: name length: u8, name, version: u32, generation: u32
//! cursors   per view, in the order of the layout: cursor: u64, check: u64
//! ```
//!
//! `check` covers the cursor rows of the view's keyspaces ([`check`]). The row `cursors` is written in the
//! same batch as they are; if they disagree, part of a batch is missing and the view is not to be trusted.

use engram_log::Offset;

pub(crate) const LAYOUT: &[u8] = b"layout";
pub(crate) const CURSORS: &[u8] = b"cursors";
const FORMAT: u8 = 1;

/// A view's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) generation: u32,
    pub(crate) cursor: Offset,
    pub(crate) check: u64,
}

/// Encodes the row `layout`.
pub(crate) fn encode_layout<'a>(views: impl Iterator<Item = (&'a str, u32, u32)>) -> Vec<u8> {
    let mut row = vec![FORMAT];
    for (name, version, generation) in views {
        row.push(u8::try_from(name.len()).expect("views have short names"));
        row.extend_from_slice(name.as_bytes());
        row.extend_from_slice(&version.to_be_bytes());
        row.extend_from_slice(&generation.to_be_bytes());
    }
    row
}

/// Encodes the row `cursors`.
pub(crate) fn encode_cursors(views: impl Iterator<Item = (Offset, u64)>) -> Vec<u8> {
    let mut row = Vec::with_capacity(64);
    for (cursor, check) in views {
        row.extend_from_slice(&cursor.to_be_bytes());
        row.extend_from_slice(&check.to_be_bytes());
    }
    row
}

/// Reads both rows; none if they are not what the encoders write.
pub(crate) fn decode(layout: &[u8], cursors: &[u8]) -> Option<Vec<Entry>> {
    let (format, mut layout) = layout.split_first()?;
    let (mut cursors, []) = cursors.as_chunks::<16>() else { return None };
    if *format != FORMAT {
        return None;
    }
    let mut entries = Vec::new();
    while let Some((length, rest)) = layout.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let (version, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (cursor, more) = cursors.split_first()?;
        let (offset, check) = cursor.split_at(8);
        entries.push(Entry {
            name: String::from_utf8(name.to_vec()).ok()?,
            version: u32::from_be_bytes(*version),
            generation: u32::from_be_bytes(*generation),
            cursor: Offset::from_be_bytes(offset.try_into().ok()?),
            check: u64::from_be_bytes(check.try_into().ok()?),
        });
        (layout, cursors) = (rest, more);
    }
    cursors.is_empty().then_some(entries)
}

/// A short digest of the cursor rows of a view's keyspaces, in the order of its tables.
pub(crate) fn check(cursors: &[Offset]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for cursor in cursors {
        hasher.update(&cursor.to_be_bytes());
    }
    let digest = hasher.finalize();
    let (first, _) = digest.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_rows_survive_the_way_there_and_back() {
        let entry = |name: &str, cursor| Entry {
            name: name.to_owned(),
            version: 7,
            generation: 3,
            cursor: Offset(cursor),
            check: check(&[Offset(cursor), Offset::ZERO]),
        };
        let entries = vec![entry("rooms", 9), entry("users", 11)];
        let layout = encode_layout(entries.iter().map(|e| (e.name.as_str(), e.version, e.generation)));
        let cursors = encode_cursors(entries.iter().map(|e| (e.cursor, e.check)));
        assert_eq!(decode(&layout, &cursors), Some(entries));
        for length in 0..layout.len() {
            assert_eq!(decode(&layout[..length], &cursors), None, "cut to {length}");
        }
        assert_eq!(decode(&layout, &cursors[..16]), None);
    }

    #[test]
    fn a_check_tells_which_keyspace_is_behind() {
        assert_ne!(check(&[Offset(1), Offset(2)]), check(&[Offset(2), Offset(1)]));
        assert_ne!(check(&[Offset(1)]), check(&[Offset(1), Offset::ZERO]));
    }
}
