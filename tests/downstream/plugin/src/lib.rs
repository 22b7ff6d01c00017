//! What a program finds in a library that has a copy of hoopsnake of its own.

use hoopsnake::intern::intern;
use hoopsnake::{Cc, PoolAlloc, gc, heap};
use std::cell::RefCell;

#[global_allocator]
static GLOBAL: PoolAlloc = PoolAlloc;

#[derive(hoopsnake::Trace)]
struct Node {
    next: RefCell<Option<Cc<Node>>>,
}

thread_local! {
    static LATE: RefCell<Vec<Box<usize>>> = const { RefCell::new(Vec::new()) };
}

/// Allocates, starts threads, collects a cycle, interns; returns the library's arenas.
#[no_mangle]
pub extern "C" fn plugin_work(seed: usize) -> usize {
    LATE.with(|late| late.borrow_mut().extend((0..100).map(Box::new)));
    let threads: Vec<_> = (0..2)
        .map(|thread| std::thread::spawn(move || vec![vec![thread as u8; 300]; seed % 50]))
        .collect();
    let vectors: usize = threads.into_iter().map(|thread| thread.join().unwrap().len()).sum();
    assert_eq!(vectors, 2 * (seed % 50));

    let node = Cc::new(Node { next: RefCell::new(None) });
    node.next.replace(Some(node.clone()));
    drop(node);
    assert_eq!(gc::collect(), 1);
    assert!(intern("plugin").ptr_eq(&intern("plugin")));

    let stats = heap::stats();
    let parts = stats.allocated + stats.available + stats.unused_pools + stats.headers;
    assert_eq!(parts + stats.quantization + stats.alignment, stats.total());
    stats.arenas
}

/// A block of the library's heap, filled with `byte`.
#[no_mangle]
pub extern "C" fn plugin_alloc(len: usize, byte: u8) -> *mut u8 {
    Box::into_raw(vec![byte; len].into_boxed_slice()).cast()
}

/// Frees a block of the library's heap.
///
/// # Safety
/// `place` came from `plugin_alloc` with this length, and is freed once.
#[no_mangle]
pub unsafe extern "C" fn plugin_free(place: *mut u8, len: usize) {
    // SAFETY: the caller's.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(place, len)) });
}
