//! The walk from dirty seeds: how a run finds old garbage without looking at all that is old.
//!
//! A *dirty* object is an old one that lost a handle: perhaps the last one from outside of a cycle. A run
//! takes some of them as *seeds* and visits what they reach, up to a budget. What was visited are further
//! candidates of the run; any set of candidates is sound, so no walk is wasted because it could not be
//! finished.
//!
//! Where to go next is decided in turns. *Breadth first* completes what is dense. *Best first* takes the
//! object with the fewest references that no visited object explains: it follows a ring that has an edge
//! to something large and alive, and leaves that aside.
//!
//! Bacon and Rajan (2001) look at all that a candidate reaches; the bound, and the order that makes it
//! useful, are this crate's.

use core::cell::RefCell;

use super::candidates::{Candidates, pool_of};
use crate::heap::object_pool::{ObjectHeap, ObjectPool};
use crate::object::ObjectRef;
use crate::object::side::{Side, Word, word};
use crate::object::trace::Tracer;

/// Objects with fewer unexplained references than this are worth to be visited first.
const NEAR: u32 = 4;
/// Objects that are visited together, so that their cache misses overlap.
const WAVE: usize = 16;
/// A visit costs one unit of the budget, and another for each that many edges.
const EDGES_PER_UNIT: usize = 8;
/// What has more edges is visited for one walk only, until the next full run.
const MANY_EDGES: usize = 64;
/// Of the budget, at most this part is for seeds.
const SEEDS_PART: usize = 4;

/// A walk under way. The trial counter of an object is one more than its unexplained references; 0 means
/// that it was not found yet. The skipped bit means that it was visited.
struct Walk<'a> {
    candidates: &'a mut Candidates,
    /// All objects that were found, in that order: the queue of breadth first.
    found: Vec<ObjectRef>,
    /// The first of them that breadth first has not taken.
    next: usize,
    /// By their number of unexplained references; some of them were visited since.
    near: [Vec<ObjectRef>; NEAR as usize],
    breadth_first: bool,
    /// Units that are left.
    budget: usize,
}

impl Candidates {
    /// Adds what a walk of `budget` visits finds. Takes seeds from the dirty pools.
    pub(super) fn walk(&mut self, heap: &ObjectHeap, budget: usize) {
        if heap.first_dirty().is_none() {
            return;
        }
        let mut walk = Walk {
            candidates: self,
            found: Vec::new(),
            next: 0,
            near: [const { Vec::new() }; NEAR as usize],
            breadth_first: true,
            budget,
        };
        walk.take_seeds(heap, (budget / SEEDS_PART).max(1));
        walk.go();
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        for &object in &self.found {
            let (side, counter) = Side::with_counter(pool_of(object), object);
            counter.set(0);
            side.take(Word::Skipped);
        }
    }
}

