//! One entry: a count of handles, and who may end it.
//!
//! # Protocol
//! Entries are type-stable: the memory of a dead entry stays an entry for ever, with a count that says
//! so, and may be filled again. A reader that found an entry through a table slot, however old,
//! therefore may always count:
//!
//! 1. Whoever fills an entry writes hash, length and contents first, then the count
//!    ([`Count::publish`]).
//! 2. A reader adds one, whatever is there, and what that returns says what it has ([`Count::take`]): a count,
//!    and only then it looks at the contents, and gives the count back if they are not what it wants; or
//!    nothing, if the entry was dead. What it added to a dead word stays there and means nothing: the word may
//!    have been purged or filled meanwhile, and a subtraction would meet what it did not add to.
//! 3. Who takes the count to zero *claims* the entry: it is dead when zero has become dead, by one
//!    compare-and-swap ([`Count::decrement`]). A reader may come between; then the entry lives, and that
//!    reader's count is the one that may be the last. Of all who ever took an entry to zero exactly one claims
//!    each of its lives, and it may be that of a later one than it meant.
//! 4. Who has claimed the entry owns it: it alone removes it from the table and frees it. Nobody can
//!    take a count from it any more.
//!
//! Giving a count back (2) can be a last drop (3). While a reader looks, the count is larger than
//! the number of handles: it is an upper bound.
//!
//! Between zero and the claim (3) a thread has no count, but will touch the word. So an entry whose memory goes
//! one day, one of an interner of the program's own, never is at zero: its count goes from one to dead in one
//! step ([`Count::decrement_at_once`], which has to know the word before, and so costs a load more). An object that
//! no table knows of may be at zero: nobody else reaches it.
//!
//! What a word means, in the order of numbers with a sign:
//!
//! ```text
//! -2^31 to -2^30 - 1   one handle and more
//! -2^30 to -1          immortal
//! 0 to 2^29 - 1        dead (memory that was never used or was purged reads so)
//! 2^29 to 2^30 - 1     dead, and was watched
//! 2^30 to 2^31 - 2     no handles and more, and *watched*
//! 2^31 - 1             zero: no handles
//! ```
//!
//! Watched: somebody wants to know of the entry's death ([`Count::watch`]). Whoever owns a dead entry asks
//! ([`Count::is_watched`]) before the block is freed.
//!
//! What is common needs no look at the word before it is changed: what one locked addition or
//! subtraction returns says by one comparison whether anything is special. (A load would have to wait for the
//! locked operation before it: clone and drop took 4.8 ns with one each, `Arc` 4.0. And of two threads that count one
//! entry each would fetch its line twice, to read and to write: a hit took a tenth longer.) So handles of an
//! entry that became immortal while it lived are counted on, and it does not matter: its word starts in the
//! middle of the immortal ones, and whoever meets it far from there sets it back ([`Count::settle`]). Counts that run over end up
//! there too, and dead words are set back likewise. Entries that were *made* immortal are never counted: their
//! address says what they are (`regions.rs`), so that threads that share a popular one do not write to it.
//!
//! # Orderings
//! - `publish` is a Release and a `take` an Acquire: the contents were written
//!   before they are compared. That holds for a stale reader too, whose slot is of an earlier life
//!   of the entry and orders nothing.
//! - `decrement` is a Release, and the claim an Acquire: all reading of the contents
//!   by other handles came before the contents are destroyed. `decrement_at_once` is both. `is_only` is an
//!   Acquire, as a claim is.
//! - While an entry lives its count changes by read-modify-write only, so that whoever reads any later
//!   count with Acquire is ordered behind all Releases before.
//! - `increment` is Relaxed: its caller has a count, so nothing can happen to the entry. So are `watch` and
//!   `make_immortal`, and `settle`, which changes what words look like and not what they mean.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::cell::UnsafeCell;

/// One handle.
const ONE: u32 = 1 << 31;

/// No handle, and nobody has claimed the entry.
const ZERO: u32 = ONE - 1;

/// Words from here up are immortal.
const IMMORTAL_FROM: u32 = 3 << 30;

/// What an immortal word is set to: the middle.
const IMMORTAL: u32 = 7 << 29;

