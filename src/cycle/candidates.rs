//! The candidates of a run: the graph of trial deletion, made of pools.
//!
//! Most candidates come by whole pools, which are *scanned*: their bitmaps say which. The walk adds single
//! objects of other pools, in a list. A mark tells both kinds of pools from those that the run has nothing
//! to do with, so that an edge into them costs no look at their bits.

use core::cell::{Cell, RefCell};

use super::generation::Generation;
use super::trial::{self, Graph, Tried};
use crate::heap::object_pool::{Blocks, ObjectHeap, ObjectPool};
use crate::object::ObjectRef;
use crate::object::side::{Side, Word, word};
use crate::object::trace::Tracer;

/// The mark of pools all of whose candidates the bitmaps tell.
const SCANNED: u8 = 1 << 3;
/// The mark of pools whose candidates are in the list of visited objects.
const WALKED: u8 = 1 << 4;
/// Counters of that many pools are kept between runs over what is not young: half a MiB.
const KEPT: usize = 64;

/// Either mark.
pub(super) const IN_RUN: u8 = SCANNED | WALKED;

/// The objects that a run decides about, and what trial deletion needs besides.
pub(super) struct Candidates {
    /// The scanned pools.
    pools: Vec<ObjectPool>,
    walked: Vec<ObjectPool>,
    /// Candidates in the walked pools.
    visited: Vec<ObjectRef>,
    pub(super) generation: Generation,
    pub(super) counts: Counts,
    any_skipped: Cell<bool>,
    stack: RefCell<Vec<ObjectRef>>,
}

/// How many candidates there were, and what was done with them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// All of them.
    pub(super) all: usize,
    /// Those that become old unless they die.
    pub(super) promoted: usize,
    /// Objects and edges that were looked at.
    pub(super) looked_at: usize,
    /// Objects that the walk visited, and the seeds among them.
    pub(super) visited: usize,
    pub(super) seeds: usize,
    /// Garbage.
    pub(super) freed: usize,
    /// Garbage that was old.
    pub(super) freed_old: usize,
}

impl Candidates {
    /// Takes the objects of a generation and all younger ones as candidates, about `limit` of them
    /// unless all are taken. All survivors are one age older from here on: the bits of those that die go with them.
    /// Pools that there is no memory to remember are left for another run.
    pub(super) fn take(heap: &ObjectHeap, generation: Generation, limit: usize) -> Candidates {
        let mut taken = Candidates {
            pools: Vec::new(),
            walked: Vec::new(),
            visited: Vec::new(),
            generation,
            counts: Counts::default(),
            any_skipped: Cell::new(false),
            stack: RefCell::default(),
        };
        heap.for_each_recent(|pool| {
            match generation {
                // Nobody needs to know: all are taken below.
                Generation::Old => age_young(pool),
                _ if taken.counts.all < limit && taken.take_pool(pool) => {}
                _ => return true,
            }
            generation != Generation::Old && has(pool, Word::Middle)
        });
        if generation == Generation::Old {
            heap.for_each_traced_pool(|pool| {
                taken.take_pool(pool);
            });
            while let Some(pool) = heap.first_dirty() {
                heap.forget_dirty(pool);
            }
        }
        taken
    }

    /// Takes the candidates of one pool, if there are any. False without memory.
    fn take_pool(&mut self, pool: ObjectPool) -> bool {
        if self.pools.try_reserve(1).is_err() {
            return false;
        }
        let mut any = 0;
        let full = self.generation == Generation::Old;
        for (index, group) in pool.groups().iter().enumerate() {
            let [middle, old] = [Word::Middle, Word::Old].map(|age| word(group, age));
            let aged = if self.generation >= Generation::Middle { middle.take() } else { 0 };
            let mut bits = aged;
            if full {
                // A full run leaves everything old: nothing is hidden in a cycle that straddles ages.
                bits |= old.get();
                old.set(bits);
                word(group, Word::Dirty).set(0);
            } else {
                let young = young_of(pool, index);
                bits |= young;
                old.set(old.get() | aged);
                middle.set(middle.get() | young);
            }
            debug_assert_eq!(word(group, Word::Candidate).get(), 0, "left from an earlier run");
            word(group, Word::Candidate).set(bits);
            self.counts.all += bits.count_ones() as usize;
            self.counts.promoted += aged.count_ones() as usize;
            any |= bits;
        }
        if any != 0 {
            pool.marks().set(pool.marks().get() | SCANNED);
            self.pools.push(pool);
        }
        true
    }

