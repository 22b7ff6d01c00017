//! The allocator: arenas, pools, blocks, thread heaps, and what they hold.
//!
//! Words (pymalloc's): an **arena** is a large aligned piece of the reservation; a **pool** is a
//! granule (64 KiB, or a few) of blocks of one **size class**; a **block** is what the caller gets.

#[cfg(not(loom))]
mod arena;
#[cfg(not(loom))]
mod block;
#[cfg(not(loom))]
mod check;
#[cfg(not(loom))]
mod global;
#[cfg(not(loom))]
mod large;
#[cfg(not(loom))]
pub(crate) mod object_pool;
#[cfg(not(loom))]
mod poison;
#[cfg(not(loom))]
mod pool;
pub(crate) mod registry;
#[cfg(not(loom))]
mod reservation;
#[cfg(not(loom))]
mod size_class;
#[cfg(not(loom))]
mod thread;
pub(crate) mod word;

#[cfg(not(loom))]
pub use global::PoolAlloc;

#[cfg(all(test, not(loom)))]
mod tests;
