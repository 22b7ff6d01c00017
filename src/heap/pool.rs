//! A pool: a granule (or a few) of blocks of one class, described by a record in its arena's first
//! granules.
//!
//! # Pool-holder invariant
//! The fields of [`Pool`] that are `Cell`s are touched only by the pool's holder: the heap named by
//! `owner`, whoever has just claimed or adopted the pool (see `word.rs`), or the arena code while the
//! pool is in no heap. [`Held`] stands for that right; making one is `unsafe`. Fields that statistics
//! read from other threads are relaxed atomics with a single writer.
//!
//! # Counting
//! `carved` blocks are in circulation. `live` of them are out: with the program, in its holder's active list, or
//! kept by another heap (`remote.rs`). `events` counts frees until something must happen, and
//! `live == events + bias`: for a pool in its class's list the event is the last block coming home (`bias`
//! is 0), and before that, where free pages may go back, the last but [`SPARSE`] (`bias` is that); for a full
//! pool that is off the list it is the relist threshold (`bias` is greater: no pool has fewer than eight blocks); a pool that
//! hands out blocks has none, it stays when they all come home (`bias` is −1).
//!
//! # Orderings
//! All Relaxed: the holder's fields have one writer, and change hands through the pool word or a lock.
//! `owner` may be read by anybody who owns a live block: it is the reader's own heap exactly if that
//! heap holds the pool, because only its own thread makes it so and ends it.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::block::BlockPtr;
use super::chain::Chain;
use super::registry::{Links, Listed};
use super::reservation::{granule_of, record_of};
use super::thread::{RAW_SLOTS, ThreadHeap};
use super::word::{PoolWord, Taken};
use crate::base::config::{ARENA, GRANULE, PAGE, RECORD};
use crate::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, Ordering};
use crate::sync::count_down;

/// What a granule is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Nothing, or metadata.
    Free = 0,
    /// Blocks of the allocator.
    Raw = 1,
    /// Counted objects.
    Object = 2,
    /// One block of several granules.
    Run = 3,
    /// Not the first granule of what it belongs to.
    Continuation = 4,
}

impl Kind {
    fn from_u8(kind: u8) -> Kind {
        match kind {
            1 => Kind::Raw,
            2 => Kind::Object,
            3 => Kind::Run,
            4 => Kind::Continuation,
            _ => Kind::Free,
        }
    }
}

/// The record of one granule. 128 bytes: what the holder writes, then what others write.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Pool {
    /// The first, since every free counts it down: its address is the record's.
    pub(super) events: AtomicU32,
    bias: AtomicU32,
    /// The heap that holds the pool; null when nobody does.
    owner: AtomicPtr<ThreadHeap>,
    /// Blocks that the holder freed and did not hand out again.
    pub(super) local: Cell<Option<BlockPtr>>,
    pub(super) carved: AtomicU32,
    block_size: AtomicU32,
    next: Cell<Option<PoolRef>>,
    prev: Cell<Option<PoolRef>>,
    /// Pages (or larger equal parts) whose blocks were taken out of circulation by `trim`.
    pub(super) purged: Cell<u64>,
    capacity: AtomicU16,
    /// The next block that was never carved.
    pub(super) bump: Cell<u16>,
    /// Index of the heap's list that the pool belongs to.
    slot: AtomicU8,
    kind: AtomicU8,
    /// Granules that the pool spans.
    span: AtomicU8,
    /// Granules back to the first one of this pool.
    back: AtomicU8,
    /// What others write begins a line of its own where pointers are short, too.
    #[cfg(target_pointer_width = "32")]
    _line: [u32; 4],

    word: PoolWord,
    links: Cell<Option<Links<PoolRef>>>,
    /// For the layers above: see `object_pool.rs`.
    pub(super) object: ObjectFields,
}

