//! The room server's projector: from PDUs in the log to verdicts, state, timelines and members.
//!
//! One event passes through `intake` (is it new, where does it belong, what is the state before it), `judge` (the
//! authorization rules), `resolution` (where branches meet) and `advance` (the room's head, current
//! state and members). `credit` bounds what a room's resolutions may take. `past` is for what arrives after those that
//! follow it. `redactions`, `erasures` and `directory` stand beside that way; `memo` keeps what the next event will ask
//! for.
//!
//! Bad input is counted and passed over: nothing that a peer sends stops the projector.

mod advance;
mod credit;
mod directory;
mod erasures;
mod intake;
mod judge;
mod lookup;
mod memo;
mod past;
mod redactions;
mod rejudged;
mod resolution;
mod rules;

use crate::delta::{Apply, RoomDelta};
use engram_log::{InputRef, Record};
use engram_views::{ProjectError, Projector, Table};

use self::memo::Memo;
use crate::limits::MEMO_BYTES_MAX;

pub use self::credit::{Allowance, Unresolved};
pub use self::resolution::{Contest, Resolution, Step, resolution_before};
pub use self::rules::{Check, Rules};

/// The projector. Its fields are memos of what the tables hold, and the rules.
pub struct RoomsProjector {
    memo: Memo,
    memo_bytes: usize,
}

impl Default for RoomsProjector {
    fn default() -> Self {
        Self::with_memo_bytes(MEMO_BYTES_MAX)
    }
}

impl RoomsProjector {
    /// A projector that remembers so many bytes of what it reads, possibly none. What it decides is the same.
    pub fn with_memo_bytes(memo_bytes: usize) -> Self {
        Self { memo: Memo::new(memo_bytes), memo_bytes }
    }

    /// A projector by other rules than those of the specification: what it builds is to be looked at, and is no
    /// server's view.
    pub fn by_rules(rules: Rules) -> Self {
        let mut projector = Self::default();
        projector.memo.rules = rules;
        projector
    }

    /// The same projector, with other bounds on what rooms may spend: to be measured or tested, and no server's view.
    #[must_use]
    pub fn with_allowance(mut self, allowance: Allowance) -> Self {
        self.memo.allowance = allowance;
        self
    }
}

impl Projector for RoomsProjector {
    type Delta = RoomDelta;

    fn name(&self) -> &'static str {
        "rooms"
    }

    fn version(&self) -> u32 {
        7
    }

    fn tables(&self) -> &'static [&'static Table] {
        crate::tables::ALL
    }

    fn compared(&self) -> Option<&'static Table> {
        Some(&crate::tables::VERDICTS)
    }

    fn apply(&mut self, record: &Record, input: InputRef<'_>, view: &mut Apply<'_>) -> Result<(), ProjectError> {
        match input {
            InputRef::Pdu(pdu) => intake::pdu(&mut self.memo, view, record.offset, pdu)?,
            InputRef::StateGiven(given) => intake::given_state(&mut self.memo, view, record.offset, given)?,
            InputRef::RoomsRejudged(rejudged) => rejudged::apply(view, record.offset, rejudged)?,
            InputRef::RoomForgotten(forgotten) => directory::forget(view, &forgotten.user_id, &forgotten.room_id)?,
            InputRef::RoomAliasSet(set) => {
                directory::set_alias(view, &set.alias, set.room_id.as_deref(), &set.user_id)?;
            }
            InputRef::DevicesRemoved(removed) => directory::end_devices(view, record.offset, removed),
            InputRef::RoomPublished(set) => directory::publish(view, &set.room_id, set.published),
            InputRef::Erased(erased) => erasures::settle(view, erased)?,
            _ => {}
        }
        Ok(())
    }

    fn reset(&mut self) {
        let (rules, allowance) = (std::mem::take(&mut self.memo.rules), self.memo.allowance);
        self.memo = Memo::new(self.memo_bytes);
        self.memo.rules = rules;
        self.memo.allowance = allowance;
    }
}
