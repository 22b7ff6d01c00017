//! Pools of counted objects: owned by one thread, freed into without atomics, with side metadata.
//!
//! A block holds `[vtable word][count word][value]`, or `[count word][value]` for leaves. The count
//! word is never overlaid by a link, so a block that is or was an object can always be asked for its
//! count (*type-stable*). Objects with edges have eight side bits each, kept per 64 blocks in one
//! cache line ([`Group`]) apart from the blocks; this file knows their width, the layers above own
//! their meanings.
//!
//! Object pools stay with their thread until it ends; then those with live objects are *retired*: late
//! drops from that thread's last destructors are plain writes into them. What is still live after that
//! is leaked, visibly.
//!
//! # Orderings
//! Relaxed, as in `pool.rs`: all of a pool's fields are its thread's.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::block::BlockPtr;
use super::ends;
pub(crate) use super::object_class::ObjectClass;
use super::object_class::value_offset;
use super::poison;
use super::pool::{Held, Kind, PoolRef, Shape};
use super::registry::{Listed, link, unlink};
use super::reservation::{counters_of, groups_of};
use super::thread::{self, LARGE_SLOT, LEAF_SLOTS, SLOTS, TRACED_SLOTS, ThreadHeap};
use crate::base::bits::align_up;
use crate::base::cold::unusual;
use crate::base::config::{COUNTERS, GRANULE, GROUP, GROUPS};
use crate::sync::atomic::Ordering;

/// Deaths wind the countdown up to this, about: new garbage would wait for long.
pub(crate) const MAX_COUNTDOWN: i64 = 80_000;

/// Side metadata of 64 blocks: eight words of one bit per block, in one cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Group {
    /// The words; the layer that owns a meaning declares its index.
    pub(crate) words: [Cell<u64>; 8],
}

/// Blocks of a pool of objects with edges, at most: that many have side metadata.
pub(crate) const MAX_TRACED: usize = GROUPS * 64;

const _: () = assert!(size_of::<Group>() == GROUP);
const _: () = assert!(COUNTERS >= MAX_TRACED * size_of::<u32>());

/// The mark of pools of objects with edges. The other bits are the layer's above, but for the next two.
const TRACED: u8 = 1;
/// The mark of pools on the list of dirty ones.
const DIRTY: u8 = 2;
/// The mark of dirty pools with an object that lost a handle since somebody looked for those.
const NEWS: u8 = 1 << 5;

/// The marks of a new pool.
pub(super) const fn initial_marks(traced: bool) -> u8 {
    if traced { TRACED } else { 0 }
}

/// What a heap keeps for the layers above.
#[derive(Debug)]
pub(super) struct ObjectState {
    countdown: Cell<i64>,
    armed: Cell<i64>,
    /// Traced pools that blocks were handed out of, until nobody needs to know any more.
    recent: Cell<Option<PoolRef>>,
    /// Pools with objects that the layer above wants to look at again: the first of them, which has waited
    /// longest, and the last.
    dirty: Cell<Option<PoolRef>>,
    dirty_last: Cell<Option<PoolRef>>,
    /// What [`ObjectHeap::take_lost`] tells.
    lost: [Cell<usize>; 2],
    /// Whether pools that become empty stay for the moment, and whether some did.
    holding: Cell<bool>,
    emptied: Cell<bool>,
    at_end: Cell<Option<fn()>>,
}

impl ObjectState {
    pub(super) const fn new() -> ObjectState {
        ObjectState {
            countdown: Cell::new(0),
            armed: Cell::new(0),
            recent: Cell::new(None),
            dirty: Cell::new(None),
            dirty_last: Cell::new(None),
            lost: [const { Cell::new(0) }; 2],
            holding: Cell::new(false),
            emptied: Cell::new(false),
            at_end: Cell::new(None),
        }
    }

    /// A new object. If deaths have wound the countdown up too far, it is as if it had run out without any.
    fn count_down(&self) {
        if self.countdown.get() > MAX_COUNTDOWN {
            self.countdown.set(0);
            self.armed.set(0);
        } else {
            self.countdown.set(self.countdown.get() - 1);
        }
    }

    /// The thread ends, but not yet its heap.
    pub(super) fn call_at_end(&self) {
        if let Some(at_end) = self.at_end.take() {
            at_end();
        }
    }

