//! The facade over loom: the same names and signatures as `native.rs`.

/// Atomic types, orderings and fences.
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::*;
}

/// Cells whose accesses loom watches.
pub(crate) mod cell {
    pub(crate) use loom::cell::UnsafeCell;
}

/// A wait is a point where loom switches threads.
pub(crate) mod hint {
    pub(crate) use loom::hint::spin_loop;
}

/// A guard of the lock that never allocates.
pub(crate) type RawMutexGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

/// The lock that never allocates, as loom's mutex.
#[derive(Debug)]
pub(crate) struct RawMutex<T>(loom::sync::Mutex<T>);

impl<T> RawMutex<T> {
    /// An unlocked mutex.
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> RawMutexGuard<'_, T> {
        self.0.lock().expect("no model panics while it holds a lock")
    }
}
