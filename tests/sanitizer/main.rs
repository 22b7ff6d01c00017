//! Errors made on purpose, which AddressSanitizer and valgrind must report: without poisoned free blocks
//! they see nothing inside our pools, and a clean run of the other tests would mean nothing.
//!
//! Run by `.ci/san` and `.ci/valgrind`; empty without `--cfg sanitized` or `--cfg valgrind`.
#![cfg(any(sanitized, valgrind))]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::RefCell;
use std::process::Command;

use hoopsnake::{Cc, PoolAlloc, Trace};

/// Set in the child process that makes the error.
const SEED: &str = "HOOPSNAKE_SEED";

/// What AddressSanitizer and valgrind call a read of a freed block.
const REPORTS: [&str; 3] = [
    "AddressSanitizer: use-after-poison",
    "AddressSanitizer: heap-use-after-free",
    "Invalid read of size 1",
];

/// Runs `error` in a process of its own (the same test, called again) and expects a report.
fn must_be_reported(test: &str, error: fn()) {
    if std::env::var_os(SEED).is_some() {
        return error();
    }
    let program = std::env::current_exe().expect("the path of this test");
    let child =
        Command::new(program).args([test, "--exact", "--nocapture"]).env(SEED, "1").output();
    let output = child.expect("this test can be started again");
    let errors = String::from_utf8_lossy(&output.stderr);
    let reported = REPORTS.iter().any(|report| errors.contains(report));
    assert!(reported && !output.status.success(), "{test} was not reported:\n{errors}");
}

/// Reads a byte that the optimizer cannot know.
fn read(place: *const u8) {
    // SAFETY: wrong on purpose: the callers have freed the byte, and the sanitizer must say so.
    core::hint::black_box(unsafe { place.read_volatile() });
}

fn read_freed_block(size: usize) {
    let layout = Layout::from_size_align(size, 8).expect("a valid layout");
    // SAFETY: the layout's size is not zero.
    let block = unsafe { PoolAlloc.alloc(layout) };
    assert!(!block.is_null());
    // SAFETY: the block is `size` bytes long.
    unsafe { block.write_bytes(1, size) };
    // SAFETY: allocated above with the same layout.
    unsafe { PoolAlloc.dealloc(block, layout) };
    // The last byte: the first ones may hold a free list's link.
    read(block.wrapping_add(size - 1));
}

/// A thread keeps what it frees of another's pool for a while.
fn read_block_freed_on_another_thread() {
    let layout = Layout::from_size_align(48, 8).expect("a valid layout");
    // SAFETY: the layout's size is not zero.
    let block = unsafe { PoolAlloc.alloc(layout) } as usize;
    let freed = std::thread::spawn(move || {
        let block = core::ptr::with_exposed_provenance_mut::<u8>(block);
        // SAFETY: allocated above with the same layout.
        unsafe { PoolAlloc.dealloc(block, layout) };
        read(block.wrapping_add(47));
    });
    freed.join().expect("no panic");
}

#[derive(Trace)]
struct Node {
    number: u64,
    next: RefCell<Option<Cc<Node>>>,
}

fn read_freed_object() {
    let object = Cc::into_raw(Cc::new(Node { number: 7, next: RefCell::new(None) }));
    // SAFETY: `into_raw` gave this handle away and nobody else took it back.
    drop(unsafe { Cc::from_raw(object) });
    read(object.cast());
}

fn read_collected_object() {
    let object = Cc::new(Node { number: 7, next: RefCell::new(None) });
    object.next.replace(Some(object.clone()));
    let place = Cc::as_ptr(&object);
    drop(object);
    assert_eq!(hoopsnake::gc::collect(), 1);
    read(place.cast());
}

#[test]
fn a_freed_small_block() {
    must_be_reported("a_freed_small_block", || read_freed_block(48));
}

#[test]
fn a_freed_pool_block() {
    must_be_reported("a_freed_pool_block", || read_freed_block(8 << 10));
}

#[test]
fn a_block_freed_on_another_thread() {
    must_be_reported("a_block_freed_on_another_thread", read_block_freed_on_another_thread);
}

#[test]
fn a_freed_object() {
    must_be_reported("a_freed_object", read_freed_object);
}

#[test]
fn a_collected_object() {
    must_be_reported("a_collected_object", read_collected_object);
}

#[test]
fn live_values_are_not_reported() {
    let object = Cc::new(Node { number: 7, next: RefCell::new(None) });
    read(Cc::as_ptr(&object).cast());
    assert_eq!(object.number, 7);
}
