//! One thread's heap: the fast paths, and what happens when they run out.
//!
//! A thread-local word points to the thread's heap, or to [`EMPTY`] before its first allocation, or to
//! [`DEAD`] after its end. The latter two have the shape of a heap whose lists are all empty and are
//! never written, so the fast paths need no "initialised?" test.
//!
//! A heap has a number of *slots*, one for each shape of block: the size classes of the allocator,
//! that of blocks with room to grow, then those of counted leaf objects, then those of counted objects with
//! edges. For each slot it keeps an active list of free blocks, handed out of its current pool (or kept of other
//! heaps', see below), and the list of pools that it holds with free blocks; the current pool is the first. Raw
//! pools whose blocks are all out are kept for a while (a few per slot) against ping-pong at the brim, then
//! given up (`word.rs`). Blocks of other heaps' pools that the thread frees are kept for a while too, and
//! become the active list (`remote.rs`).

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::arena;
use super::block::BlockPtr;
use super::check;
use super::ends::{RETIRED, with_last_resort};
use super::poison;
use super::pool::{Held, Kind, PoolRef, Shape};
use super::registry::Registry;
use super::remote::{RemoteCache, free_remote};
use super::roomy::{ROOM, ROOMY_SLOT};
use super::size_class::{CLASSES, SMALL_CLASSES, SizeClass};
use super::slot::Slot;
use super::sweep::Sweep;
use crate::base::bits::in_register;
use crate::base::config::GRANULE;
use crate::os;

/// Number of slots of the allocator: the size classes, and blocks with room.
pub(crate) const RAW_SLOTS: usize = CLASSES + 1;
/// Slots of leaf objects begin here.
pub(crate) const LEAF_SLOTS: usize = RAW_SLOTS;
/// Slots of objects with edges begin here.
pub(crate) const TRACED_SLOTS: usize = LEAF_SLOTS + SMALL_CLASSES;
/// Number of slots.
pub(crate) const SLOTS: usize = TRACED_SLOTS + SMALL_CLASSES;
/// Not a slot: an object in a pool of its own.
pub(crate) const LARGE_SLOT: usize = SLOTS;

const _: () = assert!(LARGE_SLOT <= u8::MAX as usize);

/// Full raw pools that a heap keeps per slot.
const KEPT_FULL: usize = 4;

/// Pools taken in a row after which a slot counts as growing.
const GROWING: u8 = 4;

/// Granules of a pool of blocks larger than `SMALL_MAX`.
const MEDIUM_SPAN: usize = 8;

/// One thread's heap. All zero is an empty one.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ThreadHeap {
    /// The first, as `slot.rs` wants it.
    pub(super) slots: [Slot; SLOTS],
    /// Per raw slot: held pools all of whose blocks are out, oldest last.
    pub(super) full: [[Cell<Option<Held>>; KEPT_FULL]; RAW_SLOTS],
    /// Per raw slot: held pools with fewer free blocks than the relist threshold.
    pub(super) brimful: [Cell<Option<Held>>; RAW_SLOTS],
    /// Per raw slot: when to look at held pools again.
    pub(super) sweeps: [Sweep; RAW_SLOTS],
    /// Per raw slot: freed blocks of pools that other heaps hold.
    pub(super) remote: [RemoteCache; RAW_SLOTS],
    /// Per slot: pools taken from arenas since one became empty.
    pub(super) grown: [Cell<u8>; SLOTS],
    /// Object pools that are full, and those of large objects.
    pub(super) full_objects: Cell<Option<Held>>,
    /// Blocks that grow and do not ask for room: see `roomy.rs`.
    pub(super) patience: Cell<u8>,
    /// Whether everything is checked: see `check.rs`.
    pub(super) checked: Cell<bool>,
    /// What the layers above keep here.
    pub(super) objects: super::object_pool::ObjectState,
    /// The next unused heap, and the next of all; under the lock of [`HEAPS`].
    pub(super) next_unused: Cell<Option<&'static ThreadHeap>>,
    pub(super) next_made: Cell<Option<&'static ThreadHeap>>,
}

/// A heap that is a static.
struct StaticHeap(ThreadHeap);

// SAFETY: the static heaps are never written.
unsafe impl Sync for StaticHeap {}

/// The heap of a thread that has none yet.
static EMPTY: StaticHeap = StaticHeap(ThreadHeap::new());
/// The heap of a thread that has ended.
static DEAD: StaticHeap = StaticHeap(ThreadHeap::new());

thread_local! {
    /// The heap of this thread.
    static CURRENT: Cell<&'static ThreadHeap> = const { Cell::new(&EMPTY.0) };
}

