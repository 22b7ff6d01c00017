//! Sets of interned values.

use super::interned::Interned;
use super::key::{Intern, LookUp};
use super::map::{self, InternMap};
use super::value::Internable;
use core::fmt;
use core::iter::FusedIterator;

/// A hash set of interned values: an [`InternMap`] without values.
///
/// Python's `set` of interned strings.
///
/// ```
/// use hoopsnake::intern::{InternSet, intern};
///
/// let keywords: InternSet<str> = ["if", "else"].map(intern).into_iter().collect();
/// assert!(keywords.contains(&intern("if")));
/// assert!(keywords.contains_by("else") && !keywords.contains_by("spam"));
/// ```
pub struct InternSet<T: ?Sized> {
    map: InternMap<T, ()>,
}

impl<T: ?Sized> InternSet<T> {
    /// An empty set; it has no memory yet. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::InternSet;
    /// assert!(InternSet::<str>::new().is_empty());
    /// ```
    pub const fn new() -> Self {
        Self { map: InternMap::new() }
    }

    /// An empty set with room for so many values. Costs what [`InternMap::with_capacity`] costs.
    ///
    /// # Panics
    /// If memory is refused, as `HashSet::with_capacity`.
    ///
    /// ```
    /// # use hoopsnake::intern::InternSet;
    /// assert!(InternSet::<str>::with_capacity(100).capacity() >= 100);
    /// ```
    pub fn with_capacity(values: usize) -> Self {
        Self { map: InternMap::with_capacity(values) }
    }

    /// How many values there are. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::InternSet;
    /// assert_eq!(InternSet::<str>::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are no values. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::InternSet;
    /// assert!(InternSet::<str>::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// How many values there is room for. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::InternSet;
    /// assert_eq!(InternSet::<str>::new().capacity(), 0);
    /// ```
    pub fn capacity(&self) -> usize {
        self.map.capacity()
    }

    /// Makes room for so many more values. Costs what [`InternMap::reserve`] costs.
    ///
    /// # Panics
    /// If memory is refused, as `HashSet::reserve`.
    ///
    /// ```
    /// # use hoopsnake::intern::InternSet;
    /// let mut set = InternSet::<str>::new();
    /// set.reserve(10);
    /// assert!(set.capacity() >= 10);
    /// ```
    pub fn reserve(&mut self, more: usize) {
        self.map.reserve(more);
    }

    /// Gives back what room is not needed. Costs what [`InternMap::shrink_to_fit`] costs.
    ///
    /// ```
    /// # use hoopsnake::intern::InternSet;
    /// let mut set = InternSet::<str>::with_capacity(100);
    /// set.shrink_to_fit();
    /// assert_eq!(set.capacity(), 0);
    /// ```
    pub fn shrink_to_fit(&mut self) {
        self.map.shrink_to_fit();
    }

    /// Drops all values, one after the other; keeps the room.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// let mut set = InternSet::from_iter([intern("a")]);
    /// set.clear();
    /// assert!(set.is_empty());
    /// ```
    pub fn clear(&mut self) {
        self.map.clear();
    }

    /// Puts a value in; true if it was not there. Python's `set.add`.
    ///
    /// Costs what [`InternMap::insert`] costs.
    ///
    /// # Panics
    /// If memory is refused, as `HashSet::insert`.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// let mut set = InternSet::new();
    /// assert!(set.insert(intern("a")) && !set.insert(intern("a")));
    /// ```
    #[inline]
    pub fn insert(&mut self, value: Interned<T>) -> bool {
        self.map.insert(value, ()).is_none()
    }

    /// Whether a value is there. Python's `in`.
    ///
    /// Costs what [`InternMap::get`] costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// assert!(InternSet::from_iter([intern("a")]).contains(&intern("a")));
    /// ```
    #[inline]
    pub fn contains(&self, value: &Interned<T>) -> bool {
        self.map.contains_key(value)
    }

    /// Takes a value out; true if it was there. Python's `set.discard`.
    ///
    /// Costs what [`InternMap::get`] costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// let mut set = InternSet::from_iter([intern("a")]);
    /// assert!(set.remove(&intern("a")) && !set.remove(&intern("a")));
    /// ```
    #[inline]
    pub fn remove(&mut self, value: &Interned<T>) -> bool {
        self.map.remove(value).is_some()
    }

    /// Keeps the values that `keep` is true for. A walk over the room, as all that visits all values.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// let mut set = InternSet::from_iter([intern("a"), intern("bc")]);
    /// set.retain(|text| text.len() > 1);
    /// assert_eq!(set.len(), 1);
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&Interned<T>) -> bool) {
        self.map.retain(|value, ()| keep(value));
    }

    /// All values, in no order that means anything.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// assert!(InternSet::from_iter([intern("a")]).iter().eq([&intern("a")]));
    /// ```
    pub fn iter(&self) -> SetIter<'_, T> {
        SetIter(self.map.iter())
    }

    /// Whether all values are in another set too. Python's `set.issubset`. A [`contains`](Self::contains) for each.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// let (one, two) = (["a"].map(intern), ["a", "b"].map(intern));
    /// assert!(InternSet::from_iter(one).is_subset(&InternSet::from_iter(two)));
    /// ```
    pub fn is_subset(&self, other: &Self) -> bool {
        self.len() <= other.len() && self.iter().all(|value| other.contains(value))
    }

    /// Whether no value is in another set too. Python's `set.isdisjoint`. A [`contains`](Self::contains) for each.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// let (one, two) = (["a"].map(intern), ["b"].map(intern));
    /// assert!(InternSet::from_iter(one).is_disjoint(&InternSet::from_iter(two)));
    /// ```
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.iter().all(|value| !other.contains(value))
    }
}

