//! The facade over loom: the same names and signatures as `native.rs`.
//!
//! # Orderings
//! Relaxed: the futex compares the word under a lock of its own.

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

/// A number that no other thread of the model has.
pub(crate) fn this_thread() -> usize {
    loom::thread_local! { static PLACE: u8 = 0; }
    PLACE.with(|place| core::ptr::from_ref(place).addr())
}

/// A futex in terms of loom: comparing and going to sleep are one step.
pub(crate) mod park {
    use super::atomic::{AtomicU32, Ordering};
    use loom::sync::{Condvar, Mutex};

    loom::lazy_static! {
        static ref SLEEPERS: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    }

    /// Sleeps if the word is `seen`, until it is woken.
    pub(crate) fn wait(word: &AtomicU32, seen: u32) {
        let guard = SLEEPERS.0.lock().expect("nobody panics under it");
        if word.load(Ordering::Relaxed) == seen {
            drop(SLEEPERS.1.wait(guard));
        }
    }

    /// Wakes one sleeper. (A model has one lock: whoever sleeps, sleeps on its word.)
    pub(crate) fn wake_one(_word: &AtomicU32) {
        let _guard = SLEEPERS.0.lock().expect("nobody panics under it");
        SLEEPERS.1.notify_one();
    }
}