    /// Forgets everything: the thread ends.
    pub(super) fn reset(&self) {
        self.countdown.set(0);
        self.armed.set(0);
        self.recent.set(None);
        self.dirty.set(None);
        self.dirty_last.set(None);
        self.lost.iter().for_each(|lost| lost.set(0));
        self.holding.set(false);
        self.emptied.set(false);
    }

    /// Whether an object pool without live blocks must stay; if not, it leaves the lists.
    pub(super) fn keeps(&self, held: Held) -> bool {
        if self.holding.get() {
            self.emptied.set(true);
            return true;
        }
        self.forget_recent(held.pool());
        self.forget_dirty(held.pool());
        false
    }

    /// Blocks are handed out of a pool of objects with edges.
    pub(super) fn note_recent(&self, pool: PoolRef) {
        if pool.links().is_none() {
            let mut first = self.recent.get();
            link(&mut first, pool);
            self.recent.set(first);
        }
    }

    fn forget_recent(&self, pool: PoolRef) {
        let mut first = self.recent.get();
        unlink(&mut first, pool);
        self.recent.set(first);
    }

    fn note_dirty(&self, pool: PoolRef) {
        let fields = pool.fields();
        if fields.marks.get() & DIRTY == 0 {
            fields.marks.set(fields.marks.get() | DIRTY);
            let last = self.dirty_last.replace(Some(pool));
            fields.dirty_prev.set(last);
            fields.dirty_next.set(None);
            match last {
                Some(last) => last.fields().dirty_next.set(Some(pool)),
                None => self.dirty.set(Some(pool)),
            }
        }
    }

    fn forget_dirty(&self, pool: PoolRef) {
        let fields = pool.fields();
        if fields.marks.get() & DIRTY != 0 {
            fields.marks.set(fields.marks.get() & !(DIRTY | NEWS));
            let (prev, next) = (fields.dirty_prev.take(), fields.dirty_next.take());
            match prev {
                Some(prev) => prev.fields().dirty_next.set(next),
                None => self.dirty.set(next),
            }
            match next {
                Some(next) => next.fields().dirty_prev.set(prev),
                None => self.dirty_last.set(prev),
            }
        }
    }
}

/// One thread's objects: a view of its heap. The static ones of threads that have no heap yet, or no
/// longer, are never written and always take the slow paths.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct ObjectHeap(ThreadHeap);

impl ObjectHeap {
    #[inline(always)]
    fn of(heap: &'static ThreadHeap) -> &'static ObjectHeap {
        // SAFETY: `ObjectHeap` is a transparent wrapper of `ThreadHeap`.
        unsafe { &*ptr::from_ref(heap).cast::<ObjectHeap>() }
    }

    /// The objects of this thread.
    #[inline(always)]
    pub(crate) fn current() -> &'static ObjectHeap {
        ObjectHeap::of(ThreadHeap::current())
    }

