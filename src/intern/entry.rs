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
//! What a word means, by its two highest bits:
//!
//! ```text
//! 0 to 2^31            that many handles
//! 2^31 to 3 * 2^30     immortal
//! 3 * 2^30 and above   that many more handles, and *watched*
//! ```
//!
//! Watched: somebody wants to know of the entry's death ([`Count::watch`]). Both 0 and the lowest watched
//! word are zero handles. Whoever owns a dead entry asks ([`Count::is_watched`]) and clears the word before
//! the block is freed ([`Count::unwatch`]), since a free block's word is 0.
//!
//! What is common needs no look at the word before it is changed: what one locked addition or
//! subtraction returns says whether anything is special. (A load would have to wait for the locked operation before
//! it: clone and drop took 4.8 ns with one each, `Arc` 4.0.) So handles of an entry that became immortal
//! while it lived are counted on, and it does not matter: its word starts in the middle of the immortal
//! ones, and whoever meets it far from there sets it back ([`Count::settle`]). Counts that run over end up
//! there too. Entries that were *made* immortal are never counted: their address says what they are
//! (`regions.rs`), so that threads that share a popular one do not write to it.
//!
//! # Orderings
//! - `publish` is a Release and a successful `try_increment` an Acquire: the contents were written
//!   before they are compared. That holds for a stale reader too, whose slot is of an earlier life
//!   of the entry and orders nothing. For immortals, which it does not write, an Acquire load does it.
//! - `decrement` is a Release, and an Acquire load follows the last one: all reading of the contents
//!   by other handles came before the contents are destroyed. (A fence would do; ThreadSanitizer
//!   does not know fences.)
//! - After `publish` the count changes by read-modify-write only, so that whoever reads any later
//!   count with Acquire is ordered behind all Releases before.
//! - `increment` is Relaxed: its caller has a count, so nothing can happen to the entry.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::cell::UnsafeCell;

/// Words from here up are immortal, or watched.
const IMMORTAL_FROM: u32 = 1 << 31;

/// Words from here up are watched.
const WATCHED_FROM: u32 = 3 << 30;

/// What an immortal word is set to: the middle.
const IMMORTAL: u32 = 5 << 29;

/// How far from the middle an immortal word may be, and how many handles a watched entry may have: so far
/// from the end that not all threads together get there before one of them settles it.
const DRIFT: u32 = 1 << 28;

/// Whether a word says that the entry never dies.
const fn is_immortal(word: u32) -> bool {
    word >= IMMORTAL_FROM && word < WATCHED_FROM
}

/// Whether a word says that there are no handles.
const fn is_zero(word: u32) -> bool {
    word == 0 || word == WATCHED_FROM
}

