//! One run, in CPython's order: candidates, trial deletion, finalizers, a second trial if any ran, death
//! of what is left, drops, blocks back.

use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

use super::candidates::{Candidates, Counts, Objects};
use super::generation::Generation;
use crate::heap::object_pool::ObjectHeap;
use crate::object::ObjectRef;
use crate::object::death;
use crate::object::deferred::{Nested, Payload, Sweeping, contain, keep_first};
use crate::object::header::{self, Dropped};
use crate::object::side::Word;
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
}

impl Plan {
    /// A run that the program asks for: all of a generation and the younger ones, and nothing else.
    pub(super) fn of(generation: Generation) -> Plan {
        Plan { generation, limit: usize::MAX, walk: 0 }
    }
}

/// Runs. Panics of the user's callbacks are held back in `panic`; the rest of the run goes on. No pool is
/// given back meanwhile: the caller holds them.
pub(super) fn run(heap: &ObjectHeap, plan: Plan, panic: &mut Option<Payload>) -> Counts {
    let mut candidates = Candidates::take(heap, plan.generation, plan.limit);
    if plan.walk > 0 {
        candidates.walk(heap, plan.walk);
    }
    let mut words = candidates.keep_garbage();
    if header::is_finalizable(words) && finalize(&candidates, panic) {
        // Finalizers can take handles: what they reach is not garbage.
        words = candidates.keep_garbage();
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
    let mut sweep = Sweep::new(garbage.with(Word::Condemned));
    let mut first = None;
    while let Err(payload) = catch_unwind(AssertUnwindSafe(|| sweep.go())) {
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

/// Objects whose edges are fetched before the first of them is dropped.
const AHEAD: usize = 16;
/// So many objects are looked at, of each so many, to see whether fetching is worth it.
const SAMPLE: usize = 32;
const PERIOD: usize = 1024;
/// Edges that lead farther than this many bytes are worth to be fetched.
const FAR: usize = 128 << 10;

/// Drops condemned objects. Where their edges lead far away, the counts there are fetched some objects ahead.
struct Sweep<'a> {
    members: Objects<'a>,
    queue: [ObjectRef; AHEAD],
    first: usize,
    len: usize,
    /// Objects that were queued.
    seen: usize,
    fetch: bool,
    /// A `Trace` panicked: it is not called again.
    broken: bool,
}

impl<'a> Sweep<'a> {
    fn new(members: Objects<'a>) -> Sweep<'a> {
        let queue = [ObjectRef::DANGLING; AHEAD];
        Sweep { members, queue, first: 0, len: 0, seen: 0, fetch: false, broken: false }
    }

    /// Drops all that are left; to be called again after a panic.
    fn go(&mut self) {
        let (near, far) = (Cell::new(0), Cell::new(0));
        let from = Cell::new(0);
        let mut report = |edges: &[ObjectRef]| {
            for edge in edges {
                edge.prefetch();
                let distance = edge.address().addr().get().abs_diff(from.get());
                let count = if distance > FAR { &far } else { &near };
                count.set(count.get() + 1);
            }
        };
        let mut tracer = Tracer::new(&mut report);
        loop {
            while self.len < AHEAD
                && let Some(member) = self.members.next()
            {
                let phase = self.seen % PERIOD;
                self.seen += 1;
                self.queue[(self.first + self.len) % AHEAD] = member;
                self.len += 1;
                if (self.fetch || phase < SAMPLE) && !self.broken {
                    from.set(member.address().addr().get());
                    self.broken = true;
                    // SAFETY: a condemned object is traced, whole until it is dropped, and nobody has a
                    // handle to it but other members.
                    unsafe { member.trace(&mut tracer) };
                    tracer.flush();
                    self.broken = false;
                }
                if phase == SAMPLE {
                    self.fetch = far.take() * 4 > near.take();
                }
            }
            if self.len == 0 {
                return;
            }
            let member = self.queue[self.first];
            (self.first, self.len) = ((self.first + 1) % AHEAD, self.len - 1);
            // SAFETY: condemned objects are traced, whole until now, and dropped once: it has left the
            // queue. Nobody looks at them: only other members hold handles to them.
            unsafe { member.drop_value() };
        }
    }
}
