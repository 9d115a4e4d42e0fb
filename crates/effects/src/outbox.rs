//! The list of what is due: rows of a projector's own table, and as pure as those. They name targets and records, and
//! no times.

use std::ops::{Bound, ControlFlow};

use engram_log::{Input, InputRef, Offset};
use engram_log_format::v1;
use engram_views::{Apply, Read, Table, ViewError};

use crate::limits::TARGET_BYTES_MAX;

const ENTRIES: u8 = 0;
const CUTS: u8 = 1;
/// Kind of row, length of the target's name.
const PREFIX_BYTES: usize = 3;
/// An entry's place: since, item.
const PLACE_BYTES: usize = 16;

/// For whom something is to be done: a server, a pusher, an index. Neither empty nor longer than [`TARGET_BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Box<str>);

impl Target {
    /// A target of that name; none if that is empty or too long to be one.
    pub fn new(name: &str) -> Option<Self> {
        (1..=TARGET_BYTES_MAX).contains(&name.len()).then(|| Self(name.into()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// An entry's place in the list of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The record by which it came to be.
    pub since: Offset,
    /// Which of those that the record listed for the target.
    pub item: u64,
}

/// What goes to a target at once: the same until it is acknowledged, whatever is listed meanwhile and however often
/// it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The entries in their order, with what the projector noted for each; at least one.
    pub entries: Vec<(Entry, Box<[u8]>)>,
}

impl Parcel {
    /// The first entry's place.
    pub fn first(&self) -> Entry {
        self.entries.first().expect("a parcel has an entry").0
    }

    /// The last entry's place: what is acknowledged.
    pub fn last(&self) -> Entry {
        self.entries.last().expect("a parcel has an entry").0
    }

    /// A name that no other parcel for the target ever has, and this one always.
    pub fn transaction_id(&self) -> String {
        let (first, last) = (self.first(), self.last());
        format!("{}.{}-{}.{}", first.since, first.item, last.since, last.item)
    }

    /// The record that acknowledges it.
    pub fn receipt(&self, effect: &str, target: &Target) -> Input {
        let last = self.last();
        v1::EffectDelivered {
            effect: effect.to_owned(),
            target: target.name().to_owned(),
            since: last.since.0,
            item: last.item,
        }
        .into()
    }
}

/// A list in a table of a projector's. Rows: 0x00, target, since (u64), item (u64) → what the projector noted; 0x01,
/// target → the record of the last acknowledgement (u64), as long as it left entries. A target is its name behind the
/// name's length (u16).
#[derive(Clone, Copy, Debug)]
pub struct Outbox(pub &'static Table);

impl Outbox {
    /// Lists an entry, as of the record that is being applied. `item` tells the entries of one record for one target
    /// apart, and orders them.
    pub fn add<D>(&self, view: &mut Apply<'_, D>, target: &Target, item: u64, note: &[u8]) {
        let entry = Entry { since: view.offset(), item };
        view.put(self.0, &entry_key(target, entry), note);
    }

    /// Strikes off what a record acknowledges, if it is one of this effect's; how many entries those were.
    pub fn settle<D>(&self, view: &mut Apply<'_, D>, effect: &str, input: InputRef<'_>) -> Result<usize, ViewError> {
        let InputRef::EffectDelivered(delivered) = input else { return Ok(0) };
        let target = Target::new(&delivered.target);
        let Some(target) = target.filter(|_| delivered.effect == effect) else { return Ok(0) };
        let through = Entry { since: Offset(delivered.since.to_native()), item: delivered.item.to_native() };
        assert!(through.since < view.offset(), "what is acknowledged was listed before");
        let done = self.entries(view, &target, through, usize::MAX)?;
        for (entry, _) in &done {
            view.remove(self.0, &entry_key(&target, *entry));
        }
        let has_more = !self.entries(view, &target, LAST, 1)?.is_empty();
        if has_more {
            view.put(self.0, &target_key(CUTS, &target), &view.offset().to_be_bytes());
        } else {
            view.remove(self.0, &target_key(CUTS, &target));
        }
        Ok(done.len())
    }

    /// Strikes off everything for a target that is no more.
    pub fn drop_target<D>(&self, view: &mut Apply<'_, D>, target: &Target) -> Result<(), ViewError> {
        for (entry, _) in self.entries(view, target, LAST, usize::MAX)? {
            view.remove(self.0, &entry_key(target, entry));
        }
        view.remove(self.0, &target_key(CUTS, target));
        Ok(())
    }

    /// The targets that have entries, those after one of them; at most `limit`. Costs a seek a target, however many
    /// entries there are.
    pub fn targets(&self, reader: &dyn Read, after: Option<&Target>, limit: usize) -> Result<Vec<Target>, ViewError> {
        let mut found: Vec<Target> = Vec::new();
        while found.len() < limit {
            let from = match found.last().or(after) {
                Some(target) => entry_key(target, LAST),
                None => vec![ENTRIES],
            };
            let mut next = None;
            let mut visit = |key: &[u8], _: &[u8]| {
                next = Some(decode_target(key));
                ControlFlow::Break(())
            };
            reader.scan(self.0, Bound::Excluded(&from), Bound::Excluded(&[CUTS]), false, &mut visit)?;
            let Some(target) = next else { break };
            found.push(target.ok_or(self.malformed())?);
        }
        Ok(found)
    }

    /// What goes to a target next; none if nothing is due.
    ///
    /// The entries up to the record that acknowledged the last parcel, or up to the first record that listed one if
    /// that came later; of those at most `entries_max`. So whoever keeps up gets each thing at once, whoever is
    /// slower gets what has come meanwhile together, and what is in a parcel depends on the log alone: entries come
    /// at its end, and are struck off by an acknowledgement only. `entries_max` is part of that, and is never changed
    /// while parcels may be under way.
    pub fn parcel(&self, reader: &dyn Read, target: &Target, entries_max: usize) -> Result<Option<Parcel>, ViewError> {
        assert!(entries_max > 0, "a parcel has an entry");
        let Some((first, _)) = self.entries(reader, target, LAST, 1)?.pop() else { return Ok(None) };
        let cut = reader.get(self.0, &target_key(CUTS, target))?;
        let cut = cut.map(|row| row.as_ref().try_into().map(Offset::from_be_bytes)).transpose();
        let cut = cut.map_err(|_| self.malformed())?.unwrap_or(Offset::ZERO);
        let through = Entry { since: first.since.max(cut), item: u64::MAX };
        let entries = self.entries(reader, target, through, entries_max)?;
        assert_eq!(
            entries.first().map(|(entry, _)| *entry),
            Some(first),
            "a parcel begins with what has waited longest"
        );
        Ok(Some(Parcel { entries }))
    }

    /// The first entries of a target, up to and including a place.
    fn entries(
        self,
        reader: &dyn Read,
        target: &Target,
        through: Entry,
        limit: usize,
    ) -> Result<Vec<Noted>, ViewError> {
        let (from, to) = (target_key(ENTRIES, target), entry_key(target, through));
        let mut found = Vec::new();
        let mut visit = |key: &[u8], note: &[u8]| {
            found.push(decode_entry(key).map(|entry| (entry, note.into())).ok_or(self.malformed()));
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        reader.scan(self.0, Bound::Included(&from), Bound::Included(&to), false, &mut visit)?;
        found.into_iter().collect()
    }

    fn malformed(self) -> ViewError {
        ViewError::Row { table: self.0.name, what: "a key is none of an entry" }
    }
}

/// An entry with what was noted with it.
type Noted = (Entry, Box<[u8]>);

/// Beyond every entry that can be.
const LAST: Entry = Entry { since: Offset(u64::MAX), item: u64::MAX };

fn target_key(kind: u8, target: &Target) -> Vec<u8> {
    let length = u16::try_from(target.0.len()).expect("a target's name is short");
    let mut key = Vec::with_capacity(PREFIX_BYTES + target.0.len() + PLACE_BYTES);
    key.push(kind);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(target.0.as_bytes());
    key
}

fn entry_key(target: &Target, entry: Entry) -> Vec<u8> {
    let mut key = target_key(ENTRIES, target);
    key.extend_from_slice(&entry.since.to_be_bytes());
    key.extend_from_slice(&entry.item.to_be_bytes());
    key
}

fn decode_target(key: &[u8]) -> Option<Target> {
    let name = key.get(PREFIX_BYTES..key.len().checked_sub(PLACE_BYTES)?)?;
    let length = u16::from_be_bytes(key.get(1..PREFIX_BYTES)?.try_into().ok()?);
    Target::new(std::str::from_utf8(name).ok()?).filter(|_| usize::from(length) == name.len())
}

fn decode_entry(key: &[u8]) -> Option<Entry> {
    let (rest, item) = key.split_last_chunk::<8>()?;
    let (_, since) = rest.split_last_chunk::<8>()?;
    Some(Entry { since: Offset::from_be_bytes(*since), item: u64::from_be_bytes(*item) })
}
