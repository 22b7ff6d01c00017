//! What differs between pointers of one thread and pointers that threads share.

use core::ptr::NonNull;

use crate::object::ObjectRef;
use crate::object::death::{self, Vacated};
use crate::object::deferred::{Nested, is_shallow};
use crate::object::header::{Dropped, TRACED};
use crate::object::side::{Side, Word};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Local {}
}

/// How handles are counted: [`Local`], by one thread. Sealed.
pub trait Policy: sealed::Sealed + 'static {
    /// One more handle.
    #[doc(hidden)]
    fn increment(object: ObjectRef);

    /// One handle less; the last one destroys the value.
    ///
    /// # Safety
    /// `value` is alive, and the caller gives up one of its handles.
    #[doc(hidden)]
    unsafe fn drop<T: ?Sized>(value: NonNull<T>);

    /// One more handle, if the object lives.
    #[doc(hidden)]
    fn try_upgrade(object: ObjectRef) -> bool;

    /// One more weak handle.
    #[doc(hidden)]
    fn increment_weak(object: ObjectRef);

    /// One weak handle less; the last one of a dead object gives its block back.
    ///
    /// # Safety
    /// The caller gives up one of the object's weak handles.
    #[doc(hidden)]
    unsafe fn drop_weak(object: ObjectRef);
}

/// Handles stay on the thread that made them: counting takes no atomics.
#[derive(Debug, Clone, Copy)]
pub enum Local {}

impl Policy for Local {
    #[inline(always)]
    fn increment(object: ObjectRef) {
        object.header().increment();
    }

    #[inline(always)]
    unsafe fn drop<T: ?Sized>(value: NonNull<T>) {
        // SAFETY: alive, says the caller.
        let object = unsafe { ObjectRef::of(value) };
        if object.header().decrement() {
            // SAFETY: the caller's, and the count was just taken.
            unsafe { drop_slow(value) }
        }
    }

    #[inline(always)]
    fn try_upgrade(object: ObjectRef) -> bool {
        object.header().try_upgrade()
    }

    #[inline(always)]
    fn increment_weak(object: ObjectRef) {
        object.header().increment_weak();
    }

    #[inline(always)]
    unsafe fn drop_weak(object: ObjectRef) {
        if object.header().decrement_weak() {
            death::free(object);
        }
    }
}

/// Gives the block back when the value is gone, also by a panic.
struct Block(ObjectRef);

impl Drop for Block {
    #[inline(always)]
    fn drop(&mut self) {
        death::free(self.0);
    }
}

/// A drop that was not one among many: usually the last.
///
/// # Safety
/// `value` was alive until one handle was just taken from its count.
#[inline(never)]
unsafe fn drop_slow<T: ?Sized>(value: NonNull<T>) {
    // SAFETY: the block is still there.
    let object = unsafe { ObjectRef::of(value) };
    match object.header().word() {
        // A leaf, and nobody else knows it.
        0 => {
            let _nested = core::mem::needs_drop::<T>().then(Nested::enter);
            let _block = Block(object);
            // SAFETY: no handle is left, strong or weak.
            unsafe { value.drop_in_place() }
        }
        // A young object that nobody else knows, without anything to note.
        TRACED if is_shallow() && Side::of(object).take(Word::Young) => {
            let _nested = Nested::enter();
            let _block = Block(object);
            // SAFETY: no handle is left, and without an age no run looks at it.
            unsafe { value.drop_in_place() }
        }
        // SAFETY: the caller's.
        _ => unsafe { drop_rare(value) },
    }
}

/// All other drops: handles left behind, weak handles, finalizers, old objects, runs, depth.
///
/// # Safety
/// As [`drop_slow`].
#[cold]
#[inline(never)]
unsafe fn drop_rare<T: ?Sized>(value: NonNull<T>) {
    // SAFETY: the block is still there.
    let object = unsafe { ObjectRef::of(value) };
    let traced = object.header().word() & TRACED != 0;
    if object.header().settle() == Dropped::Lives {
        if traced {
            death::lost_handle(object);
        }
        return;
    }
    if traced {
        // SAFETY: traced, and that was its last handle.
        return unsafe { death::last_handle(object) };
    }
    let _nested = Nested::enter();
    let _block = Vacated::leaf(object);
    // SAFETY: no handle is left, and weak ones do not upgrade.
    unsafe { value.drop_in_place() }
}
