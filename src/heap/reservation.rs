//! The address space of the heap: metadata first, then arena slots.
//!
//! One reservation makes "is it ours?" one subtraction and a comparison, and lets a pointer find its
//! record by arithmetic alone. Everything has its place by the index of its arena or granule, counted
//! from the start of the reservation:
//!
//! ```text
//! start                                                                         first slot
//!   │ records of granules │ records of arenas │ side metadata │ trial counters │ arena │ arena │ …
//! ```
//!
//! The records of addresses that are not ours read as zero, where address space allows: a pointer can be
//! looked up before anybody asks whose it is. (`mlockall` should have `MCL_ONFAULT`, or it touches them all.)
//!
//! Metadata are committed with their arena; records read as zero before that, where those of all addresses
//! do. Slots of arenas are never given back; those of huge blocks are, and are found again first fit.
//!
//! # Orderings
//! Relaxed: the bounds are written once, under the arena lock, and who asks about a pointer of ours got
//! it after that. So are the bits of slots with metadata; who has any number may read a "no" that
//! is out of date, which for a pointer that is a block's is not.

use core::ptr::{self, NonNull};

use crate::base::bits::align_up;
use crate::base::config::{
    ADDRESSES, ARENA, ARENA_RECORD, COUNTERS, GRANULE, GRANULES, GROUP, GROUPS, MIN_RESERVATION,
    PAGE, RECORD, RESERVATION,
};
use crate::os;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::cell::UnsafeCell;

const MAX_SLOTS: usize = RESERVATION / ARENA;

/// First address of the reservation; 0 before there is one.
static START: AtomicUsize = AtomicUsize::new(0);
/// What is added to `addr / GRANULE * RECORD` to get the record of `addr`.
static RECORD_BIAS: Bias = Bias(UnsafeCell::new(0));
/// The same for the side metadata, and for the trial counters.
static GROUPS_BIAS: Bias = Bias(UnsafeCell::new(0));
static COUNTERS_BIAS: Bias = Bias(UnsafeCell::new(0));

/// A number that is written before anybody has a pointer to use it with.
struct Bias(UnsafeCell<usize>);

impl Bias {
    /// Where the `bytes` of the granule that `addr` is in stand.
    #[inline(always)]
    fn apply(&self, addr: usize, bytes: usize) -> usize {
        // SAFETY: written before there was such an address.
        let bias = self.0.with(|bias| unsafe { *bias });
        Bias::row(addr, bytes).wrapping_add(bias)
    }

    /// `addr / GRANULE * bytes`.
    #[inline(always)]
    fn row(addr: usize, bytes: usize) -> usize {
        if cfg!(target_pointer_width = "64") {
            // No address has the sign bit here, and for signed numbers the compiler masks by a short constant.
            let row = (addr.cast_signed() >> GRANULE.ilog2()) * bytes.cast_signed();
            row.cast_unsigned()
        } else {
            addr / GRANULE * bytes
        }
    }

    /// The `bytes` of each granule stand in a row, those of the granule at `start` at `first`.
    ///
    /// # Safety
    /// Nobody has a pointer into the reservation yet, and the caller holds the arena lock.
    unsafe fn set(&self, start: usize, first: usize, bytes: usize) {
        let bias = first.wrapping_sub(Bias::row(start, bytes));
        // SAFETY: the caller's.
        self.0.with_mut(|place| unsafe { *place = bias });
    }
}

// SAFETY: written once, under the arena lock, before the first block exists; read only by who has a
// pointer into the reservation, which it got after that. A plain load folds into the addition.
unsafe impl Sync for Bias {}
/// Length of the reservation.
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// A bit for each slot whose records were committed: its granules' and its arena's.
static COMMITTED: [AtomicUsize; MAX_SLOTS.div_ceil(usize::BITS as usize)] =
    [const { AtomicUsize::new(0) }; MAX_SLOTS.div_ceil(usize::BITS as usize)];

/// The word of a slot in [`COMMITTED`] and its bit there, by an address's distance from the start.
fn committed_bit(offset: usize) -> (&'static AtomicUsize, usize) {
    let slot = offset / ARENA;
    (&COMMITTED[slot / usize::BITS as usize], 1 << (slot % usize::BITS as usize))
}

/// Whether `addr` is ours and its records can be read, wherever it came from. Who has neither the arena lock nor
/// got the address from there may be told no too soon.
pub(super) fn has_record(addr: usize) -> bool {
    let offset = addr.wrapping_sub(start());
    offset < LENGTH.load(Ordering::Relaxed) && {
        let (word, bit) = committed_bit(offset);
        word.load(Ordering::Relaxed) & bit != 0
    }
}

/// Whether `addr` lies in the reservation.
#[inline]
pub(crate) fn is_ours(addr: usize) -> bool {
    addr.wrapping_sub(start()) < LENGTH.load(Ordering::Relaxed)
}

#[inline(always)]
fn start() -> usize {
    START.load(Ordering::Relaxed)
}

