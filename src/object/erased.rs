//! One counted object without its type.

use core::ptr::NonNull;

use super::header::Header;
use super::trace::Tracer;
use super::vtable::VTable;
use crate::base::bits::prefetch;

/// Bytes from the count word to the value.
const VALUE: usize = 8;

/// One counted object, type erased: the address of its count word.
///
/// The count word and not the value, because a value of size zero may lie at the end of its block, and
/// then belongs to the next pool.
///
/// **Validity invariant**: it points to the count word of a block in a pool of counted objects. Such
/// blocks are *type-stable*: the word stays a count word when the block is free. So reading the header
/// is always sound on the thread that owns the pool; what the value needs is said at each method.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct ObjectRef(NonNull<u64>);

impl ObjectRef {
    /// An object that is never looked at, to fill buffers.
    pub(crate) const DANGLING: ObjectRef = ObjectRef(NonNull::dangling());

    /// The object whose count word is at `header`.
    ///
    /// # Safety
    /// The validity invariant of the type.
    #[inline(always)]
    pub(crate) const unsafe fn from_header(header: NonNull<u64>) -> ObjectRef {
        ObjectRef(header)
    }

    /// The object that a typed handle points to.
    ///
    /// # Safety
    /// `value` is the value of an object, alive or not, whose block is not given back.
    #[inline(always)]
    pub(crate) unsafe fn of<T: ?Sized>(value: NonNull<T>) -> ObjectRef {
        // SAFETY: every object has its count word right before the value, in the same block.
        ObjectRef(unsafe { value.cast::<u8>().sub(VALUE) }.cast())
    }

    /// The address of the count word.
    #[inline(always)]
    pub(crate) fn address(self) -> NonNull<u64> {
        self.0
    }

    /// The count word.
    #[inline(always)]
    pub(crate) fn header(self) -> &'static Header {
        // SAFETY: type-stable (see the type): a count word for as long as the pool exists, and the pools
        // of a thread outlive its handles. All access goes through the header's cell.
        unsafe { self.0.cast::<Header>().as_ref() }
    }

    /// The address of the value.
    #[inline(always)]
    pub(crate) fn value<T>(self) -> NonNull<T> {
        // SAFETY: the value follows in the same block.
        unsafe { self.0.cast::<u8>().add(VALUE) }.cast()
    }

    #[inline(always)]
    fn vtable_slot(self) -> NonNull<NonNull<VTable>> {
        // SAFETY: callers have objects of a traced class, whose blocks have a word here.
        unsafe { self.0.sub(1) }.cast()
    }

    /// Writes the vtable at birth.
    ///
    /// # Safety
    /// The block was allocated for a traced class; the table lives as long as the object.
    #[inline(always)]
    pub(crate) unsafe fn set_vtable(self, vtable: NonNull<VTable>) {
        // SAFETY: traced blocks have a word for it, and nobody reads the unborn object.
        unsafe { self.vtable_slot().write(vtable) }
    }

    /// The address of the vtable.
    ///
    /// # Safety
    /// The object was born with `TRACED`.
    #[inline(always)]
    pub(crate) unsafe fn vtable_address(self) -> NonNull<VTable> {
        // SAFETY: written at birth and never changed.
        unsafe { self.vtable_slot().read() }
    }

    /// The vtable.
    ///
    /// # Safety
    /// The object was born with `TRACED`; the table is not used after its block is given back.
    #[inline(always)]
    pub(crate) unsafe fn vtable<'a>(self) -> &'a VTable {
        // SAFETY: the caller's.
        let table = unsafe { self.vtable_address() };
        // SAFETY: it lives as long as the object and is never written.
        unsafe { table.as_ref() }
    }

    /// Reports the edges of the value.
    ///
    /// # Safety
    /// The object is `TRACED`, its value is whole and nobody has `&mut` to it.
    #[inline(always)]
    pub(crate) unsafe fn trace(self, tracer: &mut Tracer<'_>) {
        // SAFETY: `TRACED` is the caller's.
        let vtable = unsafe { self.vtable() };
        // SAFETY: the value's state is the caller's.
        unsafe { (vtable.trace)(self, tracer) }
    }

    /// The name of its type and the bytes of its value.
    ///
    /// # Safety
    /// The object was born with `TRACED`, and its block is not given back.
    pub(crate) unsafe fn describe(self) -> (&'static str, usize) {
        // SAFETY: the caller's.
        let vtable = unsafe { self.vtable() };
        ((vtable.name)(), vtable.size)
    }

    /// Drops the value in its place.
    ///
    /// # Safety
    /// The object is `TRACED`, its value is whole, and nobody uses it from here on.
    #[inline(always)]
    pub(crate) unsafe fn drop_value(self) {
        // SAFETY: `TRACED` is the caller's.
        let vtable = unsafe { self.vtable() };
        // SAFETY: the value's state is the caller's.
        unsafe { (vtable.drop)(self) }
    }

    /// Asks for the object's first lines to be brought into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(self) {
        prefetch(self.0.as_ptr());
    }

    /// Asks for what drops will soon want that began at this object: what an object holds is mostly older, and then
    /// lies in front of it; but too near for its own line to arrive in time.
    #[inline(always)]
    pub(crate) fn prefetch_ahead(self) {
        prefetch(self.0.as_ptr().wrapping_byte_sub(AHEAD));
    }
}

/// How far in front of an object its drop will soon look, where values are built before what holds them: eight
/// lines are what the drops take that meanwhile happen.
const AHEAD: usize = 512;