/// Bytes of a pool's blocks with which its lists are long enough (three pages), and the sizes for which that
/// is worthwhile: smaller ones have enough in a page, and more of the larger ones would leave the cache
/// (growing vectors, which run through all sizes, are the first to notice).
const HOT_BYTES: usize = 5 * PAGE / 2;
const HOT_SIZES: core::ops::RangeInclusive<usize> = 49..=256;

/// Live blocks of a pool that has become sparse.
pub(super) const SPARSE: u32 = 4;

/// Blocks of a pool that can be sparse, at least: the few that keep it must not fill its pages.
const SPARSE_CAPACITY: usize = 64;

/// What pools of counted objects need besides, and what few others do.
#[derive(Debug)]
pub(super) struct ObjectFields {
    pub(super) link: Cell<Option<PoolRef>>,
    /// The neighbours in the list of dirty pools.
    pub(super) dirty_next: Cell<Option<PoolRef>>,
    pub(super) dirty_prev: Cell<Option<PoolRef>>,
    /// `ceil(2^32 / block_size)`, so that indices need no division.
    pub(super) reciprocal: AtomicU32,
    pub(super) marks: Cell<u8>,
    /// From a block's start to its link word.
    pub(super) link_offset: Cell<u8>,
    /// From a block's start to its value, as a power of two.
    pub(super) value_shift: Cell<u8>,
    /// Of raw pools: whether the free pages count as dirt (see `dirt.rs`).
    sparse: Cell<bool>,
}

// The owner and the others: two lines.
const _: () = assert!(size_of::<Pool>() == RECORD && core::mem::offset_of!(Pool, word) == 64);

/// The record of a granule; arenas are never unmapped, so records live for ever.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct PoolRef(&'static Pool);

impl PartialEq for PoolRef {
    #[inline(always)]
    fn eq(&self, other: &PoolRef) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl Eq for PoolRef {}

/// The shape of a pool's blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) slot: u8,
    pub(crate) block_size: usize,
    pub(crate) capacity: usize,
    pub(crate) link_offset: usize,
    pub(crate) value_offset: usize,
}

impl PoolRef {
    /// The record of the granule that `addr` is in.
    ///
    /// # Safety
    /// `addr` lies in an arena.
    #[inline(always)]
    pub(crate) unsafe fn of_granule(addr: usize) -> PoolRef {
        let record = ptr::with_exposed_provenance::<Pool>(record_of(addr));
        // SAFETY: the records of an arena's granules are committed with it, for ever, and zero (a valid
        // `Pool`) or initialised. The reservation's provenance is exposed.
        PoolRef(unsafe { &*record })
    }

    /// The pool that `addr` is in, also from a granule that is not its first.
    ///
    /// # Safety
    /// As [`of_granule`](Self::of_granule).
    pub(crate) unsafe fn of_any(addr: usize) -> PoolRef {
        // SAFETY: the caller's.
        let pool = unsafe { Self::of_granule(addr) };
        let back = usize::from(pool.0.back.load(Ordering::Relaxed));
        // SAFETY: `back` granules before lies the pool's first one, in the same arena.
        unsafe { Self::of_granule(addr - back * GRANULE) }
    }

    /// First byte of the pool's first block.
    #[inline(always)]
    pub(crate) fn start(self) -> NonNull<u8> {
        granule_of(ptr::from_ref(self.0) as usize)
    }

    /// Index of the pool's first granule in its arena.
    pub(crate) fn granule(self) -> usize {
        self.start().as_ptr() as usize % ARENA / GRANULE
    }

