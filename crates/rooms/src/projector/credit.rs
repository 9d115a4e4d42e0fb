//! What a room may spend on resolutions: each event pays for some work, and a room that owes too much waits.
//!
//! There are two accounts, so that neither takes from the other what it has to have: that of the current state, and
//! that of the events that join branches. Both follow from the log alone, since what a resolution takes does.
//!
//! **The current state** is put off while its account owes too much. It stays what it was, and goes on only with events
//! that follow all that it comes from; whatever else has come is an extremity that the next event does not name yet. So
//! writers and the projector never differ about it, and when enough events have paid, the resolution is made up for,
//! exactly.
//!
//! **An event that joins branches** needs the state before it at once. If its account owes too much, or the resolution
//! takes more than any may, the room's current state stands for it: nobody who joins branches has chosen that. The
//! event takes the place of those of its parents only that the current state comes from; the others stay extremities,
//! so that nothing they say is lost to the room. What came to pass is in a row of its own, is counted, and is told of
//! live. An event of the past is not let in instead, since the present says nothing about it.

use engram_views::ViewError;

use super::lookup::Pdus;
use super::memo::RoomMemo;
use super::resolution::{self, Halt, Meter};
use crate::counters;
use crate::delta::Apply;
use crate::limits::{UNITS_OWED_MAX, UNITS_PAID_BY_EVENT};
use crate::query::{Owed, RoomInfo};
use crate::state::Root;

/// What rooms may owe, and what events pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// A room that owes so many units waits.
    pub owed_max: u64,
    /// What an event pays to each account.
    pub paid_by_event: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { owed_max: UNITS_OWED_MAX, paid_by_event: UNITS_PAID_BY_EVENT }
    }
}

/// For what a room pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// The current state.
    Current,
    /// Events that join branches.
    Joins,
}

/// Why states were not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The room owed too much.
    Owing,
    /// The resolution takes more than any may.
    TooMuch,
}

impl Owed {
    /// An event has come.
    pub(super) fn pay(&mut self, allowance: &Allowance) {
        for account in [&mut self.current, &mut self.joins] {
            *account = account.saturating_sub(allowance.paid_by_event);
        }
    }

    fn account(&mut self, account: Account) -> &mut u64 {
        match account {
            Account::Current => &mut self.current,
            Account::Joins => &mut self.joins,
        }
    }
}

/// What a resolution goes by, beside the states.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) pdus: &'a Pdus,
    /// The room, with the version by whose rules its branches are resolved.
    pub(super) info: &'a RoomInfo,
    pub(super) allowance: &'a Allowance,
}

/// The resolution of states, none of which is there twice, if the room may spend it.
pub(super) fn resolve(
    view: &mut Apply<'_>,
    terms: Terms<'_>,
    room: &mut RoomMemo,
    account: Account,
    roots: &[Root],
) -> Result<Result<Root, Unresolved>, ViewError> {
    assert!(roots.is_sorted_by(|left, right| left < right), "each state once, in order");
    match roots {
        [] => return Ok(Ok(Root::EMPTY)),
        [only] => return Ok(Ok(*only)),
        // That was paid for already.
        _ if room.is_current(roots) => return Ok(Ok(room.head.state)),
        _ => {}
    }
    let owed = room.head.owed.account(account);
    if *owed >= terms.allowance.owed_max {
        return Ok(Err(Unresolved::Owing));
    }
    let mut meter = Meter::default();
    let resolved = resolution::resolve(view, terms.pdus, terms.info, roots, &mut meter);
    *owed = owed.saturating_add(meter.spent());
    match resolved {
        Ok(root) => Ok(Ok(root)),
        Err(Halt::View(error)) => Err(error),
        Err(Halt::TooMuch) => {
            counters::next(view, "too_much")?;
            Ok(Err(Unresolved::TooMuch))
        }
    }
}
