//! The walk from dirty seeds: how a run finds old garbage without looking at all that is old.
//!
//! A *dirty* object is an old one that lost a handle: perhaps the last one from outside of a cycle. A run
//! takes some of them as *seeds* and visits what they reach, up to a budget. What was visited are further
//! candidates of the run; any set of candidates is sound, so no walk is wasted because it could not be
//! finished.
//!
//! From each seed it goes first to objects all of whose references are explained: visited objects hold
//! them. So it follows a ring that has an edge to something large and alive, and leaves that aside. If there
//! is none, it takes turns: *breadth first* completes what is dense, *best first* takes the object with the
//! fewest unexplained references. It stops when everything is explained, or when it has lost patience: some
//! visits in a row explained nothing, as among the living.
//!
//! Bacon and Rajan (2001) look at all that a candidate reaches; the bound, and the order that makes it
//! useful, are this crate's.

use core::cell::RefCell;

use super::candidates::{Candidates, pool_of};
use super::found::Found;
use crate::heap::object_pool::{ObjectHeap, ObjectPool};
use crate::object::ObjectRef;
use crate::object::dirty;
use crate::object::side::{Side, Word, word};
use crate::object::trace::Tracer;

/// Objects with fewer unexplained references than this are worth to be visited first.
const NEAR: u32 = 4;
/// Visits in a row that explain nothing until a seed is given up.
const PATIENCE: usize = 6;
/// To explain one more reference of a visited object is progress if no more than that many are left.
const PROGRESS: u32 = 64;
/// Objects that are visited together, so that their cache misses overlap.
const WAVE: usize = 4;
/// Seeds that are fetched together.
const SEEDS: usize = 16;
/// A visit costs one unit of the budget, and another for each that many edges.
const EDGES_PER_UNIT: usize = 8;
/// What has more edges is visited for one walk only, until the next full run.
const MANY_EDGES: usize = 64;

/// A walk under way. The skipped bit of an object means that it was visited.
struct Walk<'a> {
    candidates: &'a mut Candidates,
    /// All objects that were found, with their unexplained references: in that order the queue of breadth
    /// first.
    found: Found,
    /// The first of them that breadth first has not taken.
    next: usize,
    /// By their number of unexplained references; some of them were visited since.
    near: [Vec<ObjectRef>; NEAR as usize],
    breadth_first: bool,
    /// Units that are left.
    budget: usize,
    /// Visited objects of this seed that are not explained; about.
    open: usize,
    /// Visits that are left before this seed is given up.
    patience: usize,
}

impl Candidates {
    /// Adds what a walk of `budget` visits finds. Takes seeds from the dirty pools; those that there is no
    /// budget left for stay dirty.
    pub(super) fn walk(&mut self, heap: &ObjectHeap, budget: usize) {
        let mut walk = Walk {
            candidates: self,
            found: Found::default(),
            next: 0,
            near: [const { Vec::new() }; NEAR as usize],
            breadth_first: true,
            budget,
            open: 0,
            patience: 0,
        };
        let mut seeds = Seeds { heap, left: Vec::new() };
        while walk.budget > 0 && seeds.left.try_reserve(SEEDS).is_ok() {
            take_seeds(heap, &mut seeds.left, &mut walk.budget);
            if seeds.left.is_empty() {
                return;
            }
            // They were fetched in the order of the list.
            seeds.left.reverse();
            while walk.budget > 0
                && let Some(seed) = seeds.left.pop()
            {
                // Unless it alone was too much, it is tried again.
                if !walk.explore(seed) && walk.candidates.counts.seeds > 1 {
                    seeds.left.push(seed);
                }
            }
        }
    }
}

/// Seeds that were taken, and are not dirty meanwhile: those that are left are so again, also when a `Trace`
/// panicked.
struct Seeds<'a> {
    heap: &'a ObjectHeap,
    left: Vec<ObjectRef>,
}

impl Drop for Seeds<'_> {
    fn drop(&mut self) {
        for &seed in &self.left {
            Side::of(seed).set(Word::Dirty);
            self.heap.note_dirty(pool_of(seed));
        }
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        for &object in self.found.objects() {
            Side::of(object).take(Word::Skipped);
        }
    }
}

/// Takes dirty objects as seeds, up to the capacity of the list. To look for them costs one unit of the budget
/// for each group.
fn take_seeds(heap: &ObjectHeap, seeds: &mut Vec<ObjectRef>, budget: &mut usize) {
    while let Some(pool) = heap.first_dirty()
        && take_seeds_of(pool, seeds)
    {
        let groups = dirty::gather(pool);
        if groups == 0 {
            heap.forget_dirty(pool);
        }
        *budget = budget.saturating_sub(groups);
        if *budget == 0 {
            return;
        }
    }
}

/// The same from one pool, of those whose bits are set; whether none is left there.
fn take_seeds_of(pool: ObjectPool, seeds: &mut Vec<ObjectRef>) -> bool {
    for (index, group) in pool.groups().iter().enumerate() {
        let dirty = word(group, Word::Dirty);
        while dirty.get() != 0 {
            if seeds.len() == seeds.capacity() {
                return false;
            }
            let bit = dirty.get().trailing_zeros() as usize;
            dirty.set(dirty.get() & (dirty.get() - 1));
            // SAFETY: bits are only set for blocks that were handed out.
            let seed = unsafe { ObjectRef::from_header(pool.header_at(index * 64 + bit)) };
            Side::prefetch_all(seed);
            seeds.push(seed);
        }
    }
    true
}

