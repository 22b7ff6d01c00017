//! Arenas: where pools, runs and huge blocks get their granules, and where empty ones go.
//!
//! One lock guards everything here. An arena is given out in runs of granules. New pools come from the
//! fullest arena, so that nearly empty ones drain (pymalloc's rule), but first from memory that was
//! touched before (`dirt.rs`). A huge block has arenas of its own.

use core::cell::Cell;

use super::dirt::Dirt;
use super::ends::FORK;
use super::pool::{Held, Kind, PoolRef, Shape};
use super::reservation::{Slots, arena_record_of};
use super::roomy::ROOMY_SLOT;
use super::thread::ThreadHeap;
use crate::base::bits::{find_run, low_bits};
use crate::base::config::{ARENA, ARENA_RECORD, GRANULE, GRANULES};
use crate::os;
use crate::sync::{RawMutex, RawMutexGuard};

/// The largest run of granules that comes from an arena shared with others.
pub(crate) const MAX_RUN: usize = 31;

/// An arena's record. All fields are touched under the arena lock only.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Arena {
    /// Address of the arena.
    pub(super) start: Cell<usize>,
    /// Free granules.
    free: Cell<u64>,
    /// Free granules whose memory may have been touched.
    pub(super) dirty: Cell<u64>,
    next: Cell<Option<&'static Arena>>,
    prev: Cell<Option<&'static Arena>>,
    /// Neighbours among the arenas with dirty granules, the oldest first.
    pub(super) dirty_next: Cell<Option<&'static Arena>>,
    pub(super) dirty_prev: Cell<Option<&'static Arena>>,
    /// All arenas, in the order of their making.
    next_made: Cell<Option<&'static Arena>>,
    /// For the first arena of a huge block: its slots, its bytes in use (none when it is kept), and how many of its
    /// bytes may have been touched; 0 otherwise.
    pub(super) huge_slots: Cell<usize>,
    pub(super) huge_len: Cell<usize>,
    pub(super) huge_end: Cell<usize>,
    /// Slots in front of that arena which belong to the block, for its alignment.
    pub(super) huge_before: Cell<usize>,
    /// Which of its huge pages the arena has asked for: see `huge_pages.rs`. Of a huge block all or none.
    pub(super) huge_pages: Cell<u8>,
    /// Granules of pools that were taken because those before were used up.
    pub(super) filled: Cell<u64>,
    /// Granules of huge pages that were touched with them and not used since.
    pub(super) unused: Cell<u64>,
    /// Which were huge pages until a part of them went back, and have not been all free since.
    pub(super) torn_pages: Cell<u8>,
}

const _: () = assert!(size_of::<Arena>() <= ARENA_RECORD);

// SAFETY: an arena's fields are touched under the arena lock only.
unsafe impl Sync for Arena {}

impl Arena {
    /// The record of the arena that `addr` is in.
    ///
    /// # Safety
    /// The metadata of that arena are committed.
    pub(super) unsafe fn of(addr: usize) -> &'static Arena {
        let record = arena_record_of(addr & !(ARENA - 1));
        // SAFETY: the caller's; metadata are never unmapped, and zero is a valid `Arena`.
        unsafe { record.cast::<Arena>().as_ref() }
    }

    pub(super) fn free_count(&self) -> usize {
        self.free.get().count_ones() as usize
    }

    pub(super) fn free_bits(&self) -> u64 {
        self.free.get()
    }

    pub(super) fn granule(&'static self, index: usize) -> PoolRef {
        // SAFETY: the granule lies in this arena.
        unsafe { PoolRef::of_granule(self.start.get() + index * GRANULE) }
    }
}

