//! The walks over a table's slots: that of a look-up, and that of a removal for what fills its gap.
//!
//! # Orderings
//! A look-up's are the caller's: `table.rs` says which, and why. Relaxed under the lock.

use super::slot::{FAR, PAIR, has_tag, is_passed, noted_distance, tag_of};
use super::table::{Entry, Space, Table, place_of};
use crate::sync::atomic::{AtomicU64, Ordering};
use core::hint::select_unpredictable;

/// The entries of one tag, from the home pair on to the first pair that is not passed.
///
/// The tag is the lowest bits of a place, the last that would choose a slot: only tables of more than 65,536
/// slots share some with it.
pub(super) struct Probe<'a> {
    slots: &'a [AtomicU64],
    mask: usize,
    /// The slot to look at; below their number.
    at: usize,
    tag: u16,
    /// Slots passed so far.
    pub(super) steps: usize,
    /// Whether the last pair is passed of which a slot was looked at.
    goes_on: bool,
}

impl<'a> Probe<'a> {
    #[inline(always)]
    pub(super) fn new<S: Space>(space: &'a S, table: Table, place: u64) -> Self {
        let slots = space.slots(table);
        debug_assert_eq!(slots.len(), table.length());
        let (at, tag) = (table.home(place), tag_of(place));
        Self { slots, mask: table.mask(), at, tag, steps: 0, goes_on: true }
    }

    /// The entry in the home pair, if one has the tag. Which of the two it is in no processor can foresee, so
    /// there is no branch. The error: whether others of this home lie elsewhere.
    #[inline(always)]
    pub(super) fn at_home(&self, order: Ordering) -> Result<Entry, bool> {
        // SAFETY: a home is below the length.
        let first = unsafe { self.slots.get_unchecked(self.at) }.load(order);
        // SAFETY: a home is even, and the length too.
        let second = unsafe { self.slots.get_unchecked(self.at + 1) }.load(order);
        let slot = select_unpredictable(has_tag(first, self.tag), first, second);
        if has_tag(slot, self.tag) {
            return Ok(Entry::in_slot(slot));
        }
        Err(is_passed(first))
    }

    /// The next entry. Whatever other threads store, the end comes after as many slots as there are.
    #[inline(always)]
    pub(super) fn next(&mut self, order: Ordering) -> Option<Entry> {
        while self.steps <= self.mask {
            let begins = self.at.is_multiple_of(PAIR);
            if begins && !self.goes_on {
                break;
            }
            // SAFETY: a home is below the length; later ones are masked by it, a power of two, less one.
            let slot = unsafe { self.slots.get_unchecked(self.at) }.load(order);
            if begins {
                self.goes_on = is_passed(slot);
            }
            self.at = (self.at + 1) & self.mask;
            self.steps += 1;
            if has_tag(slot, self.tag) {
                return Some(Entry::in_slot(slot));
            }
        }
        None
    }
}

/// The first entry behind a passed pair that belongs into it, or before it: its slot, and how far it would be
/// from home in that pair. The lock is held.
pub(super) fn first_that_passed<S: Space>(
    space: &S,
    table: Table,
    pair: usize,
) -> Option<(usize, usize)> {
    let slots = space.slots(table);
    let (mut next, mut steps) = (pair, 0);
    loop {
        next = (next + PAIR) & table.mask();
        steps += 1;
        for (at, slot) in (next..).zip(&slots[next..next + PAIR]) {
            let distance = distance_of(space, table, slot.load(Ordering::Relaxed), at);
            if distance >= steps {
                return Some((at, distance - steps));
            }
        }
        if !is_passed(slots[next].load(Ordering::Relaxed)) {
            return None;
        }
    }
}

/// How many pairs the entry in slot `at` is from its home.
pub(super) fn distance_of<S: Space>(space: &S, table: Table, slot: u64, at: usize) -> usize {
    let distance = noted_distance(slot);
    if distance < FAR {
        return distance;
    }
    let home = table.home(place_of(space, table, Entry::in_slot(slot)));
    (at.wrapping_sub(home) & table.mask()) / PAIR
}
