//! Arenas: where pools, runs and huge blocks get their granules, and where empty ones go.
//!
//! One lock guards everything here. An arena begins with the records of its granules; the rest is
//! given out in runs of granules. New pools come from the fullest arena, so that nearly empty ones
//! drain (pymalloc's rule), and rather from memory that was touched before. A huge block has arenas
//! of its own.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::pool::{Held, Kind, PoolRef, Shape};
use super::reservation::Slots;
use super::thread::ThreadHeap;
use crate::base::bits::{align_up, find_run, low_bits};
use crate::base::config::{ARENA, GRANULE, GRANULES, META_GRANULES, PAGE, USABLE_GRANULES};
use crate::os;
use crate::sync::{RawMutex, RawMutexGuard};

/// The largest run of granules that comes from an arena shared with others.
pub(crate) const MAX_RUN: usize = 31;

/// Bits of the granules that can be given out.
const USABLE: u64 = !low_bits(META_GRANULES);

/// The first record of an arena is its own. All fields are touched under the arena lock only.
#[derive(Debug)]
#[repr(C)]
struct Arena {
    /// Free granules.
    free: Cell<u64>,
    /// Free granules whose memory may have been touched.
    dirty: Cell<u64>,
    next: Cell<Option<&'static Arena>>,
    prev: Cell<Option<&'static Arena>>,
    /// All arenas, in the order of their making.
    next_made: Cell<Option<&'static Arena>>,
    /// For the arena of a huge block: its slots and its bytes; 0 otherwise.
    huge_slots: Cell<usize>,
    huge_len: Cell<usize>,
}

const _: () = assert!(size_of::<Arena>() <= size_of::<super::pool::Pool>());
const _: () = assert!(META_GRANULES >= 2, "the second record is for huge pools");

// SAFETY: an arena's fields are touched under the arena lock only.
unsafe impl Sync for Arena {}

impl Arena {
    /// The arena that begins at `place`.
    ///
    /// # Safety
    /// `place` is the start of a committed arena, whose first bytes are an `Arena` or zero.
    unsafe fn at(place: NonNull<u8>) -> &'static Arena {
        // SAFETY: the caller's; arenas are never unmapped and zero is a valid `Arena`.
        unsafe { place.cast::<Arena>().as_ref() }
    }

    fn start(&'static self) -> usize {
        ptr::from_ref(self).expose_provenance()
    }

    fn free_count(&self) -> usize {
        self.free.get().count_ones() as usize
    }

    fn granule(&'static self, index: usize) -> PoolRef {
        // SAFETY: the granule lies in this arena.
        unsafe { PoolRef::of_granule(self.start() + index * GRANULE) }
    }
}

/// Everything behind the arena lock.
#[derive(Debug)]
pub(crate) struct Arenas {
    slots: Slots,
    /// Arenas by number of free granules; full ones (0) are in no list.
    by_free: [Option<&'static Arena>; USABLE_GRANULES + 1],
    /// Which of those lists have members.
    has_free: u64,
    first_made: Option<&'static Arena>,
    /// Slots in use, for arenas and huge blocks.
    made: usize,
    highwater: usize,
    /// Bytes that huge blocks hold, and the addresses set aside for them.
    huge: HugeTotals,
    #[cfg(test)]
    pub(super) fail_after: Option<usize>,
}

/// Sums over all huge blocks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HugeTotals {
    pub(crate) blocks: usize,
    pub(crate) bytes: usize,
    pub(crate) slots: usize,
}

// SAFETY: the arenas are reached through the lock only.
unsafe impl Send for Arenas {}

static ARENAS: RawMutex<Arenas> = RawMutex::new(Arenas {
    slots: Slots::new(),
    by_free: [None; USABLE_GRANULES + 1],
    has_free: 0,
    first_made: None,
    made: 0,
    highwater: 0,
    huge: HugeTotals { blocks: 0, bytes: 0, slots: 0 },
    #[cfg(test)]
    fail_after: None,
});

