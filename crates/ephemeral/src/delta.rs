//! What a record changed for a room: the signals on which live readers act.

/// The view while the projector applies a record to it, and tells of it.
pub(crate) type Apply<'a> = engram_views::Apply<'a, EphemeralDelta>;

/// A change that the projector tells its observers of, after it is visible in the views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EphemeralDelta {
    /// A receipt moved.
    Receipt {
        /// The room.
        room_id: String,
        /// Who read.
        user_id: String,
        /// Whether only they may see it.
        private: bool,
    },
}
