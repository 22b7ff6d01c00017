//! What the output of `#[derive(Trace)]` refers to; no part of the public interface.
//!
//! A field's type may implement [`Trace`](crate::Trace) without [`TraceInfo`] (a `dyn` object has no
//! constants). Stable Rust has no "if it implements"; but an inherent constant comes before a trait's of
//! the same name, and only if its impl applies. In generic code what applies is decided by the bounds.

use core::marker::PhantomData;

use super::Cc;
pub use super::finalizer;
pub use crate::object::trace::FinalizeFn;
use crate::object::trace::TraceInfo;

/// `Probe::<T>::NEEDS`: [`TraceInfo::NEEDS_TRACE`], or `true` for a type without it.
#[derive(Debug)]
pub struct Probe<T: ?Sized>(PhantomData<T>);

impl<T: TraceInfo> Probe<T> {
    /// The type's own answer.
    pub const NEEDS: bool = T::NEEDS_TRACE;
}

/// The answer for types that give none.
pub trait Fallback {
    /// To trace in vain costs time; not to trace leaks.
    const NEEDS: bool = true;
}

impl<T: ?Sized> Fallback for Probe<T> {}

/// `Edges::<T>::EDGES`: whether what is reached through a `T` may hold edges. It differs from [`Probe`]
/// where a handle leads to a target without any, which can be in no cycle.
#[derive(Debug)]
pub struct Edges<T: ?Sized>(PhantomData<T>);

/// The answer of all types that are no handles.
pub trait EdgesOfInfo {
    /// As [`TraceInfo::NEEDS_TRACE`].
    const EDGES: bool;
}

impl<T: TraceInfo> EdgesOfInfo for Edges<T> {
    const EDGES: bool = T::NEEDS_TRACE;
}

/// The answer of handles: their target's.
macro_rules! as_target {
    ($($handle:ty),*) => {$(
        impl<T: TraceInfo> Edges<$handle> {
            /// That of the target.
            pub const EDGES: bool = T::NEEDS_TRACE;
        }
    )*};
}

as_target!(Cc<T>, Option<Cc<T>>, Vec<Cc<T>>, Box<T>);
