//! Locks, condition variables and threads: those of the system, or those of a model.
//!
//! With `--cfg shuttle` every lock is a point at which a scheduler decides who goes on, so that `tests/model.rs` can
//! try the orders in which appends, commits and followers may meet. The model has no time: a wait with a deadline
//! waits until it is notified.

#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, RwLock};
#[cfg(not(shuttle))]
pub(crate) use std::thread;

#[cfg(shuttle)]
pub(crate) use model::{Condvar, Mutex, RwLock};
#[cfg(shuttle)]
pub(crate) use shuttle::thread;

#[cfg(shuttle)]
mod model {
    use std::ops::{Deref, DerefMut};
    use std::time::{Duration, Instant};

    use shuttle::sync;

    const POISON: &str = "a model ends at its first panic";

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    pub(crate) struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().expect(POISON)))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_deref().expect("held, except inside of a wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_deref_mut().expect("held, except inside of a wait")
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(sync::Condvar);

    pub(crate) struct TimedOut;

    impl TimedOut {
        #[expect(clippy::unused_self, reason = "the shape of the system's")]
        pub(crate) fn timed_out(&self) -> bool {
            false
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.0.take().expect("held, except inside of a wait");
            guard.0 = Some(self.0.wait(held).expect(POISON));
        }

        pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _deadline: Instant) -> TimedOut {
            self.wait(guard);
            TimedOut
        }

        /// Comes back at once, after others had their turn.
        pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _duration: Duration) {
            let _ = guard;
            shuttle::thread::yield_now();
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> sync::RwLockReadGuard<'_, T> {
            self.0.read().expect(POISON)
        }

        pub(crate) fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
            self.0.write().expect(POISON)
        }
    }
}
