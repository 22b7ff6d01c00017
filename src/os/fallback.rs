//! Memory from the System allocator, where there is no `mmap` (and under Miri).
//!
//! # Safety
//! As in `unix.rs`: ranges lie within one live reservation (or mapping) of this module, and nobody
//! uses contents that a call drops.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use std::alloc::System;

use crate::base::config::PAGE;

/// Reserving takes memory: callers reserve little.
pub(super) const LAZY: bool = false;

/// Takes `len` bytes aligned to `align`.
pub(crate) fn reserve(len: usize, align: usize) -> Option<NonNull<u8>> {
    let layout = Layout::from_size_align(len, align.max(PAGE)).ok()?;
    // SAFETY: callers reserve at least a page, so the size is not zero.
    NonNull::new(unsafe { System.alloc_zeroed(layout) })
}

/// Nobody looks at reserved pages here: `ADDRESSES` is 0.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn show(_start: NonNull<u8>, _len: usize) {}

/// Nothing to do: reserved memory is accessible and zero.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn commit(_start: NonNull<u8>, _len: usize) -> bool {
    true
}

/// Fills with zeroes; the memory stays.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn purge(start: NonNull<u8>, len: usize) {
    // SAFETY: the caller's range, whose contents nobody needs.
    unsafe { start.write_bytes(0, len) }
}

/// Gives a reservation back.
///
/// # Safety
/// See the module; `align` is what the reservation was made with.
pub(crate) unsafe fn release(start: NonNull<u8>, len: usize, align: usize) {
    // SAFETY: `reserve` accepted the same numbers.
    let layout = unsafe { Layout::from_size_align_unchecked(len, align.max(PAGE)) };
    // SAFETY: allocated by `reserve` with this layout.
    unsafe { System.dealloc(start.as_ptr(), layout) }
}

/// Takes `len` bytes of zeroed memory.
pub(crate) fn map(len: usize) -> Option<NonNull<u8>> {
    reserve(len, PAGE)
}

/// Gives memory from [`map`] back.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn unmap(start: NonNull<u8>, len: usize) {
    // SAFETY: the caller's mapping, made by `map`.
    unsafe { release(start, len, PAGE) }
}
