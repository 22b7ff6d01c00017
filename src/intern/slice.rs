//! What entries of several elements hold, and where it lies: bytes, text, paths, slices.
//!
//! The number of elements is in the header. Up to about 1 KiB of them follow it; more, and those that
//! want more than 16 bytes of alignment, lie in a box behind a small entry.

use super::blocks::class_of;
use super::entry::Header;
use super::global::{self, BYTES, C_STRINGS, OS_STRINGS, PATHS, STRINGS};
use super::hash::Seed;
use super::store::{Class, Contents, Store};
use super::value::sealed::Stored;
use super::value::{EntryPtr, HEADER, INLINE, New};
use alloc::alloc::alloc;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::any::TypeId;
use core::ffi::CStr;
use core::hash::BuildHasher;
use core::ptr::{NonNull, slice_from_raw_parts_mut};
use std::ffi::OsStr;
use std::hash::RandomState;
use std::path::Path;

/// The length in the header of an entry whose elements are boxed.
const BOXED: u32 = u32::MAX;

/// Elements in a box of the global allocator.
#[derive(Debug)]
struct Boxed<T> {
    start: NonNull<T>,
    len: usize,
}

impl<T> Boxed<T> {
    /// # Safety
    /// Called once, and nobody uses the elements any more.
    unsafe fn into_box(self) -> Box<[T]> {
        // SAFETY: these came from a box, which the caller takes back once.
        unsafe { Box::from_raw(slice_from_raw_parts_mut(self.start.as_ptr(), self.len)) }
    }
}

/// Whether so many elements follow the header.
const fn is_inline<T>(len: usize) -> bool {
    align_of::<T>() <= HEADER
        && len < BOXED as usize
        && size_of::<T>().saturating_mul(len) <= INLINE
}

/// The class of blocks for so many elements.
#[inline]
pub(super) const fn class_of_elements<T>(len: usize) -> usize {
    if !is_inline::<T>(len) {
        return class_of(HEADER + size_of::<Boxed<T>>());
    }
    let body = size_of::<T>() * len;
    // A body of nothing wants its alignment too.
    let size = HEADER + if body == 0 { 1 } else { body };
    class_of(if align_of::<T>() <= 8 { size } else { size.next_multiple_of(align_of::<T>()) })
}

/// The class of an entry whose header has this length.
fn class_of_length<T>(len: u32) -> usize {
    class_of_elements::<T>(if len == BOXED { usize::MAX } else { len as usize })
}

/// The elements of an entry.
///
/// # Safety
/// The entry holds elements of this type, and for as long as `'a` the caller has a count, or holds
/// the shard's lock and the entry is in the table.
#[inline(always)]
pub(super) unsafe fn elements<'a, T>(entry: EntryPtr) -> &'a [T] {
    // SAFETY: entries stay mapped.
    let header = unsafe { entry.0.as_ref() };
    // SAFETY: the caller's count or lock.
    let len = unsafe { header.length() };
    if len == BOXED {
        // SAFETY: as the caller's.
        return unsafe { boxed_elements(entry) };
    }
    // SAFETY: `len` elements were written behind the header before the entry came to life.
    unsafe { core::slice::from_raw_parts(entry.body().as_ptr().cast(), len as usize) }
}

/// As [`elements`], for boxed ones.
///
/// # Safety
/// As for [`elements`], and the length says that they are boxed.
#[cold]
unsafe fn boxed_elements<'a, T>(entry: EntryPtr) -> &'a [T] {
    // SAFETY: the length says that the body is this.
    let boxed = unsafe { entry.body().cast::<Boxed<T>>().read() };
    // SAFETY: the box lives as long as the entry.
    unsafe { core::slice::from_raw_parts(boxed.start.as_ptr(), boxed.len) }
}

/// The bytes of an entry.
///
/// # Safety
/// As for [`elements`].
#[inline(always)]
pub(super) unsafe fn bytes<'a>(entry: EntryPtr) -> &'a [u8] {
    // SAFETY: as the caller's.
    unsafe { elements(entry) }
}

/// Writes hash and length of an entry.
///
/// # Safety
/// The caller owns the dead entry.
unsafe fn set_head(entry: EntryPtr, hash: u64, len: u32) {
    // SAFETY: entries stay mapped.
    let header = unsafe { entry.0.as_ref() };
    // SAFETY: the caller owns the dead entry.
    unsafe { header.set_hash(hash) };
    // SAFETY: as above.
    unsafe { header.set_length(len) };
}

