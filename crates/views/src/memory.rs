//! What readers remember of the tables.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// A place for memories of what never changes once it is written. It lives as long as the tables that it speaks of, and
/// all snapshots of those share it; another generation of the tables has another.
///
/// Bounding what is kept here is up to whoever keeps it.
#[derive(Default)]
pub struct Memory {
    kept: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Memory {
    /// The memory of a type, empty at first.
    pub fn of<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut kept = self.kept.lock();
        let memory = Arc::clone(kept.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default())));
        memory.downcast().expect("it is kept under its type")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn each_type_has_one_memory() {
        let memory = Memory::default();
        memory.of::<AtomicU32>().store(7, Ordering::Relaxed);
        assert_eq!(memory.of::<AtomicU32>().load(Ordering::Relaxed), 7);
        assert!(memory.of::<Mutex<Vec<u8>>>().lock().is_empty());
        assert_eq!(Memory::default().of::<AtomicU32>().load(Ordering::Relaxed), 0);
    }
}
