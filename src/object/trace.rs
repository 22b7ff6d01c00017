//! How a type tells the collector which counted objects it holds.

use core::marker::PhantomData;

use super::ObjectRef;

/// A type whose edges to counted objects the collector can enumerate.
///
/// Derive it: `#[derive(Trace)]` is safe and reports every field. By hand it is `unsafe`, because
/// the collector frees what nobody reports to be holding. It corresponds to Python's `tp_traverse`.
///
/// # Safety
/// `trace` must
/// 1. report each edge (each handle that this value owns) at most once, by calling `trace` on it or
///    on what contains it;
/// 2. report the same edges in all passes of one run, unless the value was changed in between by
///    code outside of `trace`;
/// 3. call no code of the user's, take or drop no handles, and look at nothing behind a handle: the target
///    may be gone, when the collector is about to drop this value too.
///
/// Reporting too little, in every pass, only leaks. Reporting too much, or differently in the second
/// pass, is undefined behaviour. And a type with edges must not implement `Drop`: see [`Finalize`].
///
/// A panic in `trace` goes on out of the run, which is given up: everything lives until the next one. A
/// `collect` inside it returns 0.
///
/// # Examples
/// ```
/// use hoopsnake::{Cc, Trace, TraceInfo, Tracer};
///
/// struct Pair { left: Cc<String>, right: Option<Cc<Pair>> }
///
/// // SAFETY: reports both fields, once each; `Pair` does not implement `Drop`.
/// unsafe impl Trace for Pair {
///     fn trace(&self, tracer: &mut Tracer<'_>) {
///         self.left.trace(tracer);
///         self.right.trace(tracer);
///     }
/// }
/// impl TraceInfo for Pair {}
///
/// let pair = Cc::new(Pair { left: Cc::new("a".to_string()), right: None });
/// assert_eq!(*pair.left, "a");
/// assert!(pair.right.is_none());
/// ```
///
/// [`Finalize`]: crate::Finalize
pub unsafe trait Trace: 'static {
    /// Reports the edges of this value to `tracer`.
    ///
    /// Called twice per object in a run; its cost is a large part of the run's. [`Trace`] has an example; programs
    /// do not call it but for the fields of what they implement it for.
    fn trace(&self, tracer: &mut Tracer<'_>);
}

/// What the collector knows of a type before it sees a value; derived together with [`Trace`].
///
/// It is a trait of its own so that `dyn Trace` objects are possible.
///
/// ```
/// use hoopsnake::{Cc, Trace, TraceInfo, Tracer, gc};
///
/// /// Of another crate, without handles in it.
/// struct Date(u16, u8, u8);
///
/// // SAFETY: there is nothing to report.
/// unsafe impl Trace for Date {
///     fn trace(&self, _: &mut Tracer<'_>) {}
/// }
/// impl TraceInfo for Date {
///     const NEEDS_TRACE: bool = false;
/// }
/// let date = Cc::new(Date(1991, 2, 20));
/// assert!(!gc::is_tracked(&date) && date.0 == 1991);
/// ```
pub trait TraceInfo: Trace + Sized {
    /// Whether a value may hold an edge. `false` makes an object a leaf: the collector never looks
    /// at it and its header is 8 bytes instead of 16. A wrong `false` only leaks.
    const NEEDS_TRACE: bool = true;

    /// The type's finalizer, set by `#[trace(finalize)]`.
    const FINALIZE: Option<FinalizeFn<Self>> = None;
}

/// The finalizer of objects that hold a `T`. It knows its type, so that no other type's can be taken by
/// mistake; [`finalizer`](crate::finalizer) makes one, and has an example.
pub struct FinalizeFn<T> {
    /// Expects a whole `T` in the object, and a handle that is held meanwhile.
    pub(crate) call: unsafe fn(ObjectRef),
    pub(crate) _of: PhantomData<fn(&T)>,
}

impl<T> core::fmt::Debug for FinalizeFn<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FinalizeFn<{}>", core::any::type_name::<T>())
    }
}

/// Edges that are collected before they are looked at together.
const BATCH: usize = 256;

/// Collects the edges that [`Trace::trace`] reports.
///
/// Only the collector makes one, and [`Trace`] shows what to do with it. Edges go into a buffer of 2 KiB and are
/// looked at in batches, so that their cache misses overlap.
pub struct Tracer<'run> {
    buffer: [ObjectRef; BATCH],
    len: usize,
    /// Edges that were handed over.
    flushed: usize,
    unknown: bool,
    visit: &'run mut dyn FnMut(&[ObjectRef]),
}

impl<'run> Tracer<'run> {
    /// A tracer that hands its edges to `visit`, in batches.
    pub(crate) fn new(visit: &'run mut dyn FnMut(&[ObjectRef])) -> Self {
        Tracer { buffer: [ObjectRef::DANGLING; BATCH], len: 0, flushed: 0, unknown: false, visit }
    }

    /// Reports one edge.
    #[inline(always)]
    pub(crate) fn edge(&mut self, target: ObjectRef) {
        match self.buffer.get_mut(self.len) {
            Some(slot) => {
                *slot = target;
                self.len += 1;
            }
            None => self.flush_then(target),
        }
    }

    #[cold]
    #[inline(never)]
    fn flush_then(&mut self, target: ObjectRef) {
        self.flush();
        self.buffer[0] = target;
        self.len = 1;
    }

    /// How many edges were reported.
    #[inline(always)]
    pub(crate) fn reported(&self) -> usize {
        self.flushed + self.len
    }

    /// Hands over the edges that are still in the buffer.
    pub(crate) fn flush(&mut self) {
        let len = core::mem::take(&mut self.len);
        self.flushed += len;
        (self.visit)(&self.buffer[..len]);
    }

    /// Says that the value has edges that cannot be seen now: the object lives, whatever its count.
    ///
    /// For containers that may be in the middle of a change, such as a `RefCell` that is mutably
    /// borrowed. The edges that are reported all the same must be real. One store.
    ///
    /// ```
    /// use hoopsnake::{Trace, Tracer};
    /// struct Locked<T>(std::cell::RefCell<T>);
    ///
    /// // SAFETY: reports the content's edges, or that they are unknown.
    /// unsafe impl<T: Trace> Trace for Locked<T> {
    ///     fn trace(&self, tracer: &mut Tracer<'_>) {
    ///         match self.0.try_borrow() {
    ///             Ok(content) => content.trace(tracer),
    ///             Err(_) => tracer.edges_unknown(),
    ///         }
    ///     }
    /// }
    /// ```
    #[inline]
    pub fn edges_unknown(&mut self) {
        self.unknown = true;
    }

    /// Whether [`edges_unknown`](Self::edges_unknown) was called since the last time.
    #[inline(always)]
    pub(crate) fn take_unknown(&mut self) -> bool {
        // Seldom, so that nothing is written for most objects.
        self.unknown && core::mem::take(&mut self.unknown)
    }
}

impl core::fmt::Debug for Tracer<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tracer").field("pending", &self.len).finish_non_exhaustive()
    }
}
