//! The rooms of users whom the hub does not know, for what they do that others are told of: read once, and then
//! remembered until one of their memberships changes. So what the pipeline reads is bounded: some rows a stranger,
//! not some rows a delta.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use engram_rooms::{RoomNumber, query};
use engram_views::Read;

use crate::limits::{STRANGER_ROOMS_MAX, STRANGERS_MAX};

/// What is remembered of strangers. All of it may be forgotten at any time.
#[derive(Default)]
pub(super) struct Strangers {
    joined: HashMap<Arc<str>, Arc<[RoomNumber]>>,
    /// The same users, those who were read first in front.
    order: VecDeque<Arc<str>>,
}

impl Strangers {
    /// The rooms that a user has joined; none if they are too many to be read here, or cannot be read: then anybody
    /// may share one.
    pub(super) fn joined(&mut self, reader: &dyn Read, user_id: &str) -> Option<Arc<[RoomNumber]>> {
        if let Some(joined) = self.joined.get(user_id) {
            return Some(Arc::clone(joined));
        }
        let joined = query::joined_rooms(reader, user_id, STRANGER_ROOMS_MAX).unwrap_or_else(|error| {
            tracing::warn!(%error, user_id, "the rooms of a user cannot be read: anybody may share one");
            None
        })?;
        Some(self.remember(user_id.into(), joined.into()))
    }

    fn remember(&mut self, user_id: Arc<str>, joined: Arc<[RoomNumber]>) -> Arc<[RoomNumber]> {
        if self.order.len() == STRANGERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.joined.remove(&oldest);
        }
        self.order.push_back(Arc::clone(&user_id));
        let former = self.joined.insert(user_id, Arc::clone(&joined));
        assert!(former.is_none(), "only who is not remembered is read");
        assert_eq!(self.joined.len(), self.order.len(), "everybody who is remembered is in the order once");
        joined
    }

    /// A membership of theirs has changed, or the hub knows them now.
    pub(super) fn forget(&mut self, user_id: &str) {
        if self.joined.remove(user_id).is_some() {
            self.order.retain(|other| &**other != user_id);
        }
    }
}