/// Moves elements behind the header of an entry, or their box.
///
/// # Safety
/// The caller owns the dead entry, whose class is that of `elements`, and does not drop them.
unsafe fn fill<T>(entry: EntryPtr, hash: u64, elements: NonNull<[T]>) {
    let len = elements.len();
    if is_inline::<T>(len) {
        // SAFETY: the class has room for the elements behind the header, aligned for them.
        unsafe { entry.body().cast().copy_from_nonoverlapping(elements.cast::<T>(), len) };
        // SAFETY: the caller owns the dead entry.
        unsafe { set_head(entry, hash, len as u32) };
    } else {
        // SAFETY: the class has room for it behind the header.
        unsafe { entry.body().cast().write(Boxed { start: elements.cast::<T>(), len }) };
        // SAFETY: the caller owns the dead entry.
        unsafe { set_head(entry, hash, BOXED) };
    }
}

/// Bytes on their way into an entry: boxed already if they must be, since the global allocator is
/// not called under a lock.
#[derive(Debug)]
pub(super) enum NewBytes<'a> {
    /// Will follow the header.
    Inline(&'a [u8]),
    /// In their box.
    Boxed(Box<[u8]>),
}

impl<'a> NewBytes<'a> {
    /// `None` when memory is refused.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        if is_inline::<u8>(bytes.len()) {
            return Some(Self::Inline(bytes));
        }
        // SAFETY: the layout is larger than nothing.
        let start = NonNull::new(unsafe { alloc(Layout::for_value(bytes)) })?;
        // SAFETY: the allocation is as long as `bytes`, and new.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        // SAFETY: allocated with the layout of so many bytes, which are written.
        Some(Self::Boxed(unsafe { Boxed { start, len: bytes.len() }.into_box() }))
    }
}

impl New for NewBytes<'_> {
    type Rest = ();

    fn class(&self) -> usize {
        match self {
            Self::Inline(bytes) => class_of_elements::<u8>(bytes.len()),
            Self::Boxed(bytes) => class_of_elements::<u8>(bytes.len()),
        }
    }

    unsafe fn fill(self, entry: EntryPtr, hash: u64) {
        let bytes = match self {
            Self::Inline(bytes) => NonNull::from(bytes),
            Self::Boxed(bytes) => NonNull::from(Box::leak(bytes)),
        };
        // SAFETY: the caller owns the dead entry of this class; what was boxed is leaked.
        unsafe { fill(entry, hash, bytes) };
    }
}

/// Elements on their way into an entry.
#[derive(Debug)]
pub(super) enum NewSlice<T> {
    /// Will follow the header.
    Inline(Vec<T>),
    /// In their box.
    Boxed(Box<[T]>),
}

impl<T> NewSlice<T> {
    pub(super) fn new(elements: Vec<T>) -> Self {
        if is_inline::<T>(elements.len()) {
            Self::Inline(elements)
        } else {
            Self::Boxed(elements.into_boxed_slice())
        }
    }

    pub(super) fn get(&self) -> &[T] {
        match self {
            Self::Inline(elements) => elements,
            Self::Boxed(elements) => elements,
        }
    }
}

impl<T> New for NewSlice<T> {
    /// What was allocated for elements that have moved into the block.
    type Rest = Vec<T>;

    fn class(&self) -> usize {
        class_of_elements::<T>(self.get().len())
    }

    unsafe fn fill(self, entry: EntryPtr, hash: u64) -> Vec<T> {
        let (elements, rest) = match self {
            Self::Inline(mut vec) => {
                let elements = NonNull::from(vec.as_mut_slice());
                // SAFETY: nothing is a valid length; the elements are moved out below.
                unsafe { vec.set_len(0) };
                (elements, vec)
            }
            Self::Boxed(elements) => (NonNull::from(Box::leak(elements)), Vec::new()),
        };
        // SAFETY: the caller owns the dead entry of this class; nobody else drops the elements.
        unsafe { fill(entry, hash, elements) };
        rest
    }
}

/// Drops the elements of a dead entry. May panic; they are gone nevertheless.
///
/// # Safety
/// The caller owns the dead entry, which is of such elements and filled.
unsafe fn destroy<T>(entry: NonNull<Header>) {
    // SAFETY: entries stay mapped.
    let header = unsafe { entry.as_ref() };
    // SAFETY: the caller owns the entry.
    let len = unsafe { header.length() };
    let entry = EntryPtr(entry);
    if len == BOXED {
        // SAFETY: the length says that the body is this.
        let boxed = unsafe { entry.body().cast::<Boxed<T>>().read() };
        // SAFETY: `fill` leaked the box, and nobody uses it any more.
        drop(unsafe { boxed.into_box() });
    } else {
        let elements = NonNull::slice_from_raw_parts(entry.body().cast::<T>(), len as usize);
        // SAFETY: they were moved in by `fill`, and nobody uses them any more.
        unsafe { elements.drop_in_place() };
    }
}

