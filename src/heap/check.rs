//! What is noticed of callers' mistakes: a layout that is not the block's, a second free, a pointer that
//! is not ours or not at a block's start. Each aborts with pointer, class and both sizes.
//!
//! What costs nothing on the fast paths is always looked at: frees on other threads, frees that make
//! something happen to their pool, and all blocks above the largest class. [`set_checks`] has everything
//! looked at, without a test on the fast paths: a heap that is checked hands out block by block, so its
//! active lists are empty, and marks its pools as owned by [`ThreadHeap::checked_id`], which no free
//! takes for its own. So every call is a slow path.
//!
//! Where the records of all addresses cannot be read (sanitizer mode, Windows, little address space), a free or
//! a reallocation of what is no block, with the layout of a block of a pool, may be a fault instead of a message.
//!
//! Without full checks a second free on another thread is noticed if the block is twice among those that the
//! thread keeps; not if it became part of the active list in between.
//!
//! Under full checks each granule has two bitmaps where pools of objects have their side metadata:
//! which blocks were freed and not handed out again (a bit per 8 bytes), and which were handed out
//! under checks (a bit per 16). Only the latter have exactly the class of their layout: others may have
//! been shrunk in place, or have room to grow (`roomy.rs`): of those any size that gets room is taken for right.
//! All blocks of a pool that is made under checks count as freed at first, so that a second free is noticed
//! also when the pool has ended in between and another has taken its place.
//!
//! # Orderings
//! Relaxed: the bitmaps are set under the arena lock before `FULL` is set, and a heap takes that lock
//! when it turns checked. Who gets a block that was freed under checks gets it after the free, so it
//! finds `FULL` set too (a load that happens after another sees no older value).

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use super::arena::{self, Arena, Arenas};
use super::large;
use super::pool::{Kind, PoolRef};
use super::reservation::{groups_of, has_record, is_ours};
use super::roomy::{self, ROOMY_SLOT};
use super::size_class::{SMALL_MAX, SizeClass};
use super::thread::{self, ThreadHeap};
use crate::base::cold::abort;
use crate::base::config::{ADDRESSES, ARENA, GRANULE, GROUP, GROUPS, PAGE};
use crate::sync::RawMutexGuard;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How much of a caller's mistakes the heap looks for: see [`set_checks`].
///
/// ```
/// use hoopsnake::heap::Checks;
/// assert!(Checks::Usual < Checks::Full);
/// assert_eq!(Checks::default(), Checks::Usual);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Checks {
    /// What costs nothing where speed matters.
    #[default]
    Usual,
    /// Every free and every reallocation.
    Full,
}

static FULL: AtomicBool = AtomicBool::new(cfg!(paranoid));

/// Has the heap look for mistakes of `unsafe` code from here on: a layout that is not the block's, a
/// second free, a pointer that is not the start of a block. Each ends the process with a message on
/// standard error that names pointer, class and both sizes.
///
/// Other threads follow when they next run out of blocks at hand. Checks only grow: [`Checks::Usual`]
/// after [`Checks::Full`] changes nothing, since blocks that were freed under checks are marked.
///
/// ```
/// use hoopsnake::heap::{Checks, set_checks};
///
/// set_checks(Checks::Full);
/// let text = String::from("spam");
/// drop(text);
/// ```
///
/// # Cost
/// Without it: nothing. With it each allocation and each free takes a slow path, about ten times as long,
/// and a page of metadata is touched for every three pools. Blocks are not laid out differently, but a vector that
/// grows moves more often.
///
/// No other Rust allocator compares layouts; Python's debug hooks (`PYTHONMALLOC=debug`) find second
/// frees by their patterns.
pub fn set_checks(checks: Checks) {
    if checks < Checks::Full {
        return;
    }
    let arenas = arena::lock();
    if !is_full() {
        arenas.for_each_pool(|pool| set_marks(pool, 0));
        FULL.store(true, Ordering::Relaxed);
    }
    drop(arenas);
    let heap = ThreadHeap::current();
    if heap.is_own() {
        heap.is_checked();
    }
}