/// Per class: pools that nobody holds and that have free blocks.
pub(super) static REGISTRIES: [Registry<PoolRef>; RAW_SLOTS] =
    [const { Registry::new() }; RAW_SLOTS];

impl ThreadHeap {
    const fn new() -> ThreadHeap {
        ThreadHeap {
            slots: [const { Slot::new() }; SLOTS],
            full: [const { [const { Cell::new(None) }; KEPT_FULL] }; RAW_SLOTS],
            brimful: [const { Cell::new(None) }; RAW_SLOTS],
            sweeps: [const { Sweep::new() }; RAW_SLOTS],
            remote: [const { RemoteCache::new() }; RAW_SLOTS],
            grown: [const { Cell::new(0) }; SLOTS],
            full_objects: Cell::new(None),
            patience: Cell::new(0),
            checked: Cell::new(false),
            objects: super::object_pool::ObjectState::new(),
            next_unused: Cell::new(None),
            next_made: Cell::new(None),
        }
    }

    /// The heap of this thread.
    #[inline(always)]
    pub(crate) fn current() -> &'static ThreadHeap {
        CURRENT.with(Cell::get)
    }

    /// Makes this heap the one of this thread.
    pub(super) fn make_current(&'static self) {
        CURRENT.with(|current| current.set(self));
    }

    /// What some systems do to thread-locals before the end of the thread.
    #[cfg(test)]
    pub(super) fn reset_current() {
        EMPTY.0.make_current();
    }

    /// The thread has ended: from here on its heap is the static one.
    pub(super) fn make_dead() {
        DEAD.0.make_current();
    }

    #[inline(always)]
    pub(super) fn id(&self) -> *mut ThreadHeap {
        ptr::from_ref(self).cast_mut()
    }

    /// What pools have as their owner when this heap holds them and is checked: no heap's address.
    #[inline(always)]
    pub(super) fn checked_id(&self) -> *mut ThreadHeap {
        self.id().wrapping_byte_add(1)
    }

    /// What pools have as their owner that this heap takes over. Not to be asked under the arena lock.
    #[inline]
    pub(super) fn mark(&self) -> *mut ThreadHeap {
        if self.is_checked() { self.checked_id() } else { self.id() }
    }

    /// Whether this heap holds a pool.
    #[inline]
    pub(super) fn holds(&self, pool: PoolRef) -> bool {
        pool.owner() == self.id() || pool.owner() == self.checked_id()
    }

    /// Whether the heap is a thread's own, not one of the two static ones.
    #[inline]
    pub(crate) fn is_own(&self) -> bool {
        !ptr::eq(self, &EMPTY.0) && !ptr::eq(self, &DEAD.0)
    }

    /// Whether this is what a thread has after its end.
    pub(crate) fn is_dead(&self) -> bool {
        ptr::eq(self, &DEAD.0)
    }

    /// A free block of a class.
    #[inline(always)]
    pub(crate) fn alloc(&self, class: SizeClass) -> Option<BlockPtr> {
        // SAFETY: as `slots[class.index()]`.
        let slot = unsafe { self.slots.as_ptr().byte_add(class.twice() * size_of::<Slot>() / 2) };
        // SAFETY: as above.
        match unsafe { &*in_register(slot) }.pop() {
            Some(block) => Some(block),
            None => self.alloc_slow(class.index()),
        }
    }

    /// The next block of the active list of a slot.
    #[inline(always)]
    pub(super) fn pop(&self, slot: usize) -> Option<BlockPtr> {
        self.slots[slot].pop()
    }

    /// Frees a block of the allocator, on the thread of this heap.
    ///
    /// # Safety
    /// `place` is the start of a live raw block of a small or medium class, and the caller's.
    /// For medium classes `pool` is the pool's first record.
    #[inline(always)]
    pub(crate) unsafe fn free(&self, pool: PoolRef, place: NonNull<u8>, layout: Layout) {
        if pool.owner() != self.id() {
            // SAFETY: the caller's.
            return unsafe { free_remote(place, layout.size(), layout.align(), self, pool) };
        }
        poison::on_free(place, pool);
        // SAFETY: raw blocks have their link at the start and are 8-aligned.
        let block = unsafe { BlockPtr::new(place) };
        // SAFETY: this thread's heap owns the pool.
        let held = unsafe { pool.assume_held() };
        // SAFETY: the block is live, and the pool's.
        if unsafe { held.free(block) } {
            // SAFETY: the caller's.
            unsafe { event_of_free(place, layout.size(), layout.align(), self, held) };
        }
    }

    /// The active list is empty: blocks at hand first, those of the current pool before those of others'. A leaf
    /// where the current pool has some: small blocks come here often.
    #[cold]
    #[inline(never)]
    pub(super) fn alloc_slow(&self, slot: usize) -> Option<BlockPtr> {
        if slot < TRACED_SLOTS
            && let Some(current) = self.slots[slot].pools.get()
            && current.has_local()
        {
            if current.is_handing_out() && !check::is_full() {
                return self.refill_warm(slot, current);
            }
        } else if slot < RAW_SLOTS
            && !check::is_full()
            && let Some(first) = self.remote[slot].take()
        {
            // SAFETY: the list is of free blocks, and this thread's.
            return Some(unsafe { self.slots[slot].begin(first) });
        }
        self.alloc_cold(slot)
    }

    #[inline(never)]
    fn alloc_cold(&self, slot: usize) -> Option<BlockPtr> {
        if self.is_own() {
            let due = self.remote.get(slot).is_some_and(RemoteCache::is_due);
            return if due { self.refill_or_keep(slot) } else { self.refill(slot) };
        }
        if self.is_dead() {
            return with_last_resort(|heap| heap?.alloc_in(slot));
        }
        // Not always a new one: see there.
        ThreadHeap::create()?.alloc_in(slot)
    }

    /// A free block of a slot of the allocator.
    fn alloc_in(&self, slot: usize) -> Option<BlockPtr> {
        self.pop(slot).or_else(|| self.alloc_slow(slot))
    }

    /// Hands out again what came home to the current pool, and takes its first block.
    #[inline(always)]
    fn refill_warm(&self, slot: usize, current: Held) -> Option<BlockPtr> {
        if current.is_hot() {
            return self.refill_hot(slot, current);
        }
        if let Some(cache) = self.remote.get(slot) {
            cache.lose_patience();
        }
        let first = current.hand_out_again()?;
        // SAFETY: the list was just handed to this heap.
        Some(unsafe { self.slots[slot].begin(first) })
    }

    /// The same with fresh blocks in front: the list is longer from here on.
    #[inline(never)]
    fn refill_hot(&self, slot: usize, current: Held) -> Option<BlockPtr> {
        current.carve();
        self.refill(slot)
    }

    /// Hands out a new active list and takes its first block.
    pub(super) fn refill(&self, slot: usize) -> Option<BlockPtr> {
        loop {
            let Some(held) = self.slots[slot].pools.get() else {
                self.acquire(slot)?;
                continue;
            };
            let one = slot < RAW_SLOTS && self.is_checked();
            if held.take_sparse() {
                arena::lock().end_sparse();
            }
            let list = if one { held.hand_out_one() } else { held.hand_out() };
            if let Some(first) = list {
                if one {
                    check::on_alloc(first.place());
                }
                if slot >= TRACED_SLOTS {
                    self.objects.note_recent(held.pool());
                }
                // SAFETY: the list was just handed to this heap.
                return Some(unsafe { self.slots[slot].begin(first) });
            }
            if slot < RAW_SLOTS && held.take_remote() {
                continue;
            }
            if held.can_carve() {
                held.carve();
            } else {
                self.set_aside(slot, held);
            }
        }
    }

    /// Takes the current pool, which has no block left, off its list.
    fn set_aside(&self, slot: usize, held: Held) {
        held.unlink(&self.slots[slot].pools);
        held.set_full();
        if slot >= RAW_SLOTS {
            held.link_first(&self.full_objects);
            return;
        }
        self.sweeps[slot].count_used();
        let kept = &self.full[slot];
        let oldest = kept[KEPT_FULL - 1].get();
        for place in (1..KEPT_FULL).rev() {
            kept[place].set(kept[place - 1].get());
        }
        kept[0].set(Some(held));
        if let Some(oldest) = oldest {
            oldest.set_listed();
            self.give_up(oldest);
        }
    }

    /// Gives up a raw pool that is in no list of this heap; keeps it if blocks came home meanwhile.
    pub(super) fn give_up(&self, held: Held) {
        if held.has_local() || !unhold_full(held) {
            held.set_owner(self.mark());
            held.take_remote();
            self.keep(held);
        }
    }

    /// Keeps a pool that this heap did not look for.
    fn keep(&self, held: Held) {
        let slot = held.pool().slot();
        self.place(held);
        self.count_held(slot);
    }

    /// Puts a held pool where it belongs by the number of its free blocks.
    pub(super) fn place(&self, held: Held) {
        if held.pool().live() == 0 {
            return release(held);
        }
        if held.is_brimful() {
            held.set_full();
            return held.link_first(&self.brimful[held.pool().slot()]);
        }
        let list = &self.slots[held.pool().slot()].pools;
        match list.get() {
            Some(current) => held.link_after(current),
            None => held.link_first(list),
        }
    }

    /// Finds a pool for a slot that has none with free blocks.
    fn acquire(&self, slot: usize) -> Option<()> {
        if slot >= RAW_SLOTS {
            return self.acquire_fresh(slot);
        }
        for place in &self.full[slot] {
            if let Some(held) = place.get()
                && held.pool().pool_word().has_blocks()
            {
                place.set(None);
                held.set_listed();
                held.take_remote();
                held.link_first(&self.slots[slot].pools);
                return Some(());
            }
        }
        if self.relist_brimful(slot) {
            return Some(());
        }
        if let Some(pool) = REGISTRIES[slot].adopt() {
            // SAFETY: adopting makes the caller the holder.
            let held = unsafe { pool.assume_held() };
            held.set_owner(self.mark());
            held.take_remote();
            held.link_first(&self.slots[slot].pools);
            return Some(());
        }
        self.acquire_fresh(slot)
    }

    /// Puts a brimful pool on the list to which other threads' blocks came home. Looks at a few only.
    fn relist_brimful(&self, slot: usize) -> bool {
        let list = &self.brimful[slot];
        let mut next = list.get();
        for _ in 0..KEPT_FULL {
            let Some(held) = next else { return false };
            next = held.next();
            if held.pool().pool_word().has_blocks() {
                held.unlink(list);
                held.take_remote();
                held.link_first(&self.slots[slot].pools);
                return true;
            }
        }
        false
    }

    fn acquire_fresh(&self, slot: usize) -> Option<()> {
        let (shape, span) = shape_of(slot);
        let owner = self.mark();
        let growing = slot != ROOMY_SLOT && self.is_growing(slot);
        let mut arenas = arena::lock();
        if slot == ROOMY_SLOT && !arenas.has_roomy_pool() {
            self.refuse_room();
            return None;
        }
        let fresh = arenas.take_pool(span, shape, owner, growing)?;
        drop(arenas);
        let start = fresh.held.pool().start();
        poison::on_new_pool(start, span * GRANULE);
        if fresh.zero && span == 1 && growing {
            // SAFETY: the pool's memory is committed.
            unsafe { os::populate(start, GRANULE) };
        }
        fresh.held.link_first(&self.slots[slot].pools);
        Some(())
    }

    /// Whether a slot takes pool after pool, so that the next will be used to its end; counts this one.
    fn is_growing(&self, slot: usize) -> bool {
        let grown = &self.grown[slot];
        grown.set(grown.get().saturating_add(1));
        grown.get() > GROWING
    }

    /// The event counter of a pool of this heap ran out.
    #[cold]
    #[inline(never)]
    pub(super) fn event(&self, held: Held) {
        let slot = held.pool().slot();
        if slot == LARGE_SLOT {
            if !self.objects.keeps(held) {
                held.unlink(&self.full_objects);
                release(held);
            }
            return;
        }
        let list = &self.slots[slot].pools;
        if held.is_full() {
            held.set_listed();
            self.forget_full(slot, held);
            match list.get() {
                Some(current) => held.link_after(current),
                None => held.link_first(list),
            }
        } else if held.pool().live() > 0 {
            held.sparse();
        } else if list.get() != Some(held) && !(slot >= RAW_SLOTS && self.objects.keeps(held)) {
            held.unlink(list);
            release(held);
            self.grown[slot].set(0);
        }
        // An empty current pool stays: the next block of its class comes from it, warm.
    }

    /// Takes a pool that has blocks again out of those that had none.
    fn forget_full(&self, slot: usize, held: Held) {
        if slot >= RAW_SLOTS {
            return held.unlink(&self.full_objects);
        }
        match self.full[slot].iter().find(|place| place.get() == Some(held)) {
            Some(place) => place.set(None),
            None => held.unlink(&self.brimful[slot]),
        }
    }

    /// Another thread's push made this heap the holder of a pool.
    pub(super) fn claimed(&self, held: Held) {
        held.set_owner(self.mark());
        held.take_remote();
        self.keep(held);
    }

    /// Returns all active lists of the allocator's slots, and what is kept of other heaps' pools.
    pub(super) fn return_lists(&self) {
        self.send_all_home();
        for slot in 0..RAW_SLOTS {
            self.hand_back(slot);
            if let Some(current) = self.slots[slot].pools.get() {
                current.set_listed();
            }
        }
    }

    /// Calls `f` with every pool that this heap holds.
    pub(super) fn for_each_held(&self, f: impl Fn(Held)) {
        for list in self
            .slots
            .iter()
            .map(|slot| &slot.pools)
            .chain(&self.brimful)
            .chain([&self.full_objects])
        {
            let mut next = list.get();
            while let Some(held) = next {
                next = held.next();
                f(held);
            }
        }
        self.full.iter().flatten().filter_map(Cell::get).for_each(f);
    }

    /// Blocks in the active list of a slot; exact at rest.
    pub(super) fn left(&self, slot: usize) -> usize {
        self.slots[slot].left(slot)
    }

    /// Free blocks of a slot that their pools count as live; exact at rest.
    pub(super) fn kept(&self, slot: usize) -> usize {
        // In this order: what is kept becomes the active list, and is mostly missed rather than counted twice.
        let left = self.left(slot);
        left + self.remote.get(slot).map_or(0, |cache| cache.len(slot))
    }

    /// The current pool of a slot.
    pub(super) fn first_pool(&self, slot: usize) -> Option<Held> {
        self.slots[slot].pools.get()
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn active_list(&self, slot: usize) -> Option<BlockPtr> {
        self.slots[slot].active()
    }

    /// Full raw pools that this heap keeps.
    #[cfg(any(test, fuzzing))]
    pub(super) fn full_pools(&self) -> impl Iterator<Item = Held> {
        self.full.iter().flatten().filter_map(Cell::get)
    }

    /// Held pools of a raw slot with few free blocks.
    pub(super) fn brimful(&self, slot: usize) -> &Cell<Option<Held>> {
        &self.brimful[slot]
    }

    pub(super) fn full_objects(&self) -> &Cell<Option<Held>> {
        &self.full_objects
    }
}

