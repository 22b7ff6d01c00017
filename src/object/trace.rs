//! How a type tells the collector which counted objects it holds.

use super::ObjectRef;

/// A type whose edges to counted objects the collector can enumerate.
///
/// Derive it: `#[derive(Trace)]` is safe and reports every field. By hand it is `unsafe`, because
/// the collector frees what nobody reports to be holding.
///
/// # Safety
/// `trace` must
/// 1. report each edge (each handle that this value owns) at most once, by calling `trace` on it or
///    on what contains it;
/// 2. report the same edges in all passes of one run, unless the value was changed in between by
///    code outside of `trace`;
/// 3. call no code of the user's, take or drop no handles.
///
/// Reporting too little, in every pass, only leaks. Reporting too much, or differently in the second
/// pass, is undefined behaviour. And a type with edges must not implement `Drop`: see [`Finalize`].
///
/// [`Finalize`]: crate::Finalize
pub unsafe trait Trace: 'static {
    /// Reports the edges of this value to `tracer`.
    fn trace(&self, tracer: &mut Tracer<'_>);
}

/// What the collector knows of a type before it sees a value; derived together with [`Trace`].
///
/// It is a trait of its own so that `dyn Trace` objects are possible.
pub trait TraceInfo: Trace + Sized {
    /// Whether a value may hold an edge. `false` makes an object a leaf: the collector never looks
    /// at it and its header is 8 bytes instead of 16. A wrong `false` only leaks.
    const NEEDS_TRACE: bool = true;

    /// The type's finalizer, set by `#[trace(finalize)]`.
    const FINALIZE: Option<FinalizeFn> = None;
}

/// A type-erased finalizer: only the derive makes one.
#[derive(Debug, Clone, Copy)]
pub struct FinalizeFn(pub(crate) unsafe fn(ObjectRef));

/// Collects the edges that [`Trace::trace`] reports.
#[derive(Debug)]
pub struct Tracer<'run> {
    _run: core::marker::PhantomData<&'run mut ()>,
}
