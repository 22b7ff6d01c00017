//! Exclusive access: `get_mut`, `make_mut`, `try_unwrap`.
//!
//! The collector finds objects by the bits of their pools, so nobody's handle is borrowed when it looks at
//! one. Whoever is given `&mut` therefore marks the object first: a run does not look at it (see
//! `Header::is_hidden`), unless a shared path leads to its only handle.

use core::mem::ManuallyDrop;

use super::policy::Local;
use super::raw::RawCc;
use crate::object::ObjectRef;
use crate::object::death;
use crate::object::trace::TraceInfo;

/// Marks a traced object as exclusive.
#[inline]
fn hide(object: ObjectRef) {
    if object.header().is_traced() {
        object.header().make_exclusive();
    }
}

impl<T: ?Sized> RawCc<T, Local> {
    /// The value, if this is the only handle, strong or weak. Two loads and a store.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let mut a = Cc::new(1);
    /// *Cc::get_mut(&mut a).unwrap() = 2;
    /// let b = a.clone();
    /// assert!(Cc::get_mut(&mut a).is_none());
    /// # drop(b);
    /// ```
    #[inline]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        let object = Self::object(this);
        if !object.header().is_unique() {
            return None;
        }
        hide(object);
        // SAFETY: the only handle, borrowed exclusively; no weak handle can make another, and the
        // collector does not look at what is hidden.
        Some(unsafe { Self::address(this).as_mut() })
    }
}

impl<T: TraceInfo> RawCc<T, Local> {
    /// The value, after it was cloned into a new object if there are other handles. Weak handles to the
    /// old object die if this was its only strong one. Costs as [`get_mut`](Self::get_mut), or
    /// [`new`](Self::new).
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let mut a = Cc::new(1);
    /// let b = a.clone();
    /// *Cc::make_mut(&mut a) += 1;
    /// assert_eq!((*a, *b), (2, 1));
    /// ```
    pub fn make_mut(this: &mut Self) -> &mut T
    where
        T: Clone,
    {
        let object = Self::object(this);
        if object.header().strong() != 1 {
            *this = Self::new(T::clone(this));
        } else if !object.header().is_unique() {
            let old = Self::object(this);
            // SAFETY: the value moves: the old place is vacated below, and nothing panics before.
            let value = unsafe { Self::address(this).read() };
            // SAFETY: overwrites a handle whose count is given up below.
            unsafe { core::ptr::write(this, Self::birth(value)) };
            vacate(old);
        }
        let object = Self::object(this);
        debug_assert!(object.header().is_unique(), "new, or the only handle");
        hide(object);
        // SAFETY: as in `get_mut`.
        unsafe { Self::address(this).as_mut() }
    }

    /// The value, if this is the only strong handle; weak handles die. No finalizer runs. Costs as a drop.
    ///
    /// # Errors
    /// Gives the handle back if there are others.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let a = Cc::new(1);
    /// let b = a.clone();
    /// let a = Cc::try_unwrap(a).unwrap_err();
    /// drop(b);
    /// assert_eq!(Cc::try_unwrap(a), Ok(1));
    /// ```
    pub fn try_unwrap(this: Self) -> Result<T, Self> {
        let object = Self::object(&this);
        if object.header().strong() != 1 {
            return Err(this);
        }
        let this = ManuallyDrop::new(this);
        // SAFETY: the only handle: the value moves, and the place is vacated.
        let value = unsafe { Self::address(&this).read() };
        vacate(object);
        Ok(value)
    }

    /// The value, if this was the last handle. Else it is dropped. No finalizer runs in the first case.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let a = Cc::new(1);
    /// let b = a.clone();
    /// assert_eq!((Cc::into_inner(a), Cc::into_inner(b)), (None, Some(1)));
    /// ```
    pub fn into_inner(this: Self) -> Option<T> {
        Self::try_unwrap(this).ok()
    }
}

/// The end of an object whose value was moved out of its only strong handle.
fn vacate(object: ObjectRef) {
    object.header().take_only();
    if object.header().is_traced() {
        drop(death::Vacated::new(object));
    } else {
        drop(death::Vacated::leaf(object));
    }
}
