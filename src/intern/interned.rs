//! The handle of an interned value.

use super::entry::Header;
use super::key::{Intern, LookUp, make_value};
use super::store::Store;
use super::value::sealed::Stored;
use super::value::{EntryPtr, Internable};
use super::{OutOfMemory, regions, release};
use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

/// A handle of a canonical value: as long as one of them lives, equal values are the same entry.
///
/// One word, and so is the `Option`. Dereferencing is a load (two for text and bytes, which keep
/// their length with them). Equality and hashing are those of the address. The entry goes with its
/// last handle, at once; what the value itself holds may be dropped a little later, in any call on
/// the same thread that drops an interned value of any type, or by another thread whose look-up
/// or drop raced with the last drop. User code never runs under a lock that a look-up needs, so `Eq`, `Hash`
/// and `Drop` of a value may intern and may panic. Values were compared while nobody inserted others
/// near them, or they are compared anew: an `Eq` that itself inserts, each time, a value with the hash of those
/// that it compares never comes to an end.
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
// `Atom` lends its address as one of these.
#[repr(transparent)]
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

    /// The entry's address.
    #[inline(always)]
    pub(super) fn entry(&self) -> NonNull<Header> {
        self.entry
    }

    #[inline(always)]
    pub(super) fn header(&self) -> &Header {
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
        self.header().count.is_immortal()
    }

    /// Lets the value live for ever.
    ///
    /// The entry stays where it is and keeps its count word, which other handles write to; so it costs
    /// what it did, and threads that share it contend as before. What is
    /// [made immortal](Interned::intern_immortal) is not counted. Takes a lock, once.
    ///
    /// ```
    /// # use hoopsnake::intern::intern;
    /// let keyword = intern("lambda");
    /// keyword.immortalize();
    /// assert!(intern("lambda").is_immortal());
    /// ```
    pub fn immortalize(&self) {
        self.interner().make_immortal(EntryPtr(self.entry));
    }

    /// The hash of the contents, as every interner computes it.
    #[inline(always)]
    pub(super) fn stored_hash(&self) -> u64 {
        // SAFETY: the handle has a count.
        unsafe { self.header().hash() }
    }

    fn interner(&self) -> &Store {
        // SAFETY: the handle's entry is of an interner that outlives it.
        unsafe { regions::interner_of(self.entry) }
    }
}

impl<T: ?Sized + Internable> Interned<T> {
    /// The canonical handle of a value, made of its borrowed or its owned form.
    ///
    /// Python's `sys.intern`. A hit takes no lock, and no allocation for what is borrowed; owned text is
    /// copied into the entry, the elements of an owned slice are moved. See [`new`](Interned::new) for
    /// values, whose type it finds by itself, and for what is called when.
    ///
    /// # Panics
    /// If `Hash`, `Eq` or `Clone` of the value panics: nothing is interned then. If memory is refused,
    /// [`handle_alloc_error`](alloc::alloc::handle_alloc_error) is called.
    ///
    /// ```
    /// use hoopsnake::intern::Interned;
    /// use std::path::Path;
    ///
    /// let path = Interned::<Path>::intern(Path::new("/etc/hosts"));
    /// assert!(path.ptr_eq(&Interned::intern(Path::new("/etc/hosts"))));
    /// assert_eq!(path.extension(), None);
    /// ```
    #[inline]
    pub fn intern(value: impl Intern<T>) -> Self {
        Self::try_intern(value).unwrap_or_else(|error| error.handle())
    }

    /// As [`intern`](Self::intern), at the same cost, without an end when memory is refused.
    ///
    /// # Errors
    /// When there is no memory for a new entry. (What is copied or boxed before, because it is an owned
    /// value of more than about 1 KiB or a slice, ends the program as `Box::new` and `Vec` do.)
    ///
    /// # Panics
    /// If `Hash`, `Eq` or `Clone` of the value panics.
    ///
    /// ```
    /// # use hoopsnake::intern::Interned;
    /// assert_eq!(*Interned::<[u32]>::try_intern([1, 2])?, [1, 2]);
    /// # Ok::<(), hoopsnake::intern::OutOfMemory>(())
    /// ```
    #[inline]
    pub fn try_intern(value: impl Intern<T>) -> Result<Self, OutOfMemory> {
        let Some(interner) = T::global() else { return Self::intern_first(value) };
        // SAFETY: the interner is that of `T`.
        unsafe { Self::make(value, interner, false) }
    }

    /// As [`try_intern`](Self::try_intern), when there is no interner of `T` yet.
    #[cold]
    #[inline(never)]
    fn intern_first(value: impl Intern<T>) -> Result<Self, OutOfMemory> {
        let interner = T::global_or_map().ok_or(OutOfMemory)?;
        // SAFETY: the interner is that of `T`.
        unsafe { Self::make(value, interner, false) }
    }

