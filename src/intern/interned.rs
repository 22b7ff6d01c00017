//! The handle of an interned value.

use super::entry::Header;
use super::interner::Interner;
use super::value::{EntryPtr, Internable};
use super::{OutOfMemory, global, intern, intern_bytes, release};
use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::convert::Infallible;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::str::FromStr;

/// A handle of a canonical value: as long as one of them lives, equal values are the same entry.
///
/// One word, and so is the `Option`. Dereferencing is a load (two for text and bytes, which keep
/// their length with them). Equality and hashing are those of the address. The entry goes with its
/// last handle, at once; what the value itself holds may be dropped a little later, in any call on
/// the same thread that drops an interned value of any type, or by another thread whose look-up
/// raced with the last drop. User code never runs under a lock that a look-up needs, so `Eq`, `Hash`
/// and `Drop` of a value may intern and may panic.
///
/// There is no `Borrow<T>`: it would promise that the handle hashes like the value, and then a hash
/// map by handle would have to hash the text each time. Python's `sys.intern` dictionary keys rely on
/// the same thing: identity first.
///
/// ```
/// use hoopsnake::intern::{Interned, intern};
///
/// let spam = intern("spam");
/// assert!(spam.ptr_eq(&intern("spam")));
/// assert_eq!(spam, "spam");
///
/// let point = Interned::new((1, 2));
/// assert_eq!(point, Interned::new((1, 2)));
/// assert_eq!(size_of::<Option<Interned<str>>>(), size_of::<usize>());
/// ```
///
/// Bytes: 24 for text of up to 8 bytes, in general 16 and the value, rounded up to 8 (up to 128
/// bytes) or an eighth; and 11 to 22 for the table.
pub struct Interned<T: ?Sized> {
    entry: NonNull<Header>,
    contents: PhantomData<T>,
}

// SAFETY: handles share one value between threads and the last one drops it: as `Arc`.
unsafe impl<T: ?Sized + Send + Sync> Send for Interned<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Interned<T> {}

impl<T: ?Sized> Interned<T> {
    /// Takes over a count.
    ///
    /// # Safety
    /// The entry holds a `T` and the caller gives up one count of it.
    #[inline(always)]
    pub(super) unsafe fn from_entry(entry: EntryPtr) -> Self {
        Self { entry: entry.0, contents: PhantomData }
    }

    #[inline(always)]
    fn header(&self) -> &Header {
        // SAFETY: the handle's count keeps the entry alive.
        unsafe { self.entry.as_ref() }
    }

    /// Whether two handles are of the same entry, which is whether their values are equal.
    ///
    /// Python's `is`. Costs a comparison.
    ///
    /// ```
    /// # use hoopsnake::intern::intern;
    /// assert!(intern("ab").ptr_eq(&intern(&["a", "b"].concat())));
    /// ```
    #[inline(always)]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }

    /// The address of the entry: different for entries that live at the same time.
    ///
    /// Python's `id()`. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::intern;
    /// let spam = intern("spam");
    /// assert_eq!(spam.id(), intern("spam").id());
    /// ```
    #[inline(always)]
    pub fn id(&self) -> usize {
        self.entry.addr().get()
    }

    /// The number of handles; `u32::MAX` for an immortal value.
    ///
    /// The table's own reference is not counted. While other threads look equal hashes up, the
    /// number is an upper bound. Python's `sys.getrefcount` (without the argument). Costs a load.
    ///
    /// ```
    /// # use hoopsnake::intern::intern;
    /// let spam = intern("count me");
    /// assert_eq!(spam.strong_count(), 1);
    /// let again = spam.clone();
    /// assert_eq!(spam.strong_count(), 2);
    /// # drop(again);
    /// ```
    #[inline]
    pub fn strong_count(&self) -> usize {
        self.header().count.get().unwrap_or(u32::MAX) as usize
    }

    /// Whether the value lives for ever, so that handles of it are not counted.
    ///
    /// Python's `sys._is_immortal`. Costs a load.
    ///
    /// ```
    /// # use hoopsnake::intern::intern;
    /// assert!(intern("").is_immortal());
    /// ```
    #[inline]
    pub fn is_immortal(&self) -> bool {
        self.header().count.get().is_none()
    }

    /// Lets the value live for ever: handles of it are not counted any more, and threads that use
    /// it do not contend.
    ///
    /// Python's `_PyUnicode_InternImmortal`. Takes a lock, once.
    ///
    /// ```
    /// # use hoopsnake::intern::intern;
    /// let keyword = intern("lambda");
    /// keyword.make_immortal();
    /// assert!(intern("lambda").is_immortal());
    /// ```
    pub fn make_immortal(&self) {
        self.interner().make_immortal(EntryPtr(self.entry));
    }

    fn interner(&self) -> &Interner {
        // SAFETY: the handle's entry is of an interner that outlives it.
        unsafe { super::blocks::interner_of(self.entry) }
    }
}

