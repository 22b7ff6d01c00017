//! Blocks with room: what grows gets more than it asks for, and grows on where it lies.
//!
//! A vector that is filled doubles its block again and again; each time what it holds is copied to memory that is
//! not in the cache. So a block of some size that grows by at least half moves to one of [`ROOM`] bytes, and from
//! there it moves no more until that is full. Such blocks have pools of their own, a slot beside those of the
//! size classes: one serves every layout from [`FROM`] to [`ROOM`] bytes. Who shrinks his block gets one of
//! its class again.
//!
//! What a block does not use of its room is lost while it lives. So there are few: beside [`LEAST`] pools
//! in any case, a [`SHARE`] of what is in use. When there are as many, blocks move from class to class.
//!
//! Under full checks no block gets room: a layout's class must be its block's then.

use core::alloc::Layout;

use super::arena::Arenas;
use super::block::BlockPtr;
use super::check;
use super::size_class::{CLASSES, SMALL_MAX, SizeClass};
use super::thread::ThreadHeap;
use crate::base::config::GRANULE;

/// The slot of blocks with room, behind those of the size classes.
pub(super) const ROOMY_SLOT: usize = CLASSES;

/// Bytes of a block with room.
pub(super) const ROOM: usize = SMALL_MAX;

/// The least that gets a block with room. Smaller ones are cheap to copy, and there are many.
const FROM: usize = 512;

/// Pools of such blocks that there may be in any case.
const LEAST: usize = 2;

/// This share of what is in use may be more of them.
const SHARE: usize = 64;

/// Blocks that do without room, after one that was refused it, until it is asked for again.
const PATIENCE: u8 = 100;

/// Whether a block that grows should have room: it will probably grow again, and then there will be some.
#[inline(always)]
pub(super) const fn wants_room(old: Layout, new: usize) -> bool {
    new >= FROM && new <= ROOM / 2 && new >= old.size() + old.size() / 2 && old.align() <= ROOM
}

/// Whether a block with room can have this layout: its class is one of those that get room. (Its size may be
/// below [`FROM`]: under full checks a block stays while its class does.)
pub(super) fn serves(layout: Layout) -> bool {
    SizeClass::of_layout(layout.size(), layout.align())
        .is_some_and(|class| class.size() >= FROM && class.size() <= ROOM)
}

impl ThreadHeap {
    /// A block with room, if there may be one more.
    #[inline]
    pub(super) fn alloc_roomy(&self) -> Option<BlockPtr> {
        if check::is_full() {
            return None;
        }
        match self.pop(ROOMY_SLOT) {
            Some(block) => Some(block),
            None => self.alloc_roomy_slow(),
        }
    }

    #[inline(never)]
    fn alloc_roomy_slow(&self) -> Option<BlockPtr> {
        let patience = self.patience.get();
        if patience > 0 && self.first_pool(ROOMY_SLOT).is_none() {
            self.patience.set(patience - 1);
            return None;
        }
        self.alloc_slow(ROOMY_SLOT)
    }

    /// There may be no more blocks with room.
    pub(super) fn refuse_room(&self) {
        self.patience.set(PATIENCE);
    }
}

impl Arenas {
    /// Whether there may be one more pool of blocks with room.
    pub(super) fn has_roomy_pool(&self) -> bool {
        self.roomy < LEAST + self.used_bytes() / (SHARE * GRANULE)
    }
}

#[cfg(test)]
mod tests {
    use core::alloc::GlobalAlloc;
    use std::sync::{Mutex, PoisonError};
    use std::thread;

    use super::super::pool::PoolRef;
    use super::*;
    use crate::heap::{self, PoolAlloc};

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    /// A block, by its address, so that it can go to another thread.
    #[derive(Clone, Copy)]
    struct Block {
        addr: usize,
        layout: Layout,
    }

    impl Block {
        fn new(size: usize, align: usize) -> Block {
            let layout = layout(size, align);
            // SAFETY: the size is not zero.
            Block { addr: unsafe { PoolAlloc.alloc(layout) as usize }, layout }.filled()
        }

        fn place(self) -> *mut u8 {
            core::ptr::with_exposed_provenance_mut(self.addr)
        }

        fn filled(self) -> Block {
            // SAFETY: the block is live.
            unsafe { self.place().write_bytes(self.addr as u8, self.layout.size()) };
            self
        }

