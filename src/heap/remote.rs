//! Frees of blocks that belong to pools of other threads.
//!
//! A thread keeps such blocks for a while, in a *remote cache* for each class: all of them become its active list
//! when it has none of its own at hand (they are warm, and stay their pools'), and it sends them home when the
//! cache is full, all blocks of a pool with one step on its word. So a thread that frees what another allocates
//! pays for the other's cache line once for many blocks, and between two threads that send blocks to and fro
//! few go home at all. But who took over another thread's blocks, and has enough of its own, would free those
//! here for ever, in four times the time: so what is kept is due at home after a number of lists of its own, and
//! sent there when the thread next looks for more. Where the other thread sleeps, its pools have them then, and
//! this thread makes as many of its own.
//!
//! Blocks of a pool that nobody holds are never kept: the first few frees make somebody its holder.
//!
//! What is kept of a class is at most [`MAX_BLOCKS`] blocks and [`MAX_BYTES`] in the cache, until the thread
//! frees more of that class, and as much again in the active list; both until the thread allocates, trims, or
//! ends. For its pool a kept block is live, so the pool cannot go back; for the statistics it is free.
//!
//! # Orderings
//! Relaxed: `room` has one writer, and statistics may read it late.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

use super::block::BlockPtr;
use super::chain::Chain;
use super::check;
use super::ends::abandon;
use super::poison;
use super::pool::PoolRef;
use super::thread::{RAW_SLOTS, REGISTRIES, ThreadHeap, class_of};
use super::word::Pushed;
use crate::sync::atomic::{AtomicU32, Ordering};

/// Blocks that a cache keeps, at most.
pub(super) const MAX_BLOCKS: usize = 64;
/// Lists of its own blocks that a heap hands out before what it keeps is due at home. Of two threads that replace blocks
/// which others made, 0.76 frees in a hundred come to [`free_remote`] without this, and 0.13 with it; two that send
/// blocks to and fro take 1.02 of the time.
const PATIENCE: u16 = 8;
/// Bytes that a cache keeps, at most.
const MAX_BYTES: usize = 8 << 10;

/// Blocks of one class that a thread freed and that other heaps' pools count as live.
#[derive(Debug)]
pub(super) struct RemoteCache {
    list: Cell<Option<BlockPtr>>,
    /// 0 when the cache is closed, as those of the static heaps are for ever; else one more than the number
    /// of blocks that there is room for. So one test finds both.
    room: AtomicU32,
    /// The room when it is empty.
    all: Cell<u16>,
    /// So many more lists of the heap's own may become the active one, by `refill_warm`, before what is kept is due at
    /// home. All of [`PATIENCE`] while nothing is kept.
    patience: Cell<u16>,
}

impl RemoteCache {
    /// One that takes nothing.
    pub(super) const fn new() -> RemoteCache {
        RemoteCache {
            list: Cell::new(None),
            room: AtomicU32::new(0),
            all: Cell::new(0),
            patience: Cell::new(0),
        }
    }

    /// Keeps a block if there is room.
    #[inline(always)]
    fn put(&self, block: BlockPtr) -> bool {
        let room = self.room.load(Ordering::Relaxed);
        if room <= 1 {
            return false;
        }
        // SAFETY: the block is free from here on, and the caller's.
        unsafe { block.set_next(self.list.get()) };
        self.list.set(Some(block));
        self.room.store(room - 1, Ordering::Relaxed);
        true
    }

    /// All of the blocks, linked: the first, if there is one and they are not due at home.
    #[inline(always)]
    pub(super) fn take(&self) -> Option<BlockPtr> {
        if self.is_due() { None } else { self.take_anyway() }
    }

    /// The same, also if they are due.
    #[inline(always)]
    fn take_anyway(&self) -> Option<BlockPtr> {
        let first = self.list.get()?;
        self.patience.set(PATIENCE);
        self.list.set(None);
        self.room.store(self.all.get().into(), Ordering::Relaxed);
        Some(first)
    }

    /// The heap had blocks of its own for a whole list.
    #[inline(always)]
    pub(super) fn lose_patience(&self) {
        let is_kept = self.list.get().is_some();
        self.patience.set(self.patience.get().saturating_sub(u16::from(is_kept)));
    }

    /// Whether it keeps blocks, and they are due at home.
    #[inline(always)]
    pub(super) fn is_due(&self) -> bool {
        self.list.get().is_some() && self.patience.get() == 0
    }

