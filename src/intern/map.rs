//! Maps and sets whose keys are interned.
//!
//! A handle's entry stores the hash of its contents, so that a key is never hashed again, and so that
//! a map finds it by the contents too: hash the text, look for an equal one. All interners hash alike.

use super::hash::Seed;
use super::interned::Interned;
use super::key::{Intern, LookUp};
use super::value::Internable;
use core::fmt;
use core::iter::FusedIterator;
use core::ops::Index;
use hashbrown::HashTable;
use hashbrown::hash_table::{self, Entry};

/// A hash map whose keys are interned: by handle it compares one word, and by `&str` it needs no handle.
///
/// `HashMap<Interned<str>, V>` does the first as well; it cannot do the second, since a handle does not
/// hash as its text does. [`get_by`](Self::get_by) interns nothing and counts nothing;
/// [`get_or_intern_with`](Self::get_or_intern_with) interns what is not a key yet.
///
/// Python's `dict` with interned keys: identity first, and the hash is kept with the string. Use handles
/// of one interner in a map: equal texts of two interners are two keys. Whoever can choose keys with the
/// same stored hash (it is seeded) slows the map down; the interner itself answers that with another table.
///
/// Bytes: a word and a value for each slot, 8 to 16 slots for 7 to 14 keys, and one byte more for each.
///
/// ```
/// use hoopsnake::intern::{InternMap, intern};
///
/// let mut count = InternMap::new();
/// for word in "spam eggs spam".split(' ') {
///     *count.get_or_intern_with(word, || 0) += 1;
/// }
/// assert_eq!(count.get_by("spam"), Some(&2));
/// assert_eq!(count.get(&intern("eggs")), Some(&1));
/// ```
pub struct InternMap<T: ?Sized, V> {
    table: HashTable<(Interned<T>, V)>,
}

impl<T: ?Sized, V> InternMap<T, V> {
    /// A map without keys; it has no memory yet. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::InternMap;
    /// assert!(InternMap::<str, u32>::new().is_empty());
    /// ```
    pub const fn new() -> Self {
        Self { table: HashTable::new() }
    }

    /// A map with room for so many keys. One allocation: at least a word, the value and a byte for each.
    ///
    /// # Panics
    /// If memory is refused, as `HashMap::with_capacity`.
    ///
    /// ```
    /// # use hoopsnake::intern::InternMap;
    /// assert!(InternMap::<str, u32>::with_capacity(100).capacity() >= 100);
    /// ```
    pub fn with_capacity(keys: usize) -> Self {
        Self { table: HashTable::with_capacity(keys) }
    }

    /// How many keys there are. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::InternMap;
    /// assert_eq!(InternMap::<str, u32>::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no keys. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::InternMap;
    /// assert!(InternMap::<str, u32>::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many keys there is room for. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::InternMap;
    /// assert_eq!(InternMap::<str, u32>::new().capacity(), 0);
    /// ```
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Makes room for so many more keys: at most one allocation, to which all keys move by their stored hashes.
    ///
    /// # Panics
    /// If memory is refused, as `HashMap::reserve`.
    ///
    /// ```
    /// # use hoopsnake::intern::InternMap;
    /// let mut map = InternMap::<str, u32>::new();
    /// map.reserve(10);
    /// assert!(map.capacity() >= 10);
    /// ```
    pub fn reserve(&mut self, more: usize) {
        self.table.reserve(more, |(key, _)| key.stored_hash());
    }

    /// Gives back what room is not needed: as [`reserve`](Self::reserve), to a smaller table.
    ///
    /// ```
    /// # use hoopsnake::intern::InternMap;
    /// let mut map = InternMap::<str, u32>::with_capacity(100);
    /// map.shrink_to_fit();
    /// assert_eq!(map.capacity(), 0);
    /// ```
    pub fn shrink_to_fit(&mut self) {
        self.table.shrink_to_fit(|(key, _)| key.stored_hash());
    }

    /// Drops all keys and values, one after the other; keeps the room.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let mut map = InternMap::from_iter([(intern("a"), 1)]);
    /// map.clear();
    /// assert!(map.is_empty());
    /// ```
    pub fn clear(&mut self) {
        self.table.clear();
    }

