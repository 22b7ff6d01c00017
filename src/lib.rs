#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

#[cfg(all(loom, not(crossbeam_loom)))]
compile_error!(
    "models need both `--cfg loom` and `--cfg crossbeam_loom`: with one of them they explore one schedule and pass"
);

// So that the paths `hoopsnake::…` in the derive's output also resolve inside this crate's own tests.
extern crate self as hoopsnake;

extern crate alloc;

// The layers, lowest first. Each uses those above its line and nothing below (tests/tidy.rs).

// Sizes, bit arithmetic, aborting; depends on nothing in the crate.
mod base;

// The only door to atomics, locks and cells, so that loom sees them.
mod sync;

// Virtual memory and the ends of threads.
#[cfg(not(loom))]
mod os;

// The allocator: arenas, pools, blocks, thread heaps.
pub mod heap;
#[cfg(not(loom))]
pub use heap::PoolAlloc;

// What a counted object is, without its type.
#[cfg(not(loom))]
mod object;

// Trial deletion over erased objects.
#[cfg(not(loom))]
mod cycle;

// The typed pointers.
#[cfg(not(loom))]
mod rc;
#[cfg(not(loom))]
pub use rc::{
    Cc, Dying, Finalize, FinalizeFn, Local, Policy, RawCc, RawWeak, Trace, TraceInfo, Tracer,
    Untraced, Weak, finalizer, gc,
};

/// What `#[derive(Trace)]` writes into its output.
#[cfg(not(loom))]
#[doc(hidden)]
pub use rc::private as __private;

#[cfg(feature = "derive")]
pub use hoopsnake_derive::Trace;

// Canonical values.
pub mod intern;

// The protocols, for loom-tests.
#[cfg(loom)]
pub mod model;

// What unit tests and fuzz targets share.
#[cfg(all(any(test, fuzzing), not(loom)))]
#[doc(hidden)]
pub mod checkers;
