//! What differs between pointers of one thread and pointers that threads share.

use core::ptr::NonNull;

use crate::heap::object_pool::ObjectHeap;
use crate::object::ObjectRef;
use crate::object::death::{self, Vacated};
use crate::object::deferred::{Nested, count_lost, is_shallow};
use crate::object::dirty;
use crate::object::header::{self, Dropped, MEMBER, OLDER, TRACED, YOUNG};

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
struct Block {
    object: ObjectRef,
    traced: bool,
    align: usize,
}

impl Drop for Block {
    #[inline(always)]
    fn drop(&mut self) {
        self.object.header().set_word(0);
        // SAFETY: neither handles nor weak ones are left, the value is gone, and no side bit is set; class
        // and alignment are the object's.
        unsafe { ObjectHeap::free_known(self.object.address(), self.traced, self.align) }
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
    let word = object.header().word();
    match header::remains(word) {
        // A leaf, and nobody else knows it.
        // SAFETY: no handle is left, strong or weak.
        0 => unsafe { die(value, object, false) },
        // A young object that nobody else knows: without an age no run looks at it.
        // SAFETY: as above.
        YOUNG if is_shallow() => unsafe { die(value, object, true) },
        // Handles are left: something is noted.
        _ if header::has_strong(word) => keep(object),
        // As a young one, but for its bits.
        OLDER if is_shallow() => {
            death::forget_age(object);
            // SAFETY: as above.
            unsafe { die(value, object, true) }
        }
        // Garbage, which a run is dropping.
        MEMBER if count_lost() => {}
        // SAFETY: the caller's.
        _ => unsafe { drop_rare(value) },
    }
}

/// Drops the value and gives the block back.
///
/// # Safety
/// No handle is left, strong or weak, and no run knows the object, which is `traced` or a leaf.
#[inline(always)]
unsafe fn die<T: ?Sized>(value: NonNull<T>, object: ObjectRef, traced: bool) {
    let _nested = core::mem::needs_drop::<T>().then(Nested::enter);
    // SAFETY: the value is still whole.
    let align = align_of_val(unsafe { value.as_ref() });
    let _block = Block { object, traced, align };
    // SAFETY: no handle is left, strong or weak.
    unsafe { value.drop_in_place() }
}

/// A handle is gone, and others are left.
#[inline(never)]
fn keep(object: ObjectRef) {
    if object.header().settle() == Dropped::Lives && object.header().word() & TRACED != 0 {
        dirty::lost_handle(object);
    }
}

/// All other drops: weak handles, finalizers, runs, depth.
///
/// # Safety
/// As [`drop_slow`].
#[cold]
#[inline(never)]
unsafe fn drop_rare<T: ?Sized>(value: NonNull<T>) {
    // SAFETY: the block is still there.
    let object = unsafe { ObjectRef::of(value) };
    if object.header().settle() == Dropped::Lives {
        return;
    }
    if object.header().word() & TRACED != 0 {
        // SAFETY: traced, and that was its last handle.
        return unsafe { death::last_handle(object) };
    }
    let _nested = Nested::enter();
    let _block = Vacated::leaf(object);
    // SAFETY: no handle is left, and weak ones do not upgrade.
    unsafe { value.drop_in_place() }
}