/// Where the record of the granule that `addr` is in stands.
#[inline(always)]
pub(crate) fn record_of(addr: usize) -> usize {
    RECORD_BIAS.apply(addr, RECORD)
}

/// The granule whose record stands at `record`.
#[inline(always)]
pub(crate) fn granule_of(record: usize) -> NonNull<u8> {
    let start = start();
    place(start + (record - start) * (GRANULE / RECORD))
}

/// Where the side metadata of the granule that `addr` is in begin.
#[inline(always)]
pub(crate) fn groups_of(addr: usize) -> NonNull<u8> {
    place(GROUPS_BIAS.apply(addr, GROUPS * GROUP))
}

/// Where the trial counters of the granule that `addr` is in begin.
#[inline(always)]
pub(crate) fn counters_of(addr: usize) -> NonNull<u8> {
    place(COUNTERS_BIAS.apply(addr, COUNTERS))
}

/// Where the record of the arena at `arena` stands.
#[inline]
pub(crate) fn arena_record_of(arena: usize) -> NonNull<u8> {
    let start = start();
    let index = (arena - start) / ARENA;
    place(start + arena_records_offset(LENGTH.load(Ordering::Relaxed)) + index * ARENA_RECORD)
}

/// A pointer into the reservation, whose provenance is exposed.
#[inline(always)]
fn place(addr: usize) -> NonNull<u8> {
    // SAFETY: nothing of the reservation is at address zero.
    unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(addr)) }
}

const fn arena_records_offset(length: usize) -> usize {
    length / GRANULE * RECORD
}

const fn groups_offset(length: usize) -> usize {
    align_up(arena_records_offset(length) + length / ARENA * ARENA_RECORD, PAGE)
}

const fn counters_offset(length: usize) -> usize {
    align_up(groups_offset(length) + length / GRANULE * (GROUPS * GROUP), PAGE)
}

/// Slots that the metadata take.
const fn meta_slots(length: usize) -> usize {
    (counters_offset(length) + length / GRANULE * COUNTERS).div_ceil(ARENA)
}

/// Which slots are taken; behind the arena lock.
#[derive(Debug)]
pub(crate) struct Slots {
    count: usize,
    refused: bool,
    taken: [u64; MAX_SLOTS.div_ceil(64)],
    /// No slot below this one is free.
    lowest_free: usize,
}

impl Slots {
    /// Nothing reserved yet.
    pub(crate) const fn new() -> Slots {
        Slots { count: 0, refused: false, taken: [0; MAX_SLOTS.div_ceil(64)], lowest_free: 0 }
    }

    /// Takes `run` consecutive slots; the metadata of the first are committed, its memory is not.
    pub(crate) fn take(&mut self, run: usize) -> Option<NonNull<u8>> {
        if !self.reserve_once() {
            return None;
        }
        let first = self.find(run)?;
        let slot = place(start() + first * ARENA);
        if !commit_meta(slot.as_ptr() as usize) {
            return None;
        }
        self.mark(first, run, true);
        Some(slot)
    }

    /// Gives slots back; nobody uses their memory, which is purged.
    pub(crate) fn give(&mut self, slot: NonNull<u8>, run: usize) {
        let first = (slot.as_ptr() as usize - start()) / ARENA;
        self.mark(first, run, false);
        self.lowest_free = self.lowest_free.min(first);
    }

    /// Takes the `more` slots that follow the `run` at address `slot`, if they are free.
    pub(crate) fn extend(&mut self, slot: usize, run: usize, more: usize) -> bool {
        let next = (slot - start()) / ARENA + run;
        let free =
            next + more <= self.count && (next..next + more).all(|slot| !self.is_taken(slot));
        if free {
            self.mark(next, more, true);
        }
        free
    }

    /// Whether there is a reservation.
    fn reserve_once(&mut self) -> bool {
        if self.count > 0 || self.refused {
            return self.count > 0;
        }
        let mut length = RESERVATION;
        let mut front = ADDRESSES * RECORD;
        while length >= MIN_RESERVATION {
            if let Some(reserved) = os::reserve(front + length, ARENA) {
                let start = reserved.as_ptr().expose_provenance() + front;
                if front > 0 {
                    show_foreign_records(reserved, front, length);
                }
                START.store(start, Ordering::Relaxed);
                LENGTH.store(length, Ordering::Relaxed);
                let (groups, counters) =
                    (start + groups_offset(length), start + counters_offset(length));
                // SAFETY: nobody has a pointer into the reservation yet; the caller holds the lock.
                unsafe { RECORD_BIAS.set(start, start, RECORD) };
                // SAFETY: as above.
                unsafe { GROUPS_BIAS.set(start, groups, GROUPS * GROUP) };
                // SAFETY: as above.
                unsafe { COUNTERS_BIAS.set(start, counters, COUNTERS) };
                self.count = length / ARENA;
                self.mark(0, meta_slots(length), true);
                return true;
            }
            if front > 0 {
                front = 0;
            } else {
                length /= 2;
            }
        }
        self.refused = true;
        false
    }

