//! What the collector does with an object of unknown type: one static table per type, and one in each
//! slice with edges, for its length.

use core::ptr::NonNull;

use super::ObjectRef;
use super::trace::{Trace, TraceInfo, Tracer};

/// The operations on a traced object.
#[derive(Debug)]
pub(crate) struct VTable {
    /// Reports the edges.
    pub(crate) trace: unsafe fn(ObjectRef, &mut Tracer<'_>),
    /// Drops the value in its place.
    pub(crate) drop: unsafe fn(ObjectRef),
    /// The finalizer, if the type has one.
    pub(crate) finalize: Option<unsafe fn(ObjectRef)>,
    /// The name of the type, of its elements' if it is a slice.
    pub(crate) name: fn() -> &'static str,
    /// Bytes of the value.
    pub(crate) size: usize,
}

/// The table of objects that hold one `T`.
pub(crate) const fn of<T: TraceInfo>() -> &'static VTable {
    const {
        let finalize = match T::FINALIZE {
            Some(finalizer) => Some(finalizer.call),
            None => None,
        };
        &VTable {
            trace: trace_value::<T>,
            drop: drop_value::<T>,
            finalize,
            name: core::any::type_name::<T>,
            size: size_of::<T>(),
        }
    }
}

/// The table of an object that holds a slice: it lies behind the elements, with their number.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SliceTable {
    table: VTable,
    len: usize,
}

impl SliceTable {
    /// The table of a slice of `len` elements.
    pub(crate) const fn new<T: TraceInfo>(len: usize) -> SliceTable {
        let table = VTable {
            trace: trace_slice::<T>,
            drop: drop_slice::<T>,
            finalize: None,
            name: core::any::type_name::<T>,
            size: len * size_of::<T>(),
        };
        SliceTable { table, len }
    }
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
    // SAFETY: traced, or there would be no table that leads here.
    let table = unsafe { object.vtable_address() }.cast::<SliceTable>();
    // SAFETY: the tables of such objects are the first field of a `SliceTable`.
    let len = unsafe { table.as_ref() }.len;
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
