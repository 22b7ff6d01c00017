//! What the collector does with an object of unknown type: one static table per type.

use core::ptr::NonNull;

use super::ObjectRef;
use super::trace::{FinalizeFn, Trace, TraceInfo, Tracer};

/// The operations on a traced object.
#[derive(Debug)]
pub(crate) struct VTable {
    /// Reports the edges.
    pub(crate) trace: unsafe fn(ObjectRef, &mut Tracer<'_>),
    /// Drops the value in its place.
    pub(crate) drop: unsafe fn(ObjectRef),
    /// The finalizer, if the type has one.
    pub(crate) finalize: Option<FinalizeFn>,
}

/// The table of objects that hold one `T`.
pub(crate) const fn of<T: TraceInfo>() -> &'static VTable {
    const {
        &VTable { trace: trace_value::<T>, drop: drop_value::<T>, finalize: T::FINALIZE }
    }
}

/// The table of objects that hold a slice of `T`.
pub(crate) const fn of_slice<T: TraceInfo>() -> &'static VTable {
    const { &VTable { trace: trace_slice::<T>, drop: drop_slice::<T>, finalize: None } }
}

/// # Safety
/// A whole `T` is in `object`, and no `&mut` to it is alive.
unsafe fn trace_value<T: Trace>(object: ObjectRef, tracer: &mut Tracer<'_>) {
    // SAFETY: the caller's.
    unsafe { object.value::<T>().as_ref() }.trace(tracer);
}

/// # Safety
/// A whole `T` is in `object`, and nobody uses it again.
unsafe fn drop_value<T>(object: ObjectRef) {
    // SAFETY: the caller's.
    unsafe { object.value::<T>().drop_in_place() }
}

/// The slice in `object`.
///
/// # Safety
/// `object` was born as a slice of `T` with edges.
unsafe fn slice_of<T>(object: ObjectRef) -> NonNull<[T]> {
    // SAFETY: written at the birth of such objects.
    let len = unsafe { object.length_slot().read() };
    NonNull::slice_from_raw_parts(object.value::<T>(), len)
}

/// # Safety
/// A whole slice of `T` is in `object`, and no `&mut` to it is alive.
unsafe fn trace_slice<T: Trace>(object: ObjectRef, tracer: &mut Tracer<'_>) {
    // SAFETY: the caller's.
    let slice = unsafe { slice_of::<T>(object) };
    // SAFETY: whole and shared, says the caller.
    unsafe { slice.as_ref() }.trace(tracer);
}

/// # Safety
/// A whole slice of `T` is in `object`, and nobody uses it again.
unsafe fn drop_slice<T>(object: ObjectRef) {
    // SAFETY: the caller's.
    let slice = unsafe { slice_of::<T>(object) };
    // SAFETY: whole and not used again, says the caller.
    unsafe { slice.drop_in_place() }
}
