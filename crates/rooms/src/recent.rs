//! A map that remembers what was put in or asked for lately, within a bound.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// A bounded memory in two generations: what is used stays in the young one; when that is full, it becomes the old one,
/// and what the old one still held is forgotten.
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// What the young generation weighs.
    weight: usize,
    /// What a generation may weigh; nothing is remembered if zero.
    weight_max: usize,
    weigh: fn(&K, &V) -> usize,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// Remembers `bytes`, as far as `weigh` knows what an entry takes.
    pub(crate) fn new(bytes: usize, weigh: fn(&K, &V) -> usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), weight: 0, weight_max: bytes / 2, weigh }
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value.clone());
        Some(value)
    }

    /// Forgets an entry, whose value is about to be another. What it weighed counts on until the generation is full.
    pub(crate) fn forget<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.weight_max == 0 {
            return;
        }
        let weight = (self.weigh)(&key, &value);
        if self.weight + weight > self.weight_max {
            self.old = mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut recent = Recent::new(20, |_: &u32, _: &u32| 1);
        for number in 0..100 {
            recent.put(number, number);
            assert_eq!(recent.get(&0), Some(0), "it is asked for all the time");
            assert!(recent.young.len() <= 10 && recent.old.len() <= 10);
        }
        assert_eq!((recent.get(&99), recent.get(&50)), (Some(99), None));
    }

    #[test]
    fn the_newest_value_of_a_key_is_the_one_that_is_found() {
        let mut recent = Recent::new(4, |_: &u32, _: &u32| 1);
        for number in 0..50 {
            recent.put(7, number);
            recent.put(number + 100, 0);
            assert_eq!(recent.get(&7), Some(number));
        }
        recent.forget(&7);
        assert_eq!(recent.get(&7), None, "of neither generation");
    }

    #[test]
    fn a_bound_of_zero_remembers_nothing() {
        let mut recent = Recent::new(0, |_: &u32, _: &u32| 1);
        recent.put(1, 1);
        assert_eq!(recent.get(&1), None);
    }
}
