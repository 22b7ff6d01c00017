//! Memory for the trial counters of many pools: while a run needs them, in huge pages where they are dense.
//!
//! Counters are used now and then, and read as zero in between. So their memory comes and goes, and a fault
//! for each page of them is a large part of what a run costs.

use core::ptr::NonNull;

use super::object_pool::ObjectPool;
use crate::base::config::{COUNTERS, HUGE_PAGE};
use crate::os;

/// A huge page is worth it for so many pools, of all whose counters are in it: memory for the rest of them
/// stays until the system looks for some.
const DENSE: usize = HUGE_PAGE / COUNTERS * 7 / 8;

/// Asks for memory for the counters of some pools, which are in the order of addresses.
pub(crate) fn want(pools: &[ObjectPool]) {
    // SAFETY: it lies in the reservation, and stays what it is.
    for_each_dense(pools, |page| unsafe { os::prefer_huge_pages(page, HUGE_PAGE) });
}

/// Sets the counters of some pools back, which are in the order of addresses: their memory goes back to the
/// system.
pub(crate) fn give_back(pools: &[ObjectPool]) {
    let end = |pool: &ObjectPool| pool.counters().addr().get() + COUNTERS;
    for run in pools.chunk_by(|pool, next| end(pool) == next.counters().addr().get()) {
        // SAFETY: the counters of a granule are whole pages of committed metadata, and only its holder, this
        // thread, uses them; it holds no reference across this call.
        unsafe { os::purge(run[0].counters(), run.len() * COUNTERS) };
    }
    // SAFETY: as in `want`.
    for_each_dense(pools, |page| unsafe { os::prefer_small_pages(page, HUGE_PAGE) });
}

/// Calls `f` with each huge page that most of are counters of these pools.
fn for_each_dense(pools: &[ObjectPool], f: impl Fn(NonNull<u8>)) {
    let page = |pool: &ObjectPool| pool.counters().addr().get() / HUGE_PAGE;
    for near in pools.chunk_by(|a, b| page(a) == page(b)) {
        if near.len() >= DENSE {
            let first = near[0].counters();
            // SAFETY: still in the reservation, which begins at the start of an arena.
            f(unsafe { first.byte_sub(first.addr().get() % HUGE_PAGE) });
        }
    }
}
