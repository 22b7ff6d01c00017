//! Interned values are leaves to the cycle collector: what they hold is `Send`, and no `Cc` is.

use super::{IntTo, Interned, WeakInterned};
use crate::object::trace::{Trace, TraceInfo, Tracer};

// SAFETY: 1, 2: there are no edges, and none is reported; 3: nothing is called.
unsafe impl<T: ?Sized + 'static> Trace for Interned<T> {
    fn trace(&self, _tracer: &mut Tracer<'_>) {}
}

impl<T: ?Sized + 'static> TraceInfo for Interned<T> {
    const NEEDS_TRACE: bool = false;
}

// SAFETY: as for `Interned`.
unsafe impl<T: ?Sized + 'static> Trace for WeakInterned<T> {
    fn trace(&self, _tracer: &mut Tracer<'_>) {}
}

impl<T: ?Sized + 'static> TraceInfo for WeakInterned<T> {
    const NEEDS_TRACE: bool = false;
}

// SAFETY: as for `Interned`.
unsafe impl<const LAST: i64> Trace for IntTo<LAST> {
    fn trace(&self, _tracer: &mut Tracer<'_>) {}
}

impl<const LAST: i64> TraceInfo for IntTo<LAST> {
    const NEEDS_TRACE: bool = false;
}
