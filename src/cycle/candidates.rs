//! The candidates of a run: the graph of trial deletion, made of pools.

use core::cell::{Cell, RefCell};
use core::ptr;

use super::counters::Counters;
use super::trial::{self, Graph};
use crate::heap::object_pool::{ObjectHeap, ObjectPool};
use crate::object::ObjectRef;
use crate::object::side::{Side, Word, word};
use crate::object::trace::Tracer;

/// Which ages a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// What was born since the last run.
    Young,
    /// Young objects, and those that have survived one run.
    Middle,
    /// All objects: a full run.
    Old,
}

/// The pools with candidates, and what trial deletion needs besides.
pub(super) struct Candidates {
    pools: Vec<ObjectPool>,
    /// How many there are, at most.
    count: usize,
    /// How many of them were middle-aged.
    middle: usize,
    stack: RefCell<Vec<ObjectRef>>,
}

impl Candidates {
    /// Takes the objects of a generation and all younger ones as candidates. All survivors are one age
    /// older from here on: the bits of those that die go with them.
    ///
    /// `None`: no memory for a list of pools; nothing has changed but the list of recent pools, so that
    /// the next run must be `Old`.
    pub(super) fn take(heap: &ObjectHeap, generation: Generation) -> Option<Candidates> {
        let mut taken =
            Candidates { pools: Vec::new(), count: 0, middle: 0, stack: RefCell::default() };
        let mut pools = Vec::new();
        let mut complete = true;
        let mut add = |pool: ObjectPool| {
            complete = complete && pools.try_reserve(1).is_ok();
            if complete {
                pools.push(pool);
            }
        };
        // The list of recent pools starts anew with each run, whatever it takes.
        let recent = heap.take_recent();
        match generation {
            Generation::Young => recent.for_each(add),
            _ => {
                recent.for_each(drop);
                heap.for_each_traced_pool(&mut add);
            }
        }
        if !complete {
            return None;
        }
        pools.retain(|&pool| taken.take_pool(pool, generation));
        taken.pools = pools;
        Some(taken)
    }

    /// Takes the candidates of one pool; whether there are any.
    fn take_pool(&mut self, pool: ObjectPool, generation: Generation) -> bool {
        let mut any = 0;
        for group in pool.groups() {
            let [young, middle, old] =
                [Word::Young, Word::Middle, Word::Old].map(|age| word(group, age));
            let aged = if generation >= Generation::Middle { middle.take() } else { 0 };
            let mut bits = young.get() | aged;
            if generation == Generation::Old {
                // A full run leaves everything old: nothing is hidden in a cycle that straddles ages.
                bits |= old.get();
                old.set(bits);
                young.set(0);
            } else {
                old.set(old.get() | aged);
                middle.set(middle.get() | young.take());
            }
            debug_assert_eq!(word(group, Word::Candidate).get(), 0, "left from an earlier run");
            word(group, Word::Candidate).set(bits);
            self.count += bits.count_ones() as usize;
            self.middle += aged.count_ones() as usize;
            any |= bits;
        }
        any != 0
    }

    /// How many there were at first.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many of them were middle-aged: those become old.
    pub(super) fn middle(&self) -> usize {
        self.middle
    }

    /// Leaves only the garbage among the candidates. Returns the union of the count words of those that
    /// were looked at; 0 if nothing is left, or nothing could be decided: without memory, or when a
    /// `Trace` reported too much, all live.
    pub(super) fn keep_garbage(&mut self, counters: &mut Counters) -> u64 {
        let blocks = self.pools.iter().map(|pool| pool.carved()).sum();
        let ready =
            self.stack.get_mut().try_reserve(self.count).is_ok() && counters.reserve(blocks);
        let mut trying = Trying { candidates: self, decided: false };
        if ready {
            trying.assign(counters);
            if let Ok(words) = trial::keep_the_living(trying.candidates) {
                trying.decided = true;
                drop(trying);
                self.pools.retain(|&pool| has_candidates(pool));
                return if self.pools.is_empty() { 0 } else { words };
            }
        }
        drop(trying);
        self.pools.clear();
        0
    }

    /// Calls `visit` for each candidate, in the order of addresses; those that stop being one meanwhile
    /// are left out. Not for use while new ones appear.
    pub(super) fn for_each(&self, which: Word, mut visit: impl FnMut(ObjectRef)) {
        for &pool in &self.pools {
            for (index, group) in pool.groups().iter().enumerate() {
                let mut ahead = u64::MAX;
                loop {
                    let bits = word(group, which).get() & ahead;
                    if bits == 0 {
                        break;
                    }
                    ahead = !(bits ^ (bits - 1));
                    visit(object_at(pool, index * 64 + bits.trailing_zeros() as usize));
                }
            }
        }
    }

