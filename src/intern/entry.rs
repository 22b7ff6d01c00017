//! One entry: a count of handles in which zero is final.
//!
//! # Protocol
//! Entries are type-stable: the memory of a dead entry stays an entry for ever, with a count of
//! zero, and may be filled again. A reader that found an entry through a table slot, however old,
//! therefore may always look at the count:
//!
//! 1. Whoever fills an entry writes hash, length and contents first, then the count
//!    ([`Count::publish`]).
//! 2. A reader takes a count only from a count that is not zero ([`Count::try_increment`]), and only
//!    then looks at the contents. If they are not what it wants, it gives the count back.
//! 3. Who takes the count from one to zero ([`Count::decrement`] says so) owns the entry: it alone
//!    removes it from the table and frees it. Nobody can take a count from it any more.
//!
//! Giving a count back (2) can be a last drop (3). While a reader looks, the count is larger than
//! the number of handles: it is an upper bound.
//!
//! The word is twice the number of handles; its lowest bit says that the entry is *watched*: somebody
//! wants to know of its death ([`Count::watch`]). Both 0 and 1 are zero handles. Whoever owns a dead
//! entry looks at the bit ([`Count::is_watched`]) and clears it before the block is freed
//! ([`Count::unwatch`]), since a free block's word is 0.
//!
//! Words from 2^31 up are immortal: they are not written any more, so that a popular immortal
//! entry is shared between threads without a contended line. A count that is about to get there by
//! counting becomes immortal early, so that threads between their load and their addition cannot
//! carry it past the end.
//!
//! # Orderings
//! - `publish` is a Release and a successful `try_increment` an Acquire: the contents were written
//!   before they are compared. That holds for a stale reader too, whose slot is of an earlier life
//!   of the entry and orders nothing. For immortals, which are not written, an Acquire load does it.
//! - `decrement` is a Release, and an Acquire load follows the last one: all reading of the contents
//!   by other handles came before the contents are destroyed. (A fence would do; ThreadSanitizer
//!   does not know fences.)
//! - After `publish` the count changes by read-modify-write only, so that whoever reads any later
//!   count with Acquire is ordered behind all Releases before.
//! - `increment` is Relaxed: its caller has a count, so nothing can happen to the entry.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::cell::UnsafeCell;

/// What one handle adds to the word.
const ONE: u32 = 2;

/// The bit of a watched entry.
const WATCHED: u32 = 1;

/// Words from here up are immortal.
const IMMORTAL_FROM: u32 = 1 << 31;

/// What an immortal word is set to: the middle, so that a late addition or subtraction is harmless.
const IMMORTAL: u32 = 3 << 30;

/// Words from here up become immortal at the next increment. The distance to [`IMMORTAL_FROM`] is
/// more than there are threads.
const SATURATED: u32 = IMMORTAL_FROM - (ONE << 16);

/// The number of handles of an entry; zero is final until the entry is filled again.
#[derive(Debug)]
pub struct Count(AtomicU32);

impl Count {
    /// The count of an entry that is dead.
    #[cfg(any(test, loom))]
    pub fn dead() -> Self {
        Self(AtomicU32::new(0))
    }

    crate::sync::const_fn! {
        /// A count that no handle changes.
        pub const fn immortal() -> Self {
            Self(AtomicU32::new(IMMORTAL))
        }
    }

    crate::sync::const_fn! {
        /// The count of an object that no table knows of, with its first handle.
        pub const fn one() -> Self {
            Self(AtomicU32::new(ONE))
        }
    }

    /// Brings a filled entry to life with its first handle.
    #[inline(always)]
    pub fn publish(&self, immortal: bool) {
        debug_assert_eq!(self.0.load(Ordering::Relaxed), 0, "published twice");
        self.0.store(if immortal { IMMORTAL } else { ONE }, Ordering::Release);
    }

    /// Takes a count, unless the entry is dead.
    #[inline(always)]
    pub fn try_increment(&self) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if seen < ONE {
                return false;
            }
            if seen >= SATURATED {
                return self.saturate();
            }
            let more = seen + ONE;
            match self.0.compare_exchange_weak(seen, more, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
    }

    /// Takes one more count; the caller has one.
    #[inline(always)]
    pub fn increment(&self) {
        if self.0.load(Ordering::Relaxed) < SATURATED {
            self.0.fetch_add(ONE, Ordering::Relaxed);
        } else {
            self.saturate();
        }
    }

    /// Makes a count that is immortal, or nearly so, immortal for good.
    #[cold]
    fn saturate(&self) -> bool {
        // Two billion handles would have to go since the caller's load for the entry to be dead here.
        if self.0.load(Ordering::Acquire) < IMMORTAL_FROM {
            self.0.fetch_max(IMMORTAL, Ordering::Relaxed);
        }
        true
    }

    /// Gives a count back; true for the last, whose caller now owns the entry.
    #[inline(always)]
    pub fn decrement(&self) -> bool {
        if self.0.load(Ordering::Relaxed) >= IMMORTAL_FROM {
            return false;
        }
        let before = self.0.fetch_sub(ONE, Ordering::Release);
        debug_assert!(before >= ONE, "more handles dropped than made");
        if before >= 2 * ONE {
            return false;
        }
        let zero = self.0.load(Ordering::Acquire);
        debug_assert!(zero < ONE, "zero is final until the owner fills the entry");
        true
    }

