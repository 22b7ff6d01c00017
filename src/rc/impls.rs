//! Traits that forward to the value, as `Rc`'s do.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

use super::policy::{Local, Policy};
use super::raw::RawCc;
use crate::object::trace::TraceInfo;

impl<T: ?Sized + PartialEq, P: Policy> PartialEq for RawCc<T, P> {
    /// Whether the values are equal; for identity there is [`ptr_eq`](RawCc::ptr_eq).
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq, P: Policy> Eq for RawCc<T, P> {}

impl<T: ?Sized + PartialOrd, P: Policy> PartialOrd for RawCc<T, P> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord, P: Policy> Ord for RawCc<T, P> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized + Hash, P: Policy> Hash for RawCc<T, P> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: ?Sized + fmt::Debug, P: Policy> fmt::Debug for RawCc<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display, P: Policy> fmt::Display for RawCc<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized, P: Policy> fmt::Pointer for RawCc<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::as_ptr(self).fmt(f)
    }
}

impl<T: ?Sized, P: Policy> Borrow<T> for RawCc<T, P> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized, P: Policy> AsRef<T> for RawCc<T, P> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: TraceInfo + Default> Default for RawCc<T, Local> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
