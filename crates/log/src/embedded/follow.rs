//! A cursor over the log: segments first, then memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engram_log_format::frame;
use engram_log_format::{Lane, Offset};

use super::catalog::{Catalog, OpenSegment, Segment};
use super::frames::{FrameReadError, FrameReader};
use super::tail::{Entry, Found, Tail};
use crate::interface::{Follow, FollowError, Lanes, ReadError};
use crate::record::Record;

/// A follower of the embedded log.
///
/// `seen` is how far it has looked, `position` the last record that it returned: they differ where
/// it passed over records of a lane that it does not read.
pub(crate) struct EmbeddedFollower {
    catalog: Arc<Catalog>,
    tail: Arc<Tail>,
    lanes: Lanes,
    position: Offset,
    seen: Offset,
    older: Option<Older>,
}

/// Reads segments of both lanes, merged, up to `limit`.
struct Older {
    limit: Offset,
    cursors: Vec<LaneCursor>,
}

impl EmbeddedFollower {
    pub(crate) fn new(catalog: Arc<Catalog>, tail: Arc<Tail>, after: Offset, lanes: Lanes) -> Self {
        Self { catalog, tail, lanes, position: after, seen: after, older: None }
    }

    /// Reads from segments up to what was published when memory was found to begin later.
    fn next_older(&mut self, out: &mut Vec<Record>, max: usize) -> Result<usize, ReadError> {
        let older = self.older.as_mut().expect("called while behind");
        let (count, through) = older.next(&self.catalog, out, max)?;
        if count == 0 {
            self.seen = self.seen.max(older.limit);
            self.older = None;
        } else {
            self.seen = through;
        }
        Ok(count)
    }
}

impl Follow for EmbeddedFollower {
    fn next(&mut self, out: &mut Vec<Record>, max: usize, timeout: Duration) -> Result<usize, FollowError> {
        #[expect(clippy::disallowed_methods, reason = "one deadline over several waits; no record sees it")]
        let deadline = Instant::now().checked_add(timeout);
        let start = out.len();
        loop {
            let count = if self.older.is_some() {
                self.next_older(out, max)?
            } else {
                match self.tail.next(self.seen, self.lanes, out, max, deadline) {
                    Found::Records(count, through) => {
                        self.seen = through;
                        count
                    }
                    Found::Behind(limit) => {
                        self.older = Some(Older::new(&self.catalog, self.lanes, self.seen, limit));
                        0
                    }
                    Found::TimedOut(seen) => {
                        self.seen = seen;
                        return Ok(0);
                    }
                    Found::Stopped(reason) => return Err(FollowError::Stopped(reason)),
                }
            };
            if count > 0 {
                assert!(out[start].offset > self.position, "offsets increase from call to call");
                assert!(count == out.len() - start && count <= max, "no more than asked for");
                self.position = out.last().expect("records were added").offset;
                return Ok(count);
            }
        }
    }

    fn position(&self) -> Offset {
        self.position
    }
}

impl Older {
    fn new(catalog: &Catalog, lanes: Lanes, after: Offset, limit: Offset) -> Self {
        let wanted: &[Lane] = match lanes {
            Lanes::Journal => &[Lane::Journal],
            Lanes::Ephemeral => &[Lane::Ephemeral],
            Lanes::Both => &[Lane::Journal, Lane::Ephemeral],
        };
        let cursors = wanted.iter().map(|lane| LaneCursor::new(catalog, *lane, after)).collect();
        Self { limit, cursors }
    }

    /// Adds up to `max` records; none only if there are no more up to the limit.
    fn next(&mut self, catalog: &Catalog, out: &mut Vec<Record>, max: usize) -> Result<(usize, Offset), ReadError> {
        assert!(max > 0, "a reader that takes nothing never comes to an end");
        let mut merged = Vec::new();
        let mut whole = 0;
        // One more than `max` tells an append that just fits from one that goes on.
        while merged.len() <= max {
            let Some(entry) = self.pop(catalog)? else { break };
            merged.push(entry);
            if merged.len() <= max && merged[merged.len() - 1].ends_append {
                whole = merged.len();
            }
        }
        let count = if whole == 0 { merged.len().min(max) } else { whole };
        // What did not fit goes back to where it came from.
        for entry in merged.drain(count..).rev() {
            let cursor = self.cursors.iter_mut().find(|cursor| cursor.lane == entry.record.lane);
            cursor.expect("it came from one of them").pending.push_front(entry);
        }
        let through = merged.last().map_or(self.limit, |entry| entry.record.offset);
        assert!(through <= self.limit && merged.len() == count, "memory goes on behind the limit");
        debug_assert!(merged.is_sorted_by(|one, two| one.record.offset < two.record.offset), "lanes are merged");
        out.extend(merged.into_iter().map(|entry| entry.record));
        Ok((count, through))
    }