    /// Turns candidates into condemned; returns their number. Nobody looks at their ages again.
    pub(super) fn condemn(&self) -> usize {
        let mut count = 0;
        for &pool in &self.pools {
            for group in pool.groups() {
                let garbage = word(group, Word::Candidate).take();
                for age in [Word::Young, Word::Middle, Word::Old] {
                    word(group, age).set(word(group, age).get() & !garbage);
                }
                // A condemned object of an earlier run whose handle was never dropped stays as it is:
                // dead, and not to be dropped again.
                word(group, Word::Condemned).set(garbage);
                count += garbage.count_ones() as usize;
            }
        }
        count
    }
}

/// The object in a block that was handed out.
#[inline(always)]
fn object_at(pool: ObjectPool, index: usize) -> ObjectRef {
    // SAFETY: bits are only set for blocks that were handed out.
    unsafe { ObjectRef::from_header(pool.header_at(index)) }
}

fn has_candidates(pool: ObjectPool) -> bool {
    pool.groups().iter().any(|group| word(group, Word::Candidate).get() != 0)
}

/// Trial deletion is under way: its end takes the counters from the pools and, if nothing was decided
/// (also because a `Trace` panicked), all candidates live.
struct Trying<'a> {
    candidates: &'a Candidates,
    decided: bool,
}

impl Trying<'_> {
    /// Gives each pool its part of the counters.
    fn assign(&self, counters: &mut Counters) {
        let mut rest = counters.zeroed();
        for pool in &self.candidates.pools {
            let (part, others) = rest.split_at_mut(pool.carved());
            pool.set_trial(part.as_mut_ptr());
            rest = others;
        }
    }
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        self.candidates.stack.borrow_mut().clear();
        for pool in &self.candidates.pools {
            pool.set_trial(ptr::null_mut());
            if !self.decided {
                for group in pool.groups() {
                    word(group, Word::Candidate).set(0);
                    word(group, Word::Skipped).set(0);
                }
            }
        }
    }
}

/// The trial counter of block `index` of a pool with candidates.
#[inline(always)]
fn counter<'a>(pool: ObjectPool, index: usize) -> &'a Cell<u32> {
    debug_assert!(!pool.trial().is_null() && index < pool.carved(), "no counter for block {index}");
    // SAFETY: while trial deletion runs, each pool with candidates has as many counters as blocks.
    let place = unsafe { pool.trial().add(index) };
    // SAFETY: as above; all access is through cells on this thread, and ends before the counters do.
    unsafe { &*place.cast::<Cell<u32>>() }
}

/// Bits and counter of an edge's target, if it is a candidate.
#[inline(always)]
fn candidate<'a>(target: ObjectRef) -> Option<(Side, &'a Cell<u32>)> {
    // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
    let pool = unsafe { ObjectPool::of(target.address()) };
    if !pool.is_traced() {
        return None;
    }
    let side = Side::in_pool(pool, target);
    side.has(Word::Candidate).then(|| (side, counter(pool, pool.index_of(target.address()))))
}

impl Graph for Candidates {
    #[inline(always)]
    fn for_each_candidate(&self, mut visit: impl FnMut(ObjectRef, &Cell<u32>)) {
        for &pool in &self.pools {
            for (index, group) in pool.groups().iter().enumerate() {
                let mut bits = word(group, Word::Candidate).get();
                while bits != 0 {
                    let block = index * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    visit(object_at(pool, block), counter(pool, block));
                }
            }
        }
    }

    fn trial(&self, object: ObjectRef) -> &Cell<u32> {
        // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
        let pool = unsafe { ObjectPool::of(object.address()) };
        counter(pool, pool.index_of(object.address()))
    }

    #[inline(always)]
    fn trace(&self, object: ObjectRef, tracer: &mut Tracer<'_>) {
        // SAFETY: candidates are traced objects whose age was set after their birth, and not dead;
        // trial deletion leaves out the hidden ones, which somebody may have `&mut` to.
        unsafe { object.trace(tracer) }
    }

    #[inline(always)]
    fn explain(&self, target: ObjectRef) -> bool {
        let Some((side, trial)) = candidate(target) else {
            // If the source is garbage the edge is dropped soon: its count is fetched now.
            target.prefetch();
            return false;
        };
        trial.set(trial.get().wrapping_sub(1));
        side.has(Word::Skipped) && side.take(Word::Skipped)
    }

    fn skip(&self, object: ObjectRef) {
        Side::of(object).set(Word::Skipped);
    }

    fn keep_skipped(&self) {
        for group in self.pools.iter().flat_map(|pool| pool.groups()) {
            let skipped = word(group, Word::Skipped).take();
            let candidates = word(group, Word::Candidate);
            candidates.set(candidates.get() & !skipped);
        }
    }

    #[inline(always)]
    fn keep(&self, object: ObjectRef) -> bool {
        // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
        let pool = unsafe { ObjectPool::of(object.address()) };
        pool.is_traced() && {
            let side = Side::in_pool(pool, object);
            side.has(Word::Candidate) && side.take(Word::Candidate)
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
