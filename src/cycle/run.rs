//! One run, in CPython's order: candidates, trial deletion, finalizers, a second trial if any ran, death
//! of what is left, drops, blocks back.

use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

use super::candidates::{Candidates, Counts};
use super::generation::Generation;
use super::groups::{Few, Groups};
use crate::heap::object_pool::ObjectHeap;
use crate::object::ObjectRef;
use crate::object::death;
use crate::object::deferred::{Nested, Payload, Sweeping, contain, keep_first};
use crate::object::header::{self, Dropped};
use crate::object::side::{Side, Word};
use crate::object::trace::Tracer;

/// What a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// With all younger ones.
    pub(super) generation: Generation,
    /// Young objects, about.
    pub(super) limit: usize,
    /// Visits of the walk from dirty seeds; 0 for no walk.
    pub(super) walk: usize,
    /// Whether these ages only grow: none of them lost a handle, so that none is garbage.
    pub(super) grow: bool,
}

impl Plan {
    /// A run that the program asks for: all of a generation and the younger ones, and nothing else.
    pub(super) fn of(generation: Generation) -> Plan {
        Plan { generation, limit: usize::MAX, walk: 0, grow: false }
    }
}

/// Runs. Panics of the user's callbacks are held back in `panic`; the rest of the run goes on. No pool is
/// given back meanwhile: the caller holds them.
pub(super) fn run(heap: &ObjectHeap, plan: Plan, panic: &mut Option<Payload>) -> Counts {
    let mut candidates = if plan.grow {
        let mut none = Candidates::none(plan.generation);
        none.let_grow(heap);
        none
    } else {
        Candidates::choose(heap, plan.generation, plan.limit)
    };
    if plan.walk > 0 {
        candidates.walk(heap, plan.walk);
    }
    let mut words = candidates.keep_garbage(heap);
    if header::is_finalizable(words) && finalize(&candidates, panic) {
        // Finalizers can take handles: what they reach is not garbage.
        words = candidates.keep_garbage(heap);
    }
    if words != 0 {
        destroy(heap, &mut candidates, words, panic);
    }
    candidates.counts
}

/// Runs the finalizers of the garbage, all before anything is dropped. Whether there were any.
fn finalize(garbage: &Candidates, panic: &mut Option<Payload>) -> bool {
    let mut any = false;
    for object in garbage.with(Word::Candidate) {
        let header = object.header();
        if !header.take_finalizable() {
            continue;
        }
        any = true;
        header.increment();
        // SAFETY: a candidate is traced and whole, and a handle is held meanwhile.
        unsafe { death::call_finalizer(object, panic) };
        if header.decrement() && header.settle() == Dropped::Last {
            // The finalizer has broken the cycle: the object dies by count.
            // SAFETY: traced and born; that was the last handle.
            contain(panic, || unsafe { death::last_handle(object) });
        }
    }
    any
}

/// Drops the garbage and gives the blocks back.
fn destroy(heap: &ObjectHeap, garbage: &mut Candidates, words: u64, panic: &mut Option<Payload>) {
    let count = garbage.condemn();
    if header::has_weak(words) {
        // All of them are dead before the first is dropped: no user code sees a neighbour that is gone.
        garbage.with(Word::Condemned).for_each(|object| object.header().bury());
    }
    let mut lost = 0;
    contain(panic, || {
        let sweeping = Sweeping::begin();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop_values(garbage)));
        lost = sweeping.lost();
        drop(sweeping);
        if let Err(payload) = dropped {
            resume_unwind(payload);
        }
    });
    let all = lost == count && !header::has_weak(words);
    // SAFETY: the values are dropped; each member has lost its last handle, if as many did as there are,
    // and had no weak one.
    unsafe { garbage.free_condemned(heap, all, if all { death::free } else { free_member }) };
}

/// Drops the values of the garbage, and whatever dies with them.
fn drop_values(garbage: &Candidates) {
    // The outermost drop: deaths of other objects nest in it, and the deep ones wait for its end.
    let _nested = Nested::enter();
    let mut sweep = Sweep::new(garbage.groups(Word::Condemned));
    let mut visited = garbage.visited().filter(|&object| Side::of(object).has(Word::Condemned));
    let mut drop_all = || {
        sweep.go();
        // SAFETY: as in a sweep.
        visited.by_ref().for_each(|member| unsafe { member.drop_value() });
    };
    let mut first = None;
    while let Err(payload) = catch_unwind(AssertUnwindSafe(&mut drop_all)) {
        // Again, for those after the one that panicked.
        keep_first(&mut first, payload);
    }
    if let Some(payload) = first {
        resume_unwind(payload);
    }
}

/// Frees the block of a member, unless a handle or a weak one is left: then the last of them does.
fn free_member(member: ObjectRef) {
    member.header().leave_run();
    member.header().set_dropped();
    if member.header().strong() == 0 {
        death::release(member);
    }
}

/// One group in so many is looked at, to see whether fetching is worth it.
const PERIOD: usize = 16;
/// Edges that lead farther than this many bytes are worth to be fetched.
const FAR: usize = 128 << 10;

/// Drops condemned objects. Where their edges lead far away, the counts there are fetched a group ahead.
struct Sweep<'a> {
    groups: Groups<'a>,
    /// Members whose turn it is, and those that come after them.
    now: Option<Few>,
    next: Option<Few>,
    /// Groups that were seen.
    seen: usize,
    fetch: bool,
    /// A `Trace` panicked: it is not called again.
    broken: bool,
}

impl<'a> Sweep<'a> {
    fn new(groups: Groups<'a>) -> Sweep<'a> {
        Sweep { groups, now: None, next: None, seen: 0, fetch: false, broken: false }
    }

    /// Drops all that are left; to be called again after a panic.
    fn go(&mut self) {
        loop {
            if let Some(few) = &mut self.now {
                for member in few {
                    // SAFETY: condemned objects are traced, whole until now, and dropped once: it was taken
                    // off its group. Nobody looks at them: only other members hold handles to them.
                    unsafe { member.drop_value() };
                }
            }
            self.now = self.next.take();
            self.next = self.groups.next();
            if self.now.is_none() && self.next.is_none() {
                return;
            }
            if let Some(few) = self.next {
                if self.fetch || self.seen.is_multiple_of(PERIOD) {
                    self.fetch_edges(few);
                }
                self.seen += 1;
            }
        }
    }

    /// Fetches the counts that the drops of a group will change, and finds out whether the next groups' should
    /// be fetched too.
    fn fetch_edges(&mut self, few: Few) {
        if self.broken {
            return;
        }
        let (near, far, from) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let mut report = |edges: &[ObjectRef]| {
            for edge in edges {
                edge.prefetch();
                let distance = edge.address().addr().get().abs_diff(from.get());
                let count = if distance > FAR { &far } else { &near };
                count.set(count.get() + 1);
            }
        };
        let mut tracer = Tracer::new(&mut report);
        self.broken = true;
        for member in few {
            from.set(member.address().addr().get());
            // SAFETY: a condemned object is traced, whole until it is dropped, and nobody has a handle to it
            // but other members.
            unsafe { member.trace(&mut tracer) };
        }
        tracer.flush();
        self.broken = false;
        self.fetch = far.get() * 4 > near.get();
    }
}