    /// The objects of this thread, with a heap to keep them in: `None` after the thread's end, and
    /// without memory.
    pub(crate) fn own() -> Option<&'static ObjectHeap> {
        ends::own_or_dead().filter(|heap| heap.is_own()).map(ObjectHeap::of)
    }

    /// Has `f` called once at the thread's end: after its last destructors, while all of its heap is still
    /// there. Does not unwind.
    pub(crate) fn at_end(&self, f: fn()) {
        self.0.objects.at_end.set(Some(f));
    }

    /// Net new objects with edges until the collector wants to be asked. Counted down by `alloc` and
    /// up by `free`. Not to be set on the static heaps.
    #[inline(always)]
    pub(crate) fn countdown(&self) -> &Cell<i64> {
        &self.0.objects.countdown
    }

    /// What the countdown was when there was no new object. Not to be set on the static heaps.
    pub(crate) fn armed(&self) -> &Cell<i64> {
        &self.0.objects.armed
    }

    /// A free block: the address of its count word, which reads 0. Its side bits are 0. `None`: out of
    /// memory.
    #[inline(always)]
    pub(crate) fn alloc(&'static self, class: ObjectClass) -> Option<NonNull<u64>> {
        let slot = class.slot as usize;
        if !class.is_large()
            && let Some(block) = self.0.pop(slot)
        {
            if class.traced {
                self.countdown().set(self.countdown().get() - 1);
            }
            return Some(handed_out(block, class));
        }
        alloc_slow(&class)
    }

    /// Frees a block, by the address of its count word.
    ///
    /// # Safety
    /// The block came from [`alloc`](Self::alloc) on this thread, for a class that is `traced` or not, nothing
    /// of it is used any more, its count word reads 0 and the side bits that its user set are clear.
    #[inline(always)]
    pub(crate) unsafe fn free(header: NonNull<u64>, traced: bool) {
        // SAFETY: objects lie in arenas.
        let pool = unsafe { PoolRef::of_granule(header.as_ptr() as usize) };
        // SAFETY: the caller's; the value's place is that in the pool's blocks.
        let (start, link) = unsafe { ends_of(header, 1 << pool.fields().value_shift.get()) };
        // SAFETY: the caller's block.
        unsafe { free_in(pool, start, link, traced) }
    }

    /// [`free`](Self::free) for a block whose class is known.
    ///
    /// # Safety
    /// As there; the value's alignment is `align`.
    #[inline(always)]
    pub(crate) unsafe fn free_known(header: NonNull<u64>, traced: bool, align: usize) {
        // SAFETY: the caller's; the value's place is that in the class's blocks.
        let (start, link) = unsafe { ends_of(header, value_offset(traced, align)) };
        // SAFETY: objects lie in arenas.
        let pool = unsafe { PoolRef::of_granule(start.as_ptr() as usize) };
        // SAFETY: the caller's block.
        unsafe { free_in(pool, start, link, traced) }
    }

    /// Frees all live blocks of a pool, `count` of them, without a look at them. False: others are live too, or
    /// were handed out; nothing happened.
    ///
    /// # Safety
    /// The pool is this heap's. As for [`free`](Self::free), but the blocks' count words may have flags.
    pub(crate) unsafe fn free_whole(&self, pool: ObjectPool, count: usize) -> bool {
        // SAFETY: the caller's.
        let held = unsafe { pool.0.assume_held() };
        if cfg!(sanitized) || pool.0.live() != count {
            return false;
        }
        let slot = pool.0.slot();
        if slot != LARGE_SLOT && held.is_full() {
            held.set_listed();
            held.unlink(self.0.full_objects());
            match self.0.first_pool(slot) {
                Some(first) => held.link_after(first),
                None => held.link_first(&self.0.slots[slot].pools),
            }
        }
        held.reset();
        self.0.objects.emptied.set(true);
        true
    }

    /// Calls `visit` with the traced pools that blocks were handed out of. Those for which it returns false
    /// are forgotten, unless they are still allocated from. Pools come and go only outside of `visit`.
    pub(crate) fn for_each_recent(&self, mut visit: impl FnMut(ObjectPool) -> bool) {
        let mut next = self.0.objects.recent.get();
        while let Some(pool) = next {
            next = pool.links().and_then(|links| links.next);
            if !visit(ObjectPool(pool)) && !self.is_current(pool) {
                self.0.objects.forget_recent(pool);
            }
        }
    }

    fn is_current(&self, pool: PoolRef) -> bool {
        let slot = pool.slot();
        slot != LARGE_SLOT && self.0.first_pool(slot).is_some_and(|first| first.pool() == pool)
    }

    /// Lists a traced pool among those that blocks were handed out of, if it is this thread's.
    pub(crate) fn note_recent(&self, pool: ObjectPool) {
        if self.0.holds(pool.0) {
            self.0.objects.note_recent(pool.0);
        }
    }

    /// A traced object of this heap lost a handle: counts it, apart if it is `aged`. Its pool is dirty then, with
    /// news.
    #[inline(always)]
    pub(crate) fn note_lost(&self, header: NonNull<u64>, aged: bool) {
        if !self.0.is_own() {
            return;
        }
        let lost = &self.0.objects.lost[usize::from(aged)];
        lost.set(lost.get() + 1);
        if aged {
            // SAFETY: objects lie in arenas, and their count word in the first granule of their pool.
            let pool = unsafe { PoolRef::of_granule(header.as_ptr() as usize) };
            if pool.fields().marks.get() & NEWS == 0 {
                self.note_news(pool);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn note_news(&self, pool: PoolRef) {
        if self.0.holds(pool) {
            self.0.objects.note_dirty(pool);
            pool.fields().marks.set(pool.fields().marks.get() | NEWS);
        }
    }

    /// How many objects lost a handle since this was asked: young ones, and aged ones.
    pub(crate) fn take_lost(&self) -> [usize; 2] {
        [self.0.objects.lost[0].take(), self.0.objects.lost[1].take()]
    }

    /// Lists a traced pool of this heap among the dirty ones.
    pub(crate) fn note_dirty(&self, pool: ObjectPool) {
        self.0.objects.note_dirty(pool.0);
    }

    /// The first of the dirty pools.
    pub(crate) fn first_dirty(&self) -> Option<ObjectPool> {
        self.0.objects.dirty.get().map(ObjectPool)
    }

    /// Takes a pool off the list of dirty ones.
    pub(crate) fn forget_dirty(&self, pool: ObjectPool) {
        self.0.objects.forget_dirty(pool.0);
    }

    /// Calls `f` with every pool of objects with edges. Pools come and go only outside of `f`.
    pub(crate) fn for_each_traced_pool(&self, mut f: impl FnMut(ObjectPool)) {
        let partly = (TRACED_SLOTS..SLOTS).map(|slot| self.0.first_pool(slot));
        for list in partly.chain([self.0.full_objects().get()]) {
            let mut next = list;
            while let Some(held) = next {
                next = held.next();
                if held.pool().slot() >= TRACED_SLOTS {
                    f(ObjectPool(held.pool()));
                }
            }
        }
    }

    /// From here on pools that become empty stay, until [`release_pools`](Self::release_pools).
    pub(crate) fn hold_pools(&self) {
        if self.0.is_own() {
            self.0.objects.holding.set(true);
        }
    }

    /// Gives back the pools that have become empty since [`hold_pools`](Self::hold_pools).
    pub(crate) fn release_pools(&self) {
        if !self.0.is_own() {
            return;
        }
        self.0.objects.holding.set(false);
        if self.0.objects.emptied.take() {
            for slot in LEAF_SLOTS..SLOTS {
                self.0.release_empty(slot);
            }
            self.0.release_empty_large();
        }
    }
}

/// The count word of a block that is being handed out.
#[inline(always)]
fn handed_out(block: BlockPtr, class: ObjectClass) -> NonNull<u64> {
    // SAFETY: link and count word lie in the same block, at this distance.
    let header = unsafe { block.place().offset(class.link_to_count()) };
    if !class.is_large() {
        // SAFETY: the count word is `value_offset - 8` bytes into the block.
        let start = unsafe { header.sub(class.value_offset() - 8) };
        poison::on_alloc(start, class.block_size());
    }
    header.cast()
}

/// [`ObjectHeap::alloc`] where the active list is empty.
///
/// `extern "C"`, which does not unwind, as nothing of the heap does: so births need no way out, on which the value
/// would have to lie in memory.
#[cold]
#[inline(never)]
extern "C" fn alloc_slow(class: &ObjectClass) -> Option<NonNull<u64>> {
    let (heap, class) = (ends::own_or_dead()?, *class);
    let header = if class.is_large() || heap.is_dead() {
        large(heap, class)?
    } else {
        // The heap may be another than the one that was just found empty.
        let slot = class.slot as usize;
        handed_out(heap.pop(slot).or_else(|| heap.refill(slot))?, class)
    };
    if class.traced && heap.is_own() {
        heap.objects.count_down();
    }
    Some(header)
}

/// An object in a pool of its own.
fn large(heap: &'static ThreadHeap, class: ObjectClass) -> Option<NonNull<u64>> {
    let span = class.used.div_ceil(GRANULE);
    let shape = Shape {
        kind: Kind::Object,
        slot: LARGE_SLOT as u8,
        block_size: align_up(class.used, 8).min(u32::MAX as usize),
        capacity: 1,
        link_offset: if class.value_offset() == 8 { 8 } else { 0 },
        value_offset: class.value_offset(),
    };
    let held = thread::new_large(heap, shape, span)?;
    poison::on_new_pool(held.pool().start(), class.used);
    held.carve();
    let block = held.hand_out();
    // No pool of a slot: the event is the block coming home.
    held.set_listed();
    if !heap.is_dead() {
        heap.objects.note_recent(held.pool());
    }
    block.map(|block| handed_out(block, class))
}

/// Where the block of an object begins, and its link word.
///
/// # Safety
/// `header` is the count word of a block of values `value_offset` bytes from its start.
#[inline(always)]
unsafe fn ends_of(header: NonNull<u64>, value_offset: usize) -> (NonNull<u8>, NonNull<u8>) {
    // SAFETY: the count word is right before the value.
    let start = unsafe { header.cast::<u8>().sub(value_offset - 8) };
    // Leaves have their link in the place of the value, the others in front.
    let link = if value_offset == 8 { 8 } else { 0 };
    // SAFETY: either is in the block.
    (start, unsafe { start.add(link) })
}

/// Frees a block into its pool.
///
/// # Safety
/// As [`ObjectHeap::free`]; it begins at `start` and has its link word at `link`, `traced` is what the class says.
#[inline(always)]
unsafe fn free_in(pool: PoolRef, start: NonNull<u8>, link: NonNull<u8>, traced: bool) {
    // SAFETY: the link word is 8-aligned and the block is free from here on.
    let block = unsafe { BlockPtr::new(link) };
    let heap = ThreadHeap::current();
    if pool.owner() != ptr::from_ref(heap).cast_mut() && pool.owner() != heap.checked_id() {
        unusual();
        // SAFETY: the block's pool is retired: its thread, this one, has ended.
        return unsafe { ends::free_retired(pool, block) };
    }
    poison::on_free_object(start, pool);
    if traced {
        heap.objects.countdown.set(heap.objects.countdown.get() + 1);
    }
    // SAFETY: this thread's heap owns the pool.
    let held = unsafe { pool.assume_held() };
    // SAFETY: the caller's block.
    if unsafe { held.free(block) } {
        unusual();
        heap.event(held);
    }
}

/// The blocks of a pool of objects with edges, by their index: what is the same for all of them is found
/// once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    first: NonNull<u8>,
    size: usize,
    counters: NonNull<Cell<u32>>,
    groups: &'static [Group],
}

impl Blocks {
    /// All groups that have blocks.
    #[inline(always)]
    pub(crate) fn groups(self) -> &'static [Group] {
        self.groups
    }

    /// The count word of a block.
    #[inline(always)]
    pub(crate) fn header(self, index: usize) -> NonNull<u64> {
        debug_assert!(index < self.groups.len() * 64, "no block {index}");
        // SAFETY: the block lies within the pool.
        unsafe { self.first.add(index * self.size) }.cast()
    }

    /// The trial counters of a group.
    #[inline(always)]
    pub(crate) fn counters_of(self, group: usize) -> &'static [Cell<u32>; 64] {
        debug_assert!(group < self.groups.len(), "no group {group}");
        // SAFETY: a pool has 64 counters for each of its groups.
        let counters = unsafe { self.counters.add(group * 64) };
        // SAFETY: as above; arenas are never unmapped, and zero is a counter.
        unsafe { counters.cast().as_ref() }
    }
}

