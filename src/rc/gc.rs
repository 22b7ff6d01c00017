//! This thread's collector: Python's `gc` module.
//!
//! Each thread has its own. Automatic runs begin inside [`Cc::new`](crate::Cc::new), after the new
//! object is complete.

pub use crate::cycle::Generation;

use crate::cycle;

/// Collects all garbage; returns the number of objects freed, as `gc.collect()` does.
///
/// Objects that die by count on the way are not counted, nor those that a finalizer resurrects. Returns 0
/// where no run may begin: inside a run's callbacks, and while a value is being dropped or finalized.
/// Takes about 30 ns per live object with edges, plus what the drops take; 4 bytes per block meanwhile.
///
/// # Panics
/// With the first panic of the finalizers and drops that it ran, after it is complete.
///
/// ```
/// use std::cell::RefCell;
/// use hoopsnake::{Cc, gc};
///
/// # use hoopsnake::{Trace, TraceInfo, Tracer};
/// struct Node { next: RefCell<Option<Cc<Node>>> }
/// # unsafe impl Trace for Node { fn trace(&self, t: &mut Tracer<'_>) { self.next.trace(t) } }
/// # impl TraceInfo for Node {}
///
/// let node = Cc::new(Node { next: RefCell::new(None) });
/// *node.next.borrow_mut() = Some(node.clone());
/// drop(node);
/// assert_eq!(gc::collect(), 1);
/// ```
pub fn collect() -> usize {
    cycle::collect(Generation::Old)
}

/// Collects one generation and all younger ones: `gc.collect(generation)`. See [`collect`].
///
/// Survivors become one generation older, after [`Generation::Old`] old. The time grows with the
/// objects it takes, not with those that they point to.
///
/// ```
/// use hoopsnake::gc::{self, Generation};
/// assert_eq!(gc::collect_generation(Generation::Young), 0);
/// ```
pub fn collect_generation(generation: Generation) -> usize {
    cycle::collect(generation)
}

/// Lets runs begin by themselves, which is the default. `gc.enable()`.
///
/// ```
/// # use hoopsnake::gc;
/// gc::disable();
/// gc::enable();
/// assert!(gc::is_enabled());
/// ```
pub fn enable() {
    cycle::set_enabled(true);
}

/// Keeps runs from beginning by themselves; [`collect`] still works. `gc.disable()`.
///
/// ```
/// # use hoopsnake::gc;
/// gc::disable();
/// assert!(!gc::is_enabled());
/// ```
pub fn disable() {
    cycle::set_enabled(false);
}

/// Whether runs begin by themselves on this thread. `gc.isenabled()`.
///
/// ```
/// assert!(hoopsnake::gc::is_enabled());
/// ```
#[must_use]
pub fn is_enabled() -> bool {
    cycle::is_enabled()
}