/// Whether everything is looked at.
#[inline]
pub(super) fn is_full() -> bool {
    FULL.load(Ordering::Relaxed)
}

// The marks of blocks, under full checks ----------------------------------------------------------

/// Words of the bitmap with a bit per 8 bytes of a granule; the one per 16 bytes follows it.
const FREED_WORDS: usize = GRANULE / 8 / 64;
const MARK_WORDS: usize = FREED_WORDS + GRANULE / 16 / 64;

const _: () = assert!(MARK_WORDS * 8 <= GROUPS * GROUP);

/// Word `index` of the marks of a granule.
fn mark_word(granule: usize, index: usize) -> &'static AtomicU64 {
    debug_assert!(index < MARK_WORDS, "word {index}");
    // SAFETY: the granule's side metadata have that many words.
    let word = unsafe { groups_of(granule).cast::<AtomicU64>().add(index) };
    // SAFETY: side metadata are committed with their arena, for ever, and zero is a valid word. Raw
    // pools use them for nothing else.
    unsafe { word.as_ref() }
}

fn freed_mark(addr: usize) -> (&'static AtomicU64, u64) {
    let unit = addr % GRANULE / 8;
    (mark_word(addr & !(GRANULE - 1), unit / 64), 1 << (unit % 64))
}

fn exact_mark(addr: usize) -> (&'static AtomicU64, u64) {
    let unit = addr % GRANULE / 16;
    (mark_word(addr & !(GRANULE - 1), FREED_WORDS + unit / 64), 1 << (unit % 64))
}

/// No block of a raw pool is marked as handed out under checks, and all or none as freed.
fn set_marks(pool: PoolRef, freed: u64) {
    if pool.kind() != Kind::Raw {
        return;
    }
    let start = pool.start().as_ptr() as usize;
    for granule in (start..start + pool.extent()).step_by(GRANULE) {
        for index in 0..MARK_WORDS {
            let word = if index < FREED_WORDS { freed } else { 0 };
            mark_word(granule, index).store(word, Ordering::Relaxed);
        }
    }
}

/// A raw pool is being made, under the arena lock.
pub(super) fn on_new_pool(pool: PoolRef) {
    if is_full() {
        set_marks(pool, u64::MAX);
    }
}

/// A checked heap hands out a block.
pub(super) fn on_alloc(place: NonNull<u8>) {
    let addr = place.as_ptr() as usize;
    let (word, bit) = freed_mark(addr);
    word.fetch_and(!bit, Ordering::Relaxed);
    let (word, bit) = exact_mark(addr);
    word.fetch_or(bit, Ordering::Relaxed);
}

/// A checked heap gets a block back: aborts when it was free already.
pub(super) fn on_free(pool: PoolRef, place: NonNull<u8>) {
    let addr = place.as_ptr() as usize;
    let (word, bit) = freed_mark(addr);
    if word.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        freed_twice(pool, place);
    }
    let (word, bit) = exact_mark(addr);
    word.fetch_and(!bit, Ordering::Relaxed);
}

/// Whether a block was freed under checks and not handed out again.
fn is_freed(place: NonNull<u8>) -> bool {
    let (word, bit) = freed_mark(place.as_ptr() as usize);
    word.load(Ordering::Relaxed) & bit != 0
}

/// Whether a block was handed out under checks. (Two blocks of 8 bytes share a mark: they have one
/// class anyway.)
fn is_exact(place: NonNull<u8>) -> bool {
    let (word, bit) = exact_mark(place.as_ptr() as usize);
    is_full() && word.load(Ordering::Relaxed) & bit != 0
}

impl ThreadHeap {
    /// Whether this heap is checked; it turns so when it first asks after [`set_checks`]. Not to be
    /// asked under the arena lock.
    #[inline]
    pub(super) fn is_checked(&self) -> bool {
        is_full() && {
            if self.is_own() && !self.checked.get() {
                self.turn_checked();
            }
            true
        }
    }

