//! The pool word: how blocks come home from other threads, and who may touch a pool.
//!
//! # Protocol
//! One word per raw pool: `head:16 | count:16 | need:16 | state:2`.
//!
//! | state | who may touch the pool's plain fields |
//! |---|---|
//! | `HELD` | one heap, the holder |
//! | `FULL` | nobody; all blocks are out, or on their way home in the word |
//! | `LISTED` | nobody; some blocks are free; the pool is in the registry |
//!
//! | transition | by | word |
//! |---|---|---|
//! | push | who owns `n` live blocks and gives them up | head = the first, count + n; unless HELD also need − n |
//! | claim | the same step when need was at most `n` | need = 0, HELD: the freer is the holder now |
//! | take | the holder | (empty, HELD) |
//! | unhold full | the holder, nothing free | (empty, HELD) → (empty, need, FULL); fails when blocks came |
//! | unhold listed | the holder, some free, under the registry lock | the same to LISTED |
//! | adopt | under the registry lock | LISTED → HELD; fails when a freer claimed |
//!
//! The pool's header may be touched only by who owns a live block of it, before its push succeeds; by
//! the holder; or through the registry under its lock. `need` is at least 1 outside of HELD and at
//! most the number of live blocks, so the last push always finds a need of at most its blocks and claims:
//! no pool is lost.
//!
//! # Orderings
//! - push is Release: the take that finds the blocks must see their links and all writes of their last users.
//! - take is Acquire, for the same pair.
//! - unhold full is Release, and the claimer's take is the Acquire that pairs with it: the plain fields
//!   are handed over through the word.
//! - unhold listed is Relaxed: who gets a listed pool, by adopting it or by unlinking what it claimed,
//!   goes through the registry lock.
//! - claim and adopt are Relaxed: a take always follows. Claim's CAS is also a push, but nobody else
//!   takes those blocks, so Release is not needed either.

use crate::sync::atomic::{AtomicU64, Ordering};

/// No block: also the largest head, so pools are at most 512 KiB.
const NONE: u64 = 0xFFFF;
const COUNT_ONE: u64 = 1 << 16;
const NEED_ONE: u64 = 1 << 32;
const FIELD: u64 = 0xFFFF;

const HELD: u64 = 0 << 48;
const FULL: u64 = 1 << 48;
const LISTED: u64 = 2 << 48;
const STATE: u64 = 3 << 48;

const EMPTY_HELD: u64 = NONE | HELD;

/// Who pushed a block: what is to be done now.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Nothing: and the pool must not be touched any more.
    Away,
    /// The caller is the holder now; it must take.
    Claimed {
        /// The pool is still linked in the registry; the caller must unlink it.
        listed: bool,
    },
}

/// What a take found: a chain of blocks that other threads freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Index of the first block, in units of the pool's granularity; `None` when nothing came.
    pub head: Option<u16>,
    /// Length of the chain.
    pub count: u32,
}

/// The word of one pool.
#[derive(Debug)]
pub struct PoolWord(AtomicU64);

impl PoolWord {
    /// A pool that its maker holds, with no block on its way home.
    #[cfg(loom)]
    pub fn new() -> PoolWord {
        PoolWord(AtomicU64::new(EMPTY_HELD))
    }

    /// Prepares the word for a new use of the pool, of which no block is out.
    pub fn reset(&self) {
        self.0.store(EMPTY_HELD, Ordering::Relaxed);
    }

    /// Gives up a chain of live blocks, `count` from `first` on. `link` stores in the last one what
    /// follows it.
    ///
    /// Claims the pool for the caller when nobody holds it and enough blocks have come home.
    #[inline]
    pub fn push(&self, first: u16, count: u16, mut link: impl FnMut(Option<u16>)) -> Pushed {
        debug_assert!(u64::from(first) != NONE, "block {first} is the mark for none");
        let count = u64::from(count);
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            link(head(word));
            let pushed = (word & !FIELD | u64::from(first)) + count * COUNT_ONE;
            let (next, outcome) = if word & STATE == HELD {
                (pushed, Pushed::Away)
            } else if need(word) > count {
                (pushed - count * NEED_ONE, Pushed::Away)
            } else {
                let claimed = pushed & !(STATE | FIELD << 32) | HELD;
                (claimed, Pushed::Claimed { listed: word & STATE == LISTED })
            };
            let order = if outcome == Pushed::Away { Ordering::Release } else { Ordering::Relaxed };
            match self.0.compare_exchange_weak(word, next, order, Ordering::Relaxed) {
                Ok(_) => return outcome,
                Err(seen) => word = seen,
            }
        }
    }

    /// Whether blocks have come home; a hint, for the holder.
    #[inline(always)]
    pub fn has_blocks(&self) -> bool {
        self.count() != 0
    }

    /// Blocks that have come home and were not taken yet; exact at rest.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) >> 16 & FIELD) as u32
    }

    /// Fetches what came home. Only for the holder.
    #[inline]
    pub fn take(&self) -> Taken {
        let word = self.0.swap(EMPTY_HELD, Ordering::Acquire);
        debug_assert!(word & STATE == HELD, "take by who does not hold: {word:#x}");
        Taken { head: head(word), count: (word >> 16 & FIELD) as u32 }
    }

    /// The holder of a pool without a free block gives it up. False, and still held, when blocks came.
    #[inline]
    pub fn unhold_full(&self, need: u16) -> bool {
        self.unhold(need, FULL, Ordering::Release)
    }

    /// The holder of a pool with free blocks gives it up to the registry, under the registry lock.
    /// False, and still held, when blocks came.
    #[inline]
    pub fn unhold_listed(&self, need: u16) -> bool {
        self.unhold(need, LISTED, Ordering::Relaxed)
    }

    fn unhold(&self, need: u16, state: u64, order: Ordering) -> bool {
        debug_assert!(need >= 1, "the last free must find a need");
        let given_up = NONE | u64::from(need) << 32 | state;
        self.0.compare_exchange(EMPTY_HELD, given_up, order, Ordering::Relaxed).is_ok()
    }

    /// Makes the caller the holder of a listed pool, under the registry lock; it must take next.
    /// False when a freer claimed the pool first.
    #[inline]
    pub fn adopt(&self) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & STATE == LISTED {
            let held = word & (FIELD | FIELD << 16) | HELD;
            match self.0.compare_exchange_weak(word, held, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }

    /// Whether some heap holds the pool; exact at rest.
    pub fn is_held(&self) -> bool {
        self.0.load(Ordering::Relaxed) & STATE == HELD
    }
}

#[inline(always)]
fn head(word: u64) -> Option<u16> {
    let head = word & FIELD;
    if head == NONE { None } else { Some(head as u16) }
}

#[inline(always)]
fn need(word: u64) -> u64 {
    word >> 32 & FIELD
}
