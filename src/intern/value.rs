//! Contents of entries: where they lie, for text, bytes and values.
//!
//! Contents of up to about 1 KiB follow the header. Larger ones, and values that want more than 16
//! bytes of alignment, lie in a box of the global allocator behind a small entry, so that entries
//! stay in a few classes of blocks.

use super::blocks::{MAX_BLOCK, class_of};
use super::entry::Header;
use alloc::alloc::{alloc, dealloc};
use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;

/// Bytes before the contents.
const HEADER: usize = size_of::<Header>();
/// The most bytes that follow a header.
const INLINE: usize = MAX_BLOCK - HEADER;
/// The length in the header of an entry whose bytes are boxed.
const BOXED: u32 = u32::MAX;

mod sealed {
    pub trait Sealed {}
    impl Sealed for str {}
    impl Sealed for [u8] {}
    impl<T> Sealed for T {}
}

/// What can be interned: `str`, `[u8]` and every sized type. Sealed.
pub trait Internable: sealed::Sealed {
    /// The contents of a live entry.
    ///
    /// # Safety
    /// The entry is of this type, and the caller has a count for as long as `'a`.
    #[doc(hidden)]
    unsafe fn contents<'a>(entry: EntryPtr) -> &'a Self;
}

/// The address of an entry.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct EntryPtr(pub(super) NonNull<Header>);

impl EntryPtr {
    /// Where the contents begin.
    #[inline(always)]
    fn body(self) -> NonNull<u8> {
        // SAFETY: every block is larger than a header.
        unsafe { self.0.cast::<u8>().add(HEADER) }
    }
}

impl Internable for [u8] {
    #[inline(always)]
    unsafe fn contents<'a>(entry: EntryPtr) -> &'a [u8] {
        // SAFETY: the caller has a count, or holds the shard's lock.
        unsafe { bytes(entry) }
    }
}

impl Internable for str {
    #[inline(always)]
    unsafe fn contents<'a>(entry: EntryPtr) -> &'a str {
        // SAFETY: as for bytes.
        let bytes = unsafe { bytes(entry) };
        // SAFETY: entries of the strings' interner are filled from `str` only.
        unsafe { core::str::from_utf8_unchecked(bytes) }
    }
}

impl<T> Internable for T {
    #[inline(always)]
    unsafe fn contents<'a>(entry: EntryPtr) -> &'a T {
        // SAFETY: the caller's entry is of this type and filled, and has a count for `'a`.
        let value = unsafe { value_ptr::<T>(entry) };
        // SAFETY: as above.
        unsafe { value.as_ref() }
    }
}

/// Bytes in a box of the global allocator.
#[derive(Debug, Clone, Copy)]
struct BoxedBytes {
    start: NonNull<u8>,
    len: usize,
}

/// The bytes of an entry.
///
/// # Safety
/// The entry holds bytes, and for as long as `'a` the caller has a count, or holds the shard's lock
/// and the entry is in the table.
#[inline(always)]
pub(super) unsafe fn bytes<'a>(entry: EntryPtr) -> &'a [u8] {
    // SAFETY: entries stay mapped.
    let header = unsafe { entry.0.as_ref() };
    // SAFETY: the caller's count or lock.
    let len = unsafe { header.length() };
    if len == BOXED {
        // SAFETY: as the caller's.
        return unsafe { boxed_bytes(entry) };
    }
    // SAFETY: `len` bytes were written behind the header before the entry came to life.
    unsafe { core::slice::from_raw_parts(entry.body().as_ptr(), len as usize) }
}

/// As [`bytes`], for boxed ones.
///
/// # Safety
/// As for [`bytes`], and the length says that they are boxed.
#[cold]
unsafe fn boxed_bytes<'a>(entry: EntryPtr) -> &'a [u8] {
    // SAFETY: the length says that the body is this.
    let boxed = unsafe { entry.body().cast::<BoxedBytes>().read() };
    // SAFETY: the box lives as long as the entry.
    unsafe { core::slice::from_raw_parts(boxed.start.as_ptr(), boxed.len) }
}

/// The class of blocks for `len` bytes.
#[inline]
pub(super) const fn class_of_bytes(len: usize) -> usize {
    class_of(HEADER + if len <= INLINE { len } else { size_of::<BoxedBytes>() })
}

/// Bytes on their way into an entry: boxed already if they must be, since the global allocator is
/// not called under a lock.
#[derive(Debug)]
pub(super) struct NewBytes<'a> {
    bytes: &'a [u8],
    boxed: Option<BoxedBytes>,
}

impl<'a> NewBytes<'a> {
    /// `None` when memory is refused.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() <= INLINE {
            return Some(Self { bytes, boxed: None });
        }
        let layout = Layout::for_value(bytes);
        // SAFETY: the layout is larger than nothing.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        // SAFETY: the allocation is as long as `bytes`, and new.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        Some(Self { bytes, boxed: Some(BoxedBytes { start, len: bytes.len() }) })
    }

    /// The class of the block to [`fill`](Self::fill).
    pub(super) fn class(&self) -> usize {
        class_of_bytes(self.bytes.len())
    }

    /// Fills an entry, all but its count.
    ///
    /// # Safety
    /// The entry is a block of [`class`](Self::class) that the caller owns, its count zero.
    pub(super) unsafe fn fill(&mut self, entry: EntryPtr, hash: u64) {
        // SAFETY: the caller owns the dead entry.
        let header = unsafe { entry.0.as_ref() };
        let len = match self.boxed.take() {
            Some(boxed) => {
                // SAFETY: the class has room for it behind the header.
                unsafe { entry.body().cast().write(boxed) };
                BOXED
            }
            None => {
                let from = NonNull::from(self.bytes).cast();
                // SAFETY: the class has room for the bytes behind the header.
                unsafe { entry.body().copy_from_nonoverlapping(from, self.bytes.len()) };
                self.bytes.len() as u32
            }
        };
        // SAFETY: the caller owns the dead entry.
        unsafe { header.set_hash(hash) };
        // SAFETY: as above.
        unsafe { header.set_length(len) };
    }
}