    /// The next record of any lane up to the limit.
    fn pop(&mut self, catalog: &Catalog) -> Result<Option<Entry>, ReadError> {
        let mut best: Option<(usize, Offset)> = None;
        for (number, cursor) in self.cursors.iter_mut().enumerate() {
            if let Some(offset) = cursor.peek(catalog)?.filter(|offset| *offset <= self.limit)
                && best.is_none_or(|(_, least)| offset < least)
            {
                best = Some((number, offset));
            }
        }
        Ok(best.and_then(|(number, _)| self.cursors[number].pending.pop_front()))
    }
}

/// Reads one lane's segments in order.
struct LaneCursor {
    lane: Lane,
    after: Offset,
    current: Option<Current>,
    pending: VecDeque<Entry>,
}

struct Current {
    segment: Arc<Segment>,
    open: Arc<OpenSegment>,
    reader: FrameReader,
}

impl LaneCursor {
    fn new(catalog: &Catalog, lane: Lane, after: Offset) -> Self {
        let mut cursor = Self { lane, after, current: None, pending: VecDeque::new() };
        if let Some(segment) = catalog.find(lane, after.next()) {
            // An error shows again when the segment is read.
            cursor.current = cursor.enter(catalog, segment).ok();
        }
        cursor
    }

    fn enter(&self, catalog: &Catalog, segment: Arc<Segment>) -> Result<Current, ReadError> {
        let open = catalog.open(&segment)?;
        let delta = self.after.next().0.saturating_sub(segment.header.base.0);
        let reader = FrameReader::new(open.file.clone(), open.frame_position(delta));
        Ok(Current { segment, open, reader })
    }

    /// The offset of the next record, read from disk if need be.
    fn peek(&mut self, catalog: &Catalog) -> Result<Option<Offset>, ReadError> {
        loop {
            if let Some(entry) = self.pending.front() {
                return Ok(Some(entry.record.offset));
            }
            if let Some(current) = &mut self.current
                && current.read_frame(self.lane, self.after, &mut self.pending)?
            {
                continue;
            }
            let base = self.current.as_ref().map_or(self.after, |current| current.segment.header.base);
            let next = match &self.current {
                Some(_) => catalog.next(self.lane, base),
                None => catalog.find(self.lane, self.after.next()).or_else(|| catalog.next(self.lane, self.after)),
            };
            let Some(next) = next else { return Ok(None) };
            self.current = Some(self.enter(catalog, next)?);
        }
    }
}

impl Current {
    /// Reads one frame into `pending`; false at the end of what is published.
    fn read_frame(&mut self, lane: Lane, after: Offset, pending: &mut VecDeque<Entry>) -> Result<bool, ReadError> {
        let damaged = |position: u64, error: &dyn std::fmt::Display| {
            ReadError::Damaged(format!("segment {}, byte {position}: {error}", self.segment.path))
        };
        let position = self.reader.position();
        let found = self.reader.next(self.open.frames_end()).map_err(|error| match error {
            FrameReadError::Io(error) => ReadError::Io(error),
            FrameReadError::Frame(error) => damaged(position, &error),
        })?;
        let Some((buffer, start)) = found else {
            return Ok(false);
        };
        let verified = frame::verify(&buffer[start..], &self.segment.key, None, |record| {
            if record.header.offset > after {
                let ends_append = record.header.ends_append;
                pending.push_back(Entry { record: super::record_of(lane, &buffer, start, &record), ends_append });
            }
        });
        let length = verified.map_err(|error| {
            pending.clear();
            damaged(position, &error)
        })?;
        self.reader.advance(length);
        Ok(true)
    }
}
