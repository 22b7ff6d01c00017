//! `PoolAlloc` as the tests install it: a call of the allocator from inside of itself ends the process.
//!
//! So every test that passes has counted zero re-entrant calls. Not seen are those of C libraries to
//! their own `malloc`.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;

use hoopsnake::PoolAlloc;

/// The allocator, watched.
pub struct Watched;

thread_local! {
    /// Whether this thread is inside of the allocator.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call of the allocator, which must not be inside of another.
fn watch<R>(call: impl FnOnce() -> R) -> R {
    if INSIDE.replace(true) {
        re_entered();
    }
    let result = call();
    INSIDE.set(false);
    result
}

#[cold]
fn re_entered() -> ! {
    INSIDE.set(false);
    eprintln!("the allocator called itself");
    std::process::abort()
}

// SAFETY: `PoolAlloc` does it all.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        watch(|| unsafe { PoolAlloc.alloc(layout) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        watch(|| unsafe { PoolAlloc.dealloc(place, layout) });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        watch(|| unsafe { PoolAlloc.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's.
        watch(|| unsafe { PoolAlloc.realloc(place, layout, size) })
    }
}