    /// Opens the cache of a slot, which is empty.
    fn open(&self, slot: usize) {
        self.all.set(room_of(slot) as u16);
        self.patience.set(PATIENCE);
        self.room.store(room_of(slot), Ordering::Relaxed);
    }

    /// Blocks in the cache of a slot; exact at rest.
    pub(super) fn len(&self, slot: usize) -> usize {
        match self.room.load(Ordering::Relaxed) {
            0 => 0,
            room => (room_of(slot) - room) as usize,
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn list(&self) -> Option<BlockPtr> {
        self.list.get()
    }

    /// Asserts what `patience` says of itself; of a cache at rest.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check_patience(&self) {
        let is_open = self.room.load(Ordering::Relaxed) != 0;
        assert!(self.patience.get() <= PATIENCE, "more patience than there is");
        if is_open && self.list.get().is_none() {
            assert_eq!(self.patience.get(), PATIENCE, "lost while nothing was kept");
        }
    }
}

/// The room of an empty cache; 1, which is none, for classes of which one block is too much.
fn room_of(slot: usize) -> u32 {
    let blocks = MAX_BYTES / class_of(slot).size();
    blocks.min(MAX_BLOCKS) as u32 + 1
}

const _: () = assert!(RAW_SLOTS * 2 * MAX_BYTES <= 2 << 20, "what a thread keeps");

/// Frees a block of a pool that this thread's heap does not hold. A short leaf as long as the cache has room:
/// many blocks may be on their way from the other thread's cache at once, as far as the processor looks ahead.
///
/// What a free is called with comes first and in that order: so neither this call nor the path beside it moves
/// arguments to other registers.
///
/// # Safety
/// As [`ThreadHeap::free`] with the layout of this size and alignment; `heap` is this thread's. A wrong pointer
/// is noticed where it can be.
#[cold]
#[inline(never)]
pub(super) unsafe fn free_remote(
    place: NonNull<u8>,
    size: usize,
    align: usize,
    heap: &ThreadHeap,
    pool: PoolRef,
) {
    // SAFETY: the caller's: they are a layout's.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    if check::is_plain(pool, place, layout) {
        // SAFETY: the caller's, and the pool is a raw one.
        return unsafe { free_checked(heap, pool, place) };
    }
    // SAFETY: the caller's.
    unsafe { free_odd(heap, pool, place, layout) }
}

/// What [`free_remote`] does with a block that needs a closer look.
///
/// # Safety
/// As there.
#[cold]
#[inline(never)]
unsafe fn free_odd(heap: &ThreadHeap, pool: PoolRef, place: NonNull<u8>, layout: Layout) {
    check::raw_block(pool, place, layout);
    // SAFETY: the caller's, and the pool is a raw one.
    unsafe { free_checked(heap, pool, place) }
}

/// # Safety
/// As [`free_remote`]; the pool was found to be a raw one.
#[inline(always)]
unsafe fn free_checked(heap: &ThreadHeap, pool: PoolRef, place: NonNull<u8>) {
    poison::on_free(place, pool);
    // SAFETY: raw blocks have their link at the start and are 8-aligned.
    let block = unsafe { BlockPtr::new(place) };
    // From the record, not from the layout: a program that keeps sizes in its blocks waits for them still.
    // SAFETY: the caller's.
    let slot = unsafe { pool.raw_slot() };
    if !is_kept(pool) || !heap.remote[slot].put(block) {
        // SAFETY: the caller's.
        unsafe { free_unkept(heap, pool, block) };
    }
}

/// Whether blocks of a pool that another heap holds are kept.
#[inline(always)]
fn is_kept(pool: PoolRef) -> bool {
    !pool.owner().is_null() && !check::is_full()
}

/// What [`free_remote`] does where the cache does not take the block.
///
/// # Safety
/// The block is a live one of the raw pool and the caller's; `heap` is this thread's.
#[cold]
#[inline(never)]
unsafe fn free_unkept(mut heap: &ThreadHeap, pool: PoolRef, block: BlockPtr) {
    if !heap.is_own() && !heap.is_dead() {
        heap = ThreadHeap::create().unwrap_or(heap);
    }
    if heap.is_own() && is_kept(pool) {
        heap.send_home(pool.slot());
        if heap.remote[pool.slot()].put(block) {
            return;
        }
    }
    if heap.is_checked() {
        check::on_free(pool, block.place());
    }
    // SAFETY: the caller's: a chain of one.
    unsafe { free_chain(heap, pool, Chain::of_one(block)) };
}