impl<T: Eq + Hash + Send + Sync + 'static> Interned<T> {
    /// The canonical handle of a value.
    ///
    /// If an equal value is interned already, `value` is dropped. A hit takes no lock. `Hash` and
    /// `Eq` are called without a lock; `Eq` more than once if other threads insert meanwhile.
    ///
    /// # Panics
    /// If `Hash` or `Eq` panics: nothing is interned then. If memory is refused,
    /// [`handle_alloc_error`](alloc::alloc::handle_alloc_error) is called.
    ///
    /// ```
    /// use hoopsnake::intern::Interned;
    ///
    /// let a = Interned::new(vec![1, 2, 3]);
    /// assert!(a.ptr_eq(&Interned::new(vec![1, 2, 3])));
    /// ```
    #[inline]
    pub fn new(value: T) -> Self {
        Self::try_new(value).unwrap_or_else(|error| error.handle())
    }

    /// As [`new`](Self::new), without an end when memory is refused.
    ///
    /// # Errors
    /// When the interner can get no memory; `value` is dropped. (Values of more than about 1 KiB
    /// are boxed, which ends the program as `Box::new` does.)
    ///
    /// # Panics
    /// If `Hash` or `Eq` panics.
    ///
    /// ```
    /// # use hoopsnake::intern::Interned;
    /// assert_eq!(*Interned::try_new(7u64)?, 7);
    /// # Ok::<(), hoopsnake::intern::OutOfMemory>(())
    /// ```
    #[inline]
    pub fn try_new(value: T) -> Result<Self, OutOfMemory> {
        let interner = global::of::<T>().or_else(global::of_or_map::<T>).ok_or(OutOfMemory)?;
        let hash = interner.hash_value(&value);
        // SAFETY: the interner is that of `T`.
        let entry = match unsafe { interner.look_up_value(&value, hash) } {
            Some(entry) => entry,
            // SAFETY: as above.
            None => unsafe { interner.insert_value(value, hash) }.ok_or(OutOfMemory)?,
        };
        // SAFETY: an entry of `T`, with the count that the look-up or the insertion took.
        Ok(unsafe { Self::from_entry(entry) })
    }

    /// The handle of a value that is interned already.
    ///
    /// A hit takes no lock; a miss takes one, to be certain.
    ///
    /// # Panics
    /// If `Hash` or `Eq` panics.
    ///
    /// ```
    /// # use hoopsnake::intern::Interned;
    /// assert!(Interned::get(&"not yet".to_owned()).is_none());
    /// let now = Interned::new("now".to_owned());
    /// assert_eq!(Interned::get(&"now".to_owned()), Some(now));
    /// ```
    pub fn get(value: &T) -> Option<Self> {
        let interner = global::of::<T>()?;
        let hash = interner.hash_value(value);
        // SAFETY: the interner is that of `T`.
        let entry = unsafe { interner.look_up_value_surely(value, hash) }?;
        // SAFETY: an entry of `T`, with the count that the look-up took.
        Some(unsafe { Self::from_entry(entry) })
    }
}

impl<T: ?Sized> Clone for Interned<T> {
    /// One more handle: an atomic addition, none for an immortal value.
    #[inline(always)]
    fn clone(&self) -> Self {
        self.header().count.increment();
        Self { entry: self.entry, contents: PhantomData }
    }
}

impl<T: ?Sized> Drop for Interned<T> {
    /// One handle less: an atomic subtraction, none for an immortal value. The last one ends the
    /// entry under the lock of its shard.
    #[inline(always)]
    fn drop(&mut self) {
        if self.header().count.decrement() {
            // SAFETY: the count just reached zero.
            unsafe { release::last_drop(self.entry) };
        }
    }
}

impl<T: ?Sized + Internable> Deref for Interned<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the entry is of `T`, and this handle's count outlives the reference.
        unsafe { T::contents(EntryPtr(self.entry)) }
    }
}

impl<T: ?Sized> PartialEq for Interned<T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.ptr_eq(other)
    }
}

impl<T: ?Sized> Eq for Interned<T> {}

impl<T: ?Sized> Hash for Interned<T> {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.id());
    }
}

impl<T: ?Sized + Internable + PartialOrd> PartialOrd for Interned<T> {
    /// That of the values.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Internable + Ord> Ord for Interned<T> {
    /// That of the values.
    fn cmp(&self, other: &Self) -> Ordering {
        if self.ptr_eq(other) { Ordering::Equal } else { (**self).cmp(&**other) }
    }
}

impl<T: ?Sized + Internable + fmt::Debug> fmt::Debug for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + Internable + fmt::Display> fmt::Display for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: ?Sized> fmt::Pointer for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.entry, f)
    }
}

impl<T: ?Sized + Internable> AsRef<T> for Interned<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl PartialEq<str> for Interned<str> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Interned<str> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl PartialEq<[u8]> for Interned<[u8]> {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl Default for Interned<str> {
    /// The empty string, which is immortal.
    fn default() -> Self {
        intern("")
    }
}

impl<T: Eq + Hash + Send + Sync + 'static> From<T> for Interned<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// Conversions that intern text or bytes.
macro_rules! from_text {
    ($($from:ty => $to:ty, |$text:ident| $interned:expr;)*) => {$(
        impl From<$from> for Interned<$to> {
            fn from($text: $from) -> Self {
                $interned
            }
        }
    )*};
}

from_text! {
    &str => str, |text| intern(text);
    &String => str, |text| intern(text);
    String => str, |text| intern(&text);
    Box<str> => str, |text| intern(&text);
    Cow<'_, str> => str, |text| intern(&text);
    char => str, |text| intern(text.encode_utf8(&mut [0; 4]));
    &[u8] => [u8], |bytes| intern_bytes(bytes);
    Vec<u8> => [u8], |bytes| intern_bytes(&bytes);
    Box<[u8]> => [u8], |bytes| intern_bytes(&bytes);
}

impl From<&Interned<str>> for String {
    fn from(text: &Interned<str>) -> Self {
        (**text).to_owned()
    }
}

impl From<Interned<str>> for String {
    fn from(text: Interned<str>) -> Self {
        (*text).to_owned()
    }
}

impl FromStr for Interned<str> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(intern(text))
    }
}
