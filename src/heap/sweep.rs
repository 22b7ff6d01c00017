//! What came home to pools that a heap holds but does not allocate from.
//!
//! A heap takes the blocks that others freed into its pools when it looks for one to allocate from. A pool
//! that it came to hold otherwise, by a free that claimed it, may get all its blocks back and never be looked
//! at: a thread that frees the first block of each pool, and others all the rest, would keep every pool of
//! the program. So a heap looks at all pools of a slot after it came to hold about as many as it had when
//! it last looked, which costs one look for each of them and bounds what it keeps by twice what is in use.
//!
//! A heap that comes to hold no more does not look: what others free into the pools of a thread that sleeps
//! stays with it.

use core::cell::Cell;

use super::pool::Held;
use super::thread::ThreadHeap;

/// Pools that a heap comes to hold in any case before it looks at all of a slot.
const AT_LEAST: u32 = 8;

/// When to look at the pools of a slot again.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Pools that the heap came to hold since it last looked.
    since: Cell<u32>,
    /// Pools that it held then.
    left: Cell<u32>,
}

impl Sweep {
    pub(super) const fn new() -> Sweep {
        Sweep { since: Cell::new(0), left: Cell::new(0) }
    }

    /// The heap holds nothing any more.
    pub(super) fn reset(&self) {
        self.since.set(0);
        self.left.set(0);
    }

    /// Counts a pool; whether it is time to look.
    fn is_due(&self) -> bool {
        self.since.set(self.since.get() + 1);
        self.since.get() >= AT_LEAST + self.left.get()
    }
}

impl ThreadHeap {
    /// The heap came to hold a pool that it did not look for.
    pub(super) fn count_held(&self, slot: usize) {
        let sweep = &self.sweeps[slot];
        if sweep.is_due() {
            sweep.since.set(0);
            sweep.left.set(self.sweep(slot));
        }
    }

    /// Takes what came home to the pools of a slot, all but the current one, and gives back the empty ones.
    /// Returns how many there are still.
    fn sweep(&self, slot: usize) -> u32 {
        let mut left = 0;
        let current = self.first_pool(slot).and_then(Held::next);
        for first in [current, self.brimful(slot).get()] {
            let mut next = first;
            while let Some(held) = next {
                next = held.next();
                left += 1;
                if held.pool().pool_word().has_blocks() && self.take_home(slot, held) {
                    left -= 1;
                }
            }
        }
        left
    }

    /// Takes what came home to a pool that is not the current one. True: it was the last, the pool is given back.
    fn take_home(&self, slot: usize, held: Held) -> bool {
        let list = if held.is_full() { self.brimful(slot) } else { &self.pools[slot] };
        held.unlink(list);
        held.take_remote();
        let empty = held.pool().live() == 0;
        self.place(held);
        empty
    }
}
