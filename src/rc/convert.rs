//! Objects made of other values: `From`, slices, strings.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::policy::Local;
use super::raw::{RawCc, allocate, poll};
use crate::heap::object_pool::ObjectClass;
use crate::object::ObjectRef;
use crate::object::header::{self, BORN_TRACED};
use crate::object::trace::TraceInfo;
use crate::object::vtable::SliceTable;

impl<T: TraceInfo> From<T> for RawCc<T, Local> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: TraceInfo> From<Box<T>> for RawCc<T, Local> {
    fn from(value: Box<T>) -> Self {
        Self::new(*value)
    }
}

/// The layout of a slice, and where its table lies if its elements may have edges.
fn layout_of<T: TraceInfo>(len: usize) -> (Layout, usize) {
    let elements = Layout::array::<T>(len).expect("the elements are in memory already");
    if !T::NEEDS_TRACE {
        return (elements, 0);
    }
    elements.extend(Layout::new::<SliceTable>()).expect("fits as the elements do, almost")
}

/// Makes an object of `len` values that are moved out of `source`.
///
/// # Safety
/// `source` has `len` values, which are not used there again.
unsafe fn from_parts<T: TraceInfo>(source: *const T, len: usize) -> RawCc<[T], Local> {
    let (layout, table) = layout_of::<T>(len);
    let class = ObjectClass::new(layout, T::NEEDS_TRACE).expect("elements are not over-aligned");
    let object = allocate(class, layout);
    let first = object.value::<T>();
    // SAFETY: a block with room for `len` values, which move.
    unsafe { ptr::copy_nonoverlapping(source, first.as_ptr(), len) };
    if T::NEEDS_TRACE {
        register_slice::<T>(object, len, table);
    }
    object.header().set_word(header::live(if T::NEEDS_TRACE { BORN_TRACED } else { 0 }));
    // SAFETY: the one handle of its count.
    let cc = unsafe { RawCc::from_object(NonNull::slice_from_raw_parts(first, len)) };
    if T::NEEDS_TRACE { poll(cc) } else { cc }
}

/// Writes the table of a slice, `table` bytes into the value.
fn register_slice<T: TraceInfo>(object: ObjectRef, len: usize, table: usize) {
    // SAFETY: the object's layout has the table there.
    let place = unsafe { object.value::<u8>().add(table) }.cast::<SliceTable>();
    // SAFETY: as above; the layout aligned it.
    unsafe { place.write(SliceTable::new::<T>(len)) };
    // SAFETY: a block of a traced class; the table lies in it.
    unsafe { object.set_vtable(place.cast()) };
}

impl<T: TraceInfo> From<Vec<T>> for RawCc<[T], Local> {
    fn from(mut values: Vec<T>) -> Self {
        let len = values.len();
        // SAFETY: the vector forgets its values before anything can panic.
        unsafe { values.set_len(0) };
        // SAFETY: its buffer still has them.
        unsafe { from_parts(values.as_ptr(), len) }
    }
}

impl<T: TraceInfo> From<Box<[T]>> for RawCc<[T], Local> {
    fn from(values: Box<[T]>) -> Self {
        values.into_vec().into()
    }
}

impl<T: TraceInfo, const N: usize> From<[T; N]> for RawCc<[T], Local> {
    fn from(values: [T; N]) -> Self {
        let values = core::mem::ManuallyDrop::new(values);
        // SAFETY: the values are not dropped here.
        unsafe { from_parts(values.as_ptr(), N) }
    }
}

impl<T: TraceInfo + Clone> From<&[T]> for RawCc<[T], Local> {
    fn from(values: &[T]) -> Self {
        values.to_vec().into()
    }
}

impl<T: TraceInfo> FromIterator<T> for RawCc<[T], Local> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        values.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T: TraceInfo> Default for RawCc<[T], Local> {
    fn default() -> Self {
        [].into()
    }
}

impl From<&str> for RawCc<str, Local> {
    fn from(text: &str) -> Self {
        // SAFETY: bytes are copied, not moved.
        let bytes = unsafe { from_parts(text.as_ptr(), text.len()) };
        let raw = RawCc::into_raw(bytes) as *const str;
        // SAFETY: the pointer of a handle; `str` is bytes that are UTF-8, which these are.
        unsafe { RawCc::from_raw(raw) }
    }
}

impl From<String> for RawCc<str, Local> {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Default for RawCc<str, Local> {
    fn default() -> Self {
        "".into()
    }
}
