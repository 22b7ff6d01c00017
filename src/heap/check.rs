//! What is noticed of a caller's mistakes off the fast path: abort with pointer, class and sizes.

use core::ptr::NonNull;

use super::pool::{Kind, PoolRef};
use super::reservation::is_ours;
use crate::base::cold::abort;

/// Aborts unless `place` can be the start of a live block of a raw pool.
pub(super) fn raw_block(pool: PoolRef, place: NonNull<u8>) {
    let addr = place.as_ptr() as usize;
    if !is_ours(addr) {
        abort(format_args!("dealloc of {place:p}, which this allocator did not hand out"));
    }
    if pool.kind() != Kind::Raw {
        let kind = pool.kind();
        abort(format_args!(
            "dealloc of {place:p} with a small layout, but it lies in a {kind:?} granule"
        ));
    }
    let (start, size) = (pool.start().as_ptr() as usize, pool.block_size());
    if !(addr - start).is_multiple_of(size) {
        abort(format_args!(
            "dealloc of {place:p}, which is not the start of a block of {size} bytes"
        ));
    }
}

/// Aborts unless `place` is the start of a run of granules.
pub(super) fn run(pool: PoolRef, place: NonNull<u8>, size: usize) {
    if pool.kind() != Kind::Run || pool.start() != place {
        let kind = pool.kind();
        abort(format_args!(
            "dealloc of {place:p} with {size} bytes, but it lies in a {kind:?} granule"
        ));
    }
}

/// A block cannot be freed for want of memory for a heap.
pub(super) fn no_memory_for_heap() -> ! {
    abort(format_args!("no memory for the heap of a thread that has ended"))
}