    /// The value of a key. Python's `dict.get`.
    ///
    /// Costs a load of the stored hash, and a probe that compares words.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert_eq!(map.get(&intern("a")), Some(&1));
    /// ```
    #[inline]
    pub fn get(&self, key: &Interned<T>) -> Option<&V> {
        let found = self.table.find(key.stored_hash(), |(held, _)| held.ptr_eq(key));
        found.map(|(_, value)| value)
    }

    /// The value of a key, to change it.
    ///
    /// Costs what [`get`](Self::get) costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let mut map = InternMap::from_iter([(intern("a"), 1)]);
    /// *map.get_mut(&intern("a")).unwrap() += 1;
    /// assert_eq!(map[&intern("a")], 2);
    /// ```
    #[inline]
    pub fn get_mut(&mut self, key: &Interned<T>) -> Option<&mut V> {
        let found = self.table.find_mut(key.stored_hash(), |(held, _)| held.ptr_eq(key));
        found.map(|(_, value)| value)
    }

    /// Whether this is a key. Python's `in`.
    ///
    /// Costs what [`get`](Self::get) costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert!(map.contains_key(&intern("a")) && !map.contains_key(&intern("b")));
    /// ```
    #[inline]
    pub fn contains_key(&self, key: &Interned<T>) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key; returns the one it had.
    ///
    /// Costs what [`get`](Self::get) costs, and now and then a larger table.
    ///
    /// # Panics
    /// If memory is refused, as `HashMap::insert`.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let mut map = InternMap::new();
    /// assert_eq!(map.insert(intern("a"), 1), None);
    /// assert_eq!(map.insert(intern("a"), 2), Some(1));
    /// ```
    #[inline]
    pub fn insert(&mut self, key: Interned<T>, value: V) -> Option<V> {
        match self.entry(&key) {
            Entry::Occupied(mut held) => Some(core::mem::replace(&mut held.get_mut().1, value)),
            Entry::Vacant(place) => {
                place.insert((key, value));
                None
            }
        }
    }

    /// The value of a key, which is put in first if it is not there. Python's `dict.setdefault`.
    ///
    /// Costs what [`insert`](Self::insert) costs.
    ///
    /// # Panics
    /// As [`insert`](Self::insert), and if `value` panics: then nothing is put in.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let mut map = InternMap::new();
    /// *map.get_or_insert_with(intern("a"), || 0) += 1;
    /// assert_eq!(map[&intern("a")], 1);
    /// ```
    #[inline]
    pub fn get_or_insert_with(&mut self, key: Interned<T>, value: impl FnOnce() -> V) -> &mut V {
        match self.entry(&key) {
            Entry::Occupied(held) => &mut held.into_mut().1,
            Entry::Vacant(place) => &mut place.insert((key, value())).into_mut().1,
        }
    }

    /// Takes a key and its value out. Python's `dict.pop`.
    ///
    /// Costs what [`get`](Self::get) costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let mut map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert_eq!(map.remove(&intern("a")), Some((intern("a"), 1)));
    /// assert_eq!(map.remove(&intern("a")), None);
    /// ```
    #[inline]
    pub fn remove(&mut self, key: &Interned<T>) -> Option<(Interned<T>, V)> {
        let found = self.table.find_entry(key.stored_hash(), |(held, _)| held.ptr_eq(key));
        found.ok().map(|held| held.remove().0)
    }

    /// Keeps the keys and values that `keep` is true for. A walk over the room, as all that visits all keys.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let mut map = InternMap::from_iter([(intern("a"), 1), (intern("b"), 2)]);
    /// map.retain(|_, value| *value > 1);
    /// assert_eq!(map.len(), 1);
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&Interned<T>, &mut V) -> bool) {
        self.table.retain(|(key, value)| keep(key, value));
    }

    /// All keys and values, in no order that means anything.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert!(map.iter().eq([(&intern("a"), &1)]));
    /// ```
    pub fn iter(&self) -> Iter<'_, T, V> {
        Iter(self.table.iter())
    }

    /// All keys and values, to change the values.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let mut map = InternMap::from_iter([(intern("a"), 1)]);
    /// map.iter_mut().for_each(|(_, value)| *value += 1);
    /// assert_eq!(map[&intern("a")], 2);
    /// ```
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Interned<T>, &mut V)> {
        self.table.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// All keys. Python's `dict.keys`.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert!(map.keys().eq([&intern("a")]));
    /// ```
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Interned<T>> {
        self.iter().map(|(key, _)| key)
    }

    /// All values. Python's `dict.values`.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert_eq!(map.values().sum::<i32>(), 1);
    /// ```
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    fn entry(&mut self, key: &Interned<T>) -> Entry<'_, (Interned<T>, V)> {
        let is = |(held, _): &(Interned<T>, V)| held.ptr_eq(key);
        self.table.entry(key.stored_hash(), is, |(key, _)| key.stored_hash())
    }
}

