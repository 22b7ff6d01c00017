//! The count word: both counts and all flags of an object, right before its value.
//!
//! ```text
//!      63       62 … 32    31 … 10   9 … 0
//! ┌──────────┬──────────┬──────────┬───────┐
//! │ immortal │  strong  │   weak   │ flags │
//! └──────────┴──────────┴──────────┴───────┘
//! ```
//!
//! The upper half is a signed number by itself: a clone adds one and tests the sign, a drop subtracts one, and
//! tests for zero and for `slow`. What comes right after these reads the halves one by one: for a load of both
//! the processor would have to wait until the store is done.
//!
//! - **immortal** (PEP 683): the count reached 2^31, or was put there. It stays there.
//! - **weak** saturates: the block then stays for ever.
//! - **slow**: a drop that leaves handles behind has something to note: the first one since the object was born
//!   or found alive (see `dirty.rs`), or while it is exclusive or immortal.
//!
//! | state | strong | `DEAD` | `DROPPED` |
//! |---|---|---|---|
//! | unborn (inside `new_cyclic`), free | 0 | no | no |
//! | live | > 0 | no | no |
//! | condemned: the collector will drop it | any | if it has `Weak`s | no |
//! | dead: the value is gone, the block waits for handles | any | if it has `Weak`s | yes |
//! | dead by count, the block waits for `Weak`s | 0 | yes | no |

use core::cell::Cell;

use crate::base::cold::unusual;

/// The strong count of an immortal object: as far from 0 as from 2^31, where it began.
const IMMORTAL: u32 = 3 << 30;

const WEAK_ONE: u32 = 1 << 10;
const WEAK: u32 = 0x3F_FFFF << 10;

/// There is a vtable word before the count word, and side bits in the pool.
pub(crate) const TRACED: u32 = 1 << 0;
/// `get_mut` may have handed out a reference: see [`Header::is_hidden`].
const EXCLUSIVE: u32 = 1 << 1;
/// The type has a finalizer, and it has not run.
pub(crate) const FINALIZABLE: u32 = 1 << 2;
/// The finalizer has run.
const FINALIZED: u32 = 1 << 3;
/// Weak handles no longer upgrade, and one of the weak count is held by whoever drops the value.
const DEAD: u32 = 1 << 4;
/// The collector has dropped the value; the last handle frees the block.
const DROPPED: u32 = 1 << 5;
/// Not watched again before the next full run: its many edges were looked at in vain.
const TRIED: u32 = 1 << 6;
/// A candidate of the run under way; its garbage, once that is being dropped.
const IN_RUN: u32 = 1 << 7;
/// A run has seen the object: its age is in the side bits of its pool. Without it the object is young.
const AGED: u32 = 1 << 8;
/// A drop that leaves handles behind has something to note.
const SLOW: u32 = 1 << 9;

/// What does not matter to the death of an object: see [`Header::remains`].
const NOISE: u32 = SLOW | EXCLUSIVE | FINALIZED | TRIED;

/// What [remains](Header::remains) of a young object that nobody else knows.
pub(crate) const YOUNG: u32 = TRACED;
/// What remains of an older object that nobody else knows: side bits.
pub(crate) const OLDER: u32 = TRACED | AGED;
/// What remains of a member of garbage that a run drops.
pub(crate) const MEMBER: u32 = TRACED | AGED | IN_RUN;

/// The flags that a traced object is born with.
pub(crate) const BORN_TRACED: u32 = TRACED | SLOW;

/// The count word of a live object with one handle.
pub(crate) const fn live(flags: u32) -> u64 {
    1 << 32 | flags as u64
}

/// The count word of an unborn object: one weak handle, no strong one.
pub(crate) const fn unborn(flags: u32) -> u64 {
    (WEAK_ONE | flags) as u64
}

/// Whether a word (or the union of many) has weak references.
pub(crate) const fn has_weak(word: u64) -> bool {
    word as u32 & WEAK != 0
}

/// Whether a word (or one of many, in their union) is that of an object whose finalizer is still to run.
pub(crate) const fn is_finalizable(word: u64) -> bool {
    word as u32 & FINALIZABLE != 0
}

/// Whether a word (or one of many, in their union) is that of an immortal object, or of one with so many
/// handles that a trial could not count them.
pub(crate) const fn is_immortal(word: u64) -> bool {
    word >> 62 != 0
}

/// The strong count of a word; meaningless where it [`is_immortal`].
pub(crate) const fn count(word: u64) -> u32 {
    (word >> 32) as u32
}

