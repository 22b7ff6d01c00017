//! Virtual memory by `VirtualAlloc` and `VirtualFree`.
//!
//! Purging decommits and commits again: pages read as zero afterwards, and commit charge follows use.
//!
//! # Safety
//! As in `unix.rs`: ranges lie within one live reservation (or mapping) of this module, and nobody
//! uses contents that a call drops.

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};

/// Reserving takes addresses only.
pub(super) const LAZY: bool = true;

const MEM_COMMIT: u32 = 0x1000;
const MEM_RESERVE: u32 = 0x2000;
const MEM_DECOMMIT: u32 = 0x4000;
const MEM_RELEASE: u32 = 0x8000;
const PAGE_NOACCESS: u32 = 0x01;
const PAGE_READWRITE: u32 = 0x04;

#[link(name = "kernel32")]
unsafe extern "system" {
    fn VirtualAlloc(place: *mut c_void, size: usize, kind: u32, protection: u32) -> *mut c_void;
    fn VirtualFree(place: *mut c_void, size: usize, kind: u32) -> i32;
}

/// Takes `len` bytes of address space, aligned to `align`; no access is allowed before [`commit`].
///
/// A reservation can only be given back whole, so an aligned one is found by asking for more, giving
/// that back, and asking for its aligned part; another thread may be faster, hence the few tries.
pub(crate) fn reserve(len: usize, align: usize) -> Option<NonNull<u8>> {
    for _ in 0..8 {
        // SAFETY: a reservation at an address of the system's choice touches nobody's memory.
        let padded = unsafe {
            VirtualAlloc(null_mut(), len.checked_add(align)?, MEM_RESERVE, PAGE_NOACCESS)
        };
        let start = NonNull::new(padded.cast::<u8>())?;
        // SAFETY: the reservation was just made and nobody knows of it.
        unsafe { VirtualFree(padded, 0, MEM_RELEASE) };
        let wanted = start.as_ptr().wrapping_add(start.as_ptr().align_offset(align));
        // SAFETY: refused if the range has been taken in the meantime.
        let place = unsafe { VirtualAlloc(wanted.cast(), len, MEM_RESERVE, PAGE_NOACCESS) };
        if let Some(place) = NonNull::new(place.cast()) {
            return Some(place);
        }
    }
    None
}

/// Nobody looks at reserved pages here: `ADDRESSES` is 0.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn show(_start: NonNull<u8>, _len: usize) {}

/// Makes reserved pages readable and writable; they read as zero. False when memory is refused.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn commit(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the caller's reservation; pages that are committed already keep their contents.
    let place = unsafe { VirtualAlloc(start.as_ptr().cast(), len, MEM_COMMIT, PAGE_READWRITE) };
    !place.is_null()
}

/// Gives the memory of committed pages back; they stay accessible and read as zero.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn purge(start: NonNull<u8>, len: usize) {
    // SAFETY: the caller no longer needs the contents.
    let gone = unsafe { VirtualFree(start.as_ptr().cast(), len, MEM_DECOMMIT) } != 0;
    // SAFETY: the caller's range, which stays reserved.
    if gone && unsafe { commit(start, len) } {
        return;
    }
    if gone {
        // The pages are lost to whoever uses them next: there is no way to say so.
        crate::base::cold::abort(format_args!("no memory to commit {len} purged bytes again"));
    }
    // SAFETY: the caller's committed range.
    unsafe { start.write_bytes(0, len) }
}

/// Gives the addresses of a whole reservation back.
///
/// # Safety
/// See the module; `align` is what the reservation was made with.
pub(crate) unsafe fn release(start: NonNull<u8>, len: usize, _align: usize) {
    // SAFETY: the caller's reservation, unused from here on.
    unsafe { unmap(start, len) }
}

/// Takes `len` bytes of zeroed memory.
pub(crate) fn map(len: usize) -> Option<NonNull<u8>> {
    // SAFETY: new memory at an address of the system's choice touches nobody's.
    let place = unsafe { VirtualAlloc(null_mut(), len, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) };
    NonNull::new(place.cast())
}

/// Gives memory from [`map`] back.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn unmap(start: NonNull<u8>, _len: usize) {
    // SAFETY: the caller's mapping, unused from here on; a size of 0 means all of it.
    unsafe { VirtualFree(start.as_ptr().cast(), 0, MEM_RELEASE) };
}