    #[inline(always)]
    pub(crate) fn owner(self) -> *mut ThreadHeap {
        self.0.owner.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn kind(self) -> Kind {
        Kind::from_u8(self.0.kind.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn slot(self) -> usize {
        usize::from(self.0.slot.load(Ordering::Relaxed))
    }

    /// The slot of a raw pool: an index below [`RAW_SLOTS`], as the compiler knows from here on.
    ///
    /// # Safety
    /// The pool is a raw one.
    #[inline(always)]
    pub(crate) unsafe fn raw_slot(self) -> usize {
        let slot = self.slot();
        debug_assert!(slot < RAW_SLOTS, "a raw pool of slot {slot}");
        // SAFETY: raw pools are of the slots below `RAW_SLOTS`.
        unsafe { core::hint::assert_unchecked(slot < RAW_SLOTS) };
        slot
    }

    #[inline(always)]
    pub(crate) fn block_size(self) -> usize {
        self.0.block_size.load(Ordering::Relaxed) as usize
    }

    /// Which block of the pool begins `offset` bytes into it, if one does. No division: this is asked for
    /// every block that comes home from another thread.
    #[inline]
    pub(crate) fn block_index(self, offset: usize) -> Option<usize> {
        let index =
            (offset as u64 * u64::from(self.0.object.reciprocal.load(Ordering::Relaxed))) >> 32;
        let index = index as usize;
        (index * self.block_size() == offset && index < self.capacity()).then_some(index)
    }

    /// The pool word: for everybody who owns a live block of the pool.
    #[inline(always)]
    pub(crate) fn pool_word(self) -> &'static PoolWord {
        &self.0.word
    }

    /// Blocks in circulation; exact at rest.
    pub(crate) fn carved(self) -> usize {
        self.0.carved.load(Ordering::Relaxed) as usize
    }

    /// Blocks out, including those on their way home; exact at rest.
    pub(crate) fn live(self) -> usize {
        let (events, bias) = (&self.0.events, &self.0.bias);
        events.load(Ordering::Relaxed).wrapping_add(bias.load(Ordering::Relaxed)) as usize
    }

    /// Blocks that the program has, except for those in its holder's active list; exact at rest.
    pub(crate) fn in_use(self) -> usize {
        match self.kind() {
            Kind::Run => 1,
            _ => self.live().saturating_sub(self.0.word.count() as usize),
        }
    }

    /// Blocks of the pool.
    pub(crate) fn capacity(self) -> usize {
        usize::from(self.0.capacity.load(Ordering::Relaxed))
    }

    /// Bytes of the pool's granules; 0 for a huge block.
    pub(crate) fn extent(self) -> usize {
        usize::from(self.0.span.load(Ordering::Relaxed)) * GRANULE
    }

    /// The block at a distance from the pool's start, in units of 8 bytes as the pool word has it.
    fn block_at(self, unit: u16) -> BlockPtr {
        // SAFETY: units come from blocks of this pool, so the sum stays within it.
        let place = unsafe { self.start().add(usize::from(unit) * 8) };
        // SAFETY: the block was pushed as free and is 8-aligned.
        unsafe { BlockPtr::new(place) }
    }

    /// Frees live blocks from a thread that does not hold the pool.
    ///
    /// # Safety
    /// The caller owns the `count` live blocks, which are linked from `first` to `last` and are this raw
    /// pool's.
    pub(crate) unsafe fn push_remote(
        self,
        first: BlockPtr,
        last: BlockPtr,
        count: usize,
    ) -> super::word::Pushed {
        let unit = (first.addr() - self.start().as_ptr() as usize) / 8;
        self.0.word.push(unit as u16, count as u16, |head| {
            // SAFETY: until the push succeeds the block is the caller's.
            unsafe { last.set_next(head.map(|unit| self.block_at(unit))) };
        })
    }

    /// The right to the holder's fields.
    ///
    /// # Safety
    /// The pool-holder invariant: the caller is the pool's holder until it gives it up.
    #[inline(always)]
    pub(crate) unsafe fn assume_held(self) -> Held {
        Held(self)
    }

    pub(super) fn fields(self) -> &'static ObjectFields {
        &self.0.object
    }

    /// Prepares the record for a new use and returns the holder's right to it. `span` granules.
    ///
    /// # Safety
    /// The granules are the caller's, just taken from the arena under its lock.
    pub(crate) unsafe fn init(self, shape: Shape, span: usize, owner: *mut ThreadHeap) -> Held {
        let pool = self.0;
        pool.local.set(None);
        pool.events.store(0, Ordering::Relaxed);
        pool.bias.store(0, Ordering::Relaxed);
        pool.carved.store(0, Ordering::Relaxed);
        pool.block_size.store(shape.block_size as u32, Ordering::Relaxed);
        pool.next.set(None);
        pool.prev.set(None);
        pool.purged.set(0);
        pool.capacity.store(shape.capacity as u16, Ordering::Relaxed);
        pool.bump.set(0);
        pool.slot.store(shape.slot, Ordering::Relaxed);
        pool.span.store(span as u8, Ordering::Relaxed);
        pool.back.store(0, Ordering::Relaxed);
        pool.links.set(None);
        pool.object.sparse.set(false);
        pool.object.link.set(None);
        pool.object.dirty_next.set(None);
        pool.object.dirty_prev.set(None);
        let traced = shape.slot as usize >= super::thread::TRACED_SLOTS;
        pool.object.marks.set(super::object_pool::initial_marks(traced));
        pool.object.link_offset.set(shape.link_offset as u8);
        pool.object.value_shift.set(shape.value_offset.max(1).ilog2() as u8);
        let reciprocal = (1u64 << 32).div_ceil(shape.block_size.max(2) as u64);
        pool.object
            .reciprocal
            .store(u32::try_from(reciprocal).unwrap_or(u32::MAX), Ordering::Relaxed);
        pool.word.reset();
        if shape.slot as usize >= super::thread::TRACED_SLOTS && shape.kind == Kind::Object {
            super::object_pool::clear_groups(self, shape.capacity);
        }
        self.set_continuations(span, Kind::Continuation);
        pool.owner.store(owner, Ordering::Relaxed);
        pool.kind.store(shape.kind as u8, Ordering::Relaxed);
        super::check::on_new_pool(self);
        Held(self)
    }

    /// Marks the record as unused.
    ///
    /// # Safety
    /// The holder gives the granules back, under the arena lock.
    pub(crate) unsafe fn retire(self) -> usize {
        let span = usize::from(self.0.span.load(Ordering::Relaxed));
        self.0.owner.store(ptr::null_mut(), Ordering::Relaxed);
        self.0.kind.store(Kind::Free as u8, Ordering::Relaxed);
        self.set_continuations(span, Kind::Free);
        span
    }

    /// Changes the granules of a run.
    ///
    /// # Safety
    /// The run is the caller's, and all granules of the longer one are, under the arena lock.
    pub(crate) unsafe fn set_span(self, span: usize) {
        let old = usize::from(self.0.span.swap(span as u8, Ordering::Relaxed));
        self.set_continuations(old, Kind::Free);
        self.set_continuations(span, Kind::Continuation);
        self.0.block_size.store((span * GRANULE) as u32, Ordering::Relaxed);
    }

    fn set_continuations(self, span: usize, kind: Kind) {
        let start = self.start().as_ptr() as usize;
        for back in 1..span {
            // SAFETY: the pool's granules lie in one arena.
            let part = unsafe { Self::of_granule(start + back * GRANULE) };
            part.0.owner.store(ptr::null_mut(), Ordering::Relaxed);
            part.0.kind.store(kind as u8, Ordering::Relaxed);
            let distance = if kind == Kind::Continuation { back as u8 } else { 0 };
            part.0.back.store(distance, Ordering::Relaxed);
        }
    }
}

// SAFETY: a record is one object for ever and links are only used by the registry, under its lock.
unsafe impl Listed for PoolRef {
    fn word<'a>(self) -> &'a PoolWord {
        &self.0.word
    }

