//! Values of foreign types in traced ones.

use core::ops::{Deref, DerefMut};

use crate::object::trace::{Trace, TraceInfo, Tracer};

/// A value without edges, as far as the collector is concerned: for fields whose type does not implement
/// [`Trace`], such as `Rc`, `Arc`, file handles and types of other crates.
///
/// Handles hidden inside count as held from outside: a cycle through them leaks, and nothing worse. A long
/// chain of objects that hold each other in such fields only recurses when it is dropped, as one of `Rc`s
/// does. Free.
///
/// ```
/// use std::rc::Rc;
/// use hoopsnake::{Cc, Untraced};
/// let cc = Cc::new(Untraced(Rc::new(1)));
/// assert_eq!(cc.0, Rc::new(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Untraced<T>(pub T);

// SAFETY: reports nothing.
unsafe impl<T: 'static> Trace for Untraced<T> {
    #[inline(always)]
    fn trace(&self, _: &mut Tracer<'_>) {}
}

impl<T: 'static> TraceInfo for Untraced<T> {
    const NEEDS_TRACE: bool = false;
}

impl<T> Deref for Untraced<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Untraced<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