        /// Changes the size; what the block held is still there.
        fn resized(self, size: usize) -> Block {
            // SAFETY: the block is live.
            let place = unsafe { PoolAlloc.realloc(self.place(), self.layout, size) };
            let block = Block { addr: place as usize, layout: layout(size, self.layout.align()) };
            assert_eq!(block.addr % self.layout.align(), 0, "{:?} to {size}", self.layout);
            for at in 0..size.min(self.layout.size()) {
                // SAFETY: the byte lies within the block.
                let byte = unsafe { place.add(at) };
                // SAFETY: as above.
                let byte = unsafe { byte.read() };
                assert_eq!(byte, self.addr as u8, "byte {at} of {:?} to {size}", self.layout);
            }
            block.filled()
        }

        fn has_room(self) -> bool {
            // SAFETY: a live block lies in an arena.
            let pool = unsafe { PoolRef::of_granule(self.addr) };
            pool.slot() == ROOMY_SLOT
        }

        fn free(self) {
            // SAFETY: tests free what they allocated, once.
            unsafe { PoolAlloc.dealloc(self.place(), self.layout) };
        }
    }

    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// Runs `test` on a thread of its own, in a heap of which so much is in use that other tests do not take
    /// all the room that there is.
    fn in_a_large_heap(test: impl FnOnce() + Send) {
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let much = layout(if cfg!(target_pointer_width = "64") { 1 << 30 } else { 1 << 28 }, 8);
        // SAFETY: the size is not zero.
        let place = unsafe { PoolAlloc.alloc(much) };
        assert!(!place.is_null());
        thread::scope(|scope| scope.spawn(test).join()).unwrap();
        // SAFETY: allocated above.
        unsafe { PoolAlloc.dealloc(place, much) };
    }

    #[test]
    fn who_wants_room_is_served_and_can_double() {
        for old in 1..ROOM + 100 {
            for new in (1..ROOM + 100).step_by(old % 7 + 1) {
                if wants_room(layout(old, 8), new) {
                    assert!(serves(layout(new, 8)) && serves(layout(2 * new, 8)));
                    assert!(2 * new >= 3 * old - 1, "{old} to {new} is not by half");
                }
            }
        }
        assert!(wants_room(layout(512, 4096), 1024) && !wants_room(layout(512, 16_384), 1024));
    }

    #[test]
    fn what_grows_stays_where_it_is_until_the_room_is_full() {
        in_a_large_heap(|| {
            for align in [1, 8, 64, 256] {
                let grown = Block::new(300, align).resized(600);
                assert!(grown.has_room());
                let mut block = grown;
                for size in [1200, 2400, 2401, 4800, ROOM] {
                    block = block.resized(size);
                    assert_eq!(block.addr, grown.addr, "{size} bytes aligned to {align}");
                }
                let moved = block.resized(ROOM + 1);
                assert!(moved.addr != grown.addr && !moved.has_room());
                moved.free();
                heap::check_invariants();
            }
        });
    }

    #[test]
    fn what_shrinks_leaves_its_room() {
        in_a_large_heap(|| {
            for size in [1, 100, 600, 1000] {
                let block = Block::new(300, 8).resized(1001);
                assert!(block.has_room());
                let shrunk = block.resized(size);
                assert!(!shrunk.has_room(), "{size}");
                shrunk.free();
            }
        });
    }

    #[test]
    fn what_grows_by_little_gets_no_room() {
        let block = Block::new(1000, 8).resized(1400);
        assert!(!block.has_room());
        block.free();
    }

    /// Blocks with room are few, however many grow; those that another thread frees come home.
    #[test]
    fn there_is_room_for_a_share_only() {
        in_a_large_heap(|| {
            let mut blocks: Vec<Block> =
                (0..30_000).map(|n| Block::new(100 + n % 200, 8).resized(600)).collect();
            heap::check_invariants();
            let stats = heap::stats();
            let most = LEAST + stats.total() / (SHARE * GRANULE);
            assert!(stats.roomy.pools <= most, "{} pools of {most}", stats.roomy.pools);
            let roomy = blocks.iter().filter(|block| block.has_room()).count();
            assert!(roomy >= 8 * LEAST && roomy <= 8 * most, "{roomy} of {most} pools");
            blocks = blocks.into_iter().map(|block| block.resized(1300)).collect();
            let others = blocks.split_off(10_000);
            thread::spawn(|| others.into_iter().for_each(Block::free)).join().unwrap();
            heap::check_invariants();
            let again: Vec<Block> = (0..100).map(|_| Block::new(400, 8).resized(800)).collect();
            assert!(again.iter().any(|block| block.has_room()), "there is room again");
            blocks.into_iter().chain(again).for_each(Block::free);
            heap::check_invariants();
        });
    }
}