/// Words below [`WATCHED`] are dead.
const DEAD: u32 = 0;

/// Dead words from here up were watched.
const DEAD_WATCHED: u32 = 1 << 29;

/// Watched, without handles.
const WATCHED: u32 = 1 << 30;

/// How far from the middle an immortal word may be, how many handles a watched entry may have, and how often
/// a dead entry is looked at: so far from the end that not all threads together get there before one of them settles it.
pub const DRIFT: u32 = if cfg!(loom) { 4 } else { 1 << 28 };

/// Whether a word says that there are handles, and nothing else.
#[inline(always)]
const fn is_plain(word: u32) -> bool {
    word.cast_signed() < IMMORTAL_FROM.cast_signed()
}

/// Whether a word says that the entry never dies.
const fn is_immortal(word: u32) -> bool {
    word >= IMMORTAL_FROM
}

const fn is_dead(word: u32) -> bool {
    word < WATCHED
}

/// Whether a word says that there are no handles, but the entry is not dead.
const fn is_zero(word: u32) -> bool {
    word == ZERO || word == WATCHED
}

/// What a word is to be set back to, if it has gone too far.
const fn set_back(word: u32) -> Option<u32> {
    let (far, back) = match word {
        IMMORTAL_FROM.. => (word.abs_diff(IMMORTAL), IMMORTAL),
        ZERO.. => return None,
        WATCHED.. => (word - WATCHED, IMMORTAL),
        DEAD_WATCHED.. => (word - DEAD_WATCHED, DEAD_WATCHED),
        _ => (word, DEAD),
    };
    if far > DRIFT { Some(back) } else { None }
}

/// What becomes of an entry without handles.
const fn dead_from(zero: u32) -> u32 {
    if zero == ZERO { DEAD } else { DEAD_WATCHED }
}

/// The number of handles of an entry.
#[derive(Debug)]
pub struct Count(AtomicU32);

/// What a reader has taken: the word of a count after its addition.
#[derive(Debug, Clone, Copy)]
pub struct Taken(u32);

impl Taken {
    /// A count of an entry about which there is nothing special.
    pub const PLAIN: Self = Self(ONE);

    /// Whether it is a count, and there is nothing special about the entry.
    #[inline(always)]
    pub const fn is_plain(self) -> bool {
        is_plain(self.0)
    }

    /// Whether it is a count: the entry lives.
    pub const fn is_count(self) -> bool {
        !is_dead(self.0)
    }
}

impl Count {
    /// The count of an entry that is dead.
    #[cfg(any(test, loom))]
    pub fn dead() -> Self {
        Self(AtomicU32::new(DEAD))
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
        debug_assert!(is_dead(self.0.load(Ordering::Relaxed)), "published twice");
        let (word, order) = (if immortal { IMMORTAL } else { ONE }, Ordering::Release);
        // For loom an exchange: it does not know that nothing comes between what a read-modify-write reads and
        // what it writes, and would let a late reader's addition to the dead word come after this. (An
        // exchange goes on with the Releases before it. Nobody needs those of an earlier life.)
        #[cfg(not(loom))]
        self.0.store(word, order);
        #[cfg(loom)]
        self.0.swap(word, order);
    }

    /// Takes a count, if the entry is not dead; says what was taken. Who is told of something special
    /// [settles](Self::settle) it.
    #[inline(always)]
    pub fn take(&self) -> Taken {
        Taken(self.0.fetch_add(1, Ordering::Acquire).wrapping_add(1))
    }

    /// Takes a count, unless the entry is dead.
    pub fn try_increment(&self) -> bool {
        let taken = self.take();
        if !taken.is_plain() {
            self.settle();
        }
        taken.is_count()
    }

    /// Takes one more count; the caller has one.
    #[inline(always)]
    pub fn increment(&self) {
        let now = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if !is_plain(now) {
            self.settle_seen(now);
        }
    }

    /// As [`settle`](Self::settle), of a caller that has a count and saw this word.
    #[cold]
    fn settle_seen(&self, word: u32) {
        if is_immortal(word) && set_back(word).is_some() {
            // At once, whatever others did meanwhile: who saw a word that ran over counts or watches no more.
            self.make_immortal();
        } else {
            self.settle();
        }
    }

