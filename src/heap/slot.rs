//! What a thread's heap has of one slot: the pools it holds, and the active list.
//!
//! # Orderings
//! Relaxed: the head of an active list has one writer, and statistics may read it late.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::block::BlockPtr;
use super::pool::{Held, Kind, PoolRef};
use super::remote::MAX_BLOCKS;
use super::reservation::has_record;
use crate::os;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// What a heap has of one slot.
///
/// A load waits for an earlier store whose address has the same low twelve bits. Heaps begin with a page, and
/// records are multiples of 128 bytes from one: so `list` lies where a record has what a free does not write
/// (a pair of blocks of 16 bytes took 5.8 ns, and 3.5 since).
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slot {
    /// Held pools with free blocks; the first is the current one.
    pub(super) pools: Cell<Option<Held>>,
    /// The active list: free blocks of the current pool, or some that were kept of others', to be handed out next.
    list: AtomicPtr<u8>,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    use super::pool::Pool;
    use super::thread::ThreadHeap;
    use core::mem::offset_of;

    assert!(size_of::<Slot>() == 16 && offset_of!(ThreadHeap, slots) == 0);
    assert!(offset_of!(Slot, list) == 8);
    assert!((offset_of!(Pool, events) | offset_of!(Pool, local)).is_multiple_of(16));
};

impl Slot {
    pub(super) const fn new() -> Slot {
        Slot { pools: Cell::new(None), list: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The first block of the active list.
    #[inline(always)]
    pub(super) fn active(&self) -> Option<BlockPtr> {
        let first = NonNull::new(self.list.load(Ordering::Relaxed))?;
        // SAFETY: `activate` got it from a block.
        Some(unsafe { BlockPtr::new(first) })
    }

    /// Makes a list the active one.
    #[inline(always)]
    pub(super) fn activate(&self, list: Option<BlockPtr>) {
        let first = list.map_or(ptr::null_mut(), |first| first.place().as_ptr());
        self.list.store(first, Ordering::Relaxed);
    }

    /// The next free block. Nobody counts them: with a number to be written here, too, batches took 8 to 17% longer.
    #[inline(always)]
    pub(super) fn pop(&self) -> Option<BlockPtr> {
        let first = self.active()?;
        // SAFETY: the active list is of free blocks, and this thread's.
        Some(unsafe { self.begin(first) })
    }

    /// Hands out the first block of a list, and makes the others the active one.
    ///
    /// # Safety
    /// The blocks are free, linked, and this thread's.
    #[inline(always)]
    pub(super) unsafe fn begin(&self, first: BlockPtr) -> BlockPtr {
        // SAFETY: the caller's.
        self.activate(unsafe { first.next() });
        first
    }

    /// How many blocks the active list of this slot, number `slot`, has; exact at rest. For the heap's own thread,
    /// and for any that has the arena lock.
    ///
    /// Its thread may hand out a block meanwhile (or, in a forked child, have stopped while it did), and the
    /// program write to it: so what stands there is looked at as by a debugger, and followed within the pool, or
    /// as far as blocks of other pools are kept.
    pub(super) fn left(&self, slot: usize) -> usize {
        let first = self.list.load(Ordering::Relaxed).expose_provenance();
        let Some(pool) = pool_of(first, slot) else { return 0 };
        let start = pool.start().addr().get();
        let (mut left, mut at) = (0, first);
        while at.is_multiple_of(align_of::<usize>())
            && if at.wrapping_sub(start) < pool.extent() {
                left < pool.carved().max(MAX_BLOCKS)
            } else {
                left < MAX_BLOCKS && pool_of(at, slot).is_some()
            }
        {
            left += 1;
            // SAFETY: a word of a pool, whose granules are committed until the arena lock is free.
            at = unsafe { os::peek(ptr::with_exposed_provenance(at)) };
        }
        left
    }
}

/// The pool of a slot that `addr` is in, if it is in one.
fn pool_of(addr: usize, slot: usize) -> Option<PoolRef> {
    if !has_record(addr) {
        return None;
    }
    // SAFETY: its record can be read, and those before it in its arena.
    let pool = unsafe { PoolRef::of_any(addr) };
    (matches!(pool.kind(), Kind::Raw | Kind::Object) && pool.slot() == slot).then_some(pool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::alloc::{GlobalAlloc, Layout};

    use crate::heap::PoolAlloc;
    use crate::heap::size_class::SizeClass;

    fn alloc(layout: Layout) -> *mut u8 {
        // SAFETY: the layout is not empty.
        unsafe { PoolAlloc.alloc(layout) }
    }

    fn dealloc(block: *mut u8, layout: Layout) {
        // SAFETY: tests pass what `alloc` returned, once.
        unsafe { PoolAlloc.dealloc(block, layout) };
    }

    /// A look at a list may come upon any number: a pool's, one whose record is not there, and no address.
    #[test]
    fn a_pool_is_found_by_any_number() {
        let small = Layout::new::<[u64; 5]>();
        let huge = Layout::array::<u8>(20 << 20).unwrap();
        let (block, far) = (alloc(small), alloc(huge));
        let (slot, addr) = (SizeClass::of_small(small.size()).index(), block.expose_provenance());
        // SAFETY: blocks lie in arenas.
        let pool = unsafe { PoolRef::of_any(addr) };
        assert_eq!(pool_of(addr, slot), Some(pool));
        assert_eq!(pool_of(addr, slot + 1), None);
        for distance in 0..20 {
            assert_eq!(pool_of(far.expose_provenance() + (distance << 20), slot), None);
        }
        for bit in 0..usize::BITS {
            assert_eq!(pool_of(1 << bit, slot), None);
        }
        dealloc(block, small);
        dealloc(far, huge);
    }
}