    #[cold]
    fn turn_checked(&self) {
        self.checked.set(true);
        // From here on the marks are seen as they were set.
        drop(arena::lock());
        self.return_lists();
        self.for_each_held(|held| held.set_owner(self.checked_id()));
    }
}

// What is looked at -------------------------------------------------------------------------------

/// Whether `place` can be the start of a live block of a raw pool of one granule, of the class of `layout`:
/// nearly all are, and this is the short way to find out. The others are for [`raw_block`].
#[inline(always)]
pub(super) fn is_plain(pool: PoolRef, place: NonNull<u8>, layout: Layout) -> bool {
    let addr = place.as_ptr() as usize;
    (ADDRESSES != 0 || is_ours(addr))
        && layout.size() <= SMALL_MAX
        && layout.align() <= 8
        && pool.kind() == Kind::Raw
        && pool.slot() == SizeClass::of_small(layout.size()).index()
        && pool.block_index(addr % GRANULE).is_some()
}

/// Aborts unless `place` can be the start of a live block of a raw pool, of the class of `layout`.
///
/// Where the records of all addresses can be read, those of foreign ones are of no kind.
pub(super) fn raw_block(pool: PoolRef, place: NonNull<u8>, layout: Layout) {
    let addr = place.as_ptr() as usize;
    let sound = (ADDRESSES != 0 || is_ours(addr))
        && pool.kind() == Kind::Raw
        && pool.block_index(addr - pool.start().as_ptr() as usize).is_some()
        && fits(pool, layout)
        && (!is_full() || has_its_class(pool, place, layout));
    if !sound {
        wrong_block(place, layout);
    }
}

/// Whether a block of the pool may have this layout: it has its class, was shrunk in place, or has room.
#[inline]
fn fits(pool: PoolRef, layout: Layout) -> bool {
    if pool.slot() == ROOMY_SLOT {
        return roomy::serves(layout);
    }
    let block = pool.block_size();
    let size = layout.size();
    size <= block && 4 * size > 3 * block && block & (layout.align() - 1) == 0
        || class_of(layout) == Some(pool.slot())
}

/// Whether the block at `place`, which is [`live`], may have this layout.
pub(super) fn may_have(place: NonNull<u8>, layout: Layout) -> bool {
    // SAFETY: its record can be read.
    fits(unsafe { PoolRef::of_any(place.as_ptr() as usize) }, layout)
}

/// Whether a block that was handed out under checks has the class of its layout. (One with room can be such
/// a block if the checks began while it was on its way.)
fn has_its_class(pool: PoolRef, place: NonNull<u8>, layout: Layout) -> bool {
    !is_exact(place) || class_of(layout) == Some(pool.slot()) || pool.slot() == ROOMY_SLOT
}

fn class_of(layout: Layout) -> Option<usize> {
    SizeClass::of_layout(layout.size(), layout.align()).map(SizeClass::index)
}

/// The record of what `place` is in, if there is one.
fn pool_of(place: NonNull<u8>) -> Option<PoolRef> {
    let addr = place.as_ptr() as usize;
    // SAFETY: its record can be read.
    has_record(addr).then(|| unsafe { PoolRef::of_any(addr) })
}

/// The run of granules at `place`, if one for as many bytes begins there.
fn find_run(place: NonNull<u8>, layout: Layout) -> Option<PoolRef> {
    let pool = pool_of(place)?;
    let is_run = pool.kind() == Kind::Run
        && pool.start() == place
        && pool.block_size() == layout.size().next_multiple_of(GRANULE);
    is_run.then_some(pool)
}

/// Aborts unless a run for as many bytes begins at `place`.
pub(super) fn run(place: NonNull<u8>, layout: Layout) {
    if find_run(place, layout).is_none() {
        wrong_block(place, layout);
    }
}

