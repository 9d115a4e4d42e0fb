//! What the store says about itself: which generation of which view is current, and how far each had come when all
//! was last brought to stable storage.
//!
//! Two rows of the keyspace `meta`. Integers are big-endian.
//!
//! ```text
//! layout    format: u8 = 2, then per view: name, version: u32, generation: u32,
//!           number of tables: u8, then per table: number: u8, name
//! cursors   per view, in the order of the layout: cursor: u64
//! name      length: u8, text
//! ```
//!
//! A view's own cursor row says how far it is; the row `cursors` is what it cannot have fallen behind of without
//! damage.

use engram_log::Offset;

use crate::view::View;

pub(crate) const LAYOUT: &[u8] = b"layout";
pub(crate) const CURSORS: &[u8] = b"cursors";
const FORMAT: u8 = 2;

/// A view's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) generation: u32,
    /// Numbers and names.
    pub(crate) tables: Vec<(u8, String)>,
    /// How far it was when all was last brought to stable storage.
    pub(crate) cursor: Offset,
}

/// Encodes the row `layout`.
pub(crate) fn encode_layout(views: &[View]) -> Vec<u8> {
    let mut row = vec![FORMAT];
    for view in views {
        put_name(&mut row, view.name);
        row.extend_from_slice(&view.version.to_be_bytes());
        row.extend_from_slice(&view.generation.to_be_bytes());
        assert!(view.cursor >= view.written, "no row is ahead of its view");
        row.push(u8::try_from(view.tables.len()).expect("tables are numbered with a byte"));
        for table in view.tables {
            row.push(table.number);
            put_name(&mut row, table.name);
        }
    }
    row
}

fn put_name(row: &mut Vec<u8>, name: &str) {
    row.push(u8::try_from(name.len()).expect("views and tables have short names"));
    row.extend_from_slice(name.as_bytes());
}

/// Encodes the row `cursors`.
pub(crate) fn encode_cursors(views: &[View]) -> Vec<u8> {
    views.iter().flat_map(|view| view.cursor.to_be_bytes()).collect()
}

/// Reads both rows; none if they are not what the encoders write.
pub(crate) fn decode(layout: &[u8], cursors: &[u8]) -> Option<Vec<Entry>> {
    let (format, mut layout) = layout.split_first()?;
    let (mut cursors, []) = cursors.as_chunks::<8>() else { return None };
    if *format != FORMAT {
        return None;
    }
    let mut entries = Vec::new();
    while !layout.is_empty() {
        let name = take_name(&mut layout)?;
        let version = u32::from_be_bytes(*take(&mut layout)?);
        let generation = u32::from_be_bytes(*take(&mut layout)?);
        let [count] = *take(&mut layout)?;
        let mut tables = Vec::new();
        for _ in 0..count {
            let [number] = *take(&mut layout)?;
            tables.push((number, take_name(&mut layout)?));
        }
        let (cursor, rest) = cursors.split_first()?;
        cursors = rest;
        entries.push(Entry { name, version, generation, tables, cursor: Offset::from_be_bytes(*cursor) });
    }
    cursors.is_empty().then_some(entries)
}

fn take<'a, const N: usize>(row: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = row.split_first_chunk()?;
    *row = rest;
    Some(taken)
}

fn take_name(row: &mut &[u8]) -> Option<String> {
    let [length] = *take(row)?;
    let (name, rest) = row.split_at_checked(usize::from(length))?;
    *row = rest;
    String::from_utf8(name.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    #[test]
    fn both_rows_survive_the_way_there_and_back() {
        static ONE: Table = Table::new(3, "rooms.one");
        static TWO: Table = Table::new(4, "rooms.two");
        static BOTH: [&Table; 2] = [&ONE, &TWO];
        let view = |name, tables, cursor| View {
            name,
            version: 7,
            generation: 3,
            tables,
            cursor: Offset(cursor),
            written: Offset::ZERO,
        };
        let views = [view("rooms", &BOTH[..], 9), view("users", &[], 11)];
        let (layout, cursors) = (encode_layout(&views), encode_cursors(&views));
        let entries = decode(&layout, &cursors).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].name.as_str(), entries[0].version, entries[0].generation), ("rooms", 7, 3));
        assert_eq!(entries[0].tables, [(3, "rooms.one".to_owned()), (4, "rooms.two".to_owned())]);
        assert_eq!((entries[0].cursor, entries[1].cursor), (Offset(9), Offset(11)));
        assert!(entries[1].tables.is_empty());
        for length in 0..layout.len() {
            assert_eq!(decode(&layout[..length], &cursors), None, "cut to {length}");
        }
        assert_eq!(decode(&layout, &cursors[..8]), None);
    }
}