/// The count word in its place.
#[derive(Debug)]
#[repr(C, align(8))]
pub(crate) struct Header {
    /// Weak count and flags.
    lower: Cell<u32>,
    /// The strong count; negative when immortal.
    upper: Cell<u32>,
}

const _: () = assert!(size_of::<Header>() == size_of::<u64>());

/// What a drop that needs a second look was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Dropped {
    /// Handles are left.
    Lives,
    /// That was the last handle.
    Last,
}

impl Header {
    /// A header outside of any pool, for models of the graph.
    #[cfg(test)]
    pub(crate) fn new(strong: u32, flags: u32) -> Header {
        Header { lower: Cell::new(flags), upper: Cell::new(strong) }
    }

    /// The whole word.
    #[inline(always)]
    pub(crate) fn word(&self) -> u64 {
        u64::from(self.upper.get()) << 32 | u64::from(self.lower.get())
    }

    /// Replaces the whole word: birth.
    #[inline(always)]
    pub(crate) fn set_word(&self, word: u64) {
        self.lower.set(word as u32);
        self.upper.set((word >> 32) as u32);
    }

    #[inline(always)]
    fn has(&self, flags: u32) -> bool {
        self.lower.get() & flags != 0
    }

    #[inline(always)]
    fn change(&self, clear: u32, set: u32) {
        self.lower.set(self.lower.get() & !clear | set);
    }

    /// The strong count; 2^31 when immortal.
    #[inline(always)]
    pub(crate) fn strong(&self) -> u32 {
        self.upper.get().min(1 << 31)
    }

    /// Whether handles are left.
    #[inline(always)]
    pub(crate) fn has_strong(&self) -> bool {
        self.upper.get() != 0
    }

    #[inline(always)]
    fn is_immortal(&self) -> bool {
        self.upper.get().cast_signed() < 0
    }

    /// The weak count, without the one that a dying object holds on itself.
    pub(crate) fn weak(&self) -> u32 {
        self.lower.get() / WEAK_ONE - u32::from(self.has(DEAD))
    }

    /// One more handle.
    #[inline(always)]
    pub(crate) fn increment(&self) {
        self.upper.set(self.upper.get().wrapping_add(1));
        if self.is_immortal() {
            self.immortalize();
        }
    }

    /// One handle less. True when [`settle`](Self::settle) must decide what that means.
    #[inline(always)]
    #[must_use]
    pub(crate) fn decrement(&self) -> bool {
        debug_assert!(self.has_strong(), "a handle is missing: {:#x}", self.word());
        self.upper.set(self.upper.get().wrapping_sub(1));
        if self.has_strong() && !self.has(SLOW) {
            return false;
        }
        unusual();
        true
    }

    /// Decides what a [`decrement`](Self::decrement) was that returned true.
    #[inline]
    pub(crate) fn settle(&self) -> Dropped {
        if self.is_immortal() {
            self.immortalize();
            return Dropped::Lives;
        }
        // A clone was dropped, or the last handle: nobody has exclusive access now. If the object is old,
        // whoever asked notes that it is dirty.
        self.change(SLOW | EXCLUSIVE, 0);
        if self.has_strong() { Dropped::Lives } else { Dropped::Last }
    }

    /// [`settle`](Self::settle) where handles are left. Whether that is to be noted: immortal objects lose none.
    #[inline(always)]
    pub(crate) fn settle_alive(&self) -> bool {
        if self.is_immortal() {
            self.immortalize();
            return false;
        }
        self.change(SLOW | EXCLUSIVE, 0);
        true
    }

    /// Puts the count where clones and drops leave it alone.
    #[cold]
    #[inline(never)]
    pub(crate) fn immortalize(&self) {
        self.upper.set(IMMORTAL);
        self.change(0, SLOW);
    }

    /// What there is to do about an object whose last handle is gone: 0 for a leaf that nobody else knows.
    #[inline(always)]
    pub(crate) fn remains(&self) -> u32 {
        self.lower.get() & !NOISE
    }

    /// Whether there is a vtable word before the count word.
    #[inline(always)]
    pub(crate) fn is_traced(&self) -> bool {
        self.has(TRACED)
    }

    /// One more handle, if the object lives.
    #[inline]
    #[must_use]
    pub(crate) fn try_upgrade(&self) -> bool {
        let lives = self.is_alive();
        if lives {
            self.increment();
        }
        lives
    }

    /// Whether weak handles upgrade.
    #[inline]
    pub(crate) fn is_alive(&self) -> bool {
        self.has_strong() && !self.has(DEAD | DROPPED)
    }

    /// One more weak handle.
    #[inline]
    pub(crate) fn increment_weak(&self) {
        let lower = self.lower.get();
        if lower & WEAK != WEAK {
            self.lower.set(lower + WEAK_ONE);
        }
    }

