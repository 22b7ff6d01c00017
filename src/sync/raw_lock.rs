//! A mutex that never allocates, for the layers under the allocator.
//!
//! # Protocol
//! The word is 0 (free), 1 (held) or 2 (held, and somebody may sleep). A locker that finds it taken
//! spins for a moment, then swaps in 2 and sleeps until the word changes; the unlocker swaps in 0
//! and wakes one sleeper if it found 2. On Linux sleeping is a futex; elsewhere it is a yield.
//!
//! A lock may be held for the time of a fork (`os::fork`), so that the child finds the value whole. Other
//! libraries' fork handlers run in between, on the same thread, and may need it: the lock remembers
//! which thread forks and lets that one pass. No reference to the value exists at that time.
//!
//! # Orderings
//! Taking the lock is an Acquire that pairs with the Release of the swap that gave it back. `forker` is
//! Relaxed: a thread finds its own number there exactly if it wrote it itself.

use super::atomic::{AtomicU32, AtomicUsize, Ordering};
use super::cell::UnsafeCell;
use super::hint;
use core::ops::{Deref, DerefMut};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;
/// A model needs no patience, only the way through.
const SPINS: u32 = if cfg!(loom) { 1 } else { 100 };

/// A value behind a lock that neither allocates nor poisons.
#[derive(Debug)]
pub struct RawMutex<T> {
    word: AtomicU32,
    /// The thread that holds the lock while it forks; 0 otherwise.
    forker: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one thread at a time, so sharing the mutex moves `T` at most.
unsafe impl<T: Send> Sync for RawMutex<T> {}

impl<T> RawMutex<T> {
    const_fn! {
        /// An unlocked mutex.
        pub const fn new(value: T) -> RawMutex<T> {
            let (word, forker) = (AtomicU32::new(FREE), AtomicUsize::new(0));
            RawMutex { word, forker, value: UnsafeCell::new(value) }
        }
    }

    /// Waits for the lock.
    #[inline]
    pub fn lock(&self) -> RawMutexGuard<'_, T> {
        let free = self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
        RawMutexGuard { mutex: self, locked: free.is_ok() || self.lock_slow() }
    }

    /// Whether the lock was taken: false when this thread holds it for a fork, and passes.
    #[cold]
    fn lock_slow(&self) -> bool {
        if self.forker.load(Ordering::Relaxed) == this_thread() {
            return false;
        }
        for _ in 0..SPINS {
            if self.word.load(Ordering::Relaxed) == FREE
                && self
                    .word
                    .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return true;
            }
            hint::spin_loop();
        }
        while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
            park::wait(&self.word, CONTENDED);
        }
        true
    }

    /// Takes the lock for the time of a fork: until [`end_fork`](Self::end_fork) only this thread gets
    /// past it. Not while this thread has a guard of it.
    pub fn begin_fork(&self) {
        core::mem::forget(self.lock());
        self.forker.store(this_thread(), Ordering::Relaxed);
    }

    /// Ends [`begin_fork`](Self::begin_fork), on the same thread, in the parent as in the child.
    /// Nothing happens to a lock that this thread does not hold for a fork.
    pub fn end_fork(&self) {
        if self.forker.load(Ordering::Relaxed) == this_thread() {
            self.forker.store(0, Ordering::Relaxed);
            self.unlock();
        }
    }

    #[inline]
    fn unlock(&self) {
        if self.word.swap(FREE, Ordering::Release) == CONTENDED {
            park::wake_one(&self.word);
        }
    }
}

/// The right to the value; gives the lock back when dropped.
#[derive(Debug)]
pub struct RawMutexGuard<'a, T> {
    mutex: &'a RawMutex<T>,
    /// Whether the lock is the guard's to give back.
    locked: bool,
}

#[cfg(not(loom))]
impl<T> RawMutexGuard<'_, T> {
    /// Whether this thread forks, and holds the lock until [`RawMutex::end_fork`].
    pub fn is_for_fork(&self) -> bool {
        !self.locked
    }
}

impl<T> Deref for RawMutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so this thread holds the lock and nobody writes.
        self.mutex.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for RawMutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists and is borrowed mutably, so this is the only access.
        self.mutex.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for RawMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.locked {
            self.mutex.unlock();
        }
    }
}

#[cfg(loom)]
use super::{park, this_thread};

/// A number that no other living thread has, and not 0.
#[cfg(all(unix, not(loom)))]
fn this_thread() -> usize {
    // SAFETY: always succeeds. (The C library's numbers are addresses, in a child the parent's.)
    unsafe { libc::pthread_self() as usize }
}

/// Nobody forks.
#[cfg(all(not(unix), not(loom)))]
fn this_thread() -> usize {
    usize::MAX
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(loom)))]
mod park {
    use super::AtomicU32;

    /// Sleeps while the word is `seen`; may return early.
    pub(super) fn wait(word: &AtomicU32, seen: u32) {
        // SAFETY: FUTEX_WAIT reads the word, which outlives the call; no timeout is given.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                seen,
                core::ptr::null::<libc::timespec>(),
            )
        };
    }

    /// Wakes one thread that sleeps on the word.
    pub(super) fn wake_one(word: &AtomicU32) {
        // SAFETY: FUTEX_WAKE only uses the word's address.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1,
            )
        };
    }
}

#[cfg(all(not(any(target_os = "linux", target_os = "android")), not(loom)))]
mod park {
    use super::AtomicU32;

    /// Lets other threads run.
    pub(super) fn wait(_word: &AtomicU32, _seen: u32) {
        std::thread::yield_now();
    }

    /// Nobody sleeps.
    pub(super) fn wake_one(_word: &AtomicU32) {}
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn excludes_and_wakes() {
        static COUNTER: RawMutex<(u64, u64)> = RawMutex::new((0, 0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let mut pair = COUNTER.lock();
                        assert_eq!(pair.0, pair.1);
                        pair.0 += 1;
                        pair.1 += 1;
                    }
                });
            }
        });
        assert_eq!(*COUNTER.lock(), (80_000, 80_000));
    }

    #[test]
    #[cfg(unix)]
    fn a_lock_held_for_a_fork_lets_its_thread_pass() {
        static LOCK: RawMutex<u32> = RawMutex::new(0);
        LOCK.begin_fork();
        *LOCK.lock() += 1;
        *LOCK.lock() += 1;
        let other = std::thread::spawn(|| {
            LOCK.end_fork();
            *LOCK.lock()
        });
        std::thread::sleep(core::time::Duration::from_millis(20));
        assert!(!other.is_finished(), "another thread passed, or gave the lock back");
        *LOCK.lock() += 1;
        LOCK.end_fork();
        assert_eq!(other.join().unwrap(), 3);
        assert_eq!(*LOCK.lock(), 3);
    }
}
