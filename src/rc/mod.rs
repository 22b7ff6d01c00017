//! The typed pointers: [`Cc`], [`Weak`], and what they need of a type ([`Trace`]).
//!
//! # Why deref checks nothing
//! A handle reaches its value by one load, though the collector drops whole cycles. That is sound under
//! five conditions:
//! 1. Types with edges do not implement `Drop`: a finalizer runs instead, while everything is intact. So
//!    no user code can reach a value that the collector has dropped. All members of a garbage cycle are
//!    dead for their weak handles before the first is dropped.
//! 2. `Trace: 'static`: a cycle may live until the thread ends.
//! 3. What `&mut` was given to is not looked at by the collector ([`unique`]), and a `RefCell` that is
//!    mutably borrowed keeps its owner alive.
//! 4. A death during a run takes the object out of the run; new objects are not part of it.
//! 5. Nothing that looks at the heap as a whole hands out handles.
//!
//! One source for all pointers: [`RawCc`] and [`RawWeak`] are generic over how handles are counted.

mod convert;
mod finalize;
pub mod gc;
mod impls;
mod policy;
pub mod private;
mod raw;
mod trace_impls;
mod unique;
mod untraced;
mod weak;

pub use finalize::{Dying, Finalize, finalizer};
pub use policy::{Local, Policy};
pub use raw::RawCc;
pub use untraced::Untraced;
pub use weak::RawWeak;

pub use crate::object::trace::{FinalizeFn, Trace, TraceInfo, Tracer};

/// A counted pointer of one thread, whose cycles are collected: Python's reference.
///
/// As `std::rc::Rc`, one word; it differs in that a cycle of handles is no leak: the thread's collector
/// finds it. For that the value's type says which handles it holds ([`Trace`], usually derived).
/// A block is 8 bytes larger than the value, 16 if the type may hold handles.
///
/// The last handle drops the value at once, and so what that holds, in the order of `Rc`: as far down as 4 KiB of
/// stack reach, which is some forty objects that hold each other, or more. Without optimisation it is 20 KiB, and
/// some six objects. What dies deeper, or in a coroutine that a drop resumes, is dropped when the outermost drop is
/// done. So a list of millions of objects takes no more stack than that.
///
/// ```
/// use std::cell::RefCell;
/// use hoopsnake::{Cc, gc};
///
/// let list = Cc::new(RefCell::new(vec![1, 2, 3]));
/// let same = list.clone();
/// same.borrow_mut().push(4);
/// assert_eq!(*list.borrow(), [1, 2, 3, 4]);
/// assert!(Cc::ptr_eq(&list, &same));
/// assert_eq!(gc::collect(), 0);
/// ```
pub type Cc<T> = RawCc<T, Local>;

/// A handle to an object of [`Cc`] that does not keep it alive: Python's `weakref.ref`.
///
/// One word. The value is dropped with the last `Cc`; the block stays until the last `Weak` is gone.
///
/// ```
/// use hoopsnake::{Cc, Weak};
/// let strong = Cc::new(5);
/// let weak: Weak<i32> = Cc::downgrade(&strong);
/// assert_eq!(*weak.upgrade().unwrap(), 5);
/// drop(strong);
/// assert!(weak.upgrade().is_none());
/// ```
pub type Weak<T> = RawWeak<T, Local>;

#[cfg(test)]
mod tests;