/// What comes after a free that takes the pool's event counter to zero. Its arguments are in the order of
/// [`free_remote`]'s.
///
/// # Safety
/// The block was one of the layout of this size and alignment; `heap` is this thread's.
#[cold]
#[inline(never)]
unsafe fn event_of_free(
    place: NonNull<u8>,
    size: usize,
    align: usize,
    heap: &ThreadHeap,
    held: Held,
) {
    // SAFETY: the caller's: they are a layout's.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    check::raw_block(held.pool(), place, layout);
    heap.event(held);
}

/// The size class of a slot's blocks.
pub(super) fn class_of(slot: usize) -> SizeClass {
    match slot {
        ROOMY_SLOT => SizeClass::of_small(ROOM),
        0..LEAF_SLOTS => SizeClass::from_index(slot),
        LEAF_SLOTS..TRACED_SLOTS => SizeClass::from_index(slot - LEAF_SLOTS),
        _ => SizeClass::from_index(slot - TRACED_SLOTS),
    }
}

/// The shape of a slot's pools, and their granules.
fn shape_of(slot: usize) -> (Shape, usize) {
    let class = class_of(slot);
    let span = if class.is_small() { 1 } else { MEDIUM_SPAN };
    let block_size = class.size();
    let (kind, link_offset, value_offset) = match slot {
        0..LEAF_SLOTS => (Kind::Raw, 0, 0),
        LEAF_SLOTS..TRACED_SLOTS => (Kind::Object, 8, 8),
        _ => (Kind::Object, 0, 16),
    };
    let mut capacity = span * GRANULE / block_size;
    if slot >= TRACED_SLOTS {
        capacity = capacity.min(super::object_pool::MAX_TRACED);
    }
    (Shape { kind, slot: slot as u8, block_size, capacity, link_offset, value_offset }, span)
}

/// Gives a pool without live blocks back to its arena.
pub(super) fn release(held: Held) {
    debug_assert_eq!(held.pool().live(), 0, "release of a pool with live blocks");
    arena::lock().give_pool(held);
}

/// Tries to give up a held pool without free blocks.
pub(super) fn unhold_full(held: Held) -> bool {
    held.set_owner(ptr::null_mut());
    // The first freer becomes the holder: its further frees are local.
    held.pool().pool_word().unhold_full(1)
}

/// Takes `span` granules for one object of its own.
pub(super) fn new_large(heap: &ThreadHeap, shape: Shape, span: usize) -> Option<Held> {
    let owner = if heap.is_dead() { RETIRED } else { heap.mark() };
    let held = if span <= arena::MAX_RUN {
        arena::lock().take_pool(span, shape, owner, false)?.held
    } else {
        arena::lock().take_huge_pool(span * GRANULE, shape, owner)?
    };
    if !heap.is_dead() {
        held.link_first(&heap.full_objects);
    }
    Some(held)
}
