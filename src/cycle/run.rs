//! One run, in CPython's order: candidates, trial deletion, finalizers, a second trial if any ran, death
//! of what is left, drops, blocks back.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use super::candidates::{Candidates, Generation};
use super::counters::Counters;
use super::pacing::Outcome;
use crate::heap::object_pool::ObjectHeap;
use crate::object::ObjectRef;
use crate::object::death;
use crate::object::deferred::{Nested, Payload, contain};
use crate::object::header::{self, Dropped, FINALIZABLE};
use crate::object::side::{Side, Word};

/// Runs over `generation` and all younger ones. `None`: there was no memory to begin.
///
/// Panics of the user's callbacks are held back in `panic`; the rest of the run goes on. No pool is given
/// back meanwhile: the caller holds them.
pub(super) fn run(
    heap: &ObjectHeap,
    generation: Generation,
    counters: &mut Counters,
    panic: &mut Option<Payload>,
) -> Option<Outcome> {
    let mut candidates = Candidates::take(heap, generation)?;
    let mut words = candidates.keep_garbage(counters);
    if words & FINALIZABLE != 0 && finalize(&candidates, panic) {
        // Finalizers can take handles: what they reach is not garbage.
        words = candidates.keep_garbage(counters);
    }
    let freed = if words == 0 { 0 } else { destroy(&candidates, words, panic) };
    Some(Outcome { candidates: candidates.count(), middle: candidates.middle(), freed })
}

/// Runs the finalizers of the garbage, all before anything is dropped. Whether there were any.
fn finalize(garbage: &Candidates, panic: &mut Option<Payload>) -> bool {
    let mut any = false;
    garbage.for_each(Word::Candidate, |object| {
        let header = object.header();
        if !header.take_finalizable() {
            return;
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
    });
    any
}

/// Drops the garbage and gives the blocks back. Returns the number of objects.
fn destroy(garbage: &Candidates, words: u64, panic: &mut Option<Payload>) -> usize {
    let count = garbage.condemn();
    if header::has_weak(words) {
        // All of them are dead before the first is dropped: no user code sees a neighbour that is gone.
        garbage.for_each(Word::Condemned, |object| object.header().bury());
    }
    contain(panic, || {
        // The outermost drop: deaths of other objects nest in it, and the deep ones wait for its end.
        let _nested = Nested::enter();
        let mut first = None;
        let sweep = || garbage.for_each(Word::Condemned, drop_member);
        while let Err(payload) = catch_unwind(AssertUnwindSafe(sweep)) {
            // Again, for those after the one that panicked; the others are marked as dropped.
            first.get_or_insert(payload);
        }
        if let Some(payload) = first {
            std::panic::resume_unwind(payload);
        }
    });
    count
}

/// Drops one condemned object's value, unless an earlier pass did.
#[inline(always)]
fn drop_member(object: ObjectRef) {
    if object.header().is_dropped() {
        return;
    }
    let member = Member(object);
    // SAFETY: condemned objects are traced, whole until now, and dropped once: they are marked after it.
    // Nobody looks at them: only other members hold handles to them.
    unsafe { object.drop_value() };
    drop(member);
}

/// Marks a member as dropped, also when its drop panics. The block goes back at once if no handle is left
/// in other members; else with the last of them.
struct Member(ObjectRef);

impl Drop for Member {
    #[inline(always)]
    fn drop(&mut self) {
        let header = self.0.header();
        header.set_dropped();
        if header.strong() == 0 {
            Side::of(self.0).take(Word::Condemned);
            death::release(self.0);
        }
    }
}
