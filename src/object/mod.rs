//! What a counted object is, without its type.
//!
//! ```text
//!         value-16             value-8           value
//!  ┌──────────────────────┬───────────────┬───────────────
//!  │ vtable, if `TRACED`  │ count word    │ T …
//!  └──────────────────────┴───────────────┴───────────────
//!                          ▲ ObjectRef     ▲ Cc<T>, Weak<T>
//! ```
//!
//! A *leaf* has no vtable: its type holds no edges and has no finalizer, so only typed handles ever
//! touch it. A slice with edges keeps its vtable, with its length, behind its elements.
//!
//! - [`header`]: the count word, its states and transitions.
//! - [`erased`]: [`ObjectRef`], and the offsets above.
//! - [`vtable`]: what the collector does with an object of unknown type.
//! - [`trace`]: how a type reports its edges.
//! - [`side`]: the bits of an object that lie outside of it, in its pool.
//! - [`deferred`]: drops nest to a bounded depth.
//! - [`dirty`]: which old objects lost a handle.
//! - [`death`]: what happens when the last handle is gone.

pub(crate) mod death;
pub(crate) mod deferred;
pub(crate) mod dirty;
pub(crate) mod erased;
pub(crate) mod header;
pub(crate) mod side;
pub(crate) mod trace;
pub(crate) mod vtable;

pub use erased::ObjectRef;