impl Walk<'_> {
    /// Visits what a seed reaches, until all is explained or patience is lost. False: the budget was used up
    /// before.
    fn explore(&mut self, seed: ObjectRef) -> bool {
        // Somebody may have `&mut` to what is hidden; nothing led here but its bit.
        if seed.header().is_hidden() {
            return true;
        }
        self.candidates.counts.seeds += 1;
        self.next = self.found.objects().len();
        self.near.iter_mut().for_each(Vec::clear);
        (self.open, self.patience) = (0, PATIENCE);
        let edges = RefCell::new(Vec::new());
        let mut report = |reported: &[ObjectRef]| {
            let mut edges = edges.borrow_mut();
            // Without memory the walk is shorter.
            if edges.try_reserve(reported.len()).is_ok() {
                reported.iter().for_each(|&edge| Side::prefetch_all(edge));
                edges.extend_from_slice(reported);
            }
        };
        let mut tracer = Tracer::new(&mut report);
        self.find(seed, 1);
        if !self.take(seed) {
            return true;
        }
        let (mut wave, mut len) = ([seed; WAVE], 1);
        loop {
            wave[..len].iter().for_each(|&object| self.visit(object, &mut tracer));
            tracer.flush();
            edges.borrow_mut().drain(..).for_each(|edge| self.find(edge, 0));
            if self.open == 0 || self.patience == 0 {
                return true;
            }
            if self.budget == 0 {
                return false;
            }
            len = 0;
            while len < WAVE.min(self.patience)
                && let Some(object) = self.choose(len == 0)
            {
                object.prefetch();
                wave[len] = object;
                len += 1;
            }
            if len == 0 {
                return true;
            }
        }
    }

    /// The next object to visit, marked as visited; `any`, or only one that is explained.
    fn choose(&mut self, any: bool) -> Option<ObjectRef> {
        if let Some(object) = self.choose_nearest(1) {
            return Some(object);
        }
        if !any {
            return None;
        }
        self.breadth_first = !self.breadth_first;
        if self.breadth_first {
            self.choose_first_found().or_else(|| self.choose_nearest(NEAR))
        } else {
            self.choose_nearest(NEAR).or_else(|| self.choose_first_found())
        }
    }

    fn choose_first_found(&mut self) -> Option<ObjectRef> {
        while let Some(&object) = self.found.objects().get(self.next) {
            self.next += 1;
            if self.take(object) {
                return Some(object);
            }
        }
        None
    }

    fn choose_nearest(&mut self, limit: u32) -> Option<ObjectRef> {
        for distance in 0..limit as usize {
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
        let Some(&mut unexplained) = self.found.number(object) else {
            // A seed that there was no memory to remember.
            return false;
        };
        if side.has(Word::Skipped) || object.header().is_tried() {
            return false;
        }
        if !side.has(Word::Candidate) && !self.candidates.add(pool, side, object) {
            return false;
        }
        side.set(Word::Skipped);
        match unexplained {
            0 => self.patience = PATIENCE,
            _ => self.open += 1,
        }
        true
    }

    /// Reports the edges of a visited object.
    fn visit(&mut self, object: ObjectRef, tracer: &mut Tracer<'_>) {
        if object.header().is_hidden() {
            // An edge of a visited object led here, for hidden seeds are left out.
            object.header().reveal();
        }
        let before = tracer.reported();
        // SAFETY: a seed, which has an age, or found whole by an edge (young ones of scanned pools have no age
        // yet): so it was born and is not dead; and it is not hidden.
        unsafe { object.trace(tracer) };
        tracer.take_unknown();
        let edges = tracer.reported() - before;
        if edges > MANY_EDGES {
            object.header().set_tried();
        }
        self.budget = self.budget.saturating_sub(1 + edges / EDGES_PER_UNIT);
        self.patience = self.patience.saturating_sub(1);
        self.candidates.counts.visited += 1;
        self.candidates.counts.looked_at += 1 + edges;
    }

    /// An edge leads to `object`, or it is a seed: then nothing explains that it was found.
    fn find(&mut self, object: ObjectRef, seed: u32) {
        let pool = pool_of(object);
        if !pool.is_traced() {
            return;
        }
        let side = Side::in_pool(pool, object);
        let known = self.found.number(object);
        let was_open = known.as_ref().is_some_and(|known| **known > 0);
        let unexplained = if let Some(known) = known {
            *known = known.saturating_sub(1 - seed);
            *known
        } else {
            let unexplained = (object.header().strong() + seed).saturating_sub(1);
            if !object.header().is_whole() || !self.found.add(object, unexplained) {
                return;
            }
            unexplained
        };
        if side.has(Word::Skipped) {
            if was_open && seed == 0 && unexplained <= PROGRESS {
                self.patience = PATIENCE;
                self.open -= usize::from(unexplained == 0 && self.open > 0);
            }
        } else if unexplained < NEAR {
            let near = &mut self.near[unexplained as usize];
            if near.try_reserve(1).is_ok() {
                near.push(object);
            }
        }
    }
}
