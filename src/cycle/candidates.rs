//! The candidates of a run: the graph of trial deletion, made of pools.
//!
//! Most candidates come by whole pools, which are *scanned*: their bitmaps say which. The walk adds single
//! objects of other pools, in a list. A mark tells both kinds of pools from those that the run has nothing
//! to do with, so that an edge into them costs no look at their bits.
//!
//! Which objects of a scanned pool are young only their headers say, and those are read once in a run: a
//! group's objects become candidates right before trial deletion visits them. So an edge into a scanned pool
//! is subtracted whatever it leads to; counters of objects that are no candidates mean nothing.

use core::cell::{Cell, RefCell};

use super::generation::Generation;
use super::graph;
use super::groups::{Groups, object_at};
use super::trial::{Overcounted, Tried};
use crate::base::bits::bits;
use crate::heap::object_pool::{Blocks, ObjectHeap, ObjectPool};
use crate::object::ObjectRef;
use crate::object::side::{Side, Word, word};

/// The mark of pools all of whose candidates the bitmaps tell.
pub(super) const SCANNED: u8 = 1 << 3;
/// The mark of pools whose candidates are in the list of visited objects.
const WALKED: u8 = 1 << 4;
/// Either mark.
pub(super) const IN_RUN: u8 = SCANNED | WALKED;

/// The objects that a run decides about, and what trial deletion needs besides.
pub(super) struct Candidates {
    /// The scanned pools.
    pub(super) pools: Vec<ObjectPool>,
    /// Whether their candidates are still to be taken; how many there are at most.
    pub(super) untaken: Cell<bool>,
    expected: usize,
    /// Those that were taken, and those of them that become old.
    pub(super) taken: Cell<usize>,
    pub(super) promoted: Cell<usize>,
    walked: Vec<ObjectPool>,
    /// Candidates in the walked pools.
    pub(super) visited: Vec<ObjectRef>,
    pub(super) generation: Generation,
    pub(super) counts: Counts,
    pub(super) any_skipped: Cell<bool>,
    pub(super) stack: RefCell<Vec<ObjectRef>>,
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
    /// Chooses nothing yet.
    pub(super) fn none(generation: Generation) -> Candidates {
        Candidates {
            pools: Vec::new(),
            untaken: Cell::new(true),
            expected: 0,
            taken: Cell::new(0),
            promoted: Cell::new(0),
            walked: Vec::new(),
            visited: Vec::new(),
            generation,
            counts: Counts::default(),
            any_skipped: Cell::new(false),
            stack: RefCell::default(),
        }
    }

    /// Chooses the objects of a generation and all younger ones as candidates, about `limit` of them unless
    /// all are taken. Pools that there is no memory to remember are left for another run.
    pub(super) fn choose(heap: &ObjectHeap, generation: Generation, limit: usize) -> Candidates {
        let mut chosen = Candidates::none(generation);
        if generation == Generation::Old {
            heap.for_each_traced_pool(|pool| chosen.choose_pool(pool, pool.live()));
        } else {
            heap.for_each_recent(|pool| {
                let (middle, old) = (count(pool, Word::Middle), count(pool, Word::Old));
                let young = pool.live() - middle - old;
                let wanted = young + if generation == Generation::Middle { middle } else { 0 };
                if wanted > 0 && chosen.expected < limit {
                    chosen.choose_pool(pool, wanted);
                }
                young + middle > 0
            });
        }
        chosen.pools.sort_unstable_by_key(|pool| pool.address());
        chosen
    }

    /// Chooses a pool that may have as many candidates.
    fn choose_pool(&mut self, pool: ObjectPool, expected: usize) {
        if self.pools.try_reserve(1).is_ok() {
            pool.marks().set(pool.marks().get() | SCANNED);
            self.pools.push(pool);
            self.expected += expected;
        }
    }

    /// All objects of a generation and the younger ones are known to live: they grow older, and that is all.
    pub(super) fn let_grow(&mut self, heap: &ObjectHeap) {
        let generation = self.generation;
        let counts = &mut self.counts;
        heap.for_each_recent(|pool| {
            let mut any_left = false;
            let blocks = pool.blocks();
            for (index, group) in blocks.groups().iter().enumerate() {
                let [middle, old] = [Word::Middle, Word::Old].map(|age| word(group, age));
                let young = young_of(pool, blocks, index, !(middle.get() | old.get()));
                bits(young, |bit| object_at(blocks, index * 64 + bit).header().set_aged());
                counts.all += young.count_ones() as usize;
                counts.looked_at += young.count_ones() as usize;
                if generation == Generation::Middle {
                    let aged = middle.take();
                    counts.all += aged.count_ones() as usize;
                    counts.promoted += aged.count_ones() as usize;
                    old.set(old.get() | aged);
                }
                middle.set(middle.get() | young);
                any_left |= middle.get() != 0;
            }
            any_left
        });
    }