    /// Adds one object that is no candidate yet. False without memory.
    pub(super) fn add(&mut self, pool: ObjectPool, side: Side, object: ObjectRef) -> bool {
        let marks = pool.marks().get();
        if marks & SCANNED == 0 {
            if self.visited.try_reserve(1).is_err() || self.walked.try_reserve(1).is_err() {
                return false;
            }
            if marks & WALKED == 0 {
                pool.marks().set(marks | WALKED);
                self.walked.push(pool);
            }
            self.visited.push(object);
        }
        side.set(Word::Candidate);
        self.counts.all += 1;
        true
    }

    /// Leaves only the garbage among the candidates. Returns the union of the count words of those that
    /// were looked at; 0 if nothing is left, or nothing could be decided: without memory, or when a
    /// `Trace` reported too much, all live.
    pub(super) fn keep_garbage(&mut self) -> u64 {
        let mut words = 0;
        if self.stack.get_mut().try_reserve(self.counts.all).is_ok() {
            let mut trying = Trying { candidates: self, finished: false };
            let tried = trial::keep_the_living(trying.candidates);
            trying.finished = true;
            drop(trying);
            match tried {
                Ok(Tried { words: seen, looked_at }) => {
                    words = seen;
                    self.counts.looked_at += looked_at;
                }
                Err(trial::Overcounted) => self.let_live(),
            }
        } else {
            self.let_live();
        }
        self.pools.retain(|&pool| {
            let any = has(pool, Word::Candidate);
            if !any {
                pool.marks().set(pool.marks().get() & !SCANNED);
            }
            any
        });
        self.visited.retain(|&object| Side::of(object).has(Word::Candidate));
        if self.pools.is_empty() && self.visited.is_empty() { 0 } else { words }
    }

    /// There are no candidates any more.
    fn let_live(&self) {
        for object in self.with(Word::Candidate) {
            object.header().leave_run();
            Side::of(object).take(Word::Candidate);
        }
    }

    /// All objects with a bit, in the order of addresses within each pool; those that lose it meanwhile are
    /// left out. Not for use while new ones appear.
    pub(super) fn with(&self, which: Word) -> Objects<'_> {
        Objects {
            pools: self.pools.iter(),
            visited: self.visited.iter(),
            which,
            blocks: None,
            group: 0,
            ahead: 0,
        }
    }

    /// Turns candidates into condemned, whose ages nobody looks at again. Returns how many they are.
    pub(super) fn condemn(&mut self) -> usize {
        let (mut freed, mut freed_old) = (0, 0);
        for group in self.pools.iter().flat_map(|pool| pool.groups()) {
            let garbage = word(group, Word::Candidate).take();
            freed += garbage.count_ones() as usize;
            freed_old += (word(group, Word::Old).get() & garbage).count_ones() as usize;
            for kind in [Word::Middle, Word::Old, Word::Dirty] {
                word(group, kind).set(word(group, kind).get() & !garbage);
            }
            word(group, Word::Condemned).set(garbage);
        }
        for &object in &self.visited {
            let side = Side::of(object);
            if side.take(Word::Candidate) {
                freed += 1;
                freed_old += usize::from(side.has(Word::Old));
                side.clear_age();
                side.set(Word::Condemned);
            }
        }
        self.counts.freed += freed;
        self.counts.freed_old += freed_old;
        freed
    }

    /// Calls `free` with the condemned, which they are no longer. Pools without other live blocks are freed
    /// at once if `all` of them have no handles any more, and no weak ones.
    ///
    /// # Safety
    /// Their values are dropped; `all` says the truth.
    pub(super) unsafe fn free_condemned(
        &self,
        heap: &ObjectHeap,
        all: bool,
        mut free: impl FnMut(ObjectRef),
    ) {
        for &pool in &self.pools {
            let blocks = pool.blocks();
            let condemned = |group| word(group, Word::Condemned);
            if all {
                let count = blocks
                    .groups()
                    .iter()
                    .map(|group| condemned(group).get().count_ones())
                    .sum::<u32>();
                // SAFETY: as many blocks as are live are without handles, their values gone; the pool is
                // of this heap, for it was listed there. Their bits are cleared right after.
                if unsafe { heap.free_whole(pool, count as usize) } {
                    blocks.groups().iter().for_each(|group| condemned(group).set(0));
                    continue;
                }
            }
            for (index, group) in blocks.groups().iter().enumerate() {
                bits(condemned(group).take(), |bit| free(object_at(blocks, index * 64 + bit)));
            }
        }
        for &object in &self.visited {
            if Side::of(object).take(Word::Condemned) {
                free(object);
            }
        }
    }
}