    /// One weak handle less. True: neither handles nor weak handles are left, the block is to be freed.
    #[inline]
    #[must_use]
    pub(crate) fn decrement_weak(&self) -> bool {
        let lower = self.lower.get();
        debug_assert!(lower & WEAK != 0, "a weak handle is missing: {lower:#x}");
        if lower & WEAK == WEAK {
            return false;
        }
        self.lower.set(lower - WEAK_ONE);
        (lower - WEAK_ONE) & WEAK == 0 && !self.has_strong()
    }

    /// Whether one handle is all there is, strong and weak.
    #[inline]
    pub(crate) fn is_unique(&self) -> bool {
        self.upper.get() == 1 && !self.has(WEAK)
    }

    /// Takes the only strong count away without a drop: the value was moved out.
    pub(crate) fn take_only(&self) {
        debug_assert_eq!(self.strong(), 1, "not the only handle");
        self.upper.set(0);
        self.change(SLOW | EXCLUSIVE, 0);
    }

    /// The holder of the only handle gets `&mut`.
    #[inline]
    pub(crate) fn make_exclusive(&self) {
        self.change(0, EXCLUSIVE | SLOW);
    }

    /// Whether the object is traced and alive, and no run has seen it.
    #[inline(always)]
    pub(crate) fn is_young(&self) -> bool {
        let word = self.word();
        (word >> 32 != 0) & (word as u32 & (TRACED | AGED | DROPPED | DEAD) == TRACED)
    }

    /// Whether the object is traced and alive, be it in the garbage of a run. Leaves, too, may lie in pools of
    /// traced objects: large ones, and those of more alignment.
    #[inline(always)]
    pub(crate) fn is_whole(&self) -> bool {
        self.has_strong() && self.lower.get() & (TRACED | DROPPED) == TRACED
    }

    /// A run leaves the object alone. Its age is in its side bits from here on.
    pub(crate) fn set_aged(&self) {
        self.change(0, AGED);
    }

    /// Whether the object's age is in its side bits.
    #[inline(always)]
    pub(crate) fn is_aged(&self) -> bool {
        self.has(AGED)
    }

    /// The object's side bits are cleared.
    pub(crate) fn clear_aged(&self) {
        self.change(AGED, 0);
    }

    /// A run decides about the object, which is not hidden: nobody has `&mut` to it. No drop is noted
    /// meanwhile. Its age is in its side bits from here on.
    pub(crate) fn enter_run(&self) {
        if self.is_immortal() {
            self.change(0, AGED);
        } else {
            self.change(SLOW | EXCLUSIVE, IN_RUN | AGED);
        }
    }

    /// [`enter_run`](Self::enter_run) where that is simple, by the word that was just read. False, and nothing
    /// done: the object is immortal, or may be hidden.
    #[inline(always)]
    pub(crate) fn enter_run_plainly(&self, word: u64) -> bool {
        let plain = word & (1 << 63 | EXCLUSIVE as u64) == 0;
        if plain {
            self.lower.set(word as u32 & !SLOW | IN_RUN | AGED);
        }
        plain
    }

    /// The run has nothing to do with the object any more.
    #[inline(always)]
    pub(crate) fn leave_run(&self) {
        self.change(IN_RUN, 0);
    }

    /// Whether a run decides about the object.
    pub(crate) fn is_in_run(&self) -> bool {
        self.has(IN_RUN)
    }

    /// Whether a handle was dropped since the object was born or last found alive, so that it is worth to be
    /// looked at.
    #[inline(always)]
    pub(crate) fn has_lost(&self) -> bool {
        !self.has(SLOW | TRIED)
    }

    /// [`leave_run`](Self::leave_run) for an object that was found alive: its next drop is worth to be noted,
    /// unless it has been tried in vain.
    #[inline(always)]
    pub(crate) fn watch(&self) {
        self.change(IN_RUN, if self.has(TRIED) { 0 } else { SLOW });
    }

    /// [`watch`](Self::watch), also if it has been tried in vain.
    #[inline(always)]
    pub(crate) fn watch_anew(&self) {
        self.change(IN_RUN | TRIED, SLOW);
    }

    /// The object is not watched again before the next full run.
    pub(crate) fn set_tried(&self) {
        self.change(0, TRIED);
    }

    /// Whether its many edges were looked at in vain since the last full run.
    pub(crate) fn is_tried(&self) -> bool {
        self.has(TRIED)
    }