impl Drop for NewBytes<'_> {
    fn drop(&mut self) {
        if let Some(boxed) = self.boxed.take() {
            // SAFETY: the box did not become part of an entry.
            unsafe { free_box(boxed) };
        }
    }
}

/// # Safety
/// The box is of `NewBytes::new`, and nobody uses it any more.
unsafe fn free_box(boxed: BoxedBytes) {
    // SAFETY: this layout was accepted when the box was made.
    let layout = unsafe { Layout::from_size_align_unchecked(boxed.len, 1) };
    // SAFETY: allocated with this layout; the caller gives it up.
    unsafe { dealloc(boxed.start.as_ptr(), layout) }
}

/// What is left to do for a dead entry of bytes once its block is free.
#[derive(Debug)]
pub(super) struct DeadBytes {
    /// The class of its block.
    pub(super) class: usize,
    boxed: Option<BoxedBytes>,
}

impl DeadBytes {
    /// # Safety
    /// The caller owns the dead entry, which holds bytes, and frees its block.
    pub(super) unsafe fn of(entry: EntryPtr) -> Self {
        // SAFETY: entries stay mapped.
        let header = unsafe { entry.0.as_ref() };
        // SAFETY: the caller owns the entry.
        let len = unsafe { header.length() };
        if len == BOXED {
            // SAFETY: the length says that the body is this.
            let boxed = unsafe { entry.body().cast::<BoxedBytes>().read() };
            return Self { class: class_of_bytes(boxed.len), boxed: Some(boxed) };
        }
        Self { class: class_of_bytes(len as usize), boxed: None }
    }
}

impl Drop for DeadBytes {
    fn drop(&mut self) {
        if let Some(boxed) = self.boxed.take() {
            // SAFETY: the entry it belonged to is dead.
            unsafe { free_box(boxed) };
        }
    }
}

/// Whether values of a type lie in a box.
const fn is_boxed<T>() -> bool {
    size_of::<T>() > INLINE || align_of::<T>() > HEADER
}

/// The class of blocks for values of a type.
pub(super) const fn class_of_value<T>() -> usize {
    let body = if is_boxed::<T>() { size_of::<*mut T>() } else { size_of::<T>() };
    // A body of nothing wants its alignment too.
    let body = if body == 0 { 1 } else { body };
    let align = if is_boxed::<T>() || align_of::<T>() < 8 { 8 } else { align_of::<T>() };
    class_of((HEADER + body).next_multiple_of(align))
}

/// Whether a dead value must be destroyed.
pub(super) const fn needs_destroy<T>() -> bool {
    core::mem::needs_drop::<T>() || is_boxed::<T>()
}

/// # Safety
/// The entry is of this type and filled.
#[inline(always)]
unsafe fn value_ptr<T>(entry: EntryPtr) -> NonNull<T> {
    if is_boxed::<T>() {
        // SAFETY: the body is the pointer to the box.
        unsafe { entry.body().cast::<NonNull<T>>().read() }
    } else {
        entry.body().cast()
    }
}

/// A value on its way into an entry.
#[derive(Debug)]
pub(super) enum NewValue<T> {
    /// Will follow the header.
    Inline(T),
    /// In its box.
    Boxed(Box<T>),
}

impl<T> NewValue<T> {
    pub(super) fn new(value: T) -> Self {
        if is_boxed::<T>() { Self::Boxed(Box::new(value)) } else { Self::Inline(value) }
    }

    pub(super) fn get(&self) -> &T {
        match self {
            Self::Inline(value) => value,
            Self::Boxed(value) => value,
        }
    }

    /// Fills an entry, all but its count.
    ///
    /// # Safety
    /// The entry is a block of the type's class that the caller owns, its count zero.
    pub(super) unsafe fn fill(self, entry: EntryPtr, hash: u64) {
        match self {
            // SAFETY: the class has room for the value behind the header, aligned for it.
            Self::Inline(value) => unsafe { entry.body().cast().write(value) },
            // SAFETY: the class has room for a pointer.
            Self::Boxed(value) => unsafe { entry.body().cast().write(Box::into_raw(value)) },
        }
        // SAFETY: entries stay mapped.
        let header = unsafe { entry.0.as_ref() };
        // SAFETY: the caller owns the dead entry.
        unsafe { header.set_hash(hash) };
    }
}

/// Drops the value of a dead entry. May panic; the value is gone nevertheless.
///
/// # Safety
/// The caller owns the dead entry, which is of this type and filled.
pub(super) unsafe fn destroy<T>(entry: NonNull<Header>) {
    // SAFETY: the caller's entry.
    let value = unsafe { value_ptr::<T>(EntryPtr(entry)) };
    if is_boxed::<T>() {
        // SAFETY: the pointer came from `Box::into_raw` in `fill`, and nobody uses it any more.
        drop(unsafe { Box::from_raw(value.as_ptr()) });
    } else {
        // SAFETY: the value was moved in by `fill`, and nobody uses it any more.
        unsafe { value.drop_in_place() };
    }
}