/// Whether a word is neither zero nor immortal nor watched.
#[inline(always)]
const fn is_plain(word: u32) -> bool {
    word.cast_signed() > 0
}

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
            Self(AtomicU32::new(1))
        }
    }

    /// Brings a filled entry to life with its first handle.
    #[inline(always)]
    pub fn publish(&self, immortal: bool) {
        debug_assert_eq!(self.0.load(Ordering::Relaxed), 0, "published twice");
        self.0.store(if immortal { IMMORTAL } else { 1 }, Ordering::Release);
    }

    /// Takes a count, unless the entry is dead.
    pub fn try_increment(&self) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if !is_plain(seen)
                && let Some(taken) = self.try_increment_special(seen)
            {
                return taken;
            }
            match self.increment_from(seen) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
    }

    /// As [`try_increment`](Self::try_increment), where nothing is special; false as well if something is, or
    /// another thread comes between.
    #[inline(always)]
    pub fn try_increment_plain(&self) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        is_plain(seen) && self.increment_from(seen).is_ok()
    }

    #[inline(always)]
    fn increment_from(&self, seen: u32) -> Result<u32, u32> {
        self.0.compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed)
    }

    /// Takes a count where there is nothing to count; `None` where there is.
    #[cold]
    fn try_increment_special(&self, seen: u32) -> Option<bool> {
        if is_zero(seen) {
            return Some(false);
        }
        self.settle();
        // A billion handles would have to go since the caller's load for the entry to be dead here.
        is_immortal(self.0.load(Ordering::Acquire)).then_some(true)
    }

    /// Takes one more count; the caller has one.
    #[inline(always)]
    pub fn increment(&self) {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        // A condition that the locked addition leaves in the flags.
        if before.cast_signed() < 0 {
            self.settle();
        }
    }

    /// Sees to it that an immortal word stays one, and that no watched one runs over.
    #[cold]
    fn settle(&self) {
        let far = match self.0.load(Ordering::Relaxed) {
            word @ WATCHED_FROM.. => word - WATCHED_FROM,
            word @ IMMORTAL_FROM.. => word.abs_diff(IMMORTAL),
            _ => 0,
        };
        if far > DRIFT {
            self.make_immortal();
        }
    }

    /// Gives a count back; true for the last, whose caller now owns the entry.
    #[inline(always)]
    pub fn decrement(&self) -> bool {
        let before = self.0.fetch_sub(1, Ordering::Release);
        before.cast_signed() <= 1 && self.was_last(before)
    }

    #[cold]
    fn was_last(&self, before: u32) -> bool {
        debug_assert!(!is_zero(before), "more handles dropped than made");
        if !is_zero(before - 1) {
            self.settle();
            return false;
        }
        let zero = self.0.load(Ordering::Acquire);
        debug_assert!(is_zero(zero), "zero is final until the owner fills the entry");
        true
    }

    /// Makes the entry immortal; true if it was not. The caller has a count.
    pub fn make_immortal(&self) -> bool {
        !is_immortal(self.0.swap(IMMORTAL, Ordering::Relaxed))
    }

    /// Notes that somebody wants to know of the entry's death. The caller has a count.
    pub fn watch(&self) {
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen < IMMORTAL_FROM {
            let watched = if seen <= DRIFT { WATCHED_FROM + seen } else { IMMORTAL };
            match self.0.compare_exchange_weak(seen, watched, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Whether somebody does. The caller took the count to zero.
    pub fn is_watched(&self) -> bool {
        self.0.load(Ordering::Relaxed) == WATCHED_FROM
    }

    /// Forgets that somebody did. The caller took the count to zero.
    pub fn unwatch(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The number of handles, or `None` for an immortal entry.
    #[inline]
    pub fn get(&self) -> Option<u32> {
        let word = self.0.load(Ordering::Relaxed);
        if word >= WATCHED_FROM {
            return Some(word - WATCHED_FROM);
        }
        (word < IMMORTAL_FROM).then_some(word)
    }

    /// The word itself.
    #[cfg(all(test, not(loom)))]
    pub(super) fn word(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the entry never dies.
    #[inline(always)]
    pub fn is_immortal(&self) -> bool {
        is_immortal(self.0.load(Ordering::Relaxed))
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
    fn immortal_words_stay_immortal() {
        let count = Count::immortal();
        assert!(count.try_increment());
        assert_eq!(count.0.load(Ordering::Relaxed), IMMORTAL, "a look-up does not write");
        count.increment();
        for _ in 0..5 {
            assert!(!count.decrement());
        }
        assert_eq!(count.get(), None);
        for far in [IMMORTAL + DRIFT + 2, IMMORTAL - DRIFT - 2, IMMORTAL_FROM + 1, WATCHED_FROM - 2]
        {
            for change in [Count::increment as fn(&Count), |count| assert!(!count.decrement())] {
                let count = Count(AtomicU32::new(far));
                change(&count);
                assert_eq!(count.0.load(Ordering::Relaxed), IMMORTAL, "{far:#x}");
            }
        }
    }

    #[test]
    fn counts_that_run_over_become_immortal() {
        for take in [Count::increment as fn(&Count), |count| assert!(count.try_increment())] {
            for last in [IMMORTAL_FROM - 1, WATCHED_FROM + DRIFT] {
                let count = Count(AtomicU32::new(last));
                take(&count);
                take(&count);
                take(&count);
                assert_eq!(count.get(), None, "{last:#x}");
                assert!(!count.decrement());
                assert!(count.is_immortal());
            }
        }
        // Before anybody settles it the word is a count still.
        let count = Count(AtomicU32::new(IMMORTAL_FROM - 1));
        count.increment();
        assert!(!count.decrement());
        assert_eq!(count.get(), Some(IMMORTAL_FROM - 1));
        let popular = Count(AtomicU32::new(IMMORTAL_FROM - 1));
        popular.watch();
        assert!(popular.is_immortal());
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
        count.publish(false);
        count.watch();
        assert!(count.make_immortal() && !count.decrement() && count.get().is_none());
    }

    #[test]
    fn immortality_is_granted_once() {
        let count = Count::one();
        assert!(count.make_immortal());
        assert!(!count.make_immortal());
        assert!(!count.decrement());
    }
}