/// Everything behind the arena lock.
#[derive(Debug)]
pub(crate) struct Arenas {
    pub(super) slots: Slots,
    /// Arenas by number of free granules; full ones (0) are in no list.
    by_free: [Option<&'static Arena>; GRANULES + 1],
    /// Which of those lists have members: bit `n - 1` for `n` free granules.
    has_free: u64,
    first_made: Option<&'static Arena>,
    /// Granules in pools and runs.
    pub(super) used: usize,
    /// Those of them that are surely touched: see `huge_pages.rs`.
    pub(super) filled: usize,
    /// Pools of blocks with room.
    pub(super) roomy: usize,
    /// Memory that is free and was touched.
    pub(super) dirt: Dirt,
    /// Slots in use, for arenas and huge blocks.
    pub(super) made: usize,
    highwater: usize,
    /// Bytes that huge blocks hold, and the addresses set aside for them.
    pub(super) huge: HugeTotals,
    /// Whether there are huge pages, once the system was asked.
    pub(super) huge_pages: Option<bool>,
}

/// Sums over all huge blocks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HugeTotals {
    pub(crate) blocks: usize,
    pub(crate) bytes: usize,
    pub(crate) slots: usize,
    /// Slots of free ones whose memory is kept.
    pub(crate) kept: usize,
    /// Blocks that lie in huge pages.
    pub(crate) in_huge_pages: usize,
}

// SAFETY: the arenas are reached through the lock only.
unsafe impl Send for Arenas {}

static ARENAS: RawMutex<Arenas> = RawMutex::new(Arenas {
    slots: Slots::new(),
    by_free: [None; GRANULES + 1],
    has_free: 0,
    first_made: None,
    used: 0,
    filled: 0,
    roomy: 0,
    dirt: Dirt::new(),
    made: 0,
    highwater: 0,
    huge: HugeTotals { blocks: 0, bytes: 0, slots: 0, kept: 0, in_huge_pages: 0 },
    huge_pages: None,
});

/// Waits for the arena lock.
pub(crate) fn lock() -> RawMutexGuard<'static, Arenas> {
    FORK.register();
    ARENAS.lock()
}

/// Takes the lock for the time of a fork.
pub(super) fn begin_fork() {
    ARENAS.begin_fork();
}

/// Gives it back.
pub(super) fn end_fork() {
    ARENAS.end_fork();
}

/// A new pool: its holder's right, and whether its memory is known to be zero.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) held: Held,
    pub(crate) zero: bool,
}

impl Arenas {
    /// Takes `span` granules as a pool of the given shape; `growing` says that those before were used up.
    pub(crate) fn take_pool(
        &mut self,
        span: usize,
        shape: Shape,
        owner: *mut ThreadHeap,
        growing: bool,
    ) -> Option<Fresh> {
        let (arena, first) = self.find_warm(span).or_else(|| self.find(span)).or_else(|| {
            self.make_arena()?;
            self.find(span)
        })?;
        let bits = low_bits(span) << first;
        self.choose_pages(arena, bits, growing && span == 1);
        self.set_free(arena, arena.free.get() & !bits);
        self.used += span;
        self.roomy += usize::from(usize::from(shape.slot) == ROOMY_SLOT);
        if growing {
            self.set_filled(arena, arena.filled.get() | bits);
        }
        let zero = self.use_granules(arena, bits) == span;
        // SAFETY: the granules were free and are the caller's from here on, under the lock.
        let held = unsafe { arena.granule(first).init(shape, span, owner) };
        Some(Fresh { held, zero })
    }

    /// Gives a pool's granules back; no block of it is live and no list knows of it.
    pub(crate) fn give_pool(&mut self, held: Held) {
        let pool = held.pool();
        if pool.extent() == 0 {
            // SAFETY: the holder gives the pool up, under the lock.
            unsafe { pool.retire() };
            // SAFETY: a pool without granules of its own is a huge block, given up with it.
            return unsafe { self.give_huge(pool.start()) };
        }
        debug_assert!(pool.pool_word().is_held(), "a pool that nobody holds is given back");
        let first = pool.granule();
        // SAFETY: the arena of a pool has its metadata.
        let arena = unsafe { Arena::of(pool.start().as_ptr() as usize) };
        self.forget_holes(held.holes());
        if held.take_sparse() {
            self.end_sparse();
        }
        // SAFETY: the holder gives the pool up, under the lock.
        let span = unsafe { pool.retire() };
        let bits = low_bits(span) << first;
        debug_assert!(arena.free.get() & bits == 0, "granules {bits:#x} are free already");
        self.set_free(arena, arena.free.get() | bits);
        self.used -= span;
        self.roomy -= usize::from(pool.slot() == ROOMY_SLOT);
        self.set_filled(arena, arena.filled.get() & !bits);
        self.free_granules_of(arena, bits);
    }