    /// Whether somebody may be inside the value with `&mut`, so that it must not be looked at.
    ///
    /// A second handle can only be made when the `&mut` is gone, and dropping it again clears the flag.
    #[inline(always)]
    pub(crate) fn is_hidden(&self) -> bool {
        self.has(EXCLUSIVE) && self.upper.get() == 1
    }

    /// A shared path led to the object's only handle: no `&mut` can be alive.
    pub(crate) fn reveal(&self) {
        debug_assert!(self.is_hidden(), "not hidden: {:#x}", self.word());
        self.change(SLOW | EXCLUSIVE, 0);
    }

    /// Whether the finalizer has run.
    pub(crate) fn is_finalized(&self) -> bool {
        self.has(FINALIZED)
    }

    /// Whether the finalizer is still to run; it counts as run from here on.
    #[must_use]
    pub(crate) fn take_finalizable(&self) -> bool {
        let pending = self.has(FINALIZABLE);
        if pending {
            self.change(FINALIZABLE, FINALIZED);
        }
        pending
    }

    /// Weak handles stop to upgrade and, while the value is being dropped, cannot free the block.
    pub(crate) fn bury(&self) {
        if self.has(WEAK) {
            self.increment_weak();
            self.change(0, DEAD);
        }
    }

    /// The other end of [`bury`](Self::bury). True: the block is to be freed.
    #[must_use]
    pub(crate) fn unbury(&self) -> bool {
        if !self.has(DEAD) {
            return !self.has(WEAK);
        }
        self.change(DEAD, 0);
        self.decrement_weak()
    }

    /// The collector has dropped the value.
    pub(crate) fn set_dropped(&self) {
        self.change(0, DROPPED);
    }

    /// Whether the collector has dropped the value.
    pub(crate) fn is_dropped(&self) -> bool {
        self.has(DROPPED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_strong(strong: u32) -> Header {
        Header::new(strong, 0)
    }

    #[test]
    fn the_fields_cover_the_word_once() {
        let flags = TRACED
            | EXCLUSIVE
            | FINALIZABLE
            | FINALIZED
            | DEAD
            | DROPPED
            | TRIED
            | IN_RUN
            | AGED
            | SLOW;
        assert_eq!(WEAK ^ flags, u32::MAX);
        assert_eq!((flags.count_ones(), WEAK & flags), (10, 0));
    }

    #[test]
    fn only_the_last_drop_is_noticed() {
        let header = with_strong(1);
        header.increment();
        assert!(!header.decrement());
        assert!(header.decrement());
        assert_eq!(header.settle(), Dropped::Last);
        assert_eq!(header.strong(), 0);
    }

    #[test]
    fn x17_the_count_never_wraps() {
        let header = with_strong((1 << 31) - 2);
        header.increment();
        assert_eq!(header.strong(), (1 << 31) - 1);
        for _ in 0..5 {
            header.increment();
            assert_eq!(header.strong(), 1 << 31);
        }
        for _ in 0..5 {
            assert!(header.decrement(), "immortal is slow");
            assert_eq!(header.settle(), Dropped::Lives);
            assert_eq!(header.strong(), 1 << 31);
        }
    }

    #[test]
    fn weak_saturates() {
        let header = Header::new(1, WEAK - WEAK_ONE);
        header.increment_weak();
        header.increment_weak();
        assert_eq!(header.weak(), 0x3F_FFFF);
        assert_eq!(header.strong(), 1, "no carry into the strong count");
        assert!(!header.decrement_weak());
        assert_eq!(header.weak(), 0x3F_FFFF, "a saturated count stays");
    }

    #[test]
    fn exclusive_ends_with_a_second_handle() {
        let header = with_strong(1);
        header.make_exclusive();
        assert!(header.is_hidden());
        header.increment();
        assert!(!header.is_hidden());
        assert!(header.decrement(), "exclusive is slow");
        assert_eq!(header.settle(), Dropped::Lives);
        assert!(!header.is_hidden());
        assert!(header.decrement());
        assert_eq!(header.settle(), Dropped::Last);
    }

    #[test]
    fn a_buried_object_outlives_its_weak_handles() {
        let header = Header::new(1, WEAK_ONE);
        header.bury();
        assert!(!header.try_upgrade());
        assert_eq!(header.weak(), 1);
        assert!(header.decrement());
        assert_eq!(header.settle(), Dropped::Last);
        assert!(!header.decrement_weak(), "held while the value is dropped");
        assert!(header.unbury());
    }

    #[test]
    fn finalizers_run_once() {
        let header = Header::new(1, FINALIZABLE);
        assert!(!header.is_finalized());
        assert!(header.take_finalizable());
        assert!(!header.take_finalizable());
        assert!(header.is_finalized());
    }
}
