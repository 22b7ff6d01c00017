//! By what a value is found, and from what it is made.
//!
//! Text and bytes are hashed and compared as bytes, and paths as std does it, by the table itself. All else goes by `Hash`
//! and `Eq`, which may be a user's code and so run without a lock.

use super::OutOfMemory;
use super::hash::Seed;
use super::slice::{NewSlice, Plain, are_bytes};
use super::store::Store;
use super::table::{Counted, Missed};
use super::value::sealed::Stored;
use super::value::{EntryPtr, NewValue};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::ffi::CStr;
use core::hash::Hash;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What an interned `T` can be looked up by: itself or, for a sized `T`, what it can be borrowed as.
/// Sealed.
///
/// As for `HashMap`, a borrowed form hashes and compares as the value does.
///
/// ```
/// use hoopsnake::intern::{Interned, intern};
///
/// let words = Interned::new(vec!["a", "b"]);
/// assert_eq!(Interned::<Vec<_>>::get_by(["a", "b"].as_slice()), Some(words));
/// let text = intern("spam");
/// assert_eq!(Interned::get("spam"), Some(text));
/// ```
pub trait LookUp<T: ?Sized>: sealed::Find<T> {}

impl<T: ?Sized, Q: ?Sized + sealed::Find<T>> LookUp<T> for Q {}

/// What an interned `T` can be made of. Sealed.
///
/// A sized `T` is made of itself; text, paths and slices of their borrowed or their owned form.
///
/// ```
/// use hoopsnake::intern::Interned;
/// use std::path::{Path, PathBuf};
///
/// let path = Interned::<Path>::intern(PathBuf::from("/etc/hosts"));
/// assert_eq!(path, Interned::intern(Path::new("/etc/hosts")));
/// assert_eq!(Interned::<[u16]>::intern([1, 2]), Interned::intern(vec![1, 2]));
/// ```
pub trait Intern<T: ?Sized>: sealed::Make<T> {}

impl<T: ?Sized, V: sealed::Make<T>> Intern<T> for V {}

pub(super) mod sealed {
    use super::{EntryPtr, OutOfMemory, Seed, Store};

    /// How to find an entry.
    pub trait Find<T: ?Sized> {
        /// The hash that entries of such a value have.
        fn stored_hash(&self, seed: &Seed) -> u64;

        /// Whether this is the value.
        fn is(&self, value: &T) -> bool;

        /// Looks for the entry, so that `None` is certain, and takes a count of it.
        ///
        /// # Safety
        /// The interner is of values of type `T`.
        unsafe fn find(&self, interner: &Store) -> Option<EntryPtr>;
    }

    /// How to find or make an entry.
    pub trait Make<T: ?Sized> {
        /// The entry, with a count; an `immortal` one, if it must be made and is to be so.
        ///
        /// # Errors
        /// When memory is refused.
        ///
        /// # Safety
        /// The interner is of values of type `T`.
        unsafe fn make(self, interner: &Store, immortal: bool) -> Result<EntryPtr, OutOfMemory>;
    }
}

use sealed::{Find, Make};

// Bytes -------------------------------------------------------------------------------------------

/// Finds plain contents or makes an entry of them, an immortal one if they are a `single` in the program's
/// interner: one of the program's own would never go.
///
/// For few bytes nothing is called before the end, so that a hit saves no registers, and what is not at home is
/// looked for elsewhere, since that takes some: a hit and its drop are 82 instructions of a loop over words, 104
/// with all in one. `sought` comes first, as callers have it in their registers.
#[inline(always)]
fn make_plain<T: ?Sized + Stored, P: ?Sized + Plain>(
    sought: &P,
    interner: &Store,
    immortal: bool,
    single: impl Fn(&P) -> bool,
) -> Result<EntryPtr, OutOfMemory> {
    if !sought.are_few() {
        return make_many::<T, P>(sought, interner, immortal, single);
    }
    let hash = interner.hash_plain(sought);
    match interner.look_up_plain_at_home(sought, hash) {
        Ok(entry) => Ok(entry),
        Err(Missed::Absent) => insert_plain::<T, P>(sought, interner, hash, immortal, single),
        Err(Missed::Unclear(None)) => {
            make_probing::<T, P>(sought, interner, hash, immortal, single)
        }
        Err(Missed::Unclear(counted)) => {
            make_surely::<T, P>(sought, interner, counted, immortal, single)
        }
    }
}