    fn is_taken(&self, slot: usize) -> bool {
        (self.taken[slot / 64] >> (slot % 64)) & 1 == 1
    }

    /// The lowest `run` free slots in a row.
    fn find(&self, run: usize) -> Option<usize> {
        let mut first = self.lowest_free;
        let mut have = 0;
        let mut slot = first;
        while have < run {
            if slot >= self.count {
                return None;
            }
            if slot.is_multiple_of(64) && self.taken[slot / 64] == u64::MAX {
                (slot, have) = (slot + 64, 0);
                first = slot;
            } else if self.is_taken(slot) {
                (slot, have) = (slot + 1, 0);
                first = slot;
            } else {
                (slot, have) = (slot + 1, have + 1);
            }
        }
        Some(first)
    }

    fn mark(&mut self, first: usize, run: usize, taken: bool) {
        for slot in first..first + run {
            debug_assert!(self.is_taken(slot) != taken, "slot {slot} is already {taken}");
            self.taken[slot / 64] ^= 1 << (slot % 64);
        }
        if taken && first == self.lowest_free {
            self.lowest_free = first + run;
        }
    }
}

/// Makes the records of all addresses readable: those of lower ones stand in front of the reservation,
/// those of higher ones after the records of ours, where the other metadata and arenas come to lie.
fn show_foreign_records(reserved: NonNull<u8>, front: usize, length: usize) {
    let above = ADDRESSES.saturating_sub((reserved.as_ptr() as usize + front) / GRANULE) * RECORD;
    let shown = align_up(above.max(meta_slots(length) * ARENA).min(length), PAGE);
    // SAFETY: the range lies within the reservation that was just made.
    unsafe { os::show(reserved, front + shown) };
}

/// Makes the metadata of the arena at `arena` accessible, for ever. Committing twice is harmless. Under the arena
/// lock.
pub(super) fn commit_meta(arena: usize) -> bool {
    let records = place(record_of(arena));
    let own = arena_record_of(arena).as_ptr() as usize;
    let (groups, counters) = (groups_of(arena), counters_of(arena));
    // SAFETY: the records lie in the reservation's first slots and are whole pages.
    let records = unsafe { os::commit(records, GRANULES * RECORD) };
    // SAFETY: as above; a page of arena records serves many arenas.
    let own = unsafe { os::commit(place(own & !(PAGE - 1)), PAGE) };
    // SAFETY: as above.
    let groups = unsafe { os::commit(groups, GRANULES * GROUPS * GROUP) };
    // SAFETY: as above.
    let counters = unsafe { os::commit(counters, GRANULES * COUNTERS) };
    if records && own {
        let (word, bit) = committed_bit(arena - start());
        word.fetch_or(bit, Ordering::Relaxed);
    }
    records && own && groups && counters
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots of which nothing is ever touched.
    fn slots(count: usize) -> Box<Slots> {
        let mut slots = Box::new(Slots::new());
        slots.count = count;
        slots
    }

    #[test]
    fn first_fit_agrees_with_a_naive_map() {
        let mut ours = slots(20);
        let mut naive = [false; 20];
        let mut live: Vec<(usize, usize)> = Vec::new();
        let mut random = 88_172_645_463_325_252u64;
        for _ in 0..5000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if random & 1 == 0 || live.is_empty() {
                let run = 1 + (random >> 8) as usize % 5;
                let expected = (0..=20 - run).find(|&at| !naive[at..at + run].contains(&true));
                let found = ours.find(run);
                assert_eq!(found, expected);
                if let Some(first) = found {
                    ours.mark(first, run, true);
                    naive[first..first + run].fill(true);
                    live.push((first, run));
                }
            } else {
                let (first, run) = live.swap_remove((random >> 8) as usize % live.len());
                ours.mark(first, run, false);
                ours.lowest_free = ours.lowest_free.min(first);
                naive[first..first + run].fill(false);
            }
        }
    }

    #[test]
    fn metadata_are_a_small_part_of_the_reservation() {
        for length in [MIN_RESERVATION, 1 << 30, RESERVATION] {
            let meta = meta_slots(length);
            assert!(meta >= 1 && meta * 5 < length / ARENA, "{meta} of {}", length / ARENA);
        }
    }

    #[test]
    fn every_place_has_one_record_and_back() {
        // Any allocation makes the reservation.
        crate::heap::tests::alloc_box();
        let first = start() + meta_slots(LENGTH.load(Ordering::Relaxed)) * ARENA;
        for granule in 0..200 {
            let addr = first + granule * GRANULE;
            assert_eq!(granule_of(record_of(addr)).as_ptr() as usize, addr);
            assert_eq!(record_of(addr + GRANULE - 1), record_of(addr));
            assert_eq!(record_of(addr + GRANULE), record_of(addr) + RECORD);
            assert!(
                is_ours(record_of(addr))
                    && record_of(addr) < arena_record_of(addr).as_ptr() as usize
            );
        }
    }
}