/// As [`run`], and the arena lock, under which it was looked at. (No lock is held where the process ends: whoever
/// catches the signal may allocate.)
pub(super) fn lock_run(
    place: NonNull<u8>,
    layout: Layout,
) -> (RawMutexGuard<'static, Arenas>, PoolRef) {
    let arenas = arena::lock();
    let Some(pool) = find_run(place, layout) else {
        drop(arenas);
        wrong_block(place, layout);
    };
    (arenas, pool)
}

/// The arena lock, under which a huge block of about as many bytes was found at `place`. Aborts if there is none.
pub(super) fn lock_huge(place: NonNull<u8>, layout: Layout) -> RawMutexGuard<'static, Arenas> {
    let arenas = arena::lock();
    let (found, size) = (arenas.huge_len_at(place), layout.size());
    if found > 0 && found >= size && found <= size.next_multiple_of(PAGE) + size / 8 {
        return arenas;
    }
    drop(arenas);
    if found == 0 {
        wrong_block(place, layout);
    }
    mistake(place, layout, format_args!("it is a huge block of {found} bytes"));
}

impl Arenas {
    /// The bytes in use of the huge block that begins at `place`; 0 if none does.
    fn huge_len_at(&self, place: NonNull<u8>) -> usize {
        let addr = place.as_ptr() as usize;
        if !has_record(addr) || !addr.is_multiple_of(ARENA) {
            return 0;
        }
        // SAFETY: its record can be read, also where there is no arena (yet).
        unsafe { Arena::of(addr) }.huge_len.get()
    }
}

/// Aborts unless `place` is a live block of this layout: what a reallocation looks at before it takes a new block and
/// copies, of large blocks always, of others under full checks.
#[cold]
pub(super) fn live(place: NonNull<u8>, layout: Layout) {
    if class_of(layout).is_none() {
        if large::is_huge(layout.size(), layout.align()) {
            drop(lock_huge(place, layout));
        } else {
            run(place, layout);
        }
        return;
    }
    let Some(pool) = pool_of(place) else { wrong_block(place, layout) };
    raw_block(pool, place, layout);
    if is_freed(place) {
        freed_twice(pool, place);
    }
}

// What is said ------------------------------------------------------------------------------------

#[cold]
fn wrong_block(place: NonNull<u8>, layout: Layout) -> ! {
    let addr = place.as_ptr() as usize;
    if !is_ours(addr) {
        mistake(place, layout, format_args!("this allocator did not hand it out"));
    }
    if !has_record(addr) {
        mistake(place, layout, format_args!("no block begins there"));
    }
    // SAFETY: its granule's record can be read; only inside a pool is it another's.
    let pool = unsafe { PoolRef::of_any(addr) };
    let (size, offset) = (pool.block_size(), addr - pool.start().as_ptr() as usize);
    match pool.kind() {
        Kind::Raw if pool.block_index(offset).is_some() && pool.slot() == ROOMY_SLOT => {
            mistake(place, layout, format_args!("it grew in a block of {size} bytes"))
        }
        Kind::Raw if pool.block_index(offset).is_some() => {
            let class = pool.slot();
            mistake(place, layout, format_args!("it is a block of {size} bytes (class {class})"))
        }
        Kind::Raw => {
            let inside = offset % size;
            mistake(
                place,
                layout,
                format_args!("it is {inside} bytes into a block of {size} bytes"),
            )
        }
        Kind::Run => mistake(
            place,
            layout,
            format_args!("it is {offset} bytes into a block of {size} bytes"),
        ),
        Kind::Object => mistake(place, layout, format_args!("it is in a pool of counted objects")),
        _ => mistake(place, layout, format_args!("no block is there (it was freed already?)")),
    }
}

#[cold]
fn freed_twice(pool: PoolRef, place: NonNull<u8>) -> ! {
    let (class, size) = (thread::class_of(pool.slot()).index(), pool.block_size());
    abort(format_args!(
        "dealloc or realloc of {place:p}, a block of {size} bytes (class {class}) that is free already"
    ))
}

