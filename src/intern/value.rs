//! What entries hold, and where it lies; here for values of one size.
//!
//! Values of up to about 1 KiB follow the header. Larger ones, and those that want more than 16 bytes
//! of alignment, lie in a box of the global allocator behind a small entry, so that entries stay in a
//! few classes of blocks.

use super::blocks::{MAX_BLOCK, class_of};
use super::entry::Header;
use super::global;
use super::store::{Class, Contents, Store};
use alloc::boxed::Box;
use core::any::TypeId;
use core::ptr::NonNull;

/// Bytes before the contents.
pub(super) const HEADER: usize = size_of::<Header>();
/// The most bytes that follow a header.
pub(super) const INLINE: usize = MAX_BLOCK - HEADER;

/// What can be interned: `str`, `[T]`, `Path`, `OsStr`, `CStr` and every sized type. Sealed.
///
/// It is what keeps a handle of unsized contents one word: their length lies in the entry.
///
/// ```
/// use hoopsnake::intern::{Internable, Interned};
/// use std::path::Path;
///
/// fn words<T: ?Sized + Internable>(_: &Interned<T>) -> usize {
///     size_of::<Interned<T>>() / size_of::<usize>()
/// }
///
/// assert_eq!(words(&Interned::<Path>::intern(Path::new("/etc/hosts"))), 1);
/// ```
pub trait Internable: sealed::Stored {}

impl<T: ?Sized + sealed::Stored> Internable for T {}

pub(super) mod sealed {
    use super::{Contents, EntryPtr, Store};

    /// How a type lies in entries, and which interner is that of the whole program.
    pub trait Stored: 'static {
        /// The contents of a live entry.
        ///
        /// # Safety
        /// The entry is of this type, and the caller has a count for as long as `'a`.
        unsafe fn contents<'a>(entry: EntryPtr) -> &'a Self;

        /// The kind of interner that this type has.
        fn kind() -> Contents;

        /// The program's interner of this type, if it exists by now.
        fn global() -> Option<&'static Store>;

        /// The program's interner of this type. `None` when memory is refused.
        fn global_or_map() -> Option<&'static Store>;
    }
}

/// The address of an entry.
#[derive(Debug, Clone, Copy)]
pub struct EntryPtr(pub(super) NonNull<Header>);

impl EntryPtr {
    /// Where the contents begin.
    #[inline(always)]
    pub(super) fn body(self) -> NonNull<u8> {
        // SAFETY: every block is larger than a header.
        unsafe { self.0.cast::<u8>().add(HEADER) }
    }
}

/// Contents on their way into an entry.
pub(super) trait New {
    /// What is left when the contents have moved; it is dropped when no lock is held.
    type Rest;

    /// The class of the block to [`fill`](Self::fill).
    fn class(&self) -> usize;

    /// Fills an entry, all but its count. Runs no code of others: a lock is held.
    ///
    /// # Safety
    /// The entry is a block of [`class`](Self::class) that the caller owns, its count dead.
    unsafe fn fill(self, entry: EntryPtr, hash: u64) -> Self::Rest;
}

impl<T: 'static> sealed::Stored for T {
    #[inline(always)]
    unsafe fn contents<'a>(entry: EntryPtr) -> &'a T {
        // SAFETY: the caller's entry is of this type and filled, and has a count for `'a`.
        let value = unsafe { value_ptr::<T>(entry) };
        // SAFETY: as above.
        unsafe { value.as_ref() }
    }

    fn kind() -> Contents {
        Contents::Values {
            of: TypeId::of::<T>(),
            class: Class::Fixed(class_of_value::<T>()),
            destroy: if needs_destroy::<T>() { Some(destroy::<T>) } else { None },
        }
    }

    #[inline]
    fn global() -> Option<&'static Store> {
        global::of(TypeId::of::<T>())
    }

    fn global_or_map() -> Option<&'static Store> {
        global::of_or_map(Self::kind())
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
}

impl<T> New for NewValue<T> {
    type Rest = ();

    fn class(&self) -> usize {
        class_of_value::<T>()
    }

    unsafe fn fill(self, entry: EntryPtr, hash: u64) {
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