    /// Takes the candidates of one group. All survivors are one age older from here on: the bits of those
    /// that die go with them.
    #[inline(always)]
    pub(super) fn take_group(&self, pool: ObjectPool, blocks: Blocks, index: usize) {
        let group = &blocks.groups()[index];
        let [middle, old] = [Word::Middle, Word::Old].map(|age| word(group, age));
        let young = young_of(pool, blocks, index, !(middle.get() | old.get()));
        let aged = if self.generation == Generation::Young { 0 } else { middle.take() };
        let mut bits = aged | young;
        if self.generation == Generation::Old {
            // A full run leaves everything old: nothing is hidden in a cycle that straddles ages.
            bits |= old.get();
            old.set(bits);
            word(group, Word::Dirty).set(0);
        } else {
            old.set(old.get() | aged);
            middle.set(middle.get() | young);
        }
        let candidate = word(group, Word::Candidate);
        // The walk may have taken some.
        candidate.set(candidate.get() | bits);
        self.taken.set(self.taken.get() + candidate.get().count_ones() as usize);
        self.promoted.set(self.promoted.get() + aged.count_ones() as usize);
    }

    /// All candidates are taken: the next runs over younger objects need not look at pools of the old.
    fn forget_pools(&self, heap: &ObjectHeap) {
        heap.for_each_recent(|pool| {
            pool.marks().get() & SCANNED == 0 || count(pool, Word::Middle) > 0
        });
        if self.generation == Generation::Old {
            for &pool in &self.pools {
                heap.forget_dirty(pool);
            }
        }
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
            self.counts.all += 1;
            if object.header().is_young() {
                object.header().set_aged();
                side.set(Word::Middle);
            }
        } else {
            // Old, perhaps.
            self.expected += 1;
        }
        side.set(Word::Candidate);
        true
    }

    /// Leaves only the garbage among the candidates. Returns the union of the count words of those that
    /// were looked at; 0 if nothing is left, or nothing could be decided: without memory, or when a
    /// `Trace` reported too much, all live.
    pub(super) fn keep_garbage(&mut self, heap: &ObjectHeap) -> u64 {
        let (mut words, untaken) = (0, self.untaken.get());
        let most = self.expected + self.visited.len();
        if self.stack.get_mut().try_reserve(most).is_ok() {
            let tried = graph::keep_the_living(self);
            if untaken {
                self.forget_pools(heap);
            }
            self.counts.all += self.taken.take();
            self.counts.promoted += self.promoted.take();
            match tried {
                Ok(Tried { words: seen, looked_at }) => {
                    words = seen;
                    self.counts.looked_at += looked_at;
                }
                Err(Overcounted) => self.let_live(),
            }
        } else {
            self.let_live();
        }
        self.pools.retain(|&pool| {
            let any = count(pool, Word::Candidate) > 0;
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
        for which in [Word::Candidate, Word::Skipped] {
            for object in self.with(which) {
                object.header().watch();
                Side::of(object).take(which);
            }
        }
    }

    /// All objects with a bit, in the order of addresses within each pool; those that lose it meanwhile are
    /// left out. Not for use while new ones appear.
    pub(super) fn with(&self, which: Word) -> impl Iterator<Item = ObjectRef> {
        let scanned = self.groups(which).flatten();
        scanned.chain(self.visited()).filter(move |&object| Side::of(object).has(which))
    }

    /// Those in scanned pools, group by group; for bits that stay meanwhile.
    pub(super) fn groups(&self, which: Word) -> Groups<'_> {
        Groups::of(&self.pools, which)
    }

    /// All objects that the walk added in other pools.
    pub(super) fn visited(&self) -> impl Iterator<Item = ObjectRef> {
        self.visited.iter().copied()
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

/// The young objects among those of a group.
#[inline(always)]
fn young_of(pool: ObjectPool, blocks: Blocks, group: usize, among: u64) -> u64 {
    let count = pool.carved() - group * 64;
    let carved = if count < 64 { (1 << count) - 1 } else { u64::MAX };
    let mut young = 0;
    bits(among & carved, |bit| {
        let header = object_at(blocks, group * 64 + bit).header();
        young |= u64::from(header.is_young()) << bit;
    });
    young
}

/// How many objects of a pool have a bit.
fn count(pool: ObjectPool, which: Word) -> usize {
    pool.groups().iter().map(|group| word(group, which).get().count_ones() as usize).sum()
}

/// The pool of an object.
#[inline(always)]
pub(super) fn pool_of(object: ObjectRef) -> ObjectPool {
    // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
    unsafe { ObjectPool::of(object.address()) }
}
