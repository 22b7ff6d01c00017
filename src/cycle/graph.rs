//! The candidates of a run as the graph of trial deletion, and the end of a trial.

use core::cell::Cell;

use super::candidates::{Candidates, IN_RUN, SCANNED, pool_of};
use super::generation::Generation;
use super::groups::object_at;
use super::trial::{self, Graph, Overcounted, Tried};
use crate::base::bits::{bits, prefetch};
use crate::heap::counters;
use crate::heap::object_pool::Blocks;
use crate::object::ObjectRef;
use crate::object::side::{Side, Word, word};
use crate::object::trace::Tracer;

/// Counters of that many pools are kept between runs over what is not young: two MiB at most.
const KEPT: usize = 256;

/// Edges whose places are fetched together, so that their cache misses overlap.
const TOGETHER: usize = 32;

/// Takes all candidates that live out of the set; what is left is garbage. There is room for them on the stack.
pub(super) fn keep_the_living(candidates: &Candidates) -> Result<Tried, Overcounted> {
    let mut trying = Trying { candidates, finished: false };
    if !candidates.keep_counters() {
        counters::want(&candidates.pools);
    }
    let tried = trial::keep_the_living(candidates);
    trying.finished = true;
    tried
}

/// Trial deletion is under way: its end sets the counters and the skipped bits back, also when a `Trace`
/// panicked.
struct Trying<'a> {
    candidates: &'a Candidates,
    finished: bool,
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        let candidates = self.candidates;
        candidates.stack.borrow_mut().clear();
        if candidates.keep_counters() {
            candidates.pools.iter().for_each(|pool| pool.clear_counters());
        } else {
            counters::give_back(&candidates.pools);
        }
        for &object in &candidates.visited {
            Side::with_counter(pool_of(object), object).1.set(0);
        }
        // What was noted as held, if it was not told then.
        candidates.take_skipped(|object, _| object.header().watch());
        if !self.finished {
            // Some were taken and not told yet, or are candidates no longer and were not told that.
            for age in [Word::Middle, Word::Old] {
                candidates.with(age).for_each(|object| {
                    object.header().set_aged();
                    object.header().watch();
                });
            }
            candidates.visited().for_each(|object| object.header().watch());
        }
    }
}

impl Candidates {
    /// Whether the memory of the trial counters is kept. That of pools that the next young runs will not look
    /// at is not.
    fn keep_counters(&self) -> bool {
        self.generation == Generation::Young || self.pools.len() <= KEPT
    }

    /// The candidates among the visited, with their counters.
    #[inline(never)]
    fn for_each_visited(&self, mut visit: impl FnMut(ObjectRef, Side, &Cell<u32>)) {
        for &object in &self.visited {
            let (side, counter) = Side::with_counter(pool_of(object), object);
            if side.has(Word::Candidate) {
                visit(object, side, counter);
            }
        }
    }

    /// Takes all skipped bits, and calls `f` with each object that had one.
    fn take_skipped(&self, mut f: impl FnMut(ObjectRef, Side)) {
        if !self.any_skipped.take() {
            return;
        }
        for object in self.with(Word::Skipped) {
            let side = Side::of(object);
            side.take(Word::Skipped);
            f(object, side);
        }
    }

    /// The trial counter of an object that may be a candidate.
    #[inline(always)]
    fn counter_of(&self, target: ObjectRef) -> Option<&'static Cell<u32>> {
        let pool = pool_of(target);
        let marks = pool.marks().get();
        if marks & IN_RUN == 0 {
            // If the source is garbage the edge is dropped soon: its count is fetched now.
            target.prefetch();
            return None;
        }
        let (side, counter) = Side::with_counter(pool, target);
        prefetch(counter);
        (marks & SCANNED != 0 || side.has(Word::Candidate)).then_some(counter)
    }

    /// The bits of an object that may be a candidate.
    #[inline(always)]
    fn side_of(target: ObjectRef) -> Option<Side> {
        let pool = pool_of(target);
        (pool.marks().get() & IN_RUN != 0).then(|| {
            let side = Side::in_pool(pool, target);
            side.prefetch();
            side
        })
    }

    /// Asks `is_held` about the candidates of a group. Takes those that are held out, and notes them. Whether
    /// others are left.
    #[inline(always)]
    fn keep_held_of(
        &self,
        blocks: Blocks,
        index: usize,
        all: bool,
        mut is_held: impl FnMut(ObjectRef, u32) -> bool,
    ) -> bool {
        let candidate = word(&blocks.groups()[index], Word::Candidate);
        let counters = blocks.counters_of(index);
        if candidate.get() == 0 {
            return false;
        }
        if !all && counters.iter().fold(0, |all, counter| all | counter.get()) == 0 {
            return true;
        }
        let mut held = 0;
        bits(candidate.get(), |bit| {
            if is_held(object_at(blocks, index * 64 + bit), counters[bit].get()) {
                held |= 1 << bit;
            }
        });
        candidate.set(candidate.get() & !held);
        word(&blocks.groups()[index], Word::Skipped).set(held);
        candidate.get() != 0
    }
}

