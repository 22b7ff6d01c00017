//! Conversions and comparisons of handles with what they hold.
//!
//! There is no `Borrow<str>`: it would promise that a handle hashes as its text does.
//!
//! ```compile_fail
//! fn lookup<K: std::borrow::Borrow<str>>(_: K) {}
//! lookup(hoopsnake::intern::intern("spam"));
//! ```

use super::interned::Interned;
use super::value::Internable;
use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::ffi::CStr;
use core::hash::Hash;
use core::str::FromStr;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

// Into handles ------------------------------------------------------------------------------------

impl<T: Eq + Hash + Send + Sync + 'static> From<T> for Interned<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// Conversions that intern.
macro_rules! from {
    ($([$($generics:tt)*] $from:ty => $to:ty;)*) => {$(
        impl<$($generics)*> From<$from> for Interned<$to> {
            #[inline]
            fn from(value: $from) -> Self {
                Self::intern(value)
            }
        }
    )*};
}

from! {
    [] &str => str;
    [] &String => str;
    [] String => str;
    [] Box<str> => str;
    [] Cow<'_, str> => str;
    [] char => str;
    [T: Clone + Eq + Hash + Send + Sync + 'static] &[T] => [T];
    [T: Clone + Eq + Hash + Send + Sync + 'static] &Vec<T> => [T];
    [T: Eq + Hash + Send + Sync + 'static] Vec<T> => [T];
    [T: Eq + Hash + Send + Sync + 'static] Box<[T]> => [T];
    [T: Eq + Hash + Send + Sync + 'static, const N: usize] [T; N] => [T];
    [] &Path => Path;
    [] &PathBuf => Path;
    [] PathBuf => Path;
    [] Box<Path> => Path;
    [] Cow<'_, Path> => Path;
    [] &OsStr => OsStr;
    [] &OsString => OsStr;
    [] OsString => OsStr;
    [] Box<OsStr> => OsStr;
    [] Cow<'_, OsStr> => OsStr;
    [] &CStr => CStr;
    [] &CString => CStr;
    [] CString => CStr;
    [] Box<CStr> => CStr;
    [] Cow<'_, CStr> => CStr;
}

impl FromStr for Interned<str> {
    type Err = Infallible;

    #[inline]
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::intern(text))
    }
}

/// What is empty by default: the empty handle. That of text and bytes is immortal.
macro_rules! default_is_empty {
    ($([$($generics:tt)*] $ty:ty, $empty:expr;)*) => {$(
        impl<$($generics)*> Default for Interned<$ty> {
            fn default() -> Self {
                Self::intern($empty)
            }
        }
    )*};
}

default_is_empty! {
    [] str, "";
    [] OsStr, OsStr::new("");
    [] CStr, c"";
    [] Path, Path::new("");
    [T: Eq + Hash + Send + Sync + 'static] [T], Vec::<T>::new();
}

impl<T: Default + Eq + Hash + Send + Sync + 'static> Default for Interned<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

// Out of handles ----------------------------------------------------------------------------------

impl<T: ?Sized + Internable> AsRef<T> for Interned<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

/// References to what text is as well.
macro_rules! as_ref {
    ($($from:ty => $to:ty;)*) => {$(
        impl AsRef<$to> for Interned<$from> {
            fn as_ref(&self) -> &$to {
                (**self).as_ref()
            }
        }
    )*};
}

as_ref! {
    str => [u8];
    str => OsStr;
    str => Path;
    OsStr => Path;
    Path => OsStr;
}

/// Owned copies. (Of references to paths std makes them itself.)
macro_rules! into_owned {
    ($($from:ty => $to:ty;)*) => {$(
        impl From<$from> for $to {
            fn from(value: $from) -> Self {
                (*value).to_owned()
            }
        }
    )*};
}

into_owned! {
    Interned<str> => String;
    Interned<Path> => PathBuf;
    Interned<OsStr> => OsString;
    Interned<CStr> => CString;
}

impl From<&Interned<str>> for String {
    fn from(value: &Interned<str>) -> Self {
        (**value).to_owned()
    }
}

impl From<&Interned<CStr>> for CString {
    fn from(value: &Interned<CStr>) -> Self {
        (**value).to_owned()
    }
}

impl<T: Clone + 'static> From<&Interned<[T]>> for Vec<T> {
    fn from(value: &Interned<[T]>) -> Self {
        value.to_vec()
    }
}

// Comparisons -------------------------------------------------------------------------------------

impl<T: ?Sized> PartialEq<&Self> for Interned<T> {
    #[inline]
    fn eq(&self, other: &&Self) -> bool {
        self.ptr_eq(other)
    }
}

/// Comparisons of handles with what is not interned: by the contents, in both directions.
macro_rules! equal {
    ($([$($generics:tt)*] $ty:ty, $other:ty, |$plain:ident| $contents:expr;)*) => {$(
        impl<$($generics)*> PartialEq<$other> for Interned<$ty> {
            #[inline]
            fn eq(&self, $plain: &$other) -> bool {
                **self == *$contents
            }
        }

        impl<$($generics)*> PartialEq<Interned<$ty>> for $other {
            #[inline]
            fn eq(&self, other: &Interned<$ty>) -> bool {
                let $plain = self;
                *$contents == **other
            }
        }
    )*};
}

equal! {
    [] str, str, |other| other;
    [] str, &str, |other| *other;
    [] str, String, |other| other.as_str();
    [] str, Cow<'_, str>, |other| other.as_ref();
    [] Path, Path, |other| other;
    [] Path, &Path, |other| *other;
    [] Path, PathBuf, |other| other.as_path();
    [] OsStr, OsStr, |other| other;
    [] OsStr, &OsStr, |other| *other;
    [] CStr, CStr, |other| other;
    [] CStr, &CStr, |other| *other;
    [T: PartialEq + 'static] [T], [T], |other| other;
    [T: PartialEq + 'static] [T], &[T], |other| *other;
}