/// One pool of counted objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct ObjectPool(PoolRef);

impl ObjectPool {
    /// The pool of the object whose count word is at `header`.
    ///
    /// # Safety
    /// The block belongs to this thread's objects.
    #[inline(always)]
    pub(crate) unsafe fn of(header: NonNull<u64>) -> ObjectPool {
        // SAFETY: objects lie in arenas, and their count word in the first granule of their pool.
        ObjectPool(unsafe { PoolRef::of_granule(header.as_ptr() as usize) })
    }

    /// Whether the pool is for objects with edges.
    #[inline(always)]
    pub(crate) fn is_traced(self) -> bool {
        self.marks().get() & TRACED != 0
    }

    /// The pool's blocks.
    #[inline]
    pub(crate) fn blocks(self) -> Blocks {
        let size = self.0.block_size();
        Blocks {
            first: self.header_at(0).cast(),
            size,
            counters: self.first_counter(),
            groups: self.groups(),
        }
    }

    /// What [`take_news`](Self::take_news) would tell.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn has_news(self) -> bool {
        self.marks().get() & NEWS != 0
    }

    /// Whether objects of the pool lost a handle since this was asked.
    pub(crate) fn take_news(self) -> bool {
        let marks = self.marks().get();
        self.marks().set(marks & !NEWS);
        marks & NEWS != 0
    }

    /// Which block of the pool a count word belongs to.
    #[inline(always)]
    pub(crate) fn index_of(self, header: NonNull<u64>) -> usize {
        let offset = header.as_ptr() as usize % GRANULE;
        ((offset as u64 * u64::from(self.0.fields().reciprocal.load(Ordering::Relaxed))) >> 32)
            as usize
    }

    /// The count word of block `index`, which is less than [`carved`](Self::carved).
    #[inline(always)]
    pub(crate) fn header_at(self, index: usize) -> NonNull<u64> {
        let before = (1usize << self.0.fields().value_shift.get()) - 8;
        // SAFETY: block `index` lies within the pool.
        unsafe { self.0.start().add(index * self.0.block_size() + before) }.cast()
    }

    /// One more than the highest block that was ever handed out.
    pub(crate) fn carved(self) -> usize {
        // SAFETY: pools of this thread's objects are held by it, or retired and touched by it alone.
        unsafe { self.0.assume_held() }.bump()
    }

    /// Blocks that are no longer free, and those at hand of the pool that is allocated from.
    pub(crate) fn live(self) -> usize {
        self.0.live()
    }

    /// The group of block `index`; its bit there is `index % 64`.
    #[inline(always)]
    pub(crate) fn group(self, index: usize) -> &'static Group {
        debug_assert!(index < MAX_TRACED, "block {index} has no side bits");
        // SAFETY: the pool has side metadata for all its blocks.
        let group = unsafe { self.first_group().add(index / 64) };
        // SAFETY: arenas are never unmapped, and the group was cleared when the pool was made.
        unsafe { group.as_ref() }
    }

    /// The group and the counter of block `index`, whose count word is at `header`: found by its address
    /// alone, without the record.
    #[inline(always)]
    pub(crate) fn side_of(
        header: NonNull<u64>,
        index: usize,
    ) -> (&'static Group, &'static Cell<u32>) {
        debug_assert!(index < MAX_TRACED, "block {index} has no side bits");
        let addr = header.as_ptr() as usize;
        // SAFETY: as in `group`.
        let group = unsafe { groups_of(addr).cast::<Group>().add(index / 64) };
        // SAFETY: the pool has counters for all its blocks.
        let counter = unsafe { counters_of(addr).cast::<Cell<u32>>().add(index) };
        // SAFETY: as in `group`.
        let group = unsafe { group.as_ref() };
        // SAFETY: as above; zero is a counter.
        (group, unsafe { counter.as_ref() })
    }

    /// All groups that have blocks; for pools of objects with edges.
    pub(crate) fn groups(self) -> &'static [Group] {
        let count = self.carved().div_ceil(64);
        // SAFETY: as in `group`; `count` is at most `GROUPS`.
        unsafe { core::slice::from_raw_parts(self.first_group().as_ptr(), count) }
    }

    #[inline(always)]
    fn first_group(self) -> NonNull<Group> {
        groups_of(self.0.start().as_ptr() as usize).cast()
    }

    /// Sets the counters of all blocks back.
    pub(crate) fn clear_counters(self) {
        // SAFETY: the pool has that many counters, and nobody holds a reference across this call.
        unsafe { self.first_counter().write_bytes(0, self.carved()) }
    }

    /// The memory of the counters.
    #[inline(always)]
    pub(super) fn counters(self) -> NonNull<u8> {
        self.first_counter().cast()
    }

    /// The pool's address, to sort by.
    pub(crate) fn address(self) -> usize {
        self.0.start().as_ptr() as usize
    }

    #[inline(always)]
    fn first_counter(self) -> NonNull<Cell<u32>> {
        counters_of(self.0.start().as_ptr() as usize).cast()
    }

    /// A link for the layer above.
    pub(crate) fn link(self) -> Option<ObjectPool> {
        self.0.fields().link.get().map(ObjectPool)
    }

    /// Sets the link for the layer above.
    pub(crate) fn set_link(self, link: Option<ObjectPool>) {
        self.0.fields().link.set(link.map(|pool| pool.0));
    }

    /// Flag bits; the layer above has the upper six of them.
    #[inline(always)]
    pub(crate) fn marks(self) -> &'static Cell<u8> {
        &self.0.fields().marks
    }
}

/// Clears the side bits of a pool that is being made.
pub(super) fn clear_groups(pool: PoolRef, blocks: usize) {
    for index in (0..blocks.min(MAX_TRACED)).step_by(64) {
        for word in &ObjectPool(pool).group(index).words {
            word.set(0);
        }
    }
}
