//! What happens when the last handle of an object is gone.
//!
//! By count, in Python's order: the finalizer (once, with the object whole and one handle held; it may
//! resurrect), then weak handles are dead, then the value is dropped, then the block goes back unless
//! weak handles remain.
//!
//! A run of the collector changes that for its garbage, which it drops in its own order: see
//! [`last_handle`]. What this file knows of a run is the bit `Candidate` (it may die in a finalizer of the
//! run) and the flag of members, so that nothing here depends on the collector.

use crate::heap::object_pool::ObjectHeap;

use super::ObjectRef;
use super::deferred::{self, Elsewhere, Nested, Payload};
use super::dirty;
use super::header::Dropped;
use super::side::{self, Side, Word};

/// The last handle of a traced object is gone.
///
/// # Safety
/// `object` is `TRACED`, was born, and its strong count has just become 0 by a drop.
#[inline(never)]
pub(crate) unsafe fn last_handle(object: ObjectRef) {
    if object.header().is_in_run() && deferred::count_lost() {
        // The run drops the value in its turn, and frees the block.
    } else if object.header().is_dropped() {
        // It was garbage of a run, which could not see this handle.
        release(object);
    } else if let Some(nested) = Nested::enter_shallow() {
        // SAFETY: the caller's; it is not condemned.
        unsafe { die_in(nested, object) }
    } else if let Some(_outermost) = Elsewhere::enter() {
        // SAFETY: as above.
        unsafe { die_now(object) }
    } else {
        leave_the_living(object);
        deferred::defer(object);
    }
}

/// Kills a traced object: finalizer, drop, block.
///
/// # Safety
/// `object` is `TRACED`, its value is whole, its strong count is 0, and no run has condemned it.
pub(crate) unsafe fn die_now(object: ObjectRef) {
    // SAFETY: the caller's.
    unsafe { die_in(Nested::enter(), object) }
}

/// [`die_now`] in a drop that has begun, and ends here.
///
/// # Safety
/// As there.
unsafe fn die_in(_nested: Nested, object: ObjectRef) {
    let mut panic = None;
    // SAFETY: traced and whole, says the caller.
    let resurrected = unsafe { finalize_the_dead(object, &mut panic) };
    if !resurrected {
        // SAFETY: as above; the finalizer has run and left nobody with a handle.
        unsafe { drop_the_dead(object) }
    }
    if let Some(panic) = panic {
        deferred::resume(panic);
    }
}

/// Runs the finalizer of an object without handles, if that is still to be done. True: it has handles
/// again.
///
/// # Safety
/// `object` is `TRACED`, its value is whole, its strong count is 0.
unsafe fn finalize_the_dead(object: ObjectRef, panic: &mut Option<Payload>) -> bool {
    let header = object.header();
    if !header.take_finalizable() {
        return false;
    }
    header.increment();
    // SAFETY: traced and whole, and a handle is held meanwhile.
    unsafe { call_finalizer(object, panic) };
    if !header.decrement() || header.settle() == Dropped::Lives {
        dirty::lost_handle(object);
        if !header.is_aged() {
            side::note_young(object);
        }
        return true;
    }
    false
}

/// Calls the finalizer.
///
/// # Safety
/// `object` is `TRACED`, its value is whole and stays so: the caller holds a handle.
pub(crate) unsafe fn call_finalizer(object: ObjectRef, panic: &mut Option<Payload>) {
    // SAFETY: traced, says the caller.
    if let Some(finalize) = unsafe { object.vtable() }.finalize {
        // SAFETY: the table is that of the object's type; whole and held, says the caller.
        deferred::contain(panic, || unsafe { finalize(object) });
    }
}

/// Drops the value of an object without handles and gives the block back.
///
/// # Safety
/// `object` is `TRACED`, its value is whole, its strong count is 0.
unsafe fn drop_the_dead(object: ObjectRef) {
    let vacated = Vacated::new(object);
    // SAFETY: nobody has a handle, weak ones do not upgrade, and the bits are cleared: nobody else
    // looks at the value.
    unsafe { object.drop_value() };
    drop(vacated);
}

/// No run knows the object any more.
fn leave_the_living(object: ObjectRef) {
    let header = object.header();
    if header.is_aged() || header.is_in_run() {
        let side = Side::of(object);
        side.clear_age();
        side.take(Word::Candidate);
        header.clear_aged();
        header.leave_run();
    }
}

/// An aged object that nobody else knows dies: no run knows it any more.
#[inline(always)]
pub(crate) fn forget_age(object: ObjectRef) {
    Side::of(object).clear_age();
}

/// An object that has left the living; its end takes care of the block, also when the value's
/// drop panics.
pub(crate) struct Vacated(ObjectRef);

impl Vacated {
    /// Takes a traced object without handles out of all lists, also out of those of a run.
    pub(crate) fn new(object: ObjectRef) -> Vacated {
        leave_the_living(object);
        Vacated::leaf(object)
    }

    /// The same for a leaf, which is in no lists.
    pub(crate) fn leaf(object: ObjectRef) -> Vacated {
        object.header().bury();
        Vacated(object)
    }
}

impl Drop for Vacated {
    fn drop(&mut self) {
        release(self.0);
    }
}

/// Gives the block back, unless weak handles remain. The value is gone, and no handle is left.
pub(crate) fn release(object: ObjectRef) {
    debug_assert_eq!(object.header().strong(), 0, "a block with handles is not free");
    if object.header().unbury() {
        free(object);
    }
}

/// Gives a block back that nobody points to.
#[inline(always)]
pub(crate) fn free(object: ObjectRef) {
    let traced = object.header().is_traced();
    object.header().set_word(0);
    // SAFETY: both counts were 0, and the bits were cleared when the object left the living.
    unsafe { ObjectHeap::free(object.address(), traced) }
}