/// Waits for the arena lock.
pub(crate) fn lock() -> RawMutexGuard<'static, Arenas> {
    ARENAS.lock()
}

/// A new pool: its holder's right, and whether its memory was touched before.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) held: Held,
    pub(crate) dirty: bool,
}

impl Arenas {
    /// Takes `span` granules as a pool of the given shape.
    pub(crate) fn take_pool(
        &mut self,
        span: usize,
        shape: Shape,
        owner: *mut ThreadHeap,
    ) -> Option<Fresh> {
        let (arena, first) = self.find(span).or_else(|| {
            self.make_arena()?;
            self.find(span)
        })?;
        let bits = low_bits(span) << first;
        let dirty = arena.dirty.get() & bits != 0;
        self.set_free(arena, arena.free.get() & !bits);
        arena.dirty.set(arena.dirty.get() & !bits);
        // SAFETY: the granules were free and are the caller's from here on, under the lock.
        let held = unsafe { arena.granule(first).init(shape, span, owner) };
        Some(Fresh { held, dirty })
    }

    /// Gives a pool's granules back; no block of it is live and no list knows of it.
    pub(crate) fn give_pool(&mut self, held: Held) {
        let pool = held.pool();
        if pool.extent() == 0 {
            // SAFETY: a pool without granules of its own is a huge block that its holder gives up.
            return unsafe { self.give_huge(pool.start()) };
        }
        debug_assert!(pool.pool_word().is_held(), "a pool that nobody holds is given back");
        let first = pool.granule();
        // SAFETY: the arena of a pool is committed and its address is a multiple of its size.
        let arena = unsafe { Arena::at(arena_of(pool.start())) };
        // SAFETY: the holder gives the pool up, under the lock.
        let span = unsafe { pool.retire() };
        let bits = low_bits(span) << first;
        debug_assert!(arena.free.get() & bits == 0, "granules {bits:#x} are free already");
        arena.dirty.set(arena.dirty.get() | bits);
        self.set_free(arena, arena.free.get() | bits);
    }

    /// The fullest arena with `span` free granules in a row, and where they begin.
    fn find(&self, span: usize) -> Option<(&'static Arena, usize)> {
        let mut lists = self.has_free & !low_bits(span);
        while lists != 0 {
            let mut arena = self.by_free[lists.trailing_zeros() as usize];
            lists &= lists - 1;
            while let Some(candidate) = arena {
                let warm = find_run(candidate.dirty.get(), span);
                if let Some(first) = warm.or_else(|| find_run(candidate.free.get(), span)) {
                    return Some((candidate, first));
                }
                arena = candidate.next.get();
            }
        }
        None
    }

    fn make_arena(&mut self) -> Option<()> {
        if self.refuses() {
            return None;
        }
        let place = self.slots.take(1)?;
        // SAFETY: the slot is ours.
        if !unsafe { os::commit(place, ARENA) } {
            self.slots.give(place, 1);
            return None;
        }
        self.count_slots(1);
        // SAFETY: the arena is committed and zero.
        let arena = unsafe { Arena::at(place) };
        arena.free.set(0);
        arena.next_made.set(self.first_made);
        self.first_made = Some(arena);
        self.set_free(arena, USABLE);
        Some(())
    }

    fn count_slots(&mut self, slots: usize) {
        self.made += slots;
        self.highwater = self.highwater.max(self.made);
    }

    /// Changes the free granules of an arena and moves it to the list where it now belongs.
    fn set_free(&mut self, arena: &'static Arena, free: u64) {
        let old = arena.free_count();
        if old > 0 {
            self.unlink(arena, old);
        }
        arena.free.set(free);
        let new = arena.free_count();
        if new > 0 {
            let first = self.by_free[new].replace(arena);
            arena.prev.set(None);
            arena.next.set(first);
            if let Some(first) = first {
                first.prev.set(Some(arena));
            }
            self.has_free |= 1 << new;
        }
    }

