//! What an effect is: which targets have something due, what comes next for one of them, and what records that it was
//! done.

use engram_log::{Input, TimestampMs};
use engram_views::{Read, ViewError};

use crate::outbox::Target;

/// What comes next for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<P> {
    /// There is nothing for it.
    Nothing,
    /// There is nothing before that time.
    At(TimestampMs),
    /// This is to be done now.
    Parcel(P),
}

/// One kind of work on the outside world.
///
/// Whoever sends under transaction IDs makes [`Effect::next`] a function of the views alone that stays the same until
/// the receipt is applied: what was sent and not recorded is then sent again as it was. [`crate::Outbox::parcel`] is
/// such a function; one that reads a stream from a cursor on cuts by the same rule (up to the record that
/// acknowledged the last one, or else up to the first record that is due, and no more than so many), and one that
/// catches up after a long outage chooses among just what lies before that cut.
pub trait Effect: Send + 'static {
    /// What is done at once: a transaction, a push, a batch. It waits in memory while it is under way, so it is
    /// bounded.
    type Parcel: Send + 'static;

    /// Its name, for records and for people.
    fn name(&self) -> &'static str;

    /// Targets that have something due, those after `after` in their order; at most `limit`.
    fn due(&mut self, views: &dyn Read, after: Option<&Target>, limit: usize) -> Result<Vec<Target>, ViewError>;

    /// What comes next for a target.
    fn next(&mut self, views: &dyn Read, target: &Target, now: TimestampMs) -> Result<Next<Self::Parcel>, ViewError>;

    /// The record that says that a parcel was delivered, which strikes it off the list. None if the effect knows by
    /// itself: an index that has a cursor of its own, a log that announces what it erases.
    fn receipt(&self, target: &Target, parcel: &Self::Parcel) -> Option<Input>;
}