/// What is left to do for a dead entry of bytes once its block is free.
#[derive(Debug)]
pub(super) struct DeadBytes {
    /// The class of its block.
    pub(super) class: usize,
    /// No box yet: the table may still read the bytes, to find the entry.
    boxed: Option<Boxed<u8>>,
}

impl DeadBytes {
    /// Of an entry without a box.
    #[inline(always)]
    pub(super) const fn without_box(class: usize) -> Self {
        Self { class, boxed: None }
    }

    /// # Safety
    /// The caller owns the dead entry, which holds bytes.
    pub(super) unsafe fn of(entry: EntryPtr) -> Self {
        // SAFETY: entries stay mapped.
        let header = unsafe { entry.0.as_ref() };
        // SAFETY: the caller owns the entry.
        let len = unsafe { header.length() };
        // SAFETY: the length says that the body is this.
        let boxed = (len == BOXED).then(|| unsafe { entry.body().cast::<Boxed<u8>>().read() });
        Self { class: class_of_length::<u8>(len), boxed }
    }

    /// Frees what the block led to.
    ///
    /// # Safety
    /// The block is free.
    #[inline(always)]
    pub(super) unsafe fn end(self) {
        if let Some(boxed) = self.boxed {
            // SAFETY: `fill` leaked the box, and nothing leads to it any more.
            drop(unsafe { boxed.into_box() });
        }
    }
}

/// Contents that lie as bytes, and that are hashed and compared by code which may run under a lock: ours and
/// std's, never a user's.
pub(super) trait Plain {
    /// How they lie in an entry.
    fn bytes(&self) -> &[u8];

    /// The hash that is stored.
    fn hash(&self, seed: &Seed) -> u64;

    /// The hash in a keyed table.
    fn keyed_hash(&self, key: &RandomState) -> u64;

    /// Whether they are so few that their hash and a comparison call no function.
    fn are_few(&self) -> bool;

    /// Whether an entry is of equal contents.
    ///
    /// # Safety
    /// As for [`elements`]; the entry holds contents of this type.
    unsafe fn is(&self, entry: EntryPtr) -> bool;
}

impl Plain for [u8] {
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline(always)]
    fn hash(&self, seed: &Seed) -> u64 {
        seed.hash_bytes(self)
    }

    fn keyed_hash(&self, key: &RandomState) -> u64 {
        key.hash_one(self)
    }

    #[inline(always)]
    fn are_few(&self) -> bool {
        self.len() <= 16
    }

    #[inline(always)]
    unsafe fn is(&self, entry: EntryPtr) -> bool {
        if !is_inline::<u8>(self.len()) {
            // SAFETY: as the caller's.
            return self == unsafe { bytes(entry) };
        }
        // SAFETY: entries stay mapped.
        let header = unsafe { entry.0.as_ref() };
        // SAFETY: the caller's count or lock.
        let len = unsafe { header.length() } as usize;
        // SAFETY: what has a length of inline contents is inline.
        len == self.len() && same(self, unsafe { inline_bytes(entry, len) })
    }
}

/// # Safety
/// As for [`elements`], and so many bytes follow the header.
#[inline(always)]
unsafe fn inline_bytes<'a>(entry: EntryPtr, len: usize) -> &'a [u8] {
    // SAFETY: the caller's promise; they were written before the entry came to life.
    unsafe { core::slice::from_raw_parts(entry.body().as_ptr(), len) }
}

/// By components: `a/b` and `a//b` are equal paths.
impl Plain for Path {
    fn bytes(&self) -> &[u8] {
        self.as_os_str().as_encoded_bytes()
    }

    fn hash(&self, seed: &Seed) -> u64 {
        seed.hash_value(self)
    }

    fn keyed_hash(&self, key: &RandomState) -> u64 {
        key.hash_one(self)
    }

    #[inline(always)]
    fn are_few(&self) -> bool {
        false
    }

    unsafe fn is(&self, entry: EntryPtr) -> bool {
        // SAFETY: as the caller's.
        let bytes = unsafe { bytes(entry) };
        // SAFETY: the bytes are those of a path.
        self.bytes() == bytes || *self == *unsafe { path(bytes) }
    }
}