    fn links(self) -> Option<Links<PoolRef>> {
        self.0.links.get()
    }

    fn set_links(self, links: Option<Links<PoolRef>>) {
        self.0.links.set(links);
    }
}

// SAFETY: what a `PoolRef` may touch from which thread is the pool-holder invariant.
unsafe impl Send for PoolRef {}
// SAFETY: as above.
unsafe impl Sync for PoolRef {}

/// A pool, and the right to its holder's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Held(PoolRef);

impl Held {
    #[inline(always)]
    pub(crate) fn pool(self) -> PoolRef {
        self.0
    }

    #[inline(always)]
    pub(super) fn record(self) -> &'static Pool {
        self.0.0
    }

    pub(crate) fn set_owner(self, owner: *mut ThreadHeap) {
        self.record().owner.store(owner, Ordering::Relaxed);
    }

    pub(crate) fn next(self) -> Option<Held> {
        self.record().next.get().map(Held)
    }

    /// Blocks that were carved at least once.
    pub(crate) fn bump(self) -> usize {
        usize::from(self.record().bump.get())
    }

    /// Whether the pool is off its list until the relist threshold.
    #[inline]
    pub(crate) fn is_full(self) -> bool {
        self.record().bias.load(Ordering::Relaxed).cast_signed() > SPARSE.cast_signed()
    }

