//! Interners of one's own, and the program's.

use super::interned::Interned;
use super::key::{Intern, LookUp, make_value};
use super::stats::InternStats;
use super::store::Store;
use super::value::Internable;
use super::{OutOfMemory, fork};
use alloc::borrow::ToOwned;
use alloc::vec;
use core::borrow::Borrow;
use core::fmt;
use core::hash::Hash;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A set of canonical values: equal ones that it interns share one entry.
///
/// [`Interned::intern`](Interned::intern) and [`intern`](super::intern()) use the program's interner of a
/// type, [`Interner::global`]. An interner of one's own keeps its values apart: equal values of two
/// interners have two handles, which are not equal. It may go before its handles; its memory goes with
/// the last of both (with none if a value was
/// made [immortal](Self::intern_immortal); nothing is by itself, as `""` is in the program's). Python has one interner for each interpreter.
///
/// Any thread may use it. A new one takes 450 KiB of addresses, of which two pages are touched.
///
/// ```
/// use hoopsnake::intern::{Interner, intern};
///
/// let names: Interner<str> = Interner::new();
/// let spam = names.intern("spam");
/// assert!(spam.ptr_eq(&names.intern("spam")));
/// assert_ne!(spam, intern("spam"), "another interner's");
/// drop(names);
/// assert_eq!(spam, "spam");
/// ```
pub struct Interner<T: ?Sized + Internable> {
    store: NonNull<Store>,
    /// Whether the interner is closed with this handle of it.
    own: bool,
    /// Invariant: who may intern subtypes of `T` could find a value that is none.
    contents: PhantomData<*mut T>,
}

// SAFETY: interners are made to be shared; what is in them goes from thread to thread.
unsafe impl<T: ?Sized + Internable + Send + Sync> Send for Interner<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Internable + Send + Sync> Sync for Interner<T> {}

impl<T: ?Sized + Internable> Interner<T> {
    /// A new interner, without values. Costs a system call for 8.5 MiB of addresses, of which 24 KiB are touched with
    /// its first value.
    ///
    /// # Panics
    /// If memory is refused, [`handle_alloc_error`](alloc::alloc::handle_alloc_error) is called.
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// let numbers: Interner<[u32]> = Interner::new();
    /// assert_eq!(*numbers.intern([1, 2]), [1, 2]);
    /// ```
    pub fn new() -> Self {
        Self::try_new().unwrap_or_else(|error| error.handle())
    }

    /// As [`new`](Self::new), at the same cost, without an end when memory is refused.
    ///
    /// # Errors
    /// When the system gives no memory.
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// assert!(Interner::<str>::try_new()?.is_empty());
    /// # Ok::<(), hoopsnake::intern::OutOfMemory>(())
    /// ```
    pub fn try_new() -> Result<Self, OutOfMemory> {
        fork::register();
        let store = Store::map(T::kind(), true, None).ok_or(OutOfMemory)?;
        Ok(Self { store, own: true, contents: PhantomData })
    }

    /// The program's interner of this type, which lives for ever. Costs a load; the first time, what
    /// [`new`](Self::new) costs.
    ///
    /// # Panics
    /// If memory is refused: as [`new`](Self::new).
    ///
    /// ```
    /// # use hoopsnake::intern::{Interner, intern};
    /// let held = intern("held");
    /// assert!(Interner::<str>::global().iter().any(|text| text == held));
    /// ```
    pub fn global() -> Self {
        let store = T::global().or_else(T::global_or_map);
        let store = store.unwrap_or_else(|| OutOfMemory.handle());
        Self { store: NonNull::from(store), own: false, contents: PhantomData }
    }

    #[inline(always)]
    pub(super) fn store(&self) -> &Store {
        // SAFETY: mapped until `self` closes it, or for ever.
        unsafe { self.store.as_ref() }
    }

    /// The canonical handle of a value: [`Interned::intern`], in this interner. Costs the same.
    ///
    /// # Panics
    /// As [`Interned::intern`].
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// let names = Interner::<str>::new();
    /// assert_eq!(names.intern("spam"), names.intern(String::from("spam")));
    /// ```
    #[inline]
    pub fn intern(&self, value: impl Intern<T>) -> Interned<T> {
        self.try_intern(value).unwrap_or_else(|error| error.handle())
    }

    /// As [`intern`](Self::intern), at the same cost, without an end when memory is refused.
    ///
    /// # Errors
    /// As [`Interned::try_intern`].
    ///
    /// # Panics
    /// As [`Interned::try_intern`].
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// assert_eq!(Interner::<str>::new().try_intern("spam")?, "spam");
    /// # Ok::<(), hoopsnake::intern::OutOfMemory>(())
    /// ```
    #[inline]
    pub fn try_intern(&self, value: impl Intern<T>) -> Result<Interned<T>, OutOfMemory> {
        // SAFETY: the interner is of `T`.
        unsafe { Interned::make(value, self.store(), false) }
    }

    /// The canonical handle of a value that shall live for ever: [`Interned::intern_immortal`], in this
    /// interner, whose memory stays for ever then. Costs the same.
    ///
    /// # Panics
    /// As [`Interned::intern`].
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// let keywords = Interner::<str>::new();
    /// assert!(keywords.intern_immortal("while").is_immortal());
    /// ```
    pub fn intern_immortal(&self, value: impl Intern<T>) -> Interned<T> {
        // SAFETY: the interner is of `T`.
        let made = unsafe { Interned::make(value, self.store(), true) };
        made.unwrap_or_else(|error| error.handle())
    }