/// # Safety
/// The bytes are those of a path.
#[inline(always)]
unsafe fn path(bytes: &[u8]) -> &Path {
    // SAFETY: the caller's promise.
    Path::new(unsafe { OsStr::from_encoded_bytes_unchecked(bytes) })
}

/// Whether two runs of bytes are the same; up to 32 without a call.
#[inline(always)]
fn same(a: &[u8], b: &[u8]) -> bool {
    /// By the first and the last `N` bytes, which overlap or meet.
    fn ends<const N: usize>(a: &[u8], b: &[u8]) -> bool {
        a.first_chunk::<N>() == b.first_chunk() && a.last_chunk::<N>() == b.last_chunk()
    }
    a.len() == b.len()
        && match a.len() {
            8..=16 => ends::<8>(a, b),
            4..=7 => ends::<4>(a, b),
            17..=32 => ends::<16>(a, b),
            1..=3 => ends::<1>(a, b) && a[a.len() / 2] == b[a.len() / 2],
            0 => true,
            _ => a == b,
        }
}

/// The kind of entries of plain contents.
const fn kind_of_plain<T: ?Sized + Plain + Stored>() -> Contents {
    /// # Safety
    /// As for [`Stored::contents`].
    unsafe fn keyed<T: ?Sized + Plain + Stored>(key: &RandomState, entry: EntryPtr) -> u64 {
        // SAFETY: as the caller's.
        unsafe { T::contents(entry) }.keyed_hash(key)
    }
    Contents::Plain { keyed: keyed::<T> }
}

/// The kind of text and bytes.
pub(super) const BYTES_KIND: Contents = kind_of_plain::<[u8]>();

/// The kind of entries whose elements are compared by code that is not ours.
fn kind_of_elements<T>(of: TypeId) -> Contents {
    Contents::Values {
        of,
        class: Class::ByLength(class_of_length::<T>),
        destroy: Some(destroy::<T>),
    }
}

/// Contents that are bytes and compared as bytes, with an interner in a static.
macro_rules! stored_as_bytes {
    ($($ty:ty: $global:ident, |$bytes:ident| $contents:expr;)*) => {$(
        impl Stored for $ty {
            #[inline(always)]
            unsafe fn contents<'a>(entry: EntryPtr) -> &'a Self {
                // SAFETY: as the caller's.
                let $bytes = unsafe { bytes(entry) };
                // SAFETY: entries of this type's interners are filled from values of it only.
                unsafe { $contents }
            }

            fn kind() -> Contents {
                BYTES_KIND
            }

            #[inline(always)]
            fn global() -> Option<&'static Store> {
                $global.get()
            }

            fn global_or_map() -> Option<&'static Store> {
                $global.get_or_map(BYTES_KIND)
            }
        }
    )*};
}

stored_as_bytes! {
    str: STRINGS, |bytes| core::str::from_utf8_unchecked(bytes);
    OsStr: OS_STRINGS, |bytes| OsStr::from_encoded_bytes_unchecked(bytes);
    CStr: C_STRINGS, |bytes| CStr::from_bytes_with_nul_unchecked(bytes);
}

impl Stored for Path {
    #[inline(always)]
    unsafe fn contents<'a>(entry: EntryPtr) -> &'a Path {
        // SAFETY: as the caller's.
        let bytes = unsafe { bytes(entry) };
        // SAFETY: entries of this type's interners are filled from paths only.
        unsafe { path(bytes) }
    }

    fn kind() -> Contents {
        kind_of_plain::<Path>()
    }

    #[inline(always)]
    fn global() -> Option<&'static Store> {
        PATHS.get()
    }

    fn global_or_map() -> Option<&'static Store> {
        PATHS.get_or_map(Self::kind())
    }
}

/// Whether elements are bytes, which are kept as such.
#[inline(always)]
pub(super) fn are_bytes<T: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<u8>()
}

impl<T: 'static> Stored for [T] {
    #[inline(always)]
    unsafe fn contents<'a>(entry: EntryPtr) -> &'a [T] {
        // SAFETY: as the caller's.
        unsafe { elements(entry) }
    }

    fn kind() -> Contents {
        if are_bytes::<T>() { BYTES_KIND } else { kind_of_elements::<T>(TypeId::of::<[T]>()) }
    }

    #[inline]
    fn global() -> Option<&'static Store> {
        if are_bytes::<T>() { BYTES.get() } else { global::of(TypeId::of::<[T]>()) }
    }

    fn global_or_map() -> Option<&'static Store> {
        if are_bytes::<T>() {
            BYTES.get_or_map(BYTES_KIND)
        } else {
            global::of_or_map(Self::kind())
        }
    }
}
