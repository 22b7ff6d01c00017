//! Finalizers (PEP 442): they run once, before anything is dropped, and may resurrect.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use super::policy::{Local, Policy};
use super::raw::RawCc;
use crate::object::ObjectRef;
use crate::object::trace::{FinalizeFn, Trace};

/// What an object does before it dies: Python's `__del__`.
///
/// It takes the place of `Drop` for types with edges, and differs from it in three ways: all neighbours
/// are intact, also those that die together with it in a cycle; it may keep the object alive, by putting
/// [`Dying::to_cc`] somewhere; it runs once in an object's life, whether that ends by count or by the
/// collector. `try_unwrap` and `into_inner` run none.
///
/// A panic is held back until the death (or the collector's run) is complete, and then goes on.
///
/// When a thread ends, its last finalizers run after the destructors of its thread-locals: use
/// [`LocalKey::try_with`](std::thread::LocalKey::try_with) where that can happen.
///
/// Say `#[trace(finalize)]` beside `#[derive(Trace)]`, or the type's objects die without it.
///
/// ```
/// use std::cell::RefCell;
/// use hoopsnake::{Cc, Dying, Finalize, Trace, TraceInfo, Tracer};
///
/// thread_local!(static SAVED: RefCell<Vec<Cc<Phoenix>>> = RefCell::default());
///
/// struct Phoenix(u32);
/// # unsafe impl Trace for Phoenix { fn trace(&self, _: &mut Tracer<'_>) {} }
/// # impl TraceInfo for Phoenix {
/// #     const FINALIZE: Option<hoopsnake::FinalizeFn<Self>> = Some(hoopsnake::finalizer::<Self>());
/// # }
/// impl Finalize for Phoenix {
///     fn finalize(&self, this: &Dying<'_, Self>) {
///         SAVED.with_borrow_mut(|saved| saved.extend(Dying::to_cc(this)));
///     }
/// }
///
/// drop(Cc::new(Phoenix(7)));
/// let phoenix = SAVED.with_borrow_mut(Vec::pop).unwrap();
/// assert!(phoenix.0 == 7 && Cc::is_finalized(&phoenix));
/// ```
pub trait Finalize: Trace + Sized {
    /// Called once, when no handle from outside of the garbage is left. See [`Finalize`] for an example.
    ///
    /// Costs a call; a death by count takes a slower path, and of a run's garbage all is counted again.
    fn finalize(&self, this: &Dying<'_, Self>);
}

/// An object whose finalizer runs; it can be read like the object itself.
///
/// ```
/// use hoopsnake::{Cc, Dying, Finalize, Trace};
///
/// #[derive(Trace)]
/// #[trace(finalize)]
/// struct File(String);
///
/// impl Finalize for File {
///     fn finalize(&self, this: &Dying<'_, Self>) {
///         assert_eq!(this.0, self.0);
///         println!("{} is closed", this.0);
///     }
/// }
/// drop(Cc::new(File("spam.txt".into())));
/// ```
pub struct Dying<'a, T> {
    value: NonNull<T>,
    _alive: PhantomData<&'a T>,
}

impl<T> Dying<'_, T> {
    /// A handle: if it is kept, the object lives on, with all that it reaches. `None` if the object is
    /// not of [`Cc`](crate::Cc). Costs an addition.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use hoopsnake::{Cc, Dying, Finalize, Trace};
    ///
    /// #[derive(Trace)]
    /// #[trace(finalize)]
    /// struct Phoenix;
    /// thread_local!(static ASHES: RefCell<Option<Cc<Phoenix>>> = RefCell::default());
    ///
    /// impl Finalize for Phoenix {
    ///     fn finalize(&self, this: &Dying<'_, Self>) {
    ///         ASHES.set(Dying::to_cc(this));
    ///     }
    /// }
    /// drop(Cc::new(Phoenix));
    /// assert!(ASHES.take().is_some_and(|phoenix| Cc::is_finalized(&phoenix)));
    /// ```
    #[must_use]
    pub fn to_cc(this: &Self) -> Option<RawCc<T, Local>> {
        // SAFETY: whoever calls a finalizer holds a handle.
        Local::increment(unsafe { ObjectRef::of(this.value) });
        // SAFETY: just counted.
        Some(unsafe { RawCc::from_object(this.value) })
    }
}

impl<T> Deref for Dying<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: alive while its finalizer runs.
        unsafe { self.value.as_ref() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Dying<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dying").field(&**self).finish()
    }
}

/// The finalizer of a type, without the type: for `TraceInfo::FINALIZE`, which the derive writes.
///
/// ```
/// # use hoopsnake::{Dying, Finalize, Trace, TraceInfo, Tracer};
/// # struct File;
/// # unsafe impl Trace for File { fn trace(&self, _: &mut Tracer<'_>) {} }
/// # impl Finalize for File { fn finalize(&self, _: &Dying<'_, Self>) {} }
/// impl TraceInfo for File {
///     const FINALIZE: Option<hoopsnake::FinalizeFn<Self>> = Some(hoopsnake::finalizer::<Self>());
/// }
/// ```
#[must_use]
pub const fn finalizer<T: Finalize>() -> FinalizeFn<T> {
    FinalizeFn { call: finalize::<T>, _of: PhantomData }
}

/// # Safety
/// A whole `T` is in `object`, and a handle is held meanwhile.
unsafe fn finalize<T: Finalize>(object: ObjectRef) {
    let this = Dying { value: object.value::<T>(), _alive: PhantomData };
    T::finalize(&this, &this);
}
