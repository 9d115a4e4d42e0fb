//! Walks over auth events, with a bound on how many events they look at.

use engram_matrix::pdu::Pdu;
use engram_matrix::resolve::{AuthChain, Fetch};
use engram_matrix::{EventId, OwnedEventId};
use engram_views::ViewError;

use crate::limits::AUTH_CHAIN_EVENTS_MAX;

/// What a resolution may still look at.
pub(super) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: AUTH_CHAIN_EVENTS_MAX }
    }
}

impl Budget {
    /// Whether one more event may be looked at.
    fn spend(&mut self) -> bool {
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

/// The events that are reached over auth events, themselves included, as far as no event on the way is one to stop at; none if those are too many.
pub(super) fn chain<'a>(
    events: impl IntoIterator<Item = &'a OwnedEventId>,
    fetch: &Fetch<'_>,
    stop_at: &dyn Fn(&EventId) -> Result<bool, ViewError>,
    budget: &mut Budget,
) -> Result<Option<AuthChain>, ViewError> {
    let mut pending: Vec<OwnedEventId> = events.into_iter().cloned().collect();
    let mut chain = AuthChain::new();
    while let Some(id) = pending.pop() {
        if chain.contains(&id) {
            continue;
        }
        if !budget.spend() {
            return Ok(None);
        }
        if let Some(event) = fetch(&id)
            && !stop_at(&id)?
        {
            pending.extend(event.auth_events.iter().filter(|id| !chain.contains(*id)).cloned());
        }
        chain.insert(id);
    }
    Ok(Some(chain))
}

/// How many power levels events are reached from events by way of nothing but power levels events; none if they are too many.
pub(super) fn power_levels<'a>(
    events: impl IntoIterator<Item = &'a OwnedEventId>,
    fetch: &Fetch<'_>,
    budget: &mut Budget,
) -> Option<usize> {
    let mut pending: Vec<OwnedEventId> = events.into_iter().cloned().collect();
    let mut seen = AuthChain::new();
    while let Some(event) = pending.pop().map(|id| fetch(&id)) {
        let named = event.iter().flat_map(|event| &event.auth_events);
        let levels = named.filter(|id| fetch(id).is_some_and(|event| is_power_levels(&event)));
        for id in levels {
            if !seen.contains(id) {
                if !budget.spend() {
                    return None;
                }
                seen.insert(id.clone());
                pending.push(id.clone());
            }
        }
    }
    Some(seen.len())
}

fn is_power_levels(event: &Pdu) -> bool {
    event.is_state_of("m.room.power_levels", "")
}
