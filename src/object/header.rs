//! The count word: both counts and all flags of an object, right before its value.
//!
//! ```text
//!   63     62         61 … 32    31 … 9   8 … 0
//! ┌──────┬──────────┬──────────┬────────┬───────┐
//! │ slow │ immortal │  strong  │  weak  │ flags │
//! └──────┴──────────┴──────────┴────────┴───────┘
//! ```
//!
//! One word, so that each fast path is one operation and one test: a clone adds and tests the immortal
//! bit, a drop subtracts and compares with one handle as a signed number, which is smaller both when no
//! handle is left and when the object is `slow`.
//!
//! - **slow**: a drop that leaves handles behind has something to note (old and clean, exclusive,
//!   immortal).
//! - **immortal** (PEP 683): the count reached 2^30, or was put there. It stays there.
//! - **weak** saturates: the block then stays for ever.
//!
//! | state | strong | `DEAD` | `DROPPED` |
//! |---|---|---|---|
//! | unborn (inside `new_cyclic`), free | 0 | no | no |
//! | live | > 0 | no | no |
//! | condemned: the collector will drop it | any | if it has `Weak`s | no |
//! | dead: the value is gone, the block waits for handles | any | if it has `Weak`s | yes |
//! | dead by count, the block waits for `Weak`s | 0 | yes | no |

use core::cell::Cell;

/// One strong reference.
const STRONG_ONE: u64 = 1 << 32;
/// The strong count, with the immortal bit.
const STRONG: u64 = 0x7FFF_FFFF << 32;
const IMMORTAL: u64 = 1 << 62;
const SLOW: u64 = 1 << 63;

const WEAK_ONE: u64 = 1 << 9;
const WEAK: u64 = 0x7F_FFFF << 9;

/// There is a vtable word before the count word, and side bits in the pool.
pub(crate) const TRACED: u64 = 1 << 0;
/// `get_mut` may have handed out a reference: see [`Header::is_hidden`].
const EXCLUSIVE: u64 = 1 << 1;
/// The type has a finalizer, and it has not run.
pub(crate) const FINALIZABLE: u64 = 1 << 2;
/// The finalizer has run.
const FINALIZED: u64 = 1 << 3;
/// Weak handles no longer upgrade, and one of the weak count is held by whoever drops the value.
const DEAD: u64 = 1 << 4;
/// The collector has dropped the value; the last handle frees the block.
const DROPPED: u64 = 1 << 5;
/// Not watched again before the next full run: its many edges were looked at in vain.
const TRIED: u64 = 1 << 6;
/// A candidate of the run under way; its garbage, once that is being dropped.
const IN_RUN: u64 = 1 << 7;

/// A run has seen the object: its age is in the side bits of its pool. Without it the object is young.
const AGED: u64 = 1 << 8;

/// What does not matter to the death of an object: see [`remains`].
const NOISE: u64 = SLOW | EXCLUSIVE | FINALIZED | TRIED;

/// What [`remains`] of a young object that nobody else knows.
pub(crate) const YOUNG: u64 = TRACED;
/// What [`remains`] of an older object that nobody else knows: side bits.
pub(crate) const OLDER: u64 = TRACED | AGED;
/// What [`remains`] of a member of garbage that a run drops.
pub(crate) const MEMBER: u64 = TRACED | AGED | IN_RUN;

/// What there is to do about an object whose last handle is gone: 0 for a leaf that nobody else knows.
#[inline(always)]
pub(crate) const fn remains(word: u64) -> u64 {
    word & !NOISE
}

/// Whether handles are left.
#[inline(always)]
pub(crate) const fn has_strong(word: u64) -> bool {
    word & STRONG != 0
}

/// The count word of a live object with one handle.
pub(crate) const fn live(flags: u64) -> u64 {
    STRONG_ONE | flags
}

/// The count word of an unborn object: one weak handle, no strong one.
pub(crate) const fn unborn(flags: u64) -> u64 {
    WEAK_ONE | flags
}

/// Whether a word (or the union of many) has weak references.
pub(crate) const fn has_weak(word: u64) -> bool {
    word & WEAK != 0
}

/// Whether a word (or one of many, in their union) is that of an immortal object.
pub(crate) const fn is_immortal(word: u64) -> bool {
    word & IMMORTAL != 0
}

