//! How much empty memory may stay dirty: when memory goes back, without a clock and without a thread.
//!
//! The freer that exceeds the allowance gives memory back. It starts as a share of what is in use, and a
//! plain share is too eager: touching a page again costs 2.5 µs, a program that builds and frees in
//! phases would pay that for every page of every phase. So the allowance learns:
//!
//! - *Regret*: memory committed after as much was given back doubles it, up to the most that was ever
//!   dirty and in use together.
//! - *Quiet*: a stretch of traffic during which half of it was never needed (the least that was dirty
//!   tells) halves it; one without purges and regret forgets half of what was given back.
//!
//! A program that frees once returns its memory at once; one that breathes pays for its first breath.
//!
//! From some MiB in use on, a huge page may be dirty in any case: only so can small blocks be in some.

use crate::base::config::HUGE_PAGE;

/// What may stay dirty in any case.
const LEAST: usize = 1 << 20;

/// This share of what is in use may stay dirty.
const SHARE: usize = 8;

/// From so much in use on, a huge page may be dirty.
const HUGE_PAGE_FROM: usize = 4 << 20;

/// Traffic that makes a stretch, in allowances.
const STRETCH: usize = 4;

/// The allowance, in bytes. Pure arithmetic: the callers purge.
#[derive(Debug)]
pub(super) struct Allowance {
    /// What was learned: the allowance is at least that.
    learned: usize,
    /// Bytes given back and not committed again.
    purged: usize,
    /// Bytes committed again since the last doubling.
    regret: usize,
    /// Bytes that became free in this stretch.
    traffic: usize,
    /// The least that was dirty in this stretch.
    low: usize,
    /// Whether memory was given back, or wanted again, in this stretch.
    busy: bool,
    /// The most that was ever dirty and in use together.
    peak: usize,
}

impl Allowance {
    pub(super) const fn new() -> Allowance {
        Allowance { learned: LEAST, purged: 0, regret: 0, traffic: 0, low: 0, busy: false, peak: 0 }
    }

    /// Bytes that may be dirty while `used` bytes are in use. Everything under `--cfg keep_dirty`, which
    /// is there to measure what giving back costs.
    pub(super) fn limit(&self, used: usize) -> usize {
        if cfg!(keep_dirty) {
            return usize::MAX;
        }
        self.room(used)
    }

    /// The same, for what need not be touched.
    pub(super) fn room(&self, used: usize) -> usize {
        let page = if used >= HUGE_PAGE_FROM { HUGE_PAGE } else { 0 };
        self.learned.max(used / SHARE).max(page)
    }

    /// Memory is used of which `clean` bytes were not dirty; `dirty` bytes are left.
    pub(super) fn on_use(&mut self, clean: usize, dirty: usize) {
        self.low = self.low.min(dirty);
        let again = clean.min(self.purged);
        self.purged -= again;
        self.regret += again;
        self.busy |= again > 0;
        while self.regret >= self.learned / 2 && self.learned < self.peak {
            self.regret -= self.learned / 2;
            self.learned = (self.learned * 2).min(self.peak);
        }
    }

    /// Memory becomes free: `dirty` bytes with it, beside `used` ones in use.
    pub(super) fn on_free(&mut self, bytes: usize, dirty: usize, used: usize) {
        self.peak = self.peak.max(dirty + used);
        self.traffic += bytes;
        if self.traffic < STRETCH * self.learned {
            return;
        }
        if self.low >= self.learned / 2 {
            self.learned = (self.learned / 2).max(LEAST);
            self.regret = 0;
        }
        if !self.busy {
            self.purged /= 2;
        }
        (self.traffic, self.low, self.busy) = (0, dirty, false);
    }

    /// Memory was given back.
    pub(super) fn on_purge(&mut self, bytes: usize) {
        self.purged += bytes;
        self.busy |= bytes > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const STEP: usize = 64 << 10;

    /// A heap that is nothing but numbers.
    struct Heap {
        allowance: Allowance,
        used: usize,
        dirty: usize,
        purged: usize,
    }

    impl Heap {
        fn new() -> Heap {
            Heap { allowance: Allowance::new(), used: 0, dirty: 0, purged: 0 }
        }

        fn take(&mut self, bytes: usize) {
            for _ in 0..bytes / STEP {
                self.used += STEP;
                if self.dirty > 0 {
                    self.dirty -= STEP;
                    self.allowance.on_use(0, self.dirty);
                } else {
                    self.allowance.on_use(STEP, 0);
                }
            }
        }

        fn give(&mut self, bytes: usize) {
            for _ in 0..bytes / STEP {
                self.used -= STEP;
                self.dirty += STEP;
                self.allowance.on_free(STEP, self.dirty, self.used);
                while self.dirty > self.allowance.limit(self.used) {
                    self.dirty -= STEP;
                    self.purged += STEP;
                    self.allowance.on_purge(STEP);
                }
            }
        }
    }

    #[test]
    fn what_is_freed_once_goes_back_at_once() {
        let mut heap = Heap::new();
        heap.take(64 * MIB);
        heap.give(64 * MIB);
        assert!(heap.dirty <= MIB, "{} stay dirty", heap.dirty);
    }

    #[test]
    fn a_program_that_breathes_pays_for_its_first_breath() {
        let mut heap = Heap::new();
        for _ in 0..50 {
            heap.take(64 * MIB);
            heap.give(64 * MIB);
        }
        assert!(heap.purged <= 66 * MIB, "{} MiB purged in 50 breaths", heap.purged / MIB);
    }

    #[test]
    fn shallow_breaths_give_back_what_deep_ones_kept() {
        let mut heap = Heap::new();
        for _ in 0..5 {
            heap.take(64 * MIB);
            heap.give(64 * MIB);
        }
        assert!(heap.dirty >= 32 * MIB);
        for _ in 0..1000 {
            heap.take(4 * MIB);
            heap.give(4 * MIB);
        }
        assert!(heap.dirty <= 16 * MIB, "{} MiB stay dirty", heap.dirty / MIB);
    }

    #[test]
    fn a_share_of_what_is_in_use_stays() {
        let allowance = Allowance::new();
        assert_eq!(allowance.limit(0), LEAST);
        assert_eq!(allowance.limit(800 * MIB), 100 * MIB);
    }
}
