//! Virtual memory by `mmap` and its family.
//!
//! # Safety
//! Every `unsafe fn` here has the same two conditions: the range lies within one reservation (or
//! mapping) made by this module and not yet given back, and nobody uses its contents after the call
//! where the call drops them.

use core::ptr::{NonNull, null_mut};

use super::Remapped;

/// Reserving takes addresses only.
pub(super) const LAZY: bool = true;

#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_RESERVE: libc::c_int = 0;

fn mmap(len: usize, protection: libc::c_int, flags: libc::c_int) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | flags;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nobody's memory.
    let place = unsafe { libc::mmap(null_mut(), len, protection, flags, -1, 0) };
    if place == libc::MAP_FAILED { None } else { NonNull::new(place.cast()) }
}

/// Takes `len` bytes of address space, aligned to `align`; no access is allowed before [`commit`].
pub(crate) fn reserve(len: usize, align: usize) -> Option<NonNull<u8>> {
    let padded = len.checked_add(align)?;
    let start = mmap(padded, libc::PROT_NONE, NO_RESERVE)?;
    let head = start.as_ptr().align_offset(align);
    // SAFETY: `head <= align`, so the aligned start lies within the padded mapping.
    let aligned = unsafe { start.add(head) };
    // SAFETY: as above: `len` bytes follow the aligned start.
    let tail = unsafe { aligned.add(len) };
    if head > 0 {
        // SAFETY: the head belongs to the mapping just made and nobody knows of it.
        unsafe { unmap(start, head) };
    }
    if align > head {
        // SAFETY: the tail belongs to the mapping just made and nobody knows of it.
        unsafe { unmap(tail, align - head) };
    }
    exclude_from_core_dumps(aligned, len);
    Some(aligned)
}

#[cfg(target_os = "linux")]
fn exclude_from_core_dumps(start: NonNull<u8>, len: usize) {
    // A terabyte of addresses would otherwise be walked by every core dump; commit undoes it.
    // SAFETY: advice about a range that was just reserved.
    let _ = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTDUMP) };
}

#[cfg(not(target_os = "linux"))]
fn exclude_from_core_dumps(_start: NonNull<u8>, _len: usize) {}

/// Makes reserved pages readable; they read as zero and take no memory. They can be committed later.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn show(start: NonNull<u8>, len: usize) {
    // SAFETY: the caller's reservation; more access rights invalidate nothing. Refused, it stays as
    // it was: reading it ends the process without a word.
    unsafe { libc::mprotect(start.as_ptr().cast(), len, libc::PROT_READ) };
}

/// Makes reserved pages readable and writable; they read as zero. False when memory is refused.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn commit(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the caller's reservation; more access rights invalidate nothing.
    let ok =
        unsafe { libc::mprotect(start.as_ptr().cast(), len, libc::PROT_READ | libc::PROT_WRITE) }
            == 0;
    #[cfg(target_os = "linux")]
    if ok {
        // SAFETY: advice about the caller's range.
        let _ = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DODUMP) };
    }
    ok
}

/// Says that large pages would serve committed memory better, where there are such.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn prefer_huge_pages(start: NonNull<u8>, len: usize) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: advice about the caller's range.
    let _ = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (start, len);
}

/// Takes [`prefer_huge_pages`] back.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn prefer_small_pages(start: NonNull<u8>, len: usize) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: advice about the caller's range.
    let _ = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_NOHUGEPAGE) };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (start, len);
}

/// Backs committed pages with memory at once, which is cheaper than a fault for each; a hint.
///
/// # Safety
/// See the module.
#[cfg(target_os = "linux")]
pub(crate) unsafe fn populate(start: NonNull<u8>, len: usize) {
    // SAFETY: the caller's committed range; its contents stay as they are.
    let _ = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_POPULATE_WRITE) };
}

/// Not available.
///
/// # Safety
/// See the module.
#[cfg(not(target_os = "linux"))]
pub(crate) unsafe fn populate(_start: NonNull<u8>, _len: usize) {}

/// Gives the memory of committed pages back; they stay accessible and read as zero.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn purge(start: NonNull<u8>, len: usize) {
    // SAFETY: the caller no longer needs the contents.
    let failed = unsafe { purge_pages(start, len) };
    if failed {
        // Locked pages cannot be dropped; callers still count on zeroes.
        // SAFETY: the caller's committed range.
        unsafe { start.write_bytes(0, len) };
    }
}

/// True when the kernel refused.
///
/// # Safety
/// See the module.
#[cfg(any(target_os = "linux", target_os = "android"))]
unsafe fn purge_pages(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the caller no longer needs the contents of its range.
    unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTNEED) != 0 }
}

/// True when the kernel refused. MADV_DONTNEED keeps the contents on the BSDs and macOS: fresh pages are
/// mapped over them instead.
///
/// # Safety
/// See the module.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
unsafe fn purge_pages(start: NonNull<u8>, len: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: replaces exactly the caller's pages, whose contents nobody needs.
    let place = unsafe { libc::mmap(start.as_ptr().cast(), len, rights, flags, -1, 0) };
    place == libc::MAP_FAILED
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
    mmap(len, libc::PROT_READ | libc::PROT_WRITE, 0)
}

/// Gives memory from [`map`] back.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn unmap(start: NonNull<u8>, len: usize) {
    // SAFETY: the caller's mapping, unused from here on.
    let _ = unsafe { libc::munmap(start.as_ptr().cast(), len) };
}

/// Moves the pages of `from` to `to`, which is reserved; `from` stays committed and reads as zero.
///
/// # Safety
/// See the module, for both ranges; the two do not overlap.
#[cfg(target_os = "linux")]
pub(crate) unsafe fn remap(from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Remapped {
    // Were `from` unmapped, another thread's `mmap` could get the hole before we have filled it.
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    // SAFETY: both ranges are the caller's; nothing else is mapped in `to`.
    let moved = unsafe { libc::mremap(from.as_ptr().cast(), len, len, flags, to.as_ptr()) };
    if moved != libc::MAP_FAILED {
        return Remapped::Moved;
    }
    // Kernels before 5.7 do not know the flag. What else is refused may be so after `to` was unmapped.
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EINVAL) => Remapped::Refused,
        _ => Remapped::Lost,
    }
}

/// Not available: callers copy.
///
/// # Safety
/// See the module.
#[cfg(not(target_os = "linux"))]
pub(crate) unsafe fn remap(_from: NonNull<u8>, _to: NonNull<u8>, _len: usize) -> Remapped {
    Remapped::Refused
}