/// As [`make_plain`], when it is not at home.
#[inline(never)]
fn make_probing<T: ?Sized + Stored, P: ?Sized + Plain>(
    sought: &P,
    interner: &Store,
    hash: u64,
    immortal: bool,
    single: impl Fn(&P) -> bool,
) -> Result<EntryPtr, OutOfMemory> {
    match interner.look_up_plain_first(sought, hash) {
        Ok(entry) => Ok(entry),
        Err(Missed::Absent) => insert_plain::<T, P>(sought, interner, hash, immortal, single),
        Err(Missed::Unclear(counted)) => {
            make_surely::<T, P>(sought, interner, counted, immortal, single)
        }
    }
}

/// As [`make_plain`], of any length.
#[inline(never)]
fn make_many<T: ?Sized + Stored, P: ?Sized + Plain>(
    sought: &P,
    interner: &Store,
    immortal: bool,
    single: impl Fn(&P) -> bool,
) -> Result<EntryPtr, OutOfMemory> {
    let hash = interner.hash_plain(sought);
    match interner.look_up_plain(sought, hash) {
        Some(entry) => Ok(entry),
        None => insert_plain::<T, P>(sought, interner, hash, immortal, single),
    }
}

/// As [`make_plain`], when a first look left it unclear.
#[cold]
#[inline(never)]
fn make_surely<T: ?Sized + Stored, P: ?Sized + Plain>(
    sought: &P,
    interner: &Store,
    counted: Option<Counted<'_, Store>>,
    immortal: bool,
    single: impl Fn(&P) -> bool,
) -> Result<EntryPtr, OutOfMemory> {
    match counted.and_then(|counted| interner.resolve_plain(sought, counted)) {
        Some(entry) => Ok(entry),
        None => make_many::<T, P>(sought, interner, immortal, single),
    }
}

/// Makes an entry of plain contents, unless there is one by now.
#[inline(always)]
fn insert_plain<T: ?Sized + Stored, P: ?Sized + Plain>(
    sought: &P,
    interner: &Store,
    hash: u64,
    immortal: bool,
    single: impl Fn(&P) -> bool,
) -> Result<EntryPtr, OutOfMemory> {
    let is_global = || T::global().is_some_and(|global| core::ptr::eq(global, interner));
    let immortal = immortal || single(sought) && is_global();
    interner.insert_plain(sought, hash, immortal).ok_or(OutOfMemory)
}

/// Finds plain contents.
fn find_plain<P: ?Sized + Plain>(interner: &Store, sought: &P) -> Option<EntryPtr> {
    let hash = interner.hash_plain(sought);
    let found = interner.look_up_plain(sought, hash);
    found.or_else(|| interner.look_up_plain_locked(sought, hash))
}

/// Contents that are compared as bytes.
macro_rules! found_as_bytes {
    ($($ty:ty, |$contents:ident| $bytes:expr, single: $single:expr;)*) => {$(
        impl Find<$ty> for $ty {
            #[inline]
            fn stored_hash(&self, seed: &Seed) -> u64 {
                let $contents = self;
                seed.hash_bytes($bytes)
            }

            #[inline]
            fn is(&self, value: &$ty) -> bool {
                *self == *value
            }

            unsafe fn find(&self, interner: &Store) -> Option<EntryPtr> {
                let $contents = self;
                find_plain(interner, $bytes)
            }
        }

        impl Make<$ty> for &$ty {
            #[inline(always)]
            unsafe fn make(self, interner: &Store, immortal: bool) -> Result<EntryPtr, OutOfMemory> {
                let $contents = self;
                make_plain::<$ty, [u8]>($bytes, interner, immortal, $single)
            }
        }
    )*};
}

found_as_bytes! {
    str, |text| text.as_bytes(), single: is_single;
    OsStr, |text| text.as_encoded_bytes(), single: <[u8]>::is_empty;
    CStr, |text| text.to_bytes_with_nul(), single: |bytes| bytes.len() == 1;
}