    /// Frees of a full pool before it goes back on its list: an eighth of its blocks.
    pub(crate) fn threshold(self) -> usize {
        (self.pool().carved() / 8).max(1)
    }

    /// Whether the pool is the current one: it hands out blocks.
    #[inline]
    pub(crate) fn is_handing_out(self) -> bool {
        self.record().bias.load(Ordering::Relaxed) == u32::MAX
    }

    /// Frees a block; true when the event counter ran out.
    ///
    /// # Safety
    /// `block` is a live block of this pool and the caller's.
    #[inline(always)]
    #[must_use]
    pub(crate) unsafe fn free(self, block: BlockPtr) -> bool {
        let pool = self.record();
        // SAFETY: the block is free from here on and the pool's.
        unsafe { block.set_next(pool.local.get()) };
        pool.local.set(Some(block));
        count_down(&pool.events)
    }

    /// All live blocks are free at once: the pool is as it was before any was carved.
    pub(crate) fn reset(self) {
        let pool = self.record();
        pool.local.set(None);
        pool.bump.set(0);
        pool.purged.set(0);
        pool.carved.store(0, Ordering::Relaxed);
        pool.events.store(0, Ordering::Relaxed);
        pool.bias.store(0, Ordering::Relaxed);
    }

    /// Hands out all free blocks that the holder has at hand, as a list, which may be empty. They count as live
    /// from here on.
    pub(crate) fn hand_out(self) -> Option<BlockPtr> {
        debug_assert!(!self.is_full(), "hand out from a full pool");
        // Blocks in the pool word are free too but not at hand: `live` still counts them.
        let live = self.pool().live() as u32;
        self.record().events.store(live + 1, Ordering::Relaxed);
        self.record().bias.store(u32::MAX, Ordering::Relaxed);
        self.hand_out_again()
    }

    /// [`hand_out`](Self::hand_out) of a pool that is handing out already: often, and short.
    #[inline]
    pub(crate) fn hand_out_again(self) -> Option<BlockPtr> {
        debug_assert!(self.is_handing_out(), "hand out again");
        let pool = self.record();
        // The bias is −1: all that are carved are live.
        pool.events.store(self.pool().carved() as u32 + 1, Ordering::Relaxed);
        pool.local.take()
    }

    /// Hands out one of the free blocks that the holder has at hand, if there is one, as a list.
    pub(crate) fn hand_out_one(self) -> Option<BlockPtr> {
        let pool = self.record();
        let first = pool.local.get()?;
        // SAFETY: the block is in the pool's own list.
        pool.local.set(unsafe { first.next() });
        // SAFETY: as above.
        unsafe { first.set_next(None) };
        let live = self.pool().live();
        pool.bias.store(0, Ordering::Relaxed);
        pool.events.store(live as u32 + 1, Ordering::Relaxed);
        Some(first)
    }