/// A block is more than once in a list: an active one, or of what a thread keeps of other threads' pools. It is
/// this one, or one that was freed after it.
#[cold]
pub(super) fn listed_twice(place: NonNull<u8>) -> ! {
    // SAFETY: blocks lie in arenas.
    let pool = unsafe { PoolRef::of_any(place.as_ptr() as usize) };
    let (class, size) = (thread::class_of(pool.slot()).index(), pool.block_size());
    abort(format_args!(
        "two deallocs of one block of {size} bytes (class {class}), of {place:p} or one freed soon after it"
    ))
}

#[cold]
fn mistake(place: NonNull<u8>, layout: Layout, found: fmt::Arguments<'_>) -> ! {
    let (size, align) = (layout.size(), layout.align());
    match SizeClass::of_layout(size, align) {
        Some(class) => abort(format_args!(
            "dealloc or realloc of {place:p} with {size} bytes aligned to {align} (class {}, {} bytes), but {found}",
            class.index(),
            class.size(),
        )),
        None => abort(format_args!(
            "dealloc or realloc of {place:p} with {size} bytes aligned to {align} (no class), but {found}"
        )),
    }
}

/// The invariants, asserted: for tests and fuzzing.
#[cfg(any(test, fuzzing))]
mod invariants {
    use super::super::arena::Arenas;
    use super::super::block::BlockPtr;
    use super::super::pool::{Held, PoolRef};
    use super::super::remote::MAX_BLOCKS;
    use super::super::roomy::ROOMY_SLOT;
    use super::super::thread::{RAW_SLOTS, SLOTS, ThreadHeap};

    impl ThreadHeap {
        /// Asserts what `thread.rs` says of a heap, and `pool.rs` of its pools.
        pub(crate) fn check_invariants(&self) {
            for slot in 0..SLOTS {
                let active = self.active_list(slot);
                assert_eq!(length(active), self.left(slot), "the active list of slot {slot}");
                let mut next = self.first_pool(slot);
                check_active(active, next, slot);
                while let Some(held) = next {
                    next = held.next();
                    assert_eq!(held.pool().slot(), slot, "a pool in the wrong list");
                    assert!(!held.is_full(), "a full pool in the list of slot {slot}");
                    held.check_invariants();
                }
            }
            for slot in 0..RAW_SLOTS {
                let cache = &self.remote[slot];
                assert_eq!(
                    length(cache.list()),
                    cache.len(slot),
                    "the remote cache of slot {slot}"
                );
                cache.check_patience();
                let mut next = self.brimful(slot).get();
                while let Some(held) = next {
                    next = held.next();
                    assert!(held.is_full(), "a brimful pool that is listed");
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
        /// Asserts that each arena is in the list of its number of free granules, that the pools of blocks with
        /// room are counted, and what is kept of huge blocks.
        pub(crate) fn check_invariants(&self) {
            let mut roomy = 0;
            self.for_each_pool(|pool| roomy += usize::from(pool.slot() == ROOMY_SLOT));
            assert_eq!(self.roomy, roomy, "pools of blocks with room");
            self.check_huge_lists();
            self.for_each_arena(|arena, in_list| {
                let (free, dirty) = (arena.free_bits(), arena.dirty.get());
                assert_eq!(dirty & !free, 0, "a granule in use is called dirty: {dirty:#x}");
                assert!(in_list, "an arena with {} free granules", free.count_ones());
                arena.check_huge_pages();
            });
        }
    }

    /// An active list is of the current pool, or was kept of others'.
    fn check_active(list: Option<BlockPtr>, current: Option<Held>, slot: usize) {
        let (mut next, mut others) = (list, 0);
        while let Some(block) = next {
            // SAFETY: a block lies in an arena.
            let pool = unsafe { PoolRef::of_any(block.addr()) };
            assert_eq!(pool.slot(), slot, "a block of another slot");
            others += usize::from(Some(pool) != current.map(Held::pool));
            // SAFETY: the active list is this thread's.
            next = unsafe { block.next() };
        }
        assert!(others == 0 || slot < RAW_SLOTS && length(list) <= MAX_BLOCKS, "{others} kept");
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