/// Whether a text, as UTF-8, is one that Python keeps as a single object: empty, or one latin-1 character.
#[inline(always)]
fn is_single(text: &[u8]) -> bool {
    matches!(text, [] | [_] | [0xC2..=0xC3, _])
}

// Paths -------------------------------------------------------------------------------------------

impl Find<Path> for Path {
    fn stored_hash(&self, seed: &Seed) -> u64 {
        Plain::hash(self, seed)
    }

    fn is(&self, value: &Path) -> bool {
        *self == *value
    }

    unsafe fn find(&self, interner: &Store) -> Option<EntryPtr> {
        find_plain(interner, self)
    }
}

impl Make<Path> for &Path {
    unsafe fn make(self, interner: &Store, immortal: bool) -> Result<EntryPtr, OutOfMemory> {
        make_plain::<Path, Path>(self, interner, immortal, |_| false)
    }
}

// Slices ------------------------------------------------------------------------------------------

/// What is to be interned, as bytes if it is.
#[inline(always)]
fn as_bytes<T: 'static>(elements: &[T]) -> Option<&[u8]> {
    if !are_bytes::<T>() {
        return None;
    }
    // SAFETY: the elements are `u8`.
    Some(unsafe { core::slice::from_raw_parts(elements.as_ptr().cast(), elements.len()) })
}

/// Hash and comparison of a slice whose elements are not bytes.
impl<T: Eq + Hash + 'static> Find<[T]> for [T] {
    fn stored_hash(&self, seed: &Seed) -> u64 {
        as_bytes(self).map_or_else(|| seed.hash_value(self), |bytes| seed.hash_bytes(bytes))
    }

    fn is(&self, value: &[T]) -> bool {
        *self == *value
    }

    unsafe fn find(&self, interner: &Store) -> Option<EntryPtr> {
        if let Some(bytes) = as_bytes(self) {
            return find_plain(interner, bytes);
        }
        // SAFETY: compared while a count is held; of such slices by the caller's promise.
        let matches = |entry| self.is(unsafe { <[T]>::contents(entry) });
        interner.look_up_value_surely(interner.hash_value(self), matches)
    }
}

/// Finds a slice or makes an entry of what `own` returns, which equals it.
///
/// # Safety
/// The interner is of such slices.
#[inline]
unsafe fn make_slice<T: Eq + Hash + 'static, S: Borrow<[T]>>(
    interner: &Store,
    slice: S,
    immortal: bool,
    own: impl FnOnce(S) -> Vec<T>,
) -> Result<EntryPtr, OutOfMemory> {
    if let Some(bytes) = as_bytes(slice.borrow()) {
        return make_plain::<[u8], [u8]>(bytes, interner, immortal, |bytes| bytes.len() <= 1);
    }
    let is = |slice: &[T], entry| {
        // SAFETY: compared while a count is held; of such slices by the caller's promise.
        slice.is(unsafe { <[T]>::contents(entry) })
    };
    let hash = interner.hash_value(slice.borrow());
    if let Some(entry) = interner.look_up_value(hash, |entry| is(slice.borrow(), entry)) {
        return Ok(interner.found(entry, slice));
    }
    let new = NewSlice::new(own(slice));
    interner.insert_value(new, hash, immortal, |new, entry| is(new.get(), entry)).ok_or(OutOfMemory)
}

impl<T: Clone + Eq + Hash + Send + Sync + 'static> Make<[T]> for &[T] {
    #[inline]
    unsafe fn make(self, interner: &Store, immortal: bool) -> Result<EntryPtr, OutOfMemory> {
        // SAFETY: as the caller's.
        unsafe { make_slice(interner, self, immortal, <[T]>::to_vec) }
    }
}

impl<T: Clone + Eq + Hash + Send + Sync + 'static> Make<[T]> for &Vec<T> {
    unsafe fn make(self, interner: &Store, immortal: bool) -> Result<EntryPtr, OutOfMemory> {
        // SAFETY: as the caller's.
        unsafe { Make::<[T]>::make(self.as_slice(), interner, immortal) }
    }
}