    /// The handle of a value that is interned here already: [`Interned::get_by`], in this interner. Costs the same.
    ///
    /// # Panics
    /// As [`Interned::get_by`].
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// let names = Interner::<String>::new();
    /// let spam = names.intern("spam".to_owned());
    /// assert_eq!(names.get("spam"), Some(spam));
    /// assert_eq!(names.get("eggs"), None);
    /// ```
    #[inline]
    pub fn get<Q: ?Sized + LookUp<T>>(&self, key: &Q) -> Option<Interned<T>> {
        // SAFETY: the interner is of `T`.
        let entry = unsafe { key.find(self.store()) }?;
        // SAFETY: an entry of `T`, with the count that the look-up took.
        Some(unsafe { Interned::from_entry(entry) })
    }

    /// How many values are interned, the immortal ones not counted.
    ///
    /// Python's `sys.getunicodeinternedsize`. Takes the locks of all shards, one after the other: exact
    /// when nobody interns meanwhile.
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// let names = Interner::<str>::new();
    /// let spam = names.intern("spam");
    /// assert_eq!(names.len(), 1);
    /// # drop(spam);
    /// ```
    pub fn len(&self) -> usize {
        self.store().len()
    }

    /// Whether no value is interned, but for immortal ones.
    ///
    /// Costs what [`len`](Self::len) costs.
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// assert!(Interner::<str>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Handles of all values that are interned now, the immortal ones too, in no order that means
    /// anything.
    ///
    /// All are taken at once, shard by shard, so that nothing is locked while they are looked at; what is
    /// interned or dies meanwhile may be missing. Costs an atomic addition for each, and a word.
    ///
    /// # Panics
    /// If memory is refused, as `Vec`.
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// let names = Interner::<str>::new();
    /// let spam = names.intern("spam");
    /// assert!(names.iter().eq([spam]));
    /// ```
    pub fn iter(&self) -> Entries<T> {
        let entries = self.store().entries().into_iter();
        // SAFETY: entries of `T`, each with the count that was taken for it.
        let handles = entries.map(|entry| unsafe { Interned::from_entry(entry) });
        Entries(handles.collect::<vec::Vec<_>>().into_iter())
    }

    /// What the interner holds and what that takes.
    ///
    /// Python's `sys._debugmallocstats`, for this interner. Takes the locks of all shards, one after the
    /// other, and adds up what each knows.
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// let names = Interner::<str>::new();
    /// let spam = names.intern("spam");
    /// let stats = names.stats();
    /// assert_eq!((stats.entries, stats.immortal), (1, 0));
    /// println!("{stats}");
    /// # drop(spam);
    /// ```
    pub fn stats(&self) -> InternStats {
        InternStats::new(self.store().tally())
    }

    /// Gives memory back that no entry needs: pages of dead entries, and tables larger than they must
    /// be.
    ///
    /// Dropping does most of that by itself. Takes the locks of all shards, one after the other, to move what is
    /// left and for a system call for each run of pages; look-ups go on.
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// let names = Interner::<str>::new();
    /// (0..10_000).for_each(|number| drop(names.intern(number.to_string())));
    /// names.shrink_to_fit();
    /// assert!(names.is_empty());
    /// ```
    pub fn shrink_to_fit(&self) {
        self.store().shrink_to_fit();
    }
}

#[cfg(any(test, fuzzing))]
impl<T: ?Sized + Internable> Interner<T> {
    /// The rules of all tables and blocks.
    pub(crate) fn check_invariants(&self) {
        self.store().check_invariants();
    }
}

impl<T: Eq + Hash + Send + Sync + 'static> Interner<T> {
    /// The canonical handle of a value, by what it can be borrowed as: [`Interned::intern_by`], in this
    /// interner. Costs the same.
    ///
    /// # Panics
    /// As [`Interned::intern_by`].
    ///
    /// ```
    /// # use hoopsnake::intern::Interner;
    /// let names = Interner::<String>::new();
    /// assert_eq!(names.intern_by("spam"), names.intern("spam".to_owned()));
    /// ```
    pub fn intern_by<Q>(&self, key: &Q) -> Interned<T>
    where
        T: Borrow<Q>,
        Q: ?Sized + Eq + Hash + ToOwned<Owned = T>,
    {
        // SAFETY: the interner is of `T`.
        match unsafe { make_value::<T, Q, &Q>(self.store(), key, false, Q::to_owned) } {
            // SAFETY: an entry of `T`, with the count that the look-up or the insertion took.
            Ok(entry) => unsafe { Interned::from_entry(entry) },
            Err(error) => error.handle(),
        }
    }
}

impl<T: ?Sized + Internable> Drop for Interner<T> {
    fn drop(&mut self) {
        if self.own {
            // SAFETY: mapped by `try_new`; only handles of entries use it from here on.
            unsafe { Store::close(self.store) };
        }
    }
}

impl<T: ?Sized + Internable> Default for Interner<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized + Internable> fmt::Debug for Interner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interner").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T: ?Sized + Internable> IntoIterator for &Interner<T> {
    type Item = Interned<T>;
    type IntoIter = Entries<T>;

    fn into_iter(self) -> Entries<T> {
        self.iter()
    }
}

/// Handles of what an [`Interner`] holds.
///
/// ```
/// # use hoopsnake::intern::Interner;
/// assert_eq!(Interner::<str>::new().iter().len(), 0);
/// ```
pub struct Entries<T: ?Sized>(vec::IntoIter<Interned<T>>);

impl<T: ?Sized> Iterator for Entries<T> {
    type Item = Interned<T>;

    fn next(&mut self) -> Option<Interned<T>> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: ?Sized> ExactSizeIterator for Entries<T> {}
impl<T: ?Sized> FusedIterator for Entries<T> {}

impl<T: ?Sized> fmt::Debug for Entries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("left", &self.0.len()).finish_non_exhaustive()
    }
}