    /// Makes the entry immortal; true if it was not. The caller has a count.
    pub fn make_immortal(&self) -> bool {
        self.0.fetch_max(IMMORTAL, Ordering::Relaxed) < IMMORTAL_FROM
    }

    /// Notes that somebody wants to know of the entry's death. The caller has a count.
    pub fn watch(&self) {
        // Those that never die are not written.
        if self.0.load(Ordering::Relaxed) < IMMORTAL_FROM {
            self.0.fetch_or(WATCHED, Ordering::Relaxed);
        }
    }

    /// Whether somebody does. The caller took the count to zero.
    pub fn is_watched(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WATCHED != 0
    }

    /// Forgets that somebody did. The caller took the count to zero.
    pub fn unwatch(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The number of handles, or `None` for an immortal entry.
    #[inline]
    pub fn get(&self) -> Option<u32> {
        let word = self.0.load(Ordering::Relaxed);
        (word < IMMORTAL_FROM).then_some(word / ONE)
    }
}

/// What every entry begins with; the contents follow.
///
/// # Invariant
/// `hash` and `len` are written only while the count is zero, by the thread that owns the entry or
/// holds the lock of its shard; so they may be read by whoever has a count or that lock.
#[derive(Debug)]
#[repr(C)]
pub struct Header {
    hash: UnsafeCell<u64>,
    /// The number of handles.
    pub count: Count,
    len: UnsafeCell<u32>,
}

// SAFETY: the cells are written and read by the rule in the type's invariant.
unsafe impl Sync for Header {}

impl Header {
    /// A dead entry.
    #[cfg(loom)]
    pub fn dead() -> Self {
        Self { hash: UnsafeCell::new(0), count: Count::dead(), len: UnsafeCell::new(0) }
    }

    /// The hash of the contents.
    ///
    /// # Safety
    /// The caller has a count or holds the shard's lock.
    #[inline(always)]
    pub unsafe fn hash(&self) -> u64 {
        // SAFETY: the invariant of the type: nobody writes now.
        self.hash.with(|hash| unsafe { *hash })
    }

    /// Sets the hash word, which in a dead entry is a link.
    ///
    /// # Safety
    /// The count is zero and the caller owns the entry.
    #[inline(always)]
    pub unsafe fn set_hash(&self, hash: u64) {
        // SAFETY: the invariant of the type: nobody else reads or writes now.
        self.hash.with_mut(|place| unsafe { *place = hash });
    }

    /// The length of the contents, as the kind of contents counts it.
    ///
    /// # Safety
    /// As for [`hash`](Self::hash).
    #[inline(always)]
    pub unsafe fn length(&self) -> u32 {
        // SAFETY: the invariant of the type: nobody writes now.
        self.len.with(|len| unsafe { *len })
    }

    /// Sets the length.
    ///
    /// # Safety
    /// As for [`set_hash`](Self::set_hash).
    #[inline(always)]
    pub unsafe fn set_length(&self, len: u32) {
        // SAFETY: the invariant of the type: nobody else reads or writes now.
        self.len.with_mut(|place| unsafe { *place = len });
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Header>() == 16, "a count must not double the price of an entry");

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn zero_is_final() {
        let count = Count::dead();
        assert!(!count.try_increment());
        count.publish(false);
        assert!(count.try_increment());
        count.increment();
        assert_eq!(count.get(), Some(3));
        assert!(!count.decrement());
        assert!(!count.decrement());
        assert!(count.decrement());
        assert!(!count.try_increment());
    }

    #[test]
    fn immortals_are_not_written() {
        let count = Count::immortal();
        assert!(count.try_increment());
        count.increment();
        for _ in 0..5 {
            assert!(!count.decrement());
        }
        assert_eq!(count.0.load(Ordering::Relaxed), IMMORTAL);
        assert_eq!(count.get(), None);
    }

    #[test]
    fn counts_that_run_over_become_immortal() {
        for take in [Count::increment as fn(&Count), |count| assert!(count.try_increment())] {
            let count = Count(AtomicU32::new(SATURATED - ONE));
            take(&count);
            assert_eq!(count.get(), Some(SATURATED / ONE));
            take(&count);
            assert_eq!(count.get(), None);
            assert!(!count.decrement());
            assert_eq!(count.0.load(Ordering::Relaxed), IMMORTAL);
        }
    }

    #[test]
    fn a_watched_entry_dies_like_another() {
        let count = Count::one();
        count.watch();
        count.watch();
        assert!(count.try_increment());
        assert_eq!(count.get(), Some(2));
        assert!(!count.decrement());
        assert!(count.decrement());
        assert!(count.is_watched() && !count.try_increment());
        count.unwatch();
        assert!(!count.is_watched() && !count.try_increment());
        count.publish(false);
        assert!(count.decrement() && !count.is_watched());

        let immortal = Count::immortal();
        immortal.watch();
        assert_eq!(immortal.0.load(Ordering::Relaxed), IMMORTAL);
    }

    #[test]
    fn immortality_is_granted_once() {
        let count = Count::one();
        assert!(count.make_immortal());
        assert!(!count.make_immortal());
        assert!(!count.decrement());
    }
}