    /// Takes back blocks that were handed out and not used.
    ///
    /// # Safety
    /// The chain is of blocks of this pool, handed out and free, and the caller's.
    pub(super) unsafe fn hand_back(self, chain: Chain) {
        let pool = self.record();
        // SAFETY: the blocks are free and the caller's.
        unsafe { chain.last.set_next(pool.local.get()) };
        pool.local.set(Some(chain.first));
        if self.is_handing_out() {
            let (events, count) = (pool.events.load(Ordering::Relaxed), chain.len as u32);
            debug_assert!(events > count, "{events} events, {count} handed back");
            pool.events.store(events - count, Ordering::Relaxed);
        } else {
            self.subtract_live(chain.len);
        }
    }

    /// Fetches what other threads freed. True when something came.
    pub(crate) fn take_remote(self) -> bool {
        let pool = self.record();
        let Taken { head, count } = pool.word.take();
        let Some(head) = head else { return false };
        let first = self.pool().block_at(head);
        let mut last = first;
        if pool.local.get().is_some() {
            // SAFETY: the blocks of the chain are free and the holder's since the take.
            while let Some(next) = unsafe { last.next() } {
                last = next;
            }
            // SAFETY: as above.
            unsafe { last.set_next(pool.local.get()) };
        }
        pool.local.set(Some(first));
        self.subtract_live(count as usize);
        true
    }

    fn subtract_live(self, count: usize) {
        let pool = self.record();
        let live = self.pool().live();
        debug_assert!(live >= count, "{count} came home of {live}");
        let live = (live - count) as u32;
        let early = if live > SPARSE && self.can_be_sparse() { SPARSE } else { 0 };
        pool.bias.store(early, Ordering::Relaxed);
        pool.events.store(live - early, Ordering::Relaxed);
    }

    fn can_be_sparse(self) -> bool {
        self.pool().kind() == Kind::Raw && self.pool().capacity() >= SPARSE_CAPACITY
    }

    /// The pool has become sparse: the next event is its last block.
    pub(super) fn set_sparse(self, counts_as_dirt: bool) {
        let pool = self.record();
        pool.events.store(self.pool().live() as u32, Ordering::Relaxed);
        pool.bias.store(0, Ordering::Relaxed);
        pool.object.sparse.set(counts_as_dirt);
    }

    /// Ends being sparse; true when the pool counted as dirt.
    pub(super) fn take_sparse(self) -> bool {
        self.record().object.sparse.take()
    }

    /// Whether so few blocks are free that the pool is kept off its list.
    pub(crate) fn is_brimful(self) -> bool {
        let pool = self.pool();
        !self.can_carve() && pool.carved() - pool.live() < self.threshold()
    }

    /// The pool is off its list: the event is the relist threshold.
    pub(crate) fn set_full(self) {
        debug_assert!(self.is_brimful());
        let pool = self.record();
        let (live, carved) = (self.pool().live(), self.pool().carved());
        let listed = carved - self.threshold();
        pool.events.store((live - listed) as u32, Ordering::Relaxed);
        pool.bias.store(listed as u32, Ordering::Relaxed);
    }

    /// Ends being full: the event is the last block again.
    pub(crate) fn set_listed(self) {
        self.subtract_live(0);
    }

    /// Whether a block can be had without asking another thread.
    pub(crate) fn can_carve(self) -> bool {
        let pool = self.record();
        self.bump() < self.pool().capacity() || pool.purged.get() != 0
    }

    /// Whether the pool runs through the same few blocks again and again: a longer list makes that
    /// cheaper.
    #[inline]
    pub(crate) fn is_hot(self) -> bool {
        let pool = self.pool();
        // What a pool answers as it did the last time comes first: sizes come in any order.
        pool.live() == 0
            && HOT_SIZES.contains(&pool.block_size())
            && pool.carved() * pool.block_size() < HOT_BYTES
            && self.can_carve()
    }

