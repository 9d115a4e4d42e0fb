//! The lock that threads share: the system's, or that of a model, whose scheduler then decides who goes on (see
//! `model`).

#[cfg(not(shuttle))]
pub(crate) use parking_lot::Mutex;

#[cfg(shuttle)]
pub(crate) use modelled::Mutex;

#[cfg(shuttle)]
mod modelled {
    use shuttle::sync;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> sync::MutexGuard<'_, T> {
            self.0.lock().expect("a model ends at its first panic")
        }
    }
}
