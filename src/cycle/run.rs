//! One run, in CPython's order: candidates, trial deletion, finalizers, a second trial if any ran, death
//! of what is left, drops, blocks back.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use super::candidates::{Candidates, Counts, Objects};
use super::generation::Generation;
use crate::heap::object_pool::ObjectHeap;
use crate::object::ObjectRef;
use crate::object::death;
use crate::object::deferred::{Nested, Payload, contain, keep_first, resume};
use crate::object::header::{Dropped, FINALIZABLE};
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
    if words & FINALIZABLE != 0 && finalize(&candidates, panic) {
        // Finalizers can take handles: what they reach is not garbage.
        words = candidates.keep_garbage();
    }
    if words != 0 {
        destroy(&mut candidates, panic);
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
fn destroy(garbage: &mut Candidates, panic: &mut Option<Payload>) {
    // All of them are dead before the first is dropped: no user code sees a neighbour that is gone.
    garbage.condemn();
    contain(panic, || {
        // The outermost drop: deaths of other objects nest in it, and the deep ones wait for its end.
        let _nested = Nested::enter();
        let mut sweep = Sweep::new(garbage.with(Word::Condemned));
        let mut first = None;
        while let Err(payload) = catch_unwind(AssertUnwindSafe(|| sweep.go())) {
            // Again, for those after the one that panicked.
            keep_first(&mut first, payload);
        }
        if let Some(payload) = first {
            resume(payload);
        }
    });
    garbage.absolve(|member| {
        let header = member.header();
        if header.absolve() {
            return death::free(member);
        }
        // A handle that no `Trace` told of, or a weak one, is left: the last of them frees the block.
        header.set_dropped();
        if header.strong() == 0 {
            death::release(member);
        }
    });
}

/// Objects whose edges are fetched before the first of them is dropped.
const AHEAD: usize = 16;

/// Drops condemned objects. The counts that a value's handles lead to are fetched some objects ahead.
struct Sweep<'a> {
    members: Objects<'a>,
    queue: [ObjectRef; AHEAD],
    first: usize,
    len: usize,
    fetch: bool,
}

impl<'a> Sweep<'a> {
    fn new(members: Objects<'a>) -> Sweep<'a> {
        Sweep { members, queue: [ObjectRef::DANGLING; AHEAD], first: 0, len: 0, fetch: true }
    }

    /// Drops all that are left; to be called again after a panic.
    fn go(&mut self) {
        let mut fetch = |edges: &[ObjectRef]| edges.iter().for_each(|edge| edge.prefetch());
        let mut tracer = Tracer::new(&mut fetch);
        loop {
            while self.len < AHEAD
                && let Some(member) = self.members.next()
            {
                self.queue[(self.first + self.len) % AHEAD] = member;
                self.len += 1;
                if core::mem::take(&mut self.fetch) {
                    // SAFETY: a condemned object is traced, whole until it is dropped, and nobody has a
                    // handle to it but other members.
                    unsafe { member.trace(&mut tracer) };
                    tracer.flush();
                    // Not reached by a panic: without looking ahead it does not happen again.
                    self.fetch = true;
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
