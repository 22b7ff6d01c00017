//! The weak pointer.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use super::policy::{Local, Policy};
use super::raw::RawCc;
use crate::object::ObjectRef;
use crate::object::trace::{Trace, TraceInfo, Tracer};

/// A handle that does not keep its object alive. See [`Weak`](crate::Weak), its form for one thread.
///
/// ```
/// use hoopsnake::{Cc, Local, RawWeak};
/// let one = Cc::new(1);
/// let weak: RawWeak<i32, Local> = Cc::downgrade(&one);
/// assert!(weak.upgrade().is_some());
/// ```
pub struct RawWeak<T: ?Sized, P: Policy> {
    value: NonNull<T>,
    _of: PhantomData<(*const T, P)>,
}

impl<T, P: Policy> RawWeak<T, P> {
    /// A weak handle to nothing. Free.
    ///
    /// ```
    /// assert!(hoopsnake::Weak::<u8>::new().upgrade().is_none());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        // SAFETY: the address is not zero.
        let value = unsafe { NonNull::new_unchecked(ptr::without_provenance_mut(usize::MAX)) };
        RawWeak { value, _of: PhantomData }
    }
}

impl<T: ?Sized, P: Policy> RawWeak<T, P> {
    /// A weak handle from its pointer.
    ///
    /// # Safety
    /// `value` is the place of an object's value, and its weak count includes this handle.
    #[inline(always)]
    pub(super) unsafe fn from_object(value: NonNull<T>) -> Self {
        RawWeak { value, _of: PhantomData }
    }

    /// The object; `None` for a handle to nothing.
    #[inline(always)]
    fn object(&self) -> Option<ObjectRef> {
        if self.value.cast::<u8>().addr().get() == usize::MAX {
            return None;
        }
        // SAFETY: the weak handle keeps the block.
        Some(unsafe { ObjectRef::of(self.value) })
    }

    /// A handle, if the object is alive: not before [`new_cyclic`](RawCc::new_cyclic) has returned, and
    /// not from the drop of its value on. Inside its finalizer it is alive. A load and two tests.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let a = Cc::new(1);
    /// let weak = Cc::downgrade(&a);
    /// assert_eq!(weak.upgrade().as_deref(), Some(&1));
    /// ```
    #[inline]
    #[must_use]
    pub fn upgrade(&self) -> Option<RawCc<T, P>> {
        let object = self.object()?;
        // SAFETY: alive, and just counted.
        P::try_upgrade(object).then(|| unsafe { RawCc::from_object(self.value) })
    }

    /// Whether both lead to the same object, alive or not, or both to nothing. Free.
    ///
    /// ```
    /// use hoopsnake::{Cc, Weak};
    /// let a = Cc::new(1);
    /// assert!(Cc::downgrade(&a).ptr_eq(&Cc::downgrade(&a)));
    /// assert!(!Cc::downgrade(&a).ptr_eq(&Weak::new()));
    /// ```
    #[inline]
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        ptr::addr_eq(self.value.as_ptr(), other.value.as_ptr())
    }

    /// The number of handles that keep the object alive, 0 if none does. One load.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let weak = Cc::downgrade(&Cc::new(1));
    /// assert_eq!(weak.strong_count(), 0);
    /// ```
    #[must_use]
    pub fn strong_count(&self) -> usize {
        match self.object() {
            Some(object) if object.header().is_alive() => object.header().strong() as usize,
            _ => 0,
        }
    }

    /// The number of weak handles, 0 if the object is dead. One load.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let a = Cc::new(1);
    /// let weak = Cc::downgrade(&a);
    /// assert_eq!(weak.weak_count(), 1);
    /// drop(a);
    /// assert_eq!(weak.weak_count(), 0);
    /// ```
    #[must_use]
    pub fn weak_count(&self) -> usize {
        match self.object() {
            Some(object) if object.header().is_alive() => object.header().weak() as usize,
            _ => 0,
        }
    }

    /// The value's address, which may be dead or nothing. Free.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let a = Cc::new(1);
    /// assert_eq!(Cc::downgrade(&a).as_ptr(), Cc::as_ptr(&a));
    /// ```
    #[must_use]
    pub fn as_ptr(&self) -> *const T {
        self.value.as_ptr()
    }

    /// Turns the handle into a pointer; [`from_raw`](Self::from_raw) turns it back. Free.
    ///
    /// ```
    /// use hoopsnake::{Cc, Weak};
    /// let a = Cc::new(1);
    /// let raw = Cc::downgrade(&a).into_raw();
    /// // SAFETY: from `into_raw`, once.
    /// let weak = unsafe { Weak::from_raw(raw) };
    /// assert_eq!(Cc::weak_count(&a), 1);
    /// # drop(weak);
    /// ```
    #[must_use = "the block leaks if the pointer is not turned back"]
    pub fn into_raw(self) -> *const T {
        ManuallyDrop::new(self).value.as_ptr()
    }

    /// The handle that [`into_raw`](Self::into_raw) made a pointer of. Free.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of the same pointer type, on this thread, and is turned back once. Its type may
    /// have been unsized in between, to a trait object of the value's.
    ///
    /// ```
    /// # use hoopsnake::Weak;
    /// let raw = Weak::<u8>::new().into_raw();
    /// // SAFETY: from `into_raw`, once.
    /// assert!(unsafe { Weak::from_raw(raw) }.upgrade().is_none());
    /// ```
    pub unsafe fn from_raw(raw: *const T) -> Self {
        // SAFETY: a weak handle's pointer, which is never null.
        let value = unsafe { NonNull::new_unchecked(raw.cast_mut()) };
        RawWeak { value, _of: PhantomData }
    }
}

impl<T: ?Sized, P: Policy> Clone for RawWeak<T, P> {
    /// One more weak handle.
    #[inline]
    fn clone(&self) -> Self {
        if let Some(object) = self.object() {
            P::increment_weak(object);
        }
        RawWeak { value: self.value, _of: PhantomData }
    }
}

impl<T: ?Sized, P: Policy> Drop for RawWeak<T, P> {
    /// One weak handle less; the last one of a dead object gives its block back.
    #[inline]
    fn drop(&mut self) {
        if let Some(object) = self.object() {
            // SAFETY: this handle was counted and is not used again.
            unsafe { P::drop_weak(object) }
        }
    }
}

impl<T, P: Policy> Default for RawWeak<T, P> {
    /// A weak handle to nothing.
    fn default() -> Self {
        RawWeak::new()
    }
}

impl<T: ?Sized, P: Policy> fmt::Debug for RawWeak<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Weak)")
    }
}

// SAFETY: a weak handle holds nothing.
unsafe impl<T: ?Sized + 'static> Trace for RawWeak<T, Local> {
    #[inline(always)]
    fn trace(&self, _: &mut Tracer<'_>) {}
}

impl<T: ?Sized + 'static> TraceInfo for RawWeak<T, Local> {
    const NEEDS_TRACE: bool = false;
}
