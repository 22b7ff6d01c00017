//! The address space of the heap, cut into arena slots.
//!
//! One large reservation makes "is it ours?" one subtraction and a comparison. Slots of arenas are
//! never given back; those of huge blocks are, and are found again first fit. Where reserving would
//! take memory (Windows, Miri) each run of slots is a reservation of its own.
//!
//! # Orderings
//! Relaxed: the bounds are written once, under the arena lock, and who asks about a pointer of ours got
//! it after that.

use core::ptr::NonNull;

use crate::base::config::{ARENA, MIN_RESERVATION, RESERVATION};
use crate::os;
use crate::sync::atomic::{AtomicUsize, Ordering};

const MAX_SLOTS: usize = RESERVATION / ARENA;

/// First address of the reservation; 0 before there is one.
static START: AtomicUsize = AtomicUsize::new(0);
/// Length of the reservation.
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Whether `addr` lies in the reservation. Always true where there is no single one.
#[inline]
pub(crate) fn is_ours(addr: usize) -> bool {
    !os::LAZY || addr.wrapping_sub(START.load(Ordering::Relaxed)) < LENGTH.load(Ordering::Relaxed)
}

/// Which slots are taken; behind the arena lock.
#[derive(Debug)]
pub(crate) struct Slots {
    start: Option<NonNull<u8>>,
    count: usize,
    refused: bool,
    taken: [u64; MAX_SLOTS.div_ceil(64)],
    /// No slot below this one is free.
    lowest_free: usize,
}

// SAFETY: the pointer is the start of an address range that belongs to nobody in particular.
unsafe impl Send for Slots {}

impl Slots {
    /// Nothing reserved yet.
    pub(crate) const fn new() -> Slots {
        Slots {
            start: None,
            count: 0,
            refused: false,
            taken: [0; MAX_SLOTS.div_ceil(64)],
            lowest_free: 0,
        }
    }

    /// Takes `run` consecutive slots; their memory is not committed.
    pub(crate) fn take(&mut self, run: usize) -> Option<NonNull<u8>> {
        if !os::LAZY {
            return os::reserve(run.checked_mul(ARENA)?, ARENA);
        }
        let start = self.reserve_once()?;
        let first = self.find(run)?;
        self.mark(first, run, true);
        // SAFETY: `find` returned slots below `count`, so the offset is within the reservation.
        Some(unsafe { start.add(first * ARENA) })
    }

    /// Gives slots back; nobody uses their memory, which is purged.
    pub(crate) fn give(&mut self, place: NonNull<u8>, run: usize) {
        let Some(start) = self.start else {
            // SAFETY: without one reservation, `take` made this one with the same numbers.
            unsafe { os::release(place, run * ARENA, ARENA) };
            return;
        };
        let first = (place.as_ptr() as usize - start.as_ptr() as usize) / ARENA;
        self.mark(first, run, false);
        self.lowest_free = self.lowest_free.min(first);
    }

    /// Takes the `more` slots that follow those at `place`, if they are free.
    pub(crate) fn extend(&mut self, place: NonNull<u8>, run: usize, more: usize) -> bool {
        let Some(start) = self.start else { return false };
        let next = (place.as_ptr() as usize - start.as_ptr() as usize) / ARENA + run;
        let free =
            next + more <= self.count && (next..next + more).all(|slot| !self.is_taken(slot));
        if free {
            self.mark(next, more, true);
        }
        free
    }

    fn reserve_once(&mut self) -> Option<NonNull<u8>> {
        if self.start.is_some() || self.refused {
            return self.start;
        }
        let mut length = RESERVATION;
        while length >= MIN_RESERVATION {
            if let Some(start) = os::reserve(length, ARENA) {
                self.start = Some(start);
                self.count = length / ARENA;
                START.store(start.as_ptr().expose_provenance(), Ordering::Relaxed);
                LENGTH.store(length, Ordering::Relaxed);
                return self.start;
            }
            length /= 2;
        }
        self.refused = true;
        None
    }

    fn is_taken(&self, slot: usize) -> bool {
        self.taken[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// The lowest `run` free slots in a row.
    fn find(&mut self, run: usize) -> Option<usize> {
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

#[cfg(all(test, unix, not(miri)))]
mod tests {
    use super::*;

    /// Slots over addresses that are never touched.
    fn slots(count: usize) -> Box<Slots> {
        let mut slots = Box::new(Slots::new());
        slots.start = NonNull::new(core::ptr::without_provenance_mut(1 << 32));
        slots.count = count;
        slots
    }

    #[test]
    fn first_fit_agrees_with_a_naive_map() {
        let mut ours = slots(200);
        let mut naive = [false; 200];
        let mut live = Vec::new();
        let mut random = 88_172_645_463_325_252u64;
        for _ in 0..5000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if random & 1 == 0 || live.is_empty() {
                let run = 1 + (random >> 8) as usize % 5;
                let expected = (0..=200 - run).find(|&at| !naive[at..at + run].contains(&true));
                let found = ours.find(run);
                assert_eq!(found, expected);
                if let Some(first) = found {
                    ours.mark(first, run, true);
                    naive[first..first + run].fill(true);
                    live.push((first, run));
                }
            } else {
                let (first, run) = live.swap_remove((random >> 8) as usize % live.len());
                let place = ours.start.unwrap();
                // SAFETY: the address is never accessed.
                let place = unsafe { place.add(first * ARENA) };
                ours.give(place, run);
                naive[first..first + run].fill(false);
            }
        }
    }

    #[test]
    fn a_run_grows_only_into_free_slots() {
        let mut ours = slots(10);
        let place = ours.start.unwrap();
        ours.mark(0, 2, true);
        ours.mark(4, 1, true);
        assert!(ours.extend(place, 2, 2));
        assert!(!ours.extend(place, 4, 1));
    }
}
