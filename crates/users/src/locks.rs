//! Locks by name: what a writer holds from its decision until the record is applied.

use std::collections::BTreeSet;

use parking_lot::{Condvar, Mutex};

const SHARDS: usize = 64;

/// A set of locks, one for every name there may be. They are not re-entrant.
///
/// Whoever takes several takes them in one call of [`Locks::lock_all`], or in the order user, registration token, first
/// account: so nobody waits for somebody who waits for them.
#[derive(Debug)]
pub(crate) struct Locks {
    shards: Box<[Shard]>,
}

#[derive(Debug, Default)]
struct Shard {
    held: Mutex<BTreeSet<String>>,
    freed: Condvar,
}

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    shard: &'a Shard,
    name: String,
}

impl Locks {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    /// Waits until nobody holds the name, and holds it.
    pub(crate) fn lock(&self, name: String) -> Guard<'_> {
        let shard = self.shard(&name);
        let mut held = shard.held.lock();
        while held.contains(&name) {
            shard.freed.wait(&mut held);
        }
        held.insert(name.clone());
        Guard { shard, name }
    }

    /// Holds all the names, taken in their order.
    pub(crate) fn lock_all(&self, names: BTreeSet<String>) -> Vec<Guard<'_>> {
        names.into_iter().map(|name| self.lock(name)).collect()
    }

    fn shard(&self, name: &str) -> &Shard {
        let hash = name.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        &self.shards[hash % SHARDS]
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let was_held = self.shard.held.lock().remove(&self.name);
        assert!(was_held, "a guard holds its name");
        self.shard.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_name_is_held_by_one_at_a_time() {
        let locks = Locks::new();
        let counter = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let _guard = locks.lock("user".to_owned());
                        let seen = counter.load(Ordering::Relaxed);
                        std::thread::yield_now();
                        counter.store(seen + 1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(counter.load(Ordering::Relaxed), 2_000, "no increment was lost");
    }

    #[test]
    fn several_names_in_opposite_orders_do_not_deadlock() {
        let locks = Locks::new();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        std::thread::scope(|scope| {
            for order in [["a", "b"], ["b", "a"]] {
                let (locks, names) = (&locks, &names);
                scope.spawn(move || {
                    for _ in 0..500 {
                        assert_eq!(locks.lock_all(names(&order)).len(), 2);
                    }
                });
            }
        });
    }
}