    /// Puts fresh blocks into circulation: about a page of them.
    pub(crate) fn carve(self) {
        let pool = self.record();
        if pool.purged.get() != 0 {
            return self.carve_purged();
        }
        let size = self.pool().block_size();
        let first = usize::from(pool.bump.get());
        let room = self.pool().capacity() - first;
        let count = (PAGE / size).clamp(1, room);
        pool.bump.set((first + count) as u16);
        self.circulate(first, first + count);
    }

    /// Links blocks `first..end` in address order in front of the free ones.
    pub(super) fn circulate(self, first: usize, end: usize) {
        if first == end {
            return;
        }
        if self.pool().kind() == Kind::Object {
            self.clear_count_words(first, end);
        }
        let pool = self.record();
        let size = self.pool().block_size();
        let mut block = self.block(first);
        let list = pool.local.replace(Some(block));
        for _ in first + 1..end {
            // SAFETY: block after block up to the last one lies within the pool.
            let place = unsafe { block.place().add(size) };
            // SAFETY: the block was not in circulation, so nobody else knows of it.
            let next = unsafe { BlockPtr::new(place) };
            // SAFETY: as above.
            unsafe { block.set_next(Some(next)) };
            block = next;
        }
        // SAFETY: as above.
        unsafe { block.set_next(list) };
        let carved = pool.carved.load(Ordering::Relaxed) + (end - first) as u32;
        pool.carved.store(carved, Ordering::Relaxed);
    }

    /// Block `index` as a free one.
    fn block(self, index: usize) -> BlockPtr {
        let offset = index * self.pool().block_size() + self.link_offset();
        // SAFETY: block `index` lies within the pool.
        let place = unsafe { self.pool().start().add(offset) };
        // SAFETY: callers ask for blocks that are not live; block sizes are multiples of 8.
        unsafe { BlockPtr::new(place) }
    }

    /// A free object's count word reads 0.
    fn clear_count_words(self, first: usize, end: usize) {
        let before = (1 << self.record().object.value_shift.get()) - 8;
        let size = self.pool().block_size();
        for index in first..end {
            // SAFETY: the word lies within block `index`.
            let word = unsafe { self.pool().start().add(index * size + before) };
            // SAFETY: the block was not in circulation, so nobody else knows of it.
            unsafe { word.cast::<u64>().write(0) };
        }
    }

    /// Whether the holder has freed blocks that it did not hand out again.
    pub(crate) fn has_local(self) -> bool {
        self.record().local.get().is_some()
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn local(self) -> Option<BlockPtr> {
        self.record().local.get()
    }

    pub(super) fn link_offset(self) -> usize {
        usize::from(self.record().object.link_offset.get())
    }

    // --- the list of a class --------------------------------------------------------------------

    /// Links the pool as the first of a list.
    pub(crate) fn link_first(self, list: &Cell<Option<Held>>) {
        let old = list.get();
        self.record().prev.set(None);
        self.record().next.set(old.map(Held::pool));
        if let Some(old) = old {
            old.record().prev.set(Some(self.pool()));
        }
        list.set(Some(self));
    }

    /// Links the pool right after `before`.
    pub(crate) fn link_after(self, before: Held) {
        let next = before.next();
        self.record().prev.set(Some(before.pool()));
        self.record().next.set(next.map(Held::pool));
        before.record().next.set(Some(self.pool()));
        if let Some(next) = next {
            next.record().prev.set(Some(self.pool()));
        }
    }

    /// Unlinks the pool from a list that it is in.
    pub(crate) fn unlink(self, list: &Cell<Option<Held>>) {
        let (prev, next) = (self.record().prev.take(), self.record().next.take());
        match prev {
            Some(prev) => prev.0.next.set(next),
            None => list.set(next.map(Held)),
        }
        if let Some(next) = next {
            next.0.prev.set(prev);
        }
    }
}