/// Owned forms of slices, whose elements are moved.
macro_rules! made_by_moving {
    ($([$($generics:tt)*] $ty:ty, |$owned:ident| $vec:expr;)*) => {$(
        impl<T: Eq + Hash + Send + Sync + 'static, $($generics)*> Make<[T]> for $ty {
            unsafe fn make(self, interner: &Store, immortal: bool) -> Result<EntryPtr, OutOfMemory> {
                // SAFETY: as the caller's.
                unsafe { make_slice(interner, self, immortal, |$owned| $vec) }
            }
        }
    )*};
}

made_by_moving! {
    [] Vec<T>, |owned| owned;
    [] Box<[T]>, |owned| owned.into_vec();
    [const N: usize] [T; N], |owned| Vec::from(owned);
}

// Owned forms of text -----------------------------------------------------------------------------

/// Owned forms that are copied into the entry.
macro_rules! made_by_copying {
    ($($from:ty => $to:ty;)*) => {$(
        impl Make<$to> for $from {
            unsafe fn make(self, interner: &Store, immortal: bool) -> Result<EntryPtr, OutOfMemory> {
                let borrowed: &$to = &self;
                // SAFETY: as the caller's.
                unsafe { Make::<$to>::make(borrowed, interner, immortal) }
            }
        }
    )*};
}

made_by_copying! {
    String => str;
    &String => str;
    Box<str> => str;
    Cow<'_, str> => str;
    OsString => OsStr;
    &OsString => OsStr;
    Box<OsStr> => OsStr;
    Cow<'_, OsStr> => OsStr;
    CString => CStr;
    &CString => CStr;
    Box<CStr> => CStr;
    Cow<'_, CStr> => CStr;
    PathBuf => Path;
    &PathBuf => Path;
    Box<Path> => Path;
    Cow<'_, Path> => Path;
}

impl Make<str> for char {
    unsafe fn make(self, interner: &Store, immortal: bool) -> Result<EntryPtr, OutOfMemory> {
        let mut buffer = [0; 4];
        let text: &str = self.encode_utf8(&mut buffer);
        // SAFETY: as the caller's.
        unsafe { Make::<str>::make(text, interner, immortal) }
    }
}

// Values ------------------------------------------------------------------------------------------

impl<T: Borrow<Q> + 'static, Q: Eq + Hash + ?Sized> Find<T> for Q {
    fn stored_hash(&self, seed: &Seed) -> u64 {
        seed.hash_value(self)
    }

    fn is(&self, value: &T) -> bool {
        *self == *value.borrow()
    }

    unsafe fn find(&self, interner: &Store) -> Option<EntryPtr> {
        // SAFETY: compared while a count is held; of `T` by the caller's promise.
        let matches = |entry| self.is(unsafe { T::contents(entry) });
        interner.look_up_value_surely(interner.hash_value(self), matches)
    }
}

/// Finds a value by what it can be borrowed as, or makes an entry of what `own` returns.
///
/// # Safety
/// The interner is of values of type `T`.
#[inline]
pub(super) unsafe fn make_value<T, Q, B>(
    interner: &Store,
    value: B,
    immortal: bool,
    own: impl FnOnce(B) -> T,
) -> Result<EntryPtr, OutOfMemory>
where
    T: Eq + Hash + Borrow<Q> + 'static,
    Q: Eq + Hash + ?Sized,
    B: Borrow<Q>,
{
    let is = |value: &Q, entry| {
        // SAFETY: compared while a count is held; of `T` by the caller's promise.
        value == unsafe { T::contents(entry) }.borrow()
    };
    let hash = interner.hash_value(value.borrow());
    if let Some(entry) = interner.look_up_value(hash, |entry| is(value.borrow(), entry)) {
        return Ok(interner.found(entry, value));
    }
    let new = NewValue::new(own(value));
    interner
        .insert_value(new, hash, immortal, |new, entry| is(new.get().borrow(), entry))
        .ok_or(OutOfMemory)
}

impl<T: Eq + Hash + Send + Sync + 'static> Make<T> for T {
    #[inline]
    unsafe fn make(self, interner: &Store, immortal: bool) -> Result<EntryPtr, OutOfMemory> {
        // SAFETY: as the caller's.
        unsafe { make_value::<T, T, T>(interner, self, immortal, |value| value) }
    }
}