    fn unlink(&mut self, arena: &'static Arena, list: usize) {
        let (prev, next) = (arena.prev.take(), arena.next.take());
        match prev {
            Some(prev) => prev.next.set(next),
            None => self.by_free[list] = next,
        }
        if let Some(next) = next {
            next.prev.set(prev);
        }
        if self.by_free[list].is_none() {
            self.has_free &= !(1 << list);
        }
    }

    #[cfg(test)]
    fn refuses(&mut self) -> bool {
        match &mut self.fail_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    #[cfg(not(test))]
    fn refuses(&mut self) -> bool {
        false
    }

    /// Gives the memory of free granules back; their addresses stay. Returns the bytes.
    pub(crate) fn trim(&mut self) -> usize {
        let mut bytes = 0;
        let mut next = self.first_made;
        while let Some(arena) = next {
            next = arena.next_made.get();
            let mut dirty = arena.dirty.replace(0);
            while dirty != 0 {
                let first = dirty.trailing_zeros() as usize;
                let run = (!(dirty >> first)).trailing_zeros() as usize;
                dirty &= !(low_bits(run) << first);
                let start = arena.granule(first).start();
                // SAFETY: the granules are free: nobody uses their contents.
                unsafe { os::purge(start, run * GRANULE) };
                bytes += run * GRANULE;
            }
        }
        bytes
    }

    /// Calls `f` with every pool and run; none of them changes its use meanwhile.
    pub(crate) fn for_each_pool(&self, mut f: impl FnMut(PoolRef)) {
        let mut next = self.first_made;
        while let Some(arena) = next {
            next = arena.next_made.get();
            let mut used = USABLE & !arena.free.get();
            while used != 0 {
                let index = used.trailing_zeros() as usize;
                used &= used - 1;
                let pool = arena.granule(index);
                if !matches!(pool.kind(), Kind::Free | Kind::Continuation) {
                    f(pool);
                }
            }
        }
    }

    /// Slots in use now, and the most there ever were.
    pub(crate) fn slot_counts(&self) -> (usize, usize) {
        (self.made, self.highwater)
    }

    /// Arenas that are shared by pools.
    pub(crate) fn arena_count(&self) -> usize {
        self.made - self.huge.slots
    }

    /// Granules in no pool.
    pub(crate) fn free_granules(&self) -> usize {
        let mut sum = 0;
        let mut next = self.first_made;
        while let Some(arena) = next {
            next = arena.next_made.get();
            sum += arena.free_count();
        }
        sum
    }

    pub(crate) fn huge_totals(&self) -> HugeTotals {
        self.huge
    }
}

#[cfg(any(test, fuzzing))]
impl Arenas {
    /// Calls `f` with each arena's free and dirty granules, and whether it is where it should be.
    pub(super) fn for_each_arena(&self, mut f: impl FnMut(u64, u64, bool)) {
        let mut next = self.first_made;
        while let Some(arena) = next {
            next = arena.next_made.get();
            let mut listed = self.by_free[arena.free_count()];
            while listed.is_some_and(|other| !ptr::eq(other, arena)) {
                listed = listed.and_then(|other| other.next.get());
            }
            let in_list = listed.is_some() || arena.free_count() == 0;
            f(arena.free.get(), arena.dirty.get(), in_list);
        }
    }
}

/// The start of the arena that `place` is in.
fn arena_of(place: NonNull<u8>) -> NonNull<u8> {
    let start = place.as_ptr() as usize & !(ARENA - 1);
    // SAFETY: an arena is not at address zero.
    unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(start)) }
}