/// By the contents of the key.
impl<T: ?Sized + Internable, V> InternMap<T, V> {
    /// The value of the key with these contents.
    ///
    /// Costs a hash of the contents and a probe that compares them; interns and counts nothing.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert_eq!(map.get_by("a"), Some(&1));
    /// assert_eq!(map.get_by("b"), None);
    /// ```
    #[inline]
    pub fn get_by<Q: ?Sized + LookUp<T>>(&self, key: &Q) -> Option<&V> {
        self.get_key_value_by(key).map(|(_, value)| value)
    }

    /// The key with these contents, and its value.
    ///
    /// Costs what [`get_by`](Self::get_by) costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert_eq!(map.get_key_value_by("a"), Some((&intern("a"), &1)));
    /// ```
    #[inline]
    pub fn get_key_value_by<Q: ?Sized + LookUp<T>>(&self, key: &Q) -> Option<(&Interned<T>, &V)> {
        if self.is_empty() {
            return None;
        }
        let found = self.table.find(key.stored_hash(Seed::of_program()), |(held, _)| key.is(held));
        found.map(|(key, value)| (key, value))
    }

    /// The value of the key with these contents, to change it.
    ///
    /// Costs what [`get_by`](Self::get_by) costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let mut map = InternMap::from_iter([(intern("a"), 1)]);
    /// *map.get_mut_by("a").unwrap() += 1;
    /// assert_eq!(map["a"], 2);
    /// ```
    #[inline]
    pub fn get_mut_by<Q: ?Sized + LookUp<T>>(&mut self, key: &Q) -> Option<&mut V> {
        if self.is_empty() {
            return None;
        }
        let found =
            self.table.find_mut(key.stored_hash(Seed::of_program()), |(held, _)| key.is(held));
        found.map(|(_, value)| value)
    }

    /// Whether there is a key with these contents.
    ///
    /// Costs what [`get_by`](Self::get_by) costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert!(map.contains_key_by("a"));
    /// ```
    #[inline]
    pub fn contains_key_by<Q: ?Sized + LookUp<T>>(&self, key: &Q) -> bool {
        self.get_key_value_by(key).is_some()
    }

    /// Takes the key with these contents out, and its value.
    ///
    /// Costs what [`get_by`](Self::get_by) costs.
    ///
    /// ```
    /// # use hoopsnake::intern::{InternMap, intern};
    /// let mut map = InternMap::from_iter([(intern("a"), 1)]);
    /// assert_eq!(map.remove_by("a"), Some((intern("a"), 1)));
    /// ```
    #[inline]
    pub fn remove_by<Q: ?Sized + LookUp<T>>(&mut self, key: &Q) -> Option<(Interned<T>, V)> {
        if self.is_empty() {
            return None;
        }
        let found =
            self.table.find_entry(key.stored_hash(Seed::of_program()), |(held, _)| key.is(held));
        found.ok().map(|held| held.remove().0)
    }

    /// The value of the key with these contents, which are interned and put in first if they are not
    /// there.
    ///
    /// The way to count words: a word that was seen before costs what [`get_by`](Self::get_by) costs,
    /// no lock and no count.
    ///
    /// # Panics
    /// If memory is refused, and if `value` panics: then nothing is put in.
    ///
    /// ```
    /// # use hoopsnake::intern::InternMap;
    /// let mut map = InternMap::<str, u32>::new();
    /// *map.get_or_intern_with("a", || 0) += 1;
    /// *map.get_or_intern_with("a", || 0) += 1;
    /// assert_eq!(map["a"], 2);
    /// ```
    #[inline]
    pub fn get_or_intern_with<'q, Q>(&mut self, key: &'q Q, value: impl FnOnce() -> V) -> &mut V
    where
        Q: ?Sized + LookUp<T>,
        &'q Q: Intern<T>,
    {
        let is = |(held, _): &(Interned<T>, V)| key.is(held);
        match self
            .table
            .entry(key.stored_hash(Seed::of_program()), is, |(key, _)| key.stored_hash())
        {
            Entry::Occupied(held) => &mut held.into_mut().1,
            Entry::Vacant(place) => {
                &mut place.insert((Interned::intern(key), value())).into_mut().1
            }
        }
    }
}