/// Frees blocks on behalf of a heap: locally when it owns the pool, else through the pool word. A thread
/// without a heap (it has ended, or there is no memory for one) gives up at once what it claims.
///
/// # Safety
/// The blocks are live ones of the raw pool and the caller's; `heap` is this thread's.
unsafe fn free_chain(heap: &ThreadHeap, pool: PoolRef, chain: Chain) {
    if heap.holds(pool) {
        // SAFETY: the caller's.
        return unsafe { free_held(heap, pool, chain) };
    }
    // SAFETY: the caller's blocks.
    match unsafe { pool.push_remote(chain.first, chain.last, chain.len) } {
        Pushed::Away => {}
        Pushed::Claimed { listed } => {
            if listed {
                REGISTRIES[pool.slot()].unlink_claimed(pool);
            }
            // SAFETY: claiming makes the caller the holder.
            let held = unsafe { pool.assume_held() };
            if heap.is_own() { heap.claimed(held) } else { abandon(held) }
        }
    }
}

/// Frees blocks of a pool that the heap came to hold after it began to keep them.
///
/// # Safety
/// As [`free_chain`]; the heap owns the pool.
#[cold]
unsafe fn free_held(heap: &ThreadHeap, pool: PoolRef, chain: Chain) {
    let mut next = Some(chain.first);
    for _ in 0..chain.len {
        let Some(block) = next else { return };
        // SAFETY: the block is in the chain and was not freed yet.
        next = unsafe { block.next() };
        // SAFETY: the heap owns the pool: while blocks of it are live it does not give it up.
        let held = unsafe { pool.assume_held() };
        // SAFETY: the caller's block.
        if unsafe { held.free(block) } {
            heap.event(held);
        }
    }
}

impl ThreadHeap {
    /// Frees the blocks in the cache of a slot, and opens it.
    fn send_home(&self, slot: usize) {
        let cache = &self.remote[slot];
        let rest = cache.list.take();
        cache.open(slot);
        self.free_list(slot, rest);
    }

    /// Frees the blocks of a list in a slot, each for its pool.
    fn free_list(&self, slot: usize, mut rest: Option<BlockPtr>) {
        while let Some(first) = rest {
            // SAFETY: the list was this thread's alone, and all blocks in it are.
            let (chain, others) = unsafe { Chain::split_off(first) };
            rest = others;
            // SAFETY: blocks lie in arenas.
            let pool = unsafe { PoolRef::of_any(first.addr()) };
            match self.first_pool(slot) {
                // SAFETY: as above; for their pool the blocks are live.
                Some(current) if current.pool() == pool => unsafe { current.hand_back(chain) },
                // SAFETY: as above, and only raw pools' blocks are elsewhere than with the current pool.
                _ => unsafe { free_chain(self, pool, chain) },
            }
        }
    }

    /// Returns the active list of a slot: to the current pool, or home if it was kept of others'.
    pub(super) fn hand_back(&self, slot: usize) {
        let list = self.slots[slot].active();
        if list.is_some() {
            self.slots[slot].activate(None);
            self.free_list(slot, list);
        }
    }

    /// As `refill` of a raw slot whose cache is due: then its blocks go home, or are handed out where there are no
    /// others.
    pub(super) fn refill_or_keep(&self, slot: usize) -> Option<BlockPtr> {
        let block = self.refill(slot);
        if block.is_some() {
            self.send_home(slot);
            return block;
        }
        let first = self.remote[slot].take_anyway()?;
        // SAFETY: the list is of free blocks, and this thread's.
        Some(unsafe { self.slots[slot].begin(first) })
    }

