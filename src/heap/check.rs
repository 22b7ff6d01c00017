//! What is noticed of a caller's mistakes off the fast path: abort with pointer, class and sizes.

use core::ptr::NonNull;

use super::pool::{Kind, PoolRef};
use super::reservation::is_ours;
use crate::base::cold::abort;

/// Aborts unless `place` can be the start of a live block of a raw pool.
#[inline]
pub(super) fn raw_block(pool: PoolRef, place: NonNull<u8>) {
    let addr = place.as_ptr() as usize;
    let sound = is_ours(addr)
        && pool.kind() == Kind::Raw
        && pool.block_index(addr - pool.start().as_ptr() as usize).is_some();
    if !sound {
        wrong_block(pool, place);
    }
}

#[cold]
fn wrong_block(pool: PoolRef, place: NonNull<u8>) -> ! {
    if !is_ours(place.as_ptr() as usize) {
        abort(format_args!("dealloc of {place:p}, which this allocator did not hand out"));
    }
    let (kind, size) = (pool.kind(), pool.block_size());
    if kind != Kind::Raw {
        abort(format_args!("dealloc of {place:p} as a pooled block, but its granule is {kind:?}"));
    }
    abort(format_args!("dealloc of {place:p}, which is not the start of a block of {size} bytes"));
}

/// Aborts unless `place` is the start of a run of granules.
pub(super) fn run(pool: PoolRef, place: NonNull<u8>, size: usize) {
    if pool.kind() != Kind::Run || pool.start() != place {
        let kind = pool.kind();
        abort(format_args!(
            "dealloc of {place:p} with {size} bytes, but it lies in a {kind:?} granule"
        ));
    }
}

/// A block cannot be freed for want of memory for a heap.
pub(super) fn no_memory_for_heap() -> ! {
    abort(format_args!("no memory for the heap of a thread that has ended"))
}

/// The invariants, asserted: for tests and fuzzing.
#[cfg(any(test, fuzzing))]
mod invariants {
    use super::super::arena::Arenas;
    use super::super::block::BlockPtr;
    use super::super::pool::Held;
    use super::super::thread::{SLOTS, ThreadHeap};

    impl ThreadHeap {
        /// Asserts what `thread.rs` says of a heap, and `pool.rs` of its pools.
        pub(crate) fn check_invariants(&self) {
            for slot in 0..SLOTS {
                let active = length(self.active_list(slot));
                assert_eq!(active, self.left(slot), "the active list of slot {slot}");
                let mut next = self.first_pool(slot);
                while let Some(held) = next {
                    next = held.next();
                    assert_eq!(held.pool().slot(), slot, "a pool in the wrong list");
                    assert!(!held.is_full(), "a full pool in the list of slot {slot}");
                    held.check_invariants();
                }
            }
            for held in self.full_pools() {
                assert!(held.is_full(), "a kept pool that is not full");
                held.check_invariants();
            }
        }
    }

    impl Held {
        /// Asserts the counting of `pool.rs`.
        fn check_invariants(self) {
            let pool = self.pool();
            let (live, carved) = (pool.live(), pool.carved());
            assert!(live <= carved, "{live} live of {carved} carved");
            assert!(carved <= self.bump() && self.bump() <= pool.capacity(), "{carved} carved");
            let mut free = 0;
            let mut next = self.local();
            while let Some(block) = next {
                let offset = block.addr() - pool.start().as_ptr() as usize - self.link_offset();
                assert!(offset.is_multiple_of(pool.block_size()), "a link inside a block");
                assert!(offset / pool.block_size() < self.bump(), "a free block past the carved");
                free += 1;
                // SAFETY: the block is in the pool's list, which the holder checks.
                next = unsafe { block.next() };
            }
            assert_eq!(free, carved - live, "free blocks of a pool of {}", pool.block_size());
        }
    }

    impl Arenas {
        /// Asserts that each arena is in the list of its number of free granules.
        pub(crate) fn check_invariants(&self) {
            self.for_each_arena(|free, dirty, in_list| {
                assert_eq!(dirty & !free, 0, "a granule in use is called dirty: {dirty:#x}");
                assert!(in_list, "an arena with {} free granules", free.count_ones());
            });
        }
    }

    fn length(list: Option<BlockPtr>) -> usize {
        let (mut length, mut next) = (0, list);
        while let Some(block) = next {
            length += 1;
            // SAFETY: the active list is this thread's.
            next = unsafe { block.next() };
        }
        length
    }
}