impl Graph for Candidates {
    #[inline(always)]
    fn for_each_candidate(&self, mut visit: impl FnMut(ObjectRef, &Cell<u32>)) -> usize {
        let untaken = self.untaken.take();
        let mut count = 0;
        for &pool in &self.pools {
            let blocks = pool.blocks();
            for index in 0..blocks.groups().len() {
                if untaken {
                    self.take_group(pool, blocks, index);
                }
                let counters = blocks.counters_of(index);
                let candidates = word(&blocks.groups()[index], Word::Candidate).get();
                count += candidates.count_ones() as usize;
                bits(candidates, |bit| {
                    visit(object_at(blocks, index * 64 + bit), &counters[bit]);
                });
            }
        }
        self.for_each_visited(|object, _, counter| {
            count += 1;
            visit(object, counter);
        });
        count
    }

    #[inline(always)]
    fn keep_held(&self, all: bool, mut is_held: impl FnMut(ObjectRef, u32) -> bool) -> bool {
        self.any_skipped.set(true);
        let mut left = false;
        for &pool in &self.pools {
            let blocks = pool.blocks();
            for index in 0..blocks.groups().len() {
                left |= self.keep_held_of(blocks, index, all, &mut is_held);
            }
        }
        self.for_each_visited(|object, side, counter| {
            if is_held(object, counter.get()) {
                side.take(Word::Candidate);
                side.set(Word::Skipped);
            } else {
                left = true;
            }
        });
        left
    }

    #[inline(always)]
    fn for_each_held(&self, mut visit: impl FnMut(ObjectRef)) {
        for &pool in &self.pools {
            let blocks = pool.blocks();
            for (index, group) in blocks.groups().iter().enumerate() {
                bits(word(group, Word::Skipped).take(), |bit| {
                    visit(object_at(blocks, index * 64 + bit));
                });
            }
        }
        for &object in &self.visited {
            if Side::of(object).take(Word::Skipped) {
                visit(object);
            }
        }
        self.any_skipped.set(false);
    }

    fn trial(&self, object: ObjectRef) -> &Cell<u32> {
        Side::with_counter(pool_of(object), object).1
    }

    #[inline(always)]
    fn trace(&self, object: ObjectRef, tracer: &mut Tracer<'_>) {
        // SAFETY: candidates are traced objects whose age was set after their birth, and not dead;
        // trial deletion leaves out the hidden ones, which somebody may have `&mut` to.
        unsafe { object.trace(tracer) }
    }

    #[inline(always)]
    fn explain(&self, targets: &[ObjectRef], mut found_skipped: impl FnMut(ObjectRef)) {
        let elsewhere = Cell::new(0);
        for targets in targets.chunks(TOGETHER) {
            let mut trials = [&elsewhere; TOGETHER];
            for (trial, &target) in trials.iter_mut().zip(targets) {
                if let Some(counter) = self.counter_of(target) {
                    *trial = counter;
                }
            }
            for trial in &trials[..targets.len()] {
                trial.set(trial.get().wrapping_sub(1));
            }
        }
        if self.any_skipped.get() {
            for &target in targets {
                if Self::side_of(target).is_some_and(|side| side.take(Word::Skipped)) {
                    found_skipped(target);
                }
            }
        }
    }

    fn skip(&self, object: ObjectRef) {
        self.any_skipped.set(true);
        Side::of(object).set(Word::Skipped);
    }

    fn keep_skipped(&self) {
        self.take_skipped(|object, side| {
            side.take(Word::Candidate);
            // A finalizer may have hidden what an earlier trial looked at.
            object.header().leave_run();
        });
    }

    #[inline(always)]
    fn keep(&self, targets: &[ObjectRef]) {
        for targets in targets.chunks(TOGETHER) {
            let mut sides = [None; TOGETHER];
            for (side, &target) in sides.iter_mut().zip(targets) {
                *side = Self::side_of(target);
            }
            for (side, &target) in sides.iter().zip(targets) {
                if let Some(side) = side
                    && side.has(Word::Candidate)
                {
                    side.take(Word::Candidate);
                    self.push(target);
                }
            }
        }
    }

    #[inline(always)]
    fn survive(&self, object: ObjectRef) {
        match self.generation {
            Generation::Old => object.header().watch_anew(),
            _ => object.header().watch(),
        }
    }

    #[inline(always)]
    fn push(&self, object: ObjectRef) {
        let mut stack = self.stack.borrow_mut();
        debug_assert!(stack.len() < stack.capacity(), "each candidate is pushed once");
        stack.push(object);
    }

    #[inline(always)]
    fn pop(&self) -> Option<ObjectRef> {
        self.stack.borrow_mut().pop()
    }
}
