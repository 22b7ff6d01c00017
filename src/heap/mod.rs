//! The allocator: arenas, pools, blocks, thread heaps, and what they hold.
//!
//! Words (pymalloc's): an **arena** is a large aligned piece of the reservation; a **pool** is a
//! granule (64 KiB, or a few) of blocks of one **size class**; a **block** is what the caller gets.
//!
//! ```
//! use hoopsnake::{PoolAlloc, heap};
//!
//! #[global_allocator]
//! static GLOBAL: PoolAlloc = PoolAlloc;
//!
//! let before = heap::allocated_blocks();
//! let list = vec![1, 2, 3];
//! assert_eq!(heap::allocated_blocks(), before + 1);
//! drop(list);
//! println!("{}", heap::stats());
//! ```

#[cfg(not(loom))]
mod allowance;
#[cfg(not(loom))]
mod arena;
#[cfg(not(loom))]
mod block;
#[cfg(not(loom))]
mod chain;
#[cfg(not(loom))]
mod check;
#[cfg(not(loom))]
pub(crate) mod counters;
#[cfg(not(loom))]
mod dirt;
#[cfg(not(loom))]
mod ends;
#[cfg(not(loom))]
mod global;
#[cfg(not(loom))]
mod huge;
#[cfg(not(loom))]
mod huge_pages;
#[cfg(not(loom))]
mod large;
#[cfg(not(loom))]
mod object_class;
#[cfg(not(loom))]
pub(crate) mod object_pool;
#[cfg(not(loom))]
mod poison;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
mod purge;
pub(crate) mod registry;
#[cfg(not(loom))]
mod remote;
#[cfg(not(loom))]
mod reservation;
#[cfg(not(loom))]
mod roomy;
#[cfg(not(loom))]
mod size_class;
#[cfg(not(loom))]
mod slot;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod sweep;
#[cfg(not(loom))]
mod thread;
pub(crate) mod word;

#[cfg(not(loom))]
pub use check::{Checks, set_checks};
#[cfg(not(loom))]
pub use global::PoolAlloc;
#[cfg(not(loom))]
pub use stats::{ARENA_SIZE, ClassStats, Stats, allocated_blocks, stats};

/// Gives back to the operating system what the heap does not use: free granules, empty pools of this
/// thread and of no thread, and whole free pages inside their pools. Returns the bytes.
///
/// Pools that other threads hold are left alone, and so is what such a thread freed and did not send home
/// yet: at most 128 blocks of a size class, and 16 KiB, with the pools that these keep from going back.
///
/// ```
/// let numbers: Vec<Box<u64>> = (0..100_000).map(Box::new).collect();
/// drop(numbers);
/// hoopsnake::heap::trim();
/// ```
///
/// # Cost
/// A walk over the pools that it may touch, and a system call for each run of pages given back; the
/// next use of those pages costs a page fault each. Python keeps such memory for ever.
#[cfg(not(loom))]
pub fn trim() -> usize {
    let mut bytes = 0;
    let heap = thread::ThreadHeap::current();
    if heap.is_own() {
        bytes += heap.trim();
    }
    bytes += ends::trim_listed();
    bytes + arena::lock().trim()
}

/// Asserts every invariant that the heap's documentation states, as far as this thread may look: its
/// own heap, and the arenas.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_invariants() {
    let heap = thread::ThreadHeap::current();
    if heap.is_own() {
        heap.check_invariants();
    }
    arena::lock().check_invariants();
    let stats = stats();
    let parts = stats.allocated + stats.available + stats.unused_pools + stats.headers;
    assert_eq!(parts + stats.quantization + stats.alignment, stats.total(), "{stats}");
}

#[cfg(all(test, not(loom)))]
mod tests;
