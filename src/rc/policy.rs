//! What differs between pointers of one thread and pointers that threads share.

use core::ptr::NonNull;

use crate::base::cold::unusual;
use crate::heap::object_pool::ObjectHeap;
use crate::object::ObjectRef;
use crate::object::death::{self, Vacated};
use crate::object::deferred::{Nested, count_lost, is_dropping};
use crate::object::dirty;
use crate::object::header::{Dropped, MEMBER, OLDER, YOUNG};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Local {}
}

/// How handles are counted: [`Local`], by one thread. Sealed.
///
/// ```
/// use hoopsnake::{Policy, RawCc};
/// // Of every kind of counted pointer.
/// fn is_shared<T, P: Policy>(pointer: &RawCc<T, P>) -> bool {
///     RawCc::strong_count(pointer) > 1
/// }
/// assert!(!is_shared(&hoopsnake::Cc::new(1)));
/// ```
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
///
/// ```
/// use hoopsnake::{Cc, Local, RawCc};
/// let same: RawCc<u8, Local> = Cc::new(7);
/// assert_eq!(*same, 7);
/// ```
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
            // SAFETY: the caller's, and a handle was just taken from the count.
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

/// Gives the block of a traced object or of a leaf back if the drop of its value panics.
struct Block<T: ?Sized, const TRACED: bool>(NonNull<T>);

impl<T: ?Sized, const TRACED: bool> Drop for Block<T, TRACED> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: as `die`, whose guard this is.
        unsafe { give_back_after_panic::<T, TRACED>(self.0) }
    }
}

/// [`give_back`], out of the way.
///
/// # Safety
/// As there.
#[cold]
#[inline(never)]
unsafe fn give_back_after_panic<T: ?Sized, const TRACED: bool>(value: NonNull<T>) {
    // SAFETY: the caller's.
    unsafe { give_back::<T, TRACED>(value) }
}

/// Gives the block of an object back whose value is gone.
///
/// # Safety
/// As [`die`], and the value was dropped.
#[inline(always)]
unsafe fn give_back<T: ?Sized, const TRACED: bool>(value: NonNull<T>) {
    // SAFETY: the block is still there.
    let object = unsafe { ObjectRef::of(value) };
    // SAFETY: the value is gone, but its bytes are there, and only the type is asked.
    let align = align_of_val(unsafe { value.as_ref() });
    object.header().set_word(0);
    // SAFETY: neither handles nor weak ones are left, the value is gone, and no side bit is set; class
    // and alignment are the object's.
    unsafe { ObjectHeap::free_known(object.address(), TRACED, align) }
}

/// A handle is gone, others are left, and that is to be noted. Takes the value, whose address the drop has: that of
/// the object would be computed before it is known to be wanted.
///
/// # Safety
/// It is the value of a living object.
#[inline(never)]
unsafe fn keep(value: NonNull<u8>) {
    // SAFETY: the block is still there.
    dirty::keep(unsafe { ObjectRef::of(value) });
}

/// The last handle is gone. What most objects die of comes first: leaves by themselves, others with what held them.
///
/// # Safety
/// `value` was alive until its last handle was just taken from its count.
#[inline(never)]
unsafe fn drop_slow<T: ?Sized>(value: NonNull<T>) {
    // SAFETY: the block is still there.
    let object = unsafe { ObjectRef::of(value) };
    if object.header().has_strong() {
        unusual();
        // SAFETY: handles are left.
        return unsafe { keep(value.cast()) };
    }
    let state = object.header().remains();
    if !core::mem::needs_drop::<T>() && state == 0 {
        // SAFETY: a leaf, and no handle is left, strong or weak.
        return unsafe { die::<T, false>(value) };
    }
    if state != YOUNG {
        unusual();
        if state == MEMBER && count_lost() {
            // A run's garbage, which it drops itself.
            return;
        }
        if state != OLDER {
            // SAFETY: the caller's.
            return unsafe { drop_by_state(value, state) };
        }
        death::forget_age(object);
    }
    if Nested::is_shallow() {
        // SAFETY: nobody else knows it: without an age no run looks at it.
        unsafe { die_nested(value) }
    } else if !is_dropping() {
        // SAFETY: as above.
        unsafe { die_outermost(value) }
    } else {
        // SAFETY: the caller's.
        unsafe { drop_rare(value) }
    }
}

/// The last handle is gone of a traced object that nobody else knows, and this drop is in another.
///
/// # Safety
/// As [`die`].
#[inline(never)]
unsafe fn die_nested<T: ?Sized>(value: NonNull<T>) {
    // SAFETY: the block is still there.
    unsafe { ObjectRef::of(value) }.prefetch_ahead();
    // SAFETY: the caller's.
    unsafe { die::<T, true>(value) }
}

/// The same where this drop is in no other.
///
/// # Safety
/// As [`die`].
#[inline(never)]
unsafe fn die_outermost<T: ?Sized>(value: NonNull<T>) {
    let _nested = Nested::enter_outermost();
    // SAFETY: the caller's.
    unsafe { die::<T, true>(value) }
}

/// The last handle is gone of a leaf with something to drop, or of an object that somebody else knows.
///
/// # Safety
/// As [`drop_slow`]; `state` is what remains of it.
#[inline(never)]
unsafe fn drop_by_state<T: ?Sized>(value: NonNull<T>, state: u32) {
    if state == 0 {
        let _nested = Nested::enter();
        // SAFETY: no handle is left, strong or weak.
        unsafe { die::<T, false>(value) }
    } else {
        // SAFETY: the caller's.
        unsafe { drop_rare(value) }
    }
}

/// Drops the value and gives the block back.
///
/// # Safety
/// No handle is left, strong or weak, and no run knows the object, which is `TRACED` or a leaf.
#[inline(always)]
unsafe fn die<T: ?Sized, const TRACED: bool>(value: NonNull<T>) {
    let block = Block::<T, TRACED>(value);
    // SAFETY: no handle is left, strong or weak.
    unsafe { value.drop_in_place() }
    core::mem::forget(block);
    // SAFETY: the caller's.
    unsafe { give_back::<T, TRACED>(value) }
}

/// All other last drops: weak handles, finalizers, runs, depth.
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
    if object.header().is_traced() {
        // SAFETY: traced, and that was its last handle.
        return unsafe { death::last_handle(object) };
    }
    let _nested = Nested::enter();
    let _block = Vacated::leaf(object);
    // SAFETY: no handle is left, and weak ones do not upgrade.
    unsafe { value.drop_in_place() }
}
