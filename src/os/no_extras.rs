//! Where there is nothing of what `linux.rs` offers.
//!
//! # Safety
//! As in `unix.rs`.

use core::ptr::NonNull;

use super::Remapped;

/// Not known.
pub(crate) fn gives_huge_pages() -> bool {
    false
}

/// Not available.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn prefer_huge_pages(_start: NonNull<u8>, _len: usize) {}

/// Not available.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn prefer_small_pages(_start: NonNull<u8>, _len: usize) {}

/// Not available.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn populate(_start: NonNull<u8>, _len: usize) {}

/// Not available: callers copy.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn remap(_from: NonNull<u8>, _to: NonNull<u8>, _len: usize) -> Remapped {
    Remapped::Refused
}