    /// Frees all blocks that this thread keeps of other heaps' pools.
    pub(super) fn send_all_home(&self) {
        for slot in 0..RAW_SLOTS {
            if self.remote[slot].list.get().is_some() {
                self.send_home(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::alloc::GlobalAlloc;
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::thread;

    use crate::heap::PoolAlloc;
    use crate::heap::pool::Held;
    use crate::heap::size_class::SizeClass;
    use crate::os::failing::refusing;

    /// Blocks of which a cache keeps four, of a size that no other test has.
    const LAYOUT: Layout = match Layout::from_size_align(2040, 8) {
        Ok(layout) => layout,
        Err(_) => panic!("a layout"),
    };

    /// The tests of this file after one another: a thread takes over what another test's thread leaves.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alloc() -> usize {
        // SAFETY: the layout is not empty.
        unsafe { PoolAlloc.alloc(LAYOUT) as usize }
    }

    fn free(addr: usize) {
        // SAFETY: tests pass what `alloc` returned, once.
        unsafe { PoolAlloc.dealloc(core::ptr::with_exposed_provenance_mut(addr), LAYOUT) };
    }

    fn kept() -> usize {
        let slot = SizeClass::of_small(LAYOUT.size()).index();
        ThreadHeap::current().remote[slot].len(slot)
    }

    fn at_hand() -> usize {
        ThreadHeap::current().left(SizeClass::of_small(LAYOUT.size()).index())
    }

    fn pool_of(addr: usize) -> PoolRef {
        // SAFETY: blocks lie in arenas.
        unsafe { PoolRef::of_any(addr) }
    }

    /// So many blocks of each of two pools, in turn.
    fn blocks_of_two_pools(each: usize) -> Vec<usize> {
        let blocks: Vec<usize> = (0..128).map(|_| alloc()).collect();
        let (first, last) = (blocks[0], blocks[127]);
        let of = |block: usize| {
            blocks.iter().copied().filter(move |&other| pool_of(other) == pool_of(block)).take(each)
        };
        assert!(pool_of(first) != pool_of(last), "one pool");
        let chosen: Vec<usize> = of(first).zip(of(last)).flat_map(|(a, b)| [a, b]).collect();
        blocks.into_iter().filter(|block| !chosen.contains(block)).for_each(free);
        chosen
    }

    #[test]
    fn blocks_are_kept_handed_out_again_and_sent_home() {
        let _alone = alone();
        let blocks = blocks_of_two_pools(5);
        let in_use = |index: usize| pool_of(blocks[index]).in_use();
        let before = (in_use(0), in_use(1));
        thread::scope(|scope| {
            let freer = scope.spawn(|| {
                blocks[..4].iter().copied().for_each(free);
                assert_eq!(kept(), 4);
                assert_eq!((in_use(0), in_use(1)), before, "kept blocks are live for their pools");
                assert_eq!(alloc(), blocks[3], "the warmest one is handed out again");
                assert_eq!((kept(), at_hand()), (0, 3), "the others are the active list");
                crate::heap::check_invariants();
                free(blocks[3]);
                assert_eq!((kept(), at_hand()), (1, 3));
                assert_eq!([alloc(), alloc(), alloc(), alloc()], [2, 1, 0, 3].map(|n| blocks[n]));
                assert_eq!((kept(), at_hand()), (0, 0));
                blocks[..4].iter().copied().for_each(free);
                assert_eq!(kept(), 4);
                free(blocks[4]);
                assert_eq!(kept(), 1, "the others went home");
                assert_eq!((in_use(0), in_use(1)), (before.0 - 2, before.1 - 2));
                blocks[5..7].iter().copied().for_each(free);
                ThreadHeap::current().send_all_home();
                assert_eq!(kept(), 0);
                assert_eq!((in_use(0), in_use(1)), (before.0 - 4, before.1 - 3));
                blocks[7..10].iter().copied().for_each(free);
                assert_eq!(kept(), 3, "until the thread ends");
            });
            freer.join().unwrap();
        });
        assert_eq!((in_use(0), in_use(1)), (before.0 - 5, before.1 - 5));
    }

    /// On a new thread, whose cache is open and empty: with one block of each of two other heaps' pools.
    fn with_blocks_of_others(f: impl FnOnce([usize; 2]) + Send) {
        let blocks = blocks_of_two_pools(2);
        thread::scope(|scope| {
            let freer = scope.spawn(|| {
                blocks[2..].iter().copied().for_each(free);
                ThreadHeap::current().send_all_home();
                f([blocks[0], blocks[1]]);
            });
            freer.join().unwrap();
        });
    }

    /// All blocks that the thread's pool has in circulation, or can have.
    fn take_own() -> Vec<usize> {
        let mut own = vec![alloc()];
        let slot = pool_of(own[0]).slot();
        let can_carve = || ThreadHeap::current().first_pool(slot).is_some_and(Held::can_carve);
        while at_hand() > 0 || can_carve() {
            own.push(alloc());
        }
        own
    }

    /// Has the thread hand out so many lists of its own.
    fn hand_out(own: &[usize], lists: u16) {
        for _ in 0..lists {
            own.iter().copied().for_each(free);
            assert!(own.iter().all(|_| own.contains(&alloc())));
            assert_eq!(at_hand(), 0);
        }
    }

    /// Blocks are kept as long as the thread has few of its own: not after so many lists of those.
    #[test]
    fn who_has_blocks_of_its_own_sends_the_others_home() {
        let _alone = alone();
        with_blocks_of_others(|blocks| {
            let in_use = || blocks.map(pool_of).map(PoolRef::in_use).iter().sum::<usize>();
            let before = in_use();
            let own = take_own();
            for _ in 0..2 {
                blocks.into_iter().for_each(free);
                hand_out(&own, PATIENCE - 1);
                assert_eq!((kept(), in_use()), (2, before));
                assert_eq!([alloc(), alloc()], [blocks[1], blocks[0]], "patience begins anew");
            }
            blocks.into_iter().for_each(free);
            hand_out(&own, PATIENCE);
            assert_eq!((kept(), in_use()), (2, before), "due, but nobody asked");
            let other = alloc();
            assert!(!blocks.contains(&other));
            assert_eq!((kept(), in_use()), (0, before - 2));
            crate::heap::check_invariants();
            own.into_iter().chain([other]).for_each(free);
        });
    }

    /// Who finds no memory has what is kept still, also if it is due.
    #[test]
    fn what_is_due_is_handed_out_where_there_is_no_other() {
        let _alone = alone();
        with_blocks_of_others(|blocks| {
            let own = take_own();
            blocks.into_iter().for_each(free);
            hand_out(&own, PATIENCE);
            let other = Layout::from_size_align(1500, 8).unwrap();
            let mut all = Vec::new();
            let (one, _) = refusing(0, usize::MAX / 2, || {
                // SAFETY: the layout is not empty.
                let others = core::iter::repeat_with(|| unsafe { PoolAlloc.alloc(other) });
                all.extend(others.take_while(|place| !place.is_null()));
                alloc()
            });
            // SAFETY: live blocks of the layout, freed once.
            all.into_iter().for_each(|place| unsafe { PoolAlloc.dealloc(place, other) });
            // One of them, or what another test gave back meanwhile.
            assert_ne!(one, 0, "there were two blocks at hand");
            crate::heap::check_invariants();
            own.into_iter().chain([one]).for_each(free);
        });
    }

    /// Patience is lost with what is kept, not before.
    #[test]
    fn lists_of_before_do_not_count() {
        let _alone = alone();
        with_blocks_of_others(|blocks| {
            let own = take_own();
            hand_out(&own, 2 * PATIENCE);
            crate::heap::check_invariants();
            blocks.into_iter().for_each(free);
            assert_eq!([alloc(), alloc()], [blocks[1], blocks[0]]);
            own.into_iter().chain(blocks).for_each(free);
        });
    }

    /// Two pools' blocks, taken as the active list and partly used, go home when the thread trims, when everything
    /// is checked from then on, and at its end.
    #[test]
    fn an_active_list_of_kept_blocks_goes_home() {
        let _alone = alone();
        let trim = || {
            crate::heap::trim();
        };
        let ways: [(fn(), usize); 3] =
            [(trim, 0), (|| ThreadHeap::current().return_lists(), 0), (|| {}, 3)];
        for (way, left) in ways {
            let blocks = blocks_of_two_pools(2);
            let in_use = || pool_of(blocks[0]).in_use() + pool_of(blocks[1]).in_use();
            let before = in_use();
            let one = thread::scope(|scope| {
                let freer = scope.spawn(|| {
                    blocks.iter().copied().for_each(free);
                    let one = alloc();
                    assert_eq!((kept(), at_hand(), in_use()), (0, 3, before));
                    way();
                    assert_eq!((at_hand(), in_use()), (left, before - 3 + left));
                    crate::heap::check_invariants();
                    one
                });
                freer.join().unwrap()
            });
            assert_eq!(in_use(), before - 3);
            free(one);
            crate::heap::check_invariants();
        }
    }

    #[test]
    fn blocks_of_pools_that_nobody_holds_are_not_kept() {
        let _alone = alone();
        let blocks = thread::spawn(|| blocks_of_two_pools(4)).join().unwrap();
        blocks.into_iter().for_each(|block| {
            free(block);
            assert_eq!(kept(), 0);
        });
    }
}
