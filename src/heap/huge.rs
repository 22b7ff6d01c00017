//! Huge blocks: arenas of their own.
//!
//! A block begins at the start of an arena slot, whose record says how long it is. Its memory goes back to
//! the system when it is freed, its slots to the reservation. Growing moves pages, not bytes.

use core::ptr::NonNull;

use super::arena::{Arena, Arenas};
use super::pool::{Held, PoolRef, Shape};
use super::thread::ThreadHeap;
use crate::base::bits::align_up;
use crate::base::config::{ARENA, PAGE};
use crate::os;

impl Arenas {
    /// Takes `len` zeroed bytes aligned to `align`.
    pub(crate) fn take_huge(&mut self, len: usize, align: usize) -> Option<NonNull<u8>> {
        let len = len.checked_next_multiple_of(PAGE)?;
        // Slots are aligned to their size; more alignment costs addresses in front.
        let front = if align > ARENA { align / ARENA } else { 0 };
        let slots = len.div_ceil(ARENA).checked_add(front)?;
        let place = self.slots.take(slots)?;
        let first = place.as_ptr() as usize;
        let start = align_up(first, align.max(ARENA));
        let before = (start - first) / ARENA;
        // SAFETY: the slots go on to the aligned start and `len` bytes behind it.
        let block = unsafe { place.add(before * ARENA) };
        // SAFETY: the block lies within the slots, which are ours.
        if !unsafe { os::commit(block, len) }
            || (before > 0 && !super::reservation::commit_meta(start))
        {
            self.slots.give(place, slots);
            return None;
        }
        // SAFETY: the metadata of the block's first arena are committed.
        let arena = unsafe { Arena::of(start) };
        arena.start.set(start);
        arena.huge_slots.set(slots);
        arena.huge_len.set(len);
        arena.huge_before.set(before);
        self.count_slots(slots);
        self.huge.blocks += 1;
        self.huge.bytes += len;
        self.huge.slots += slots;
        Some(block)
    }

    /// Takes a huge block as a pool of one block.
    pub(crate) fn take_huge_pool(
        &mut self,
        len: usize,
        shape: Shape,
        owner: *mut ThreadHeap,
    ) -> Option<Held> {
        let block = self.take_huge(len, PAGE)?;
        // SAFETY: the block begins with an arena whose metadata are committed.
        let pool = unsafe { PoolRef::of_granule(block.as_ptr() as usize) };
        // SAFETY: the block is the caller's; a span of 0 says that the granules are not the pool's.
        Some(unsafe { pool.init(shape, 0, owner) })
    }

    /// Gives a huge block back.
    ///
    /// # Safety
    /// `block` came from [`take_huge`](Self::take_huge) and is the caller's.
    pub(crate) unsafe fn give_huge(&mut self, block: NonNull<u8>) {
        // SAFETY: a huge block begins with an arena whose metadata are committed.
        let arena = unsafe { Arena::of(block.as_ptr() as usize) };
        let (slots, len) = (arena.huge_slots.take(), arena.huge_len.take());
        self.made -= slots;
        self.huge.blocks -= 1;
        self.huge.bytes -= len;
        self.huge.slots -= slots;
        // SAFETY: the block is committed and nobody uses it any more.
        unsafe { os::purge(block, len) };
        // SAFETY: that many slots lie in front of the block's.
        let place = unsafe { block.sub(arena.huge_before.take() * ARENA) };
        self.slots.give(place, slots);
    }

    /// Changes the length of a huge block where it lies, or moves its pages; `None` when neither can
    /// be done without copying.
    ///
    /// # Safety
    /// As [`give_huge`](Self::give_huge); `len` is not 0.
    pub(crate) unsafe fn resize_huge(
        &mut self,
        block: NonNull<u8>,
        len: usize,
        align: usize,
    ) -> Option<NonNull<u8>> {
        let len = len.checked_next_multiple_of(PAGE)?;
        // SAFETY: a huge block begins with an arena whose metadata are committed.
        let arena = unsafe { Arena::of(block.as_ptr() as usize) };
        let (slots, old) = (arena.huge_slots.get(), arena.huge_len.get());
        let need = len.div_ceil(ARENA) + arena.huge_before.get();
        if len <= old {
            if len < old {
                // SAFETY: the tail lies within the block.
                let tail = unsafe { block.add(len) };
                // SAFETY: the tail is the caller's and it wants it no longer.
                unsafe { os::purge(tail, old - len) };
            }
        } else if need <= slots || self.grow_slots(arena, need - slots) {
            // SAFETY: the block's slots go on behind it.
            let tail = unsafe { block.add(old) };
            // SAFETY: the range lies within the block's slots.
            if !unsafe { os::commit(tail, len - old) } {
                return None;
            }
        } else {
            // SAFETY: the caller's block.
            return unsafe { self.move_huge(block, old, len, align) };
        }
        self.huge.bytes = self.huge.bytes - old + len;
        arena.huge_len.set(len);
        Some(block)
    }

    fn grow_slots(&mut self, arena: &'static Arena, more: usize) -> bool {
        let slots = arena.huge_slots.get();
        let first = arena.start.get() - arena.huge_before.get() * ARENA;
        if !self.slots.extend(first, slots, more) {
            return false;
        }
        arena.huge_slots.set(slots + more);
        self.huge.slots += more;
        self.count_slots(more);
        true
    }

    /// Moves the pages of a huge block to a larger place.
    ///
    /// # Safety
    /// As [`give_huge`](Self::give_huge); `old` is its length.
    unsafe fn move_huge(
        &mut self,
        block: NonNull<u8>,
        old: usize,
        len: usize,
        align: usize,
    ) -> Option<NonNull<u8>> {
        let place = self.take_huge(len, align)?;
        // SAFETY: both ranges are ours, committed, and do not overlap.
        let moved = unsafe { os::remap(block, place, old) };
        // SAFETY: one of the two is given up, and nobody else knows of it.
        unsafe { self.give_huge(if moved { block } else { place }) };
        moved.then_some(place)
    }
}