/// By the contents of the value.
impl<T: ?Sized + Internable> InternSet<T> {
    /// Whether a value with these contents is there.
    ///
    /// Costs what [`InternMap::get_by`] costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// assert!(InternSet::from_iter([intern("a")]).contains_by("a"));
    /// ```
    #[inline]
    pub fn contains_by<Q: ?Sized + LookUp<T>>(&self, value: &Q) -> bool {
        self.map.contains_key_by(value)
    }

    /// The value with these contents.
    ///
    /// Costs what [`InternMap::get_by`] costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// assert_eq!(InternSet::from_iter([intern("a")]).get_by("a"), Some(&intern("a")));
    /// ```
    #[inline]
    pub fn get_by<Q: ?Sized + LookUp<T>>(&self, value: &Q) -> Option<&Interned<T>> {
        self.map.get_key_value_by(value).map(|(value, ())| value)
    }

    /// Takes the value with these contents out.
    ///
    /// Costs what [`InternMap::get_by`] costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternSet, intern};
    /// let mut set = InternSet::from_iter([intern("a")]);
    /// assert_eq!(set.take_by("a"), Some(intern("a")));
    /// ```
    #[inline]
    pub fn take_by<Q: ?Sized + LookUp<T>>(&mut self, value: &Q) -> Option<Interned<T>> {
        self.map.remove_by(value).map(|(value, ())| value)
    }

    /// Interns these contents and puts them in; true if they were not there.
    ///
    /// Costs what [`InternMap::get_or_intern_with`] costs.
    ///
    /// # Panics
    /// If memory is refused.
    ///
    /// ```
    /// # use hoopsnake::intern::InternSet;
    /// let mut set = InternSet::<str>::new();
    /// assert!(set.intern("a") && !set.intern("a"));
    /// ```
    #[inline]
    pub fn intern<'q, Q>(&mut self, value: &'q Q) -> bool
    where
        Q: ?Sized + LookUp<T>,
        &'q Q: Intern<T>,
    {
        let mut new = false;
        self.map.get_or_intern_with(value, || new = true);
        new
    }
}

impl<T: ?Sized> Default for InternSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized> Clone for InternSet<T> {
    fn clone(&self) -> Self {
        Self { map: self.map.clone() }
    }
}

impl<T: ?Sized> PartialEq for InternSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.is_subset(other)
    }
}

impl<T: ?Sized> Eq for InternSet<T> {}

impl<T: ?Sized + Internable + fmt::Debug> fmt::Debug for InternSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl<T: ?Sized> Extend<Interned<T>> for InternSet<T> {
    fn extend<I: IntoIterator<Item = Interned<T>>>(&mut self, values: I) {
        self.map.extend(values.into_iter().map(|value| (value, ())));
    }
}

impl<T: ?Sized> FromIterator<Interned<T>> for InternSet<T> {
    fn from_iter<I: IntoIterator<Item = Interned<T>>>(values: I) -> Self {
        let mut set = Self::new();
        set.extend(values);
        set
    }
}

/// The values of an [`InternSet`].
///
/// ```
/// # use hoopsnake::intern::{InternSet, intern};
/// let set = InternSet::from_iter([intern("a")]);
/// let mut values = set.iter();
/// assert_eq!((values.len(), values.next()), (1, Some(&intern("a"))));
/// ```
pub struct SetIter<'a, T: ?Sized>(map::Iter<'a, T, ()>);

impl<'a, T: ?Sized> Iterator for SetIter<'a, T> {
    type Item = &'a Interned<T>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(value, ())| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: ?Sized> ExactSizeIterator for SetIter<'_, T> {}
impl<T: ?Sized> FusedIterator for SetIter<'_, T> {}

impl<T: ?Sized> Clone for SetIter<'_, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> fmt::Debug for SetIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetIter").field("left", &self.len()).finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> IntoIterator for &'a InternSet<T> {
    type Item = &'a Interned<T>;
    type IntoIter = SetIter<'a, T>;

    fn into_iter(self) -> SetIter<'a, T> {
        self.iter()
    }
}

/// The values of an [`InternSet`], owned.
///
/// ```
/// # use hoopsnake::intern::{InternSet, intern};
/// let set = InternSet::from_iter([intern("a")]);
/// assert!(set.into_iter().eq([intern("a")]));
/// ```
pub struct SetIntoIter<T: ?Sized>(map::IntoIter<T, ()>);

impl<T: ?Sized> Iterator for SetIntoIter<T> {
    type Item = Interned<T>;

    #[inline]
    fn next(&mut self) -> Option<Interned<T>> {
        self.0.next().map(|(value, ())| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: ?Sized> ExactSizeIterator for SetIntoIter<T> {}
impl<T: ?Sized> FusedIterator for SetIntoIter<T> {}

impl<T: ?Sized> fmt::Debug for SetIntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetIntoIter").field("left", &self.0.len()).finish_non_exhaustive()
    }
}

impl<T: ?Sized> IntoIterator for InternSet<T> {
    type Item = Interned<T>;
    type IntoIter = SetIntoIter<T>;

    fn into_iter(self) -> SetIntoIter<T> {
        SetIntoIter(self.map.into_iter())
    }
}