/// Huge blocks: arenas of their own, with the arena's record in front of the block.
impl Arenas {
    /// Takes `len` zeroed bytes aligned to `align`.
    pub(crate) fn take_huge(&mut self, len: usize, align: usize) -> Option<NonNull<u8>> {
        let len = len.checked_next_multiple_of(PAGE)?;
        let front = align.max(GRANULE);
        let slots = len.checked_add(front)?.div_ceil(ARENA);
        if self.refuses() {
            return None;
        }
        let place = self.slots.take(slots)?;
        let first = place.as_ptr().expose_provenance();
        let block = align_up(first + 1, front);
        debug_assert!(block + len <= first + slots * ARENA, "block past its slots");
        let record = huge_record(block);
        let end = block + len;
        // SAFETY: record and block lie within the slots, which are ours.
        if !unsafe { os::commit(record, end - record.as_ptr() as usize) } {
            self.slots.give(place, slots);
            return None;
        }
        // SAFETY: the record's page is committed.
        let arena = unsafe { Arena::at(record) };
        arena.free.set(0);
        arena.huge_slots.set(slots);
        arena.huge_len.set(len);
        arena.next.set(None);
        // The first slot may lie before the record when the alignment is large.
        arena.dirty.set(((record.as_ptr() as usize - first) / ARENA) as u64);
        self.count_slots(slots);
        self.huge.blocks += 1;
        self.huge.bytes += len;
        self.huge.slots += slots;
        NonNull::new(ptr::with_exposed_provenance_mut(block))
    }

    /// Takes a huge block as a pool of one block; the arena's second record describes it.
    pub(crate) fn take_huge_pool(
        &mut self,
        len: usize,
        shape: Shape,
        owner: *mut ThreadHeap,
    ) -> Option<Held> {
        let block = self.take_huge(len, GRANULE)?;
        // SAFETY: the block begins at the second granule of an arena whose records are committed.
        let pool = unsafe { PoolRef::of_granule(block.as_ptr() as usize) };
        // SAFETY: the block is the caller's; a span of 0 says that the granules are not the pool's.
        Some(unsafe { pool.init(shape, 0, owner) })
    }

    /// Gives a huge block back.
    ///
    /// # Safety
    /// `block` came from [`take_huge`](Self::take_huge) and is the caller's.
    pub(crate) unsafe fn give_huge(&mut self, block: NonNull<u8>) {
        let record = huge_record(block.as_ptr() as usize);
        // SAFETY: a huge block's record is in front of it.
        let arena = unsafe { Arena::at(record) };
        let (slots, len) = (arena.huge_slots.replace(0), arena.huge_len.replace(0));
        let before = arena.dirty.replace(0) as usize;
        self.made -= slots;
        self.huge.blocks -= 1;
        self.huge.bytes -= len;
        self.huge.slots -= slots;
        // SAFETY: record and block are committed and nobody uses them any more.
        unsafe { os::purge(record, block.as_ptr() as usize + len - record.as_ptr() as usize) };
        // SAFETY: `before` slots lie in front of the record's.
        let place = unsafe { record.sub(before * ARENA) };
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
        let start = block.as_ptr() as usize;
        let record = huge_record(start);
        // SAFETY: a huge block's record is in front of it.
        let arena = unsafe { Arena::at(record) };
        let (slots, old) = (arena.huge_slots.get(), arena.huge_len.get());
        let first = record.as_ptr() as usize - arena.dirty.get() as usize * ARENA;
        let need = (start + len - first).div_ceil(ARENA);
        if len <= old {
            if len < old {
                // SAFETY: the tail lies within the block.
                let tail = unsafe { block.add(len) };
                // SAFETY: the tail is the caller's and it wants it no longer.
                unsafe { os::purge(tail, old - len) };
            }
        } else if need <= slots || self.grow_slots(arena, first, need - slots) {
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

    fn grow_slots(&mut self, arena: &'static Arena, first: usize, more: usize) -> bool {
        let slots = arena.huge_slots.get();
        let Some(place) = NonNull::new(ptr::with_exposed_provenance_mut::<u8>(first)) else {
            return false;
        };
        if !self.slots.extend(place, slots, more) {
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

/// Where the record of the huge block at `block` is: at the start of the arena of the byte before it.
fn huge_record(block: usize) -> NonNull<u8> {
    let start = (block - 1) & !(ARENA - 1);
    // SAFETY: an arena is not at address zero.
    unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(start)) }
}

const _: () = assert!(GRANULES == 64);