impl Walk<'_> {
    /// Takes up to `most` dirty objects as seeds. Each is taken once; the others wait for the next run.
    fn take_seeds(&mut self, heap: &ObjectHeap, most: usize) {
        while self.candidates.counts.seeds < most {
            let Some(pool) = heap.first_dirty() else { return };
            if self.take_seeds_of(pool, most) {
                heap.forget_dirty(pool);
            }
        }
    }

    /// The same from one pool; whether none is left there.
    fn take_seeds_of(&mut self, pool: ObjectPool, most: usize) -> bool {
        for (index, group) in pool.groups().iter().enumerate() {
            let dirty = word(group, Word::Dirty);
            while dirty.get() != 0 {
                if self.candidates.counts.seeds == most {
                    return false;
                }
                let bit = dirty.get().trailing_zeros() as usize;
                dirty.set(dirty.get() & (dirty.get() - 1));
                // SAFETY: bits are only set for blocks that were handed out.
                let object = unsafe { ObjectRef::from_header(pool.header_at(index * 64 + bit)) };
                self.candidates.counts.seeds += 1;
                // Somebody may have `&mut` to what is hidden; nothing led here but its bit.
                if !object.header().is_hidden() {
                    self.find(object, 1);
                }
            }
        }
        true
    }

    /// Visits until the budget is used up or nothing is left to visit.
    fn go(&mut self) {
        let edges = RefCell::new(Vec::new());
        let mut report = |reported: &[ObjectRef]| {
            let mut edges = edges.borrow_mut();
            // Without memory the walk is shorter.
            if edges.try_reserve(reported.len()).is_ok() {
                reported.iter().for_each(|edge| edge.prefetch());
                edges.extend_from_slice(reported);
            }
        };
        let mut tracer = Tracer::new(&mut report);
        loop {
            let (mut wave, mut len) = ([ObjectRef::DANGLING; WAVE], 0);
            while len < WAVE && self.budget > len {
                let Some(object) = self.choose() else { break };
                object.prefetch();
                wave[len] = object;
                len += 1;
            }
            if len == 0 {
                return;
            }
            for &object in &wave[..len] {
                self.visit(object, &mut tracer);
            }
            tracer.flush();
            edges.borrow_mut().drain(..).for_each(|edge| self.find(edge, 0));
        }
    }

    /// The next object to visit, marked as visited.
    fn choose(&mut self) -> Option<ObjectRef> {
        self.breadth_first = !self.breadth_first;
        if self.breadth_first {
            self.choose_first_found().or_else(|| self.choose_nearest())
        } else {
            self.choose_nearest().or_else(|| self.choose_first_found())
        }
    }

    fn choose_first_found(&mut self) -> Option<ObjectRef> {
        while let Some(&object) = self.found.get(self.next) {
            self.next += 1;
            if self.take(object) {
                return Some(object);
            }
        }
        None
    }

    fn choose_nearest(&mut self) -> Option<ObjectRef> {
        for distance in 0..NEAR as usize {
            while let Some(object) = self.near[distance].pop() {
                if self.take(object) {
                    return Some(object);
                }
            }
        }
        None
    }

    /// Makes an object a visited candidate, unless it was visited before.
    fn take(&mut self, object: ObjectRef) -> bool {
        let pool = pool_of(object);
        let side = Side::in_pool(pool, object);
        if side.has(Word::Skipped) {
            return false;
        }
        if !side.has(Word::Candidate) && !self.candidates.add(pool, side, object) {
            return false;
        }
        side.set(Word::Skipped);
        true
    }

    /// Reports the edges of a visited object.
    fn visit(&mut self, object: ObjectRef, tracer: &mut Tracer<'_>) {
        if object.header().is_hidden() {
            // An edge of a visited object led here, for hidden seeds are left out.
            object.header().reveal();
        }
        let before = tracer.reported();
        // SAFETY: it has an age, so it was born and is not dead; and it is not hidden.
        unsafe { object.trace(tracer) };
        tracer.take_unknown();
        let edges = tracer.reported() - before;
        if edges > MANY_EDGES {
            object.header().set_tried();
        }
        self.budget = self.budget.saturating_sub(1 + edges / EDGES_PER_UNIT);
        self.candidates.counts.visited += 1;
        self.candidates.counts.looked_at += 1 + edges;
    }

    /// An edge leads to `object`, or it is a seed: then nothing explains that it was found.
    fn find(&mut self, object: ObjectRef, seed: u32) {
        let pool = pool_of(object);
        if !pool.is_traced() {
            return;
        }
        let (side, counter) = Side::with_counter(pool, object);
        let unexplained = match counter.get() {
            0 => {
                if !side.has_age() || self.found.try_reserve(1).is_err() {
                    return;
                }
                self.found.push(object);
                (object.header().strong() + seed).saturating_sub(1)
            }
            known => known.saturating_sub(2),
        };
        counter.set(unexplained + 1);
        if unexplained < NEAR && !side.has(Word::Skipped) {
            let near = &mut self.near[unexplained as usize];
            if near.try_reserve(1).is_ok() {
                near.push(object);
            }
        }
    }
}