    /// As [`intern`](Self::intern), of a value that shall live for ever: nobody counts its handles, so
    /// that threads which use it do not contend. Costs the same, less the atomic addition; its memory is never given
    /// back.
    ///
    /// Python's `_PyUnicode_InternImmortal`. [`atom!`](crate::atom) does this for what the source names.
    /// A value that is interned and counted already becomes immortal where it is, as by
    /// [`immortalize`](Self::immortalize).
    ///
    /// # Panics
    /// As [`intern`](Self::intern).
    ///
    /// ```
    /// # use hoopsnake::intern::{Interned, intern};
    /// let keyword = Interned::<str>::intern_immortal("yield");
    /// assert!(keyword.is_immortal() && keyword.ptr_eq(&intern("yield")));
    /// ```
    #[inline]
    pub fn intern_immortal(value: impl Intern<T>) -> Self {
        let interner = T::global().or_else(T::global_or_map).ok_or(OutOfMemory);
        // SAFETY: the interner is that of `T`.
        let made = interner.and_then(|interner| unsafe { Self::make(value, interner, true) });
        made.unwrap_or_else(|error| error.handle())
    }

    /// The handle of a value in an interner.
    ///
    /// # Errors
    /// When memory is refused.
    ///
    /// # Safety
    /// The interner is of values of type `T`.
    #[inline(always)]
    pub(super) unsafe fn make(
        value: impl Intern<T>,
        interner: &Store,
        immortal: bool,
    ) -> Result<Self, OutOfMemory> {
        // SAFETY: the caller's promise.
        let entry = unsafe { value.make(interner, immortal) }?;
        if immortal {
            interner.make_immortal(entry);
        }
        // SAFETY: an entry of `T`, with the count that the look-up or the insertion took.
        Ok(unsafe { Self::from_entry(entry) })
    }

    /// The handle of a value that is interned already.
    ///
    /// A hit takes no lock; a miss takes one, to be certain. Neither allocates.
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
    #[inline]
    pub fn get(value: &T) -> Option<Self>
    where
        T: LookUp<T>,
    {
        Self::get_by(value)
    }

    /// As [`get`](Self::get), at the same cost, by what the value can be borrowed as.
    ///
    /// # Panics
    /// If `Hash` or `Eq` panics.
    ///
    /// ```
    /// # use hoopsnake::intern::Interned;
    /// let list = Interned::new(vec![1, 2, 3]);
    /// assert_eq!(Interned::<Vec<i32>>::get_by(&[1, 2, 3][..]), Some(list));
    /// ```
    #[inline]
    pub fn get_by<Q: ?Sized + LookUp<T>>(key: &Q) -> Option<Self> {
        // SAFETY: the interner is that of `T`.
        let entry = unsafe { key.find(T::global()?) }?;
        // SAFETY: an entry of `T`, with the count that the look-up took.
        Some(unsafe { Self::from_entry(entry) })
    }
}

impl<T: Eq + Hash + Send + Sync + 'static> Interned<T> {
    /// The canonical handle of a value.
    ///
    /// If an equal value is interned already, `value` is dropped. A hit takes no lock: `Hash`, a probe, `Eq` and
    /// an atomic addition. A miss takes the lock of one of 64 shards, and moves the value into an entry of 16 bytes more
    /// (or into a `Box`, above about 1 KiB). `Hash` and
    /// `Eq` are called without a lock; `Eq` more than once if hashes are alike or other threads insert
    /// meanwhile.
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
        Self::intern(value)
    }

    /// As [`new`](Self::new), at the same cost, without an end when memory is refused.
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
        Self::try_intern(value)
    }

    /// The canonical handle of a value, by what it can be borrowed as: the value itself is made only
    /// if it is not interned yet.
    ///
    /// A hit allocates nothing. `to_owned` is called without a lock, and must return what hashes and
    /// compares as `key` does.
    ///
    /// # Panics
    /// If `Hash`, `Eq` or `to_owned` panics: nothing is interned then. If memory is refused, as
    /// [`intern`](Self::intern).
    ///
    /// ```
    /// # use hoopsnake::intern::Interned;
    /// let owned = Interned::new("spam".to_owned());
    /// assert!(owned.ptr_eq(&Interned::<String>::intern_by("spam")));
    /// ```
    pub fn intern_by<Q>(key: &Q) -> Self
    where
        T: Borrow<Q>,
        Q: ?Sized + Eq + Hash + ToOwned<Owned = T>,
    {
        let make = |interner| {
            // SAFETY: the interner is that of `T`.
            let entry = unsafe { make_value::<T, Q, &Q>(interner, key, false, Q::to_owned) }?;
            // SAFETY: an entry of `T`, with the count that the look-up or the insertion took.
            Ok(unsafe { Self::from_entry(entry) })
        };
        let interner = T::global().or_else(T::global_or_map).ok_or(OutOfMemory);
        interner.and_then(make).unwrap_or_else(|error| error.handle())
    }
}

impl<T: ?Sized> Clone for Interned<T> {
    /// One more handle: an atomic addition, nothing for a value that was made immortal.
    #[inline(always)]
    fn clone(&self) -> Self {
        if !regions::is_immortal(self.entry) {
            self.header().count.increment();
        }
        Self { entry: self.entry, contents: PhantomData }
    }
}

impl<T: ?Sized> Drop for Interned<T> {
    /// One handle less: an atomic subtraction, in an interner of one's own a compare-and-swap, nothing for a value
    /// that was made immortal. The last one ends the entry under the lock of its shard.
    #[inline(always)]
    fn drop(&mut self) {
        if regions::is_lasting(self.entry) {
            if self.header().count.decrement() {
                // SAFETY: dead, and so ours.
                unsafe { release::last_drop(self.entry) };
            }
        } else if !regions::is_immortal(self.entry) {
            // SAFETY: the handle's count.
            unsafe { release::give_back(self.entry) };
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
