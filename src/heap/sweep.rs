//! What came home to pools that a heap holds but does not allocate from.
//!
//! A heap takes the blocks that others freed into its pools when it looks for one to allocate from. A pool
//! that it came to hold otherwise, by a free that claimed it, may get all its blocks back and never be looked
//! at: a thread that frees the first block of each pool, and others all the rest, would keep every pool of
//! the program. So a heap looks at all pools of a slot after it came to hold about as many as it had when
//! it last looked, which costs one look for each of them. Empty ones go back, and those of which half is free
//! are listed for any thread, unless this one has used up as many since.
//!
//! A heap that comes to hold no more does not look: what others free into the pools of a thread that sleeps
//! stays with it.

use core::cell::Cell;

use super::ends::abandon;
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
    /// Pools that it used up since.
    used: Cell<u32>,
}

impl Sweep {
    pub(super) const fn new() -> Sweep {
        Sweep { since: Cell::new(0), left: Cell::new(0), used: Cell::new(0) }
    }

    /// The heap holds nothing any more.
    pub(super) fn reset(&self) {
        self.since.set(0);
        self.left.set(0);
        self.used.set(0);
    }

    /// The heap has used up a pool.
    pub(super) fn count_used(&self) {
        self.used.set(self.used.get().saturating_add(1));
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

    /// Takes what came home to the pools of a slot, all but the current one, and gives up those that it has no
    /// use for. Returns how many it keeps.
    fn sweep(&self, slot: usize) -> u32 {
        let (mut kept, mut wanted) = (0, self.sweeps[slot].used.take());
        let mut next = self.first_pool(slot).and_then(Held::next);
        while let Some(held) = next {
            next = held.next();
            if held.pool().pool_word().has_blocks() {
                held.take_remote();
            }
            if is_wanted(held, &mut wanted) {
                kept += 1;
            } else {
                held.unlink(&self.slots[slot].pools);
                abandon(held);
            }
        }
        let mut next = self.brimful(slot).get();
        while let Some(held) = next {
            next = held.next();
            kept += 1;
            if held.pool().pool_word().has_blocks() {
                held.unlink(self.brimful(slot));
                held.take_remote();
                if is_wanted(held, &mut wanted) {
                    self.place(held);
                } else {
                    kept -= 1;
                    abandon(held);
                }
            }
        }
        kept
    }
}

/// Whether a heap keeps a pool: half of it is in use, or it has used up as many of late.
fn is_wanted(held: Held, wanted: &mut u32) -> bool {
    let pool = held.pool();
    if 2 * pool.live() >= pool.capacity() {
        return true;
    }
    let keeps = pool.live() > 0 && *wanted > 0;
    *wanted -= u32::from(keeps);
    keeps
}
