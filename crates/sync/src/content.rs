//! What an answer is made of, section by section. Each is a function of a [`Context`]: who asks, since when, up to
//! where.

pub(crate) mod account;
pub(crate) mod devices;
pub(crate) mod ephemeral;
pub(crate) mod room;
pub(crate) mod sharing;
pub(crate) mod state;
pub(crate) mod summary;
pub(crate) mod timeline;

use std::sync::Arc;

use engram_ephemeral::Live;
use engram_log::Offset;
use engram_views::{Read, Snapshot};

use crate::event::Format;
use crate::filter::Filter;
use crate::hub::{Ignored, UserHub};

/// One request, at one position.
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) live: &'a Live,
    pub(crate) user: &'a UserHub,
    pub(crate) device_id: &'a str,
    pub(crate) filter: &'a Filter,
    pub(crate) format: Format<'a>,
    /// Nothing for an initial sync.
    pub(crate) since: Option<Offset>,
    /// The offset of the snapshot: what is later is left to the next answer.
    pub(crate) position: Offset,
    pub(crate) full_state: bool,
    pub(crate) use_state_after: bool,
    pub(crate) now_ms: u64,
    pub(crate) ignored: Arc<Ignored>,
}

impl Context<'_> {
    pub(crate) fn reader(&self) -> &dyn Read {
        self.snapshot
    }

    pub(crate) fn user_id(&self) -> &str {
        &self.user.id
    }

    /// Whether something whose last change was at an offset has changed for this request.
    pub(crate) fn is_new(&self, changed: Offset) -> bool {
        self.since.is_none_or(|since| changed > since)
    }

    /// The offset after which things are new.
    pub(crate) fn after(&self) -> Offset {
        self.since.unwrap_or(Offset::ZERO)
    }
}