    /// Sees to it that an immortal word stays one, that no watched one runs over, and that a dead one stays
    /// what it is.
    #[cold]
    pub fn settle(&self) {
        let mut word = self.0.load(Ordering::Relaxed);
        while let Some(back) = set_back(word) {
            // The caller may have no count, so that it must be this word that is set back.
            match self.0.compare_exchange(word, back, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Gives a count back; true if the caller now owns the entry.
    ///
    /// Its memory stays.
    #[inline(always)]
    pub fn decrement(&self) -> bool {
        let now = self.0.fetch_sub(1, Ordering::Release).wrapping_sub(1);
        !is_plain(now) && self.was_last(now)
    }

    #[cold]
    fn was_last(&self, now: u32) -> bool {
        debug_assert!(!is_dead(now), "more handles dropped than made");
        if !is_zero(now) {
            self.settle();
            return false;
        }
        // A reader may have come between.
        let claim =
            self.0.compare_exchange(now, dead_from(now), Ordering::Acquire, Ordering::Relaxed);
        claim.is_ok()
    }

    /// As [`decrement`](Self::decrement), and the word is touched no more but by the owner: its memory may go
    /// with the entry. (So an immortal one is left as it is: those who add set it back while they have a count.)
    pub fn decrement_at_once(&self) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        while !is_immortal(seen) {
            debug_assert!(!is_dead(seen) && !is_zero(seen), "more handles dropped than made");
            let less = seen.wrapping_sub(1);
            let last = is_zero(less);
            let next = if last { dead_from(less) } else { less };
            match self.0.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return last,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Whether the caller's handle is the only one, of an object that no table knows of: it owns it.
    #[inline(always)]
    pub fn is_only(&self) -> bool {
        self.0.load(Ordering::Acquire) == ONE
    }

    /// Makes the entry immortal; true if it was not. The caller has a count.
    pub fn make_immortal(&self) -> bool {
        !is_immortal(self.0.swap(IMMORTAL, Ordering::Relaxed))
    }

    /// Notes that somebody wants to know of the entry's death. The caller has a count.
    pub fn watch(&self) {
        let mut seen = self.0.load(Ordering::Relaxed);
        while is_plain(seen) {
            let handles = seen - ZERO;
            let watched = if handles <= DRIFT { WATCHED + handles } else { IMMORTAL };
            match self.0.compare_exchange_weak(seen, watched, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
        self.settle_seen(seen);
    }

    /// Whether somebody does. The caller owns the entry.
    pub fn is_watched(&self) -> bool {
        (DEAD_WATCHED..WATCHED).contains(&self.0.load(Ordering::Relaxed))
    }

    /// Whether the entry is dead.
    #[cfg(any(test, fuzzing, loom))]
    pub fn is_dead(&self) -> bool {
        is_dead(self.0.load(Ordering::Relaxed))
    }

    /// The number of handles, or `None` for an immortal entry.
    #[inline]
    pub fn get(&self) -> Option<u32> {
        let word = self.0.load(Ordering::Relaxed);
        match word {
            IMMORTAL_FROM.. => None,
            ZERO.. => Some(word - ZERO),
            WATCHED.. => Some(word - WATCHED),
            _ => Some(0),
        }
    }

    /// Whether the word is where it may stay.
    #[cfg(loom)]
    pub fn is_settled(&self) -> bool {
        set_back(self.0.load(Ordering::Relaxed)).is_none()
    }

    /// The word itself.
    #[cfg(all(test, not(loom)))]
    pub(super) fn word(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// The memory goes: loom reports who may still touch it.
    #[cfg(loom)]
    pub fn end(&mut self) {
        self.0.with_mut(|_| ());
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
/// `hash` and `len` are written only while the count is dead, by the thread that owns the entry or
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
    /// The count is dead and the caller owns the entry.
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
    fn dead_is_final() {
        let count = Count::dead();
        assert!(!count.try_increment() && !count.take().is_count());
        assert_eq!(count.get(), Some(0));
        count.publish(false);
        assert_eq!(count.get(), Some(1));
        assert!(count.try_increment());
        count.increment();
        assert_eq!(count.get(), Some(3));
        assert!(!count.decrement());
        assert!(!count.decrement());
        assert!(count.is_only() && count.decrement());
        assert!(!count.try_increment());
    }

    #[test]
    fn an_entry_at_zero_can_be_taken_and_claimed_once() {
        for watched in [false, true] {
            let (zero, one) = if watched { (WATCHED, WATCHED + 1) } else { (ZERO, ONE) };
            let count = Count(AtomicU32::new(zero));
            assert_eq!(count.get(), Some(0));
            assert_eq!(count.take().is_plain(), !watched);
            assert_eq!(count.word(), one);
            assert!(!count.was_last(zero), "somebody has it");
            assert!(count.decrement());
            assert!(!count.was_last(zero), "somebody claimed it");
            assert_eq!(count.is_watched(), watched);
        }
    }

    #[test]
    fn at_once_is_never_at_zero() {
        for watched in [false, true] {
            let count = Count::one();
            if watched {
                count.watch();
            }
            count.increment();
            assert!(!count.decrement_at_once());
            assert!(count.decrement_at_once());
            assert_eq!(count.word(), if watched { DEAD_WATCHED } else { DEAD });
        }
        // Who gives one back leaves an immortal one alone: its memory may have gone by the time that it looked again.
        for word in [IMMORTAL_FROM, IMMORTAL - DRIFT - 1, IMMORTAL, u32::MAX] {
            let count = Count(AtomicU32::new(word));
            assert!(!count.decrement_at_once());
            assert_eq!(count.word(), word);
        }
    }

    /// Looks at a dead entry are not given back, and never bring it to life.
    #[test]
    fn dead_words_stay_dead() {
        for (base, watched) in [(DEAD, false), (DEAD_WATCHED, true)] {
            let count = Count(AtomicU32::new(base));
            for look in 1..=3 {
                assert!(!count.try_increment());
                assert_eq!((count.word(), count.is_watched()), (base + look, watched));
            }
            let count = Count(AtomicU32::new(base + DRIFT));
            assert!(!count.try_increment());
            assert_eq!(count.word(), base, "set back");
        }
        let count = Count(AtomicU32::new(DEAD + 5));
        count.publish(false);
        assert!(count.decrement());
    }

    #[test]
    fn immortal_words_stay_immortal() {
        let count = Count::immortal();
        assert!(count.try_increment());
        count.increment();
        for _ in 0..5 {
            assert!(!count.decrement());
        }
        assert_eq!(count.get(), None);
        for far in [IMMORTAL + DRIFT + 2, IMMORTAL - DRIFT - 2, IMMORTAL_FROM + 1, u32::MAX - 1] {
            for change in [Count::increment as fn(&Count), |count| assert!(!count.decrement())] {
                let count = Count(AtomicU32::new(far));
                change(&count);
                assert_eq!(count.word(), IMMORTAL, "{far:#x}");
            }
        }
    }

    #[test]
    fn counts_that_run_over_become_immortal() {
        for take in [Count::increment as fn(&Count), |count| assert!(count.try_increment())] {
            for last in [IMMORTAL_FROM - 1, WATCHED + DRIFT] {
                let count = Count(AtomicU32::new(last));
                take(&count);
                take(&count);
                take(&count);
                assert_eq!(count.get(), None, "{last:#x}");
                assert!(!count.decrement());
                assert!(count.is_immortal());
            }
        }
        // One too many is seen at once, and by who wants to watch.
        let count = Count(AtomicU32::new(IMMORTAL_FROM - 1));
        assert_eq!(count.get(), Some(IMMORTAL_FROM - 1 - ZERO));
        count.increment();
        assert_eq!(count.word(), IMMORTAL);
        for over in [IMMORTAL_FROM, IMMORTAL_FROM + 1, IMMORTAL_FROM + 2] {
            let count = Count(AtomicU32::new(over));
            count.watch();
            assert_eq!(count.word(), IMMORTAL);
        }
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
        count.publish(false);
        assert!(count.decrement() && !count.is_watched());

        let immortal = Count::immortal();
        immortal.watch();
        assert_eq!(immortal.word(), IMMORTAL);
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
