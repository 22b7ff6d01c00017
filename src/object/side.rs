//! The bits of an object that lie outside of it, in its pool, where the collector scans them 64 at a
//! time. One cache line holds all eight words of 64 neighbours.

use core::cell::Cell;

use crate::heap::object_pool::{Group, ObjectHeap, ObjectPool};

use super::ObjectRef;
use crate::base::bits::prefetch;

/// Which of the eight words of a group a bit is in.
///
/// A live object has one age; it is young if its header says that no run has seen it. What is free has no bit
/// set in any word. Only old objects are dirty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Word {
    /// Survived one run. Word 0 is free.
    Middle = 1,
    /// Survived two runs, or a full one.
    Old = 2,
    /// An old object that lost a handle since it was last found alive: perhaps the last from outside.
    Dirty = 3,
    /// A candidate of the present run; garbage, once the live ones are taken out.
    Candidate = 4,
    /// The collector drops the value, or waits for handles to a value that is dropped.
    Condemned = 5,
    /// A candidate that may not be looked at, so far. Before that: one that the walk has visited.
    Skipped = 6,
    /// Dead by count, but too deep: waits for the outermost drop.
    Zombie = 7,
}

/// One word of a group.
#[inline(always)]
pub(crate) fn word(group: &Group, word: Word) -> &Cell<u64> {
    &group.words[word as usize]
}

/// The place of one object's bits.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    group: &'static Group,
    bit: u64,
}

impl Side {
    /// The bits of a traced object.
    #[inline(always)]
    pub(crate) fn of(object: ObjectRef) -> Side {
        // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
        let pool = unsafe { ObjectPool::of(object.address()) };
        Side::in_pool(pool, object)
    }

    /// The bits of a traced object whose pool is known.
    #[inline(always)]
    pub(crate) fn in_pool(pool: ObjectPool, object: ObjectRef) -> Side {
        Side::with_counter(pool, object).0
    }

    /// The bits and the trial counter of a traced object whose pool is known.
    #[inline(always)]
    pub(crate) fn with_counter(pool: ObjectPool, object: ObjectRef) -> (Side, &'static Cell<u32>) {
        let index = pool.index_of(object.address());
        let (group, counter) = ObjectPool::side_of(object.address(), index);
        (Side { group, bit: 1 << (index % 64) }, counter)
    }

    /// Asks for the bits to be brought into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(self) {
        prefetch(self.group);
    }

    /// Asks for the bits and the count word of a traced object to be brought into the cache.
    #[inline(always)]
    pub(crate) fn prefetch_all(object: ObjectRef) {
        object.prefetch();
        // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
        let pool = unsafe { ObjectPool::of(object.address()) };
        if pool.is_traced() {
            Side::in_pool(pool, object).prefetch();
        }
    }

    /// Whether the bit is set.
    #[inline(always)]
    pub(crate) fn has(self, which: Word) -> bool {
        word(self.group, which).get() & self.bit != 0
    }

    /// Sets the bit.
    #[inline(always)]
    pub(crate) fn set(self, which: Word) {
        let cell = word(self.group, which);
        cell.set(cell.get() | self.bit);
    }

    /// Clears the bit; whether it was set.
    #[inline(always)]
    pub(crate) fn take(self, which: Word) -> bool {
        let cell = word(self.group, which);
        let old = cell.get();
        cell.set(old & !self.bit);
        old & self.bit != 0
    }

    /// The object is no longer among the living.
    pub(crate) fn clear_age(self) {
        for word in [Word::Middle, Word::Old, Word::Dirty] {
            self.take(word);
        }
    }
}

/// A traced object is young though its block was handed out long ago: runs have looked at its pool since, and
/// do not expect that of it.
pub(crate) fn note_young(object: ObjectRef) {
    // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
    let pool = unsafe { ObjectPool::of(object.address()) };
    ObjectHeap::current().note_recent(pool);
}
