//! The walk over a table's slots that look-ups make.
//!
//! # Orderings
//! The caller's: `table.rs` says which, and why.

use super::slot::{ADDRESS, BELOW_TAG, EMPTY, tag_of};
use super::table::{Entry, Space, Table};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The entries of one tag, from a home slot on to the first empty one.
///
/// The tag's bits are not those that choose the slot (the upper half of a place); the shard is the hash's.
pub(super) struct Probe<'a> {
    slots: &'a [AtomicU64],
    mask: usize,
    /// The slot to look at; below their number.
    at: usize,
    tag: u64,
    /// Slots passed so far.
    pub(super) steps: usize,
}

impl<'a> Probe<'a> {
    #[inline(always)]
    pub(super) fn new<S: Space>(space: &'a S, table: Table, place: u64) -> Self {
        let slots = space.slots(table);
        debug_assert_eq!(slots.len(), table.length());
        Self { slots, mask: table.mask(), at: table.home(place), tag: tag_of(place), steps: 0 }
    }

    /// The entry in the home slot, if it has the tag; if not, the slot.
    #[inline(always)]
    pub(super) fn at_home(&self, order: Ordering) -> Result<Entry, u64> {
        // SAFETY: a home is below the length.
        let slot = unsafe { self.slots.get_unchecked(self.at) }.load(order);
        let below = slot ^ self.tag;
        if below <= BELOW_TAG { Ok(Entry(below & ADDRESS)) } else { Err(slot) }
    }

    /// The next entry. Whatever other threads store, the end comes after as many slots as there are.
    #[inline(always)]
    pub(super) fn next(&mut self, order: Ordering) -> Option<Entry> {
        while self.steps <= self.mask {
            // SAFETY: a home is below the length; later ones are masked by it, a power of two, less one.
            let slot = unsafe { self.slots.get_unchecked(self.at) }.load(order);
            if slot == EMPTY {
                break;
            }
            self.at = (self.at + 1) & self.mask;
            self.steps += 1;
            let below = slot ^ self.tag;
            if below <= BELOW_TAG {
                return Some(Entry(below & ADDRESS));
            }
        }
        None
    }
}