impl Drop for Candidates {
    fn drop(&mut self) {
        // Nothing is left of a run, also if a `Trace` panicked.
        self.let_live();
        for pool in self.pools.iter().chain(&self.walked) {
            pool.marks().set(pool.marks().get() & !IN_RUN);
        }
    }
}

/// Calls `f` with the index of each bit that is set.
#[inline(always)]
pub(super) fn bits(mut word: u64, mut f: impl FnMut(usize)) {
    while word != 0 {
        f(word.trailing_zeros() as usize);
        word &= word - 1;
    }
}

/// The iterator of [`Candidates::with`].
pub(super) struct Objects<'a> {
    pools: core::slice::Iter<'a, ObjectPool>,
    visited: core::slice::Iter<'a, ObjectRef>,
    which: Word,
    blocks: Option<Blocks>,
    /// The next group, and the bits of the one before that are still to come.
    group: usize,
    ahead: u64,
}

impl Iterator for Objects<'_> {
    type Item = ObjectRef;

    #[inline(always)]
    fn next(&mut self) -> Option<ObjectRef> {
        if let Some(blocks) = self.blocks {
            let bits = self.ahead & word(&blocks.groups()[self.group - 1], self.which).get();
            if bits != 0 {
                self.ahead = bits & (bits - 1);
                let bit = bits.trailing_zeros() as usize;
                return Some(object_at(blocks, (self.group - 1) * 64 + bit));
            }
        }
        self.next_group()
    }
}

impl Objects<'_> {
    /// The first object of the next group that has one.
    #[inline(never)]
    fn next_group(&mut self) -> Option<ObjectRef> {
        loop {
            let Some(blocks) = self.blocks else {
                let Some(pool) = self.pools.next() else {
                    return self.visited.find(|&&object| Side::of(object).has(self.which)).copied();
                };
                (self.blocks, self.group) = (Some(pool.blocks()), 0);
                continue;
            };
            let Some(group) = blocks.groups().get(self.group) else {
                self.blocks = None;
                continue;
            };
            self.group += 1;
            let bits = word(group, self.which).get();
            if bits != 0 {
                self.ahead = bits & (bits - 1);
                let bit = bits.trailing_zeros() as usize;
                return Some(object_at(blocks, (self.group - 1) * 64 + bit));
            }
        }
    }
}

/// The object in a block that was handed out.
#[inline(always)]
pub(super) fn object_at(blocks: Blocks, index: usize) -> ObjectRef {
    // SAFETY: bits are only set for blocks that were handed out.
    unsafe { ObjectRef::from_header(blocks.header(index)) }
}

/// The young objects of a group, which are so no longer: their age is in their bits from here on.
fn young_of(pool: ObjectPool, group: usize) -> u64 {
    let blocks = pool.blocks();
    let first = group * 64;
    let mut young = 0;
    for bit in 0..(pool.carved() - first).min(64) {
        // SAFETY: a block that was handed out, or is free.
        let object = unsafe { ObjectRef::from_header(blocks.header(first + bit)) };
        if object.header().is_young() {
            object.header().set_aged();
            young |= 1 << bit;
        }
    }
    young
}

/// Makes the young objects of a pool middle-aged.
fn age_young(pool: ObjectPool) {
    for (index, group) in pool.groups().iter().enumerate() {
        let middle = word(group, Word::Middle);
        middle.set(middle.get() | young_of(pool, index));
    }
}

