//! The only door to atomics, cells and locks.
//!
//! Everything above spells `crate::sync::…`; under `--cfg loom` the same names are loom's, so that
//! the models in `loom-tests/` run the product's own code.
//!
//! - [`atomic`]: the atomic types, [`atomic::Ordering`] and [`atomic::fence`].
//! - [`cell::UnsafeCell`]: `with` and `with_mut` give the raw pointer; loom reports unordered accesses.
//! - [`RawMutex`]: a lock that never allocates and is whole in a forked child. (parking_lot's slow path
//!   allocates; in a child it hands locks to sleepers that are gone, and its table of sleepers may be locked
//!   for ever; and it does not let the forking thread pass: `tests/fork.rs` shows the first and the last.)
//! - `count_down`: a counter with one writer.
//! - [`Published`]: a value that never goes away, found without a lock.
//! - [`Arc`], [`OnceLock`]: std's.
//! - `const_fn!`: a function that is `const` except under loom, whose constructors are not.

#[cfg(not(loom))]
mod native;
#[cfg(not(loom))]
pub(crate) use native::*;

#[cfg(loom)]
mod modelled;
#[cfg(loom)]
pub(crate) use modelled::*;

/// Defines a function that is `const`, except under loom.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis const fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $name($($arg: $ty),*) -> $ret $body

        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) -> $ret $body
    };
}
pub(crate) use const_fn;

#[cfg(not(loom))]
mod countdown;
#[cfg(not(loom))]
pub(crate) use countdown::count_down;

mod published;
pub use published::Published;

// The models of what stands above take loom's mutex for it: fewer schedules.
pub(crate) mod raw_lock;
#[cfg(not(loom))]
pub(crate) use raw_lock::{RawMutex, RawMutexGuard};