/// The count word in its place.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Header(Cell<u64>);

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
    pub(crate) fn new(strong: u32, flags: u64) -> Header {
        Header(Cell::new(u64::from(strong) << 32 | flags))
    }

    /// The whole word.
    #[inline(always)]
    pub(crate) fn word(&self) -> u64 {
        self.0.get()
    }

    /// Replaces the whole word: birth.
    #[inline(always)]
    pub(crate) fn set_word(&self, word: u64) {
        self.0.set(word);
    }

    #[inline(always)]
    fn has(&self, flags: u64) -> bool {
        self.0.get() & flags != 0
    }

    /// The strong count; at least 2^30 when immortal.
    #[inline(always)]
    pub(crate) fn strong(&self) -> u32 {
        ((self.0.get() & STRONG) >> 32) as u32
    }

    /// The weak count, without the one that a dying object holds on itself.
    pub(crate) fn weak(&self) -> u32 {
        let word = self.0.get();
        ((word & WEAK) >> 9) as u32 - u32::from(word & DEAD != 0)
    }

    /// One more handle.
    #[inline(always)]
    pub(crate) fn increment(&self) {
        let word = self.0.get().wrapping_add(STRONG_ONE);
        if word & IMMORTAL == 0 {
            self.0.set(word);
        } else {
            self.immortalize();
        }
    }

    /// One handle less. True when [`settle`](Self::settle) must decide what that means.
    #[inline(always)]
    #[must_use]
    pub(crate) fn decrement(&self) -> bool {
        let word = self.0.get().wrapping_sub(STRONG_ONE);
        self.0.set(word);
        (word as i64) < STRONG_ONE as i64
    }

    /// Decides what a [`decrement`](Self::decrement) was that returned true.
    #[inline(always)]
    pub(crate) fn settle(&self) -> Dropped {
        if self.has(SLOW) { self.settle_slow() } else { Dropped::Last }
    }

    #[inline]
    fn settle_slow(&self) -> Dropped {
        let word = self.0.get();
        if word.wrapping_add(STRONG_ONE) & IMMORTAL != 0 {
            self.immortalize();
            return Dropped::Lives;
        }
        // A clone was dropped, or the last handle: nobody has exclusive access now. If the object is old,
        // whoever asked notes that it is dirty.
        self.0.set(word & !(SLOW | EXCLUSIVE));
        if word & STRONG == 0 { Dropped::Last } else { Dropped::Lives }
    }

    /// Puts the count where clones and drops leave it alone.
    #[cold]
    pub(crate) fn immortalize(&self) {
        self.0.set(self.0.get() & !STRONG | IMMORTAL | SLOW);
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
        let word = self.0.get();
        word & STRONG != 0 && word & (DEAD | DROPPED) == 0
    }

    /// One more weak handle.
    #[inline]
    pub(crate) fn increment_weak(&self) {
        let word = self.0.get();
        if word & WEAK != WEAK {
            self.0.set(word + WEAK_ONE);
        }
    }

    /// One weak handle less. True: neither handles nor weak handles are left, the block is to be freed.
    #[inline]
    #[must_use]
    pub(crate) fn decrement_weak(&self) -> bool {
        let word = self.0.get();
        debug_assert!(word & WEAK != 0, "a weak handle is missing: {word:#x}");
        if word & WEAK == WEAK {
            return false;
        }
        self.0.set(word - WEAK_ONE);
        (word - WEAK_ONE) & (STRONG | WEAK) == 0
    }

    /// Whether one handle is all there is, strong and weak.
    #[inline]
    pub(crate) fn is_unique(&self) -> bool {
        self.0.get() & (STRONG | WEAK) == STRONG_ONE
    }

    /// Takes the only strong count away without a drop: the value was moved out.
    pub(crate) fn take_only(&self) {
        debug_assert_eq!(self.strong(), 1, "not the only handle");
        self.0.set(self.0.get() & !(STRONG | SLOW | EXCLUSIVE));
    }

    /// The holder of the only handle gets `&mut`.
    #[inline]
    pub(crate) fn make_exclusive(&self) {
        self.0.set(self.0.get() | EXCLUSIVE | SLOW);
    }

    /// Whether the object is traced and alive, and no run has seen it.
    #[inline(always)]
    pub(crate) fn is_young(&self) -> bool {
        let word = self.0.get();
        word & STRONG != 0 && word & (TRACED | AGED | DROPPED | DEAD) == TRACED
    }

    /// Whether the object is traced and alive, be it in the garbage of a run. Leaves, too, may lie in pools of
    /// traced objects: large ones, and those of more alignment.
    #[inline(always)]
    pub(crate) fn is_whole(&self) -> bool {
        let word = self.0.get();
        word & STRONG != 0 && word & (TRACED | DROPPED) == TRACED
    }

    /// The object's age is in its side bits from here on.
    #[inline(always)]
    pub(crate) fn set_aged(&self) {
        self.0.set(self.0.get() | AGED);
    }

    /// Whether the object's age is in its side bits.
    pub(crate) fn is_aged(&self) -> bool {
        self.has(AGED)
    }

    /// The object's side bits are cleared.
    pub(crate) fn clear_aged(&self) {
        self.0.set(self.0.get() & !AGED);
    }

    /// A run decides about the object, which is not hidden: nobody has `&mut` to it. No drop is noted
    /// meanwhile.
    #[inline(always)]
    pub(crate) fn enter_run(&self) {
        let word = self.0.get();
        if word & IMMORTAL == 0 {
            self.0.set(word & !(SLOW | EXCLUSIVE) | IN_RUN);
        }
    }

    /// The run has nothing to do with the object any more.
    #[inline(always)]
    pub(crate) fn leave_run(&self) {
        self.0.set(self.0.get() & !IN_RUN);
    }

    /// Whether a run decides about the object.
    pub(crate) fn is_in_run(&self) -> bool {
        self.has(IN_RUN)
    }

    /// [`leave_run`](Self::leave_run) for an old object that was found alive: its next drop is worth to be
    /// noted, unless it has been tried in vain.
    #[inline(always)]
    pub(crate) fn watch(&self) {
        let word = self.0.get();
        let slow = if word & TRIED == 0 { SLOW } else { 0 };
        self.0.set(word & !IN_RUN | slow);
    }

    /// [`watch`](Self::watch), also if it has been tried in vain.
    #[inline(always)]
    pub(crate) fn watch_anew(&self) {
        self.0.set(self.0.get() & !(IN_RUN | TRIED) | SLOW);
    }

    /// The object is not watched again before the next full run.
    pub(crate) fn set_tried(&self) {
        self.0.set(self.0.get() | TRIED);
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
        self.0.get() & (STRONG | EXCLUSIVE) == STRONG_ONE | EXCLUSIVE
    }

    /// A shared path led to the object's only handle: no `&mut` can be alive.
    pub(crate) fn reveal(&self) {
        debug_assert!(self.is_hidden(), "not hidden: {:#x}", self.0.get());
        self.0.set(self.0.get() & !(SLOW | EXCLUSIVE));
    }

    /// Whether the finalizer has run.
    pub(crate) fn is_finalized(&self) -> bool {
        self.has(FINALIZED)
    }

    /// Whether the finalizer is still to run; it counts as run from here on.
    #[must_use]
    pub(crate) fn take_finalizable(&self) -> bool {
        let word = self.0.get();
        if word & FINALIZABLE != 0 {
            self.0.set(word & !FINALIZABLE | FINALIZED);
        }
        word & FINALIZABLE != 0
    }

    /// Weak handles stop to upgrade and, while the value is being dropped, cannot free the block.
    pub(crate) fn bury(&self) {
        if has_weak(self.0.get()) {
            self.increment_weak();
            self.0.set(self.0.get() | DEAD);
        }
    }

    /// The other end of [`bury`](Self::bury). True: the block is to be freed.
    #[must_use]
    pub(crate) fn unbury(&self) -> bool {
        if !self.has(DEAD) {
            return !has_weak(self.0.get());
        }
        self.0.set(self.0.get() & !DEAD);
        self.decrement_weak()
    }

    /// The collector has dropped the value.
    pub(crate) fn set_dropped(&self) {
        self.0.set(self.0.get() | DROPPED);
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
        assert_eq!(SLOW ^ STRONG ^ WEAK ^ 0x1FF, u64::MAX);
        assert_eq!(SLOW | STRONG | WEAK | 0x1FF, u64::MAX);
        assert_eq!(STRONG & IMMORTAL, IMMORTAL);
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
        let header = with_strong((1 << 30) - 2);
        header.increment();
        assert_eq!(header.strong(), (1 << 30) - 1);
        for _ in 0..5 {
            header.increment();
            assert_eq!(header.strong(), 1 << 30);
        }
        for _ in 0..5 {
            assert!(header.decrement(), "immortal is slow");
            assert_eq!(header.settle(), Dropped::Lives);
            assert_eq!(header.strong(), 1 << 30);
        }
    }

    #[test]
    fn weak_saturates() {
        let header = Header::new(1, WEAK - WEAK_ONE);
        header.increment_weak();
        header.increment_weak();
        assert_eq!(header.weak(), 0x7F_FFFF);
        assert_eq!(header.strong(), 1, "no carry into the strong count");
        assert!(!header.decrement_weak());
        assert_eq!(header.weak(), 0x7F_FFFF, "a saturated count stays");
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