fn has(pool: ObjectPool, which: Word) -> bool {
    pool.groups().iter().any(|group| word(group, which).get() != 0)
}

/// The pool of an object.
#[inline(always)]
pub(super) fn pool_of(object: ObjectRef) -> ObjectPool {
    // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
    unsafe { ObjectPool::of(object.address()) }
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
        // Those of pools that the next young runs will not look at are not kept.
        let keep = candidates.generation == Generation::Young || candidates.pools.len() <= KEPT;
        for &pool in &candidates.pools {
            if keep { pool.clear_counters() } else { pool.purge_counters() }
        }
        for &object in &candidates.visited {
            Side::with_counter(pool_of(object), object).1.set(0);
        }
        candidates.take_skipped(|_, _| ());
        if !self.finished {
            // Some are candidates no longer, and were not told yet.
            for age in [Word::Middle, Word::Old] {
                candidates.with(age).for_each(|object| object.header().leave_run());
            }
            candidates.visited.iter().for_each(|object| object.header().leave_run());
        }
    }
}

impl Candidates {
    /// The candidates among the visited, with their counters.
    #[inline(never)]
    fn for_each_visited(&self, mut visit: impl FnMut(ObjectRef, &Cell<u32>)) {
        for &object in &self.visited {
            let (side, counter) = Side::with_counter(pool_of(object), object);
            if side.has(Word::Candidate) {
                visit(object, counter);
            }
        }
    }

    /// Takes all skipped bits, and calls `f` with each object that had one.
    fn take_skipped(&self, mut f: impl FnMut(ObjectRef, Side)) {
        if !self.any_skipped.take() {
            return;
        }
        let skipped: Objects<'_> = self.with(Word::Skipped);
        for object in skipped {
            let side = Side::of(object);
            side.take(Word::Skipped);
            f(object, side);
        }
    }
}

impl Graph for Candidates {
    #[inline(always)]
    fn for_each_candidate(&self, mut visit: impl FnMut(ObjectRef, &Cell<u32>)) {
        for &pool in &self.pools {
            let blocks = pool.blocks();
            for (index, group) in blocks.groups().iter().enumerate() {
                bits(word(group, Word::Candidate).get(), |bit| {
                    let block = index * 64 + bit;
                    visit(object_at(blocks, block), blocks.counter(block));
                });
            }
        }
        self.for_each_visited(visit);
    }

    #[inline(always)]
    fn for_each_not_explained(&self, mut visit: impl FnMut(ObjectRef, &Cell<u32>)) {
        for &pool in &self.pools {
            let blocks = pool.blocks();
            for (index, group) in blocks.groups().iter().enumerate() {
                let counters = blocks.counters_of(index);
                if counters.iter().fold(0, |all, counter| all | counter.get()) != 0 {
                    bits(word(group, Word::Candidate).get(), |bit| {
                        visit(object_at(blocks, index * 64 + bit), &counters[bit]);
                    });
                }
            }
        }
        self.for_each_visited(visit);
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
    fn explain(&self, target: ObjectRef) -> bool {
        let pool = pool_of(target);
        if pool.marks().get() & IN_RUN != 0 {
            let (side, trial) = Side::with_counter(pool, target);
            if side.has(Word::Candidate) {
                trial.set(trial.get().wrapping_sub(1));
                return self.any_skipped.get() && side.take(Word::Skipped);
            }
        }
        // If the source is garbage the edge is dropped soon: its count is fetched now.
        target.prefetch();
        false
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
    fn keep(&self, object: ObjectRef) -> bool {
        let pool = pool_of(object);
        pool.marks().get() & IN_RUN != 0 && {
            let side = Side::in_pool(pool, object);
            side.has(Word::Candidate) && side.take(Word::Candidate)
        }
    }

    #[inline(always)]
    fn survive(&self, object: ObjectRef) {
        match self.generation {
            Generation::Old => object.header().watch_anew(),
            Generation::Young if self.counts.visited == 0 => object.header().leave_run(),
            _ if Side::of(object).has(Word::Old) => object.header().watch(),
            _ => object.header().leave_run(),
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
