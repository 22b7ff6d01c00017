//! Interned values in serialised data: as what they hold. Reading interns.

use super::{IntTo, InternMap, InternSet, Internable, Interned};
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt;
use core::hash::Hash;
use core::marker::PhantomData;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

impl<T: ?Sized + Internable + Serialize> Serialize for Interned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

/// Interns text where it lies in the input.
struct Text;

impl Visitor<'_> for Text {
    type Value = Interned<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Interned<str>, E> {
        Interned::try_intern(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Interned<str> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

impl<'de, T> Deserialize<'de> for Interned<T>
where
    T: Deserialize<'de> + Eq + Hash + Send + Sync + 'static,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}

impl<'de, T> Deserialize<'de> for Interned<[T]>
where
    T: Deserialize<'de> + Eq + Hash + Send + Sync + 'static,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::intern)
    }
}

/// Read as their owned form.
macro_rules! through_owned {
    ($($ty:ty, $owned:ty;)*) => {$(
        impl<'de> Deserialize<'de> for Interned<$ty> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$owned>::deserialize(deserializer).map(Self::intern)
            }
        }
    )*};
}

through_owned! {
    Path, PathBuf;
    OsStr, OsString;
    CStr, CString;
}

impl<const LAST: i64> Serialize for IntTo<LAST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.get())
    }
}

impl<'de, const LAST: i64> Deserialize<'de> for IntTo<LAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self::new)
    }
}

// Collections -------------------------------------------------------------------------------------

impl<T: ?Sized + Internable + Serialize, V: Serialize> Serialize for InternMap<T, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<T: ?Sized + Internable + Serialize> Serialize for InternSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

struct Pairs<T: ?Sized, V>(PhantomData<(Interned<T>, V)>);

impl<'de, T: ?Sized, V> Visitor<'de> for Pairs<T, V>
where
    Interned<T>: Deserialize<'de>,
    V: Deserialize<'de>,
{
    type Value = InternMap<T, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<InternMap<T, V>, A::Error> {
        let mut map = InternMap::new();
        while let Some((key, value)) = pairs.next_entry()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

impl<'de, T: ?Sized, V> Deserialize<'de> for InternMap<T, V>
where
    Interned<T>: Deserialize<'de>,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

struct Values<T: ?Sized>(PhantomData<Interned<T>>);

impl<'de, T: ?Sized> Visitor<'de> for Values<T>
where
    Interned<T>: Deserialize<'de>,
{
    type Value = InternSet<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<InternSet<T>, A::Error> {
        let mut set = InternSet::new();
        while let Some(value) = values.next_element()? {
            set.insert(value);
        }
        Ok(set)
    }
}

impl<'de, T: ?Sized> Deserialize<'de> for InternSet<T>
where
    Interned<T>: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Values(PhantomData))
    }
}