impl<T: ?Sized, V> Default for InternMap<T, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized, V: Clone> Clone for InternMap<T, V> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone() }
    }
}

impl<T: ?Sized, V: PartialEq> PartialEq for InternMap<T, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<T: ?Sized, V: Eq> Eq for InternMap<T, V> {}

impl<T: ?Sized + Internable + fmt::Debug, V: fmt::Debug> fmt::Debug for InternMap<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<T: ?Sized, V> Extend<(Interned<T>, V)> for InternMap<T, V> {
    fn extend<I: IntoIterator<Item = (Interned<T>, V)>>(&mut self, pairs: I) {
        let pairs = pairs.into_iter();
        self.reserve(pairs.size_hint().0.div_ceil(2));
        pairs.for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<T: ?Sized, V> FromIterator<(Interned<T>, V)> for InternMap<T, V> {
    fn from_iter<I: IntoIterator<Item = (Interned<T>, V)>>(pairs: I) -> Self {
        let mut map = Self::new();
        map.extend(pairs);
        map
    }
}

impl<T: ?Sized, V> Index<&Interned<T>> for InternMap<T, V> {
    type Output = V;

    /// # Panics
    /// If there is no such key.
    fn index(&self, key: &Interned<T>) -> &V {
        self.get(key).expect("no such key")
    }
}

impl<V> Index<&str> for InternMap<str, V> {
    type Output = V;

    /// # Panics
    /// If there is no such key.
    fn index(&self, key: &str) -> &V {
        self.get_by(key).expect("no such key")
    }
}

// Iterators ---------------------------------------------------------------------------------------

/// The keys and values of an [`InternMap`].
///
/// ```
/// # use hoopsnake::intern::{InternMap, intern};
/// let map = InternMap::from_iter([(intern("a"), 1)]);
/// let mut pairs = map.iter();
/// assert_eq!((pairs.len(), pairs.next()), (1, Some((&intern("a"), &1))));
/// ```
pub struct Iter<'a, T: ?Sized, V>(hash_table::Iter<'a, (Interned<T>, V)>);

impl<'a, T: ?Sized, V> Iterator for Iter<'a, T, V> {
    type Item = (&'a Interned<T>, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: ?Sized, V> ExactSizeIterator for Iter<'_, T, V> {}
impl<T: ?Sized, V> FusedIterator for Iter<'_, T, V> {}

impl<T: ?Sized, V> Clone for Iter<'_, T, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized, V> fmt::Debug for Iter<'_, T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &self.len()).finish_non_exhaustive()
    }
}

/// The keys and values of an [`InternMap`], owned.
///
/// ```
/// # use hoopsnake::intern::{InternMap, intern};
/// let map = InternMap::from_iter([(intern("a"), 1)]);
/// assert!(map.into_iter().eq([(intern("a"), 1)]));
/// ```
pub struct IntoIter<T: ?Sized, V>(hash_table::IntoIter<(Interned<T>, V)>);

impl<T: ?Sized, V> Iterator for IntoIter<T, V> {
    type Item = (Interned<T>, V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: ?Sized, V> ExactSizeIterator for IntoIter<T, V> {}
impl<T: ?Sized, V> FusedIterator for IntoIter<T, V> {}

impl<T: ?Sized, V> fmt::Debug for IntoIter<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("left", &self.len()).finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized, V> IntoIterator for &'a InternMap<T, V> {
    type Item = (&'a Interned<T>, &'a V);
    type IntoIter = Iter<'a, T, V>;

    fn into_iter(self) -> Iter<'a, T, V> {
        self.iter()
    }
}

impl<T: ?Sized, V> IntoIterator for InternMap<T, V> {
    type Item = (Interned<T>, V);
    type IntoIter = IntoIter<T, V>;

    fn into_iter(self) -> IntoIter<T, V> {
        IntoIter(self.table.into_iter())
    }
}