    /// Makes a run of granules longer or shorter where it lies; false when what follows is taken.
    pub(crate) fn resize_run(&mut self, held: Held, span: usize) -> bool {
        let pool = held.pool();
        let (first, old) = (pool.granule(), pool.extent() / GRANULE);
        if first + span > GRANULES {
            return false;
        }
        // SAFETY: the arena of a pool has its metadata.
        let arena = unsafe { Arena::of(pool.start().as_ptr() as usize) };
        let bits = (low_bits(old.max(span)) ^ low_bits(old.min(span))) << first;
        if span > old {
            if arena.free.get() & bits != bits {
                return false;
            }
            self.choose_pages(arena, bits, false);
            self.set_free(arena, arena.free.get() & !bits);
            self.used += span - old;
            self.use_granules(arena, bits);
        }
        // SAFETY: the granules are the run's, under the lock.
        unsafe { pool.set_span(span) };
        if span < old {
            self.set_free(arena, arena.free.get() | bits);
            self.used -= old - span;
            self.free_granules_of(arena, bits);
        }
        true
    }

    /// The fullest arena with `span` free granules in a row, and where they begin.
    fn find(&self, span: usize) -> Option<(&'static Arena, usize)> {
        let mut lists = self.has_free & !low_bits(span - 1);
        while lists != 0 {
            let mut arena = self.by_free[lists.trailing_zeros() as usize + 1];
            lists &= lists - 1;
            while let Some(candidate) = arena {
                if let Some(first) = find_run(candidate.suits(candidate.free.get(), span), span) {
                    return Some((candidate, first));
                }
                arena = candidate.next.get();
            }
        }
        None
    }

    fn make_arena(&mut self) -> Option<()> {
        let place = self.slots.take(1)?;
        // SAFETY: the slot is ours.
        if !unsafe { os::commit(place, ARENA) } {
            self.slots.give(place, 1);
            return None;
        }
        self.count_slots(1);
        let start = place.as_ptr() as usize;
        // SAFETY: the metadata of a slot are committed with it.
        let arena = unsafe { Arena::of(start) };
        arena.start.set(start);
        arena.next_made.set(self.first_made);
        self.first_made = Some(arena);
        self.set_free(arena, u64::MAX);
        Some(())
    }

    pub(super) fn count_slots(&mut self, slots: usize) {
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
            self.has_free |= 1 << (new - 1);
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
            self.has_free &= !(1 << (list - 1));
        }
    }

    /// Calls `f` with every pool and run; none of them changes its use meanwhile.
    pub(crate) fn for_each_pool(&self, mut f: impl FnMut(PoolRef)) {
        let mut next = self.first_made;
        while let Some(arena) = next {
            next = arena.next_made.get();
            let mut used = !arena.free.get();
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

    /// Granules in no pool and no huge block.
    pub(crate) fn free_granules(&self) -> usize {
        let mut sum = self.huge.kept * GRANULES;
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
    /// Calls `f` with each arena, and whether it is where it should be.
    pub(super) fn for_each_arena(&self, mut f: impl FnMut(&Arena, bool)) {
        let mut next = self.first_made;
        while let Some(arena) = next {
            next = arena.next_made.get();
            let mut listed = self.by_free[arena.free_count()];
            while listed.is_some_and(|other| !core::ptr::eq(other, arena)) {
                listed = listed.and_then(|other| other.next.get());
            }
            let in_list = listed.is_some() || arena.free_count() == 0;
            f(arena, in_list);
        }
    }
}
