//! Virtual memory by `mmap` and its family.
//!
//! # Safety
//! Every `unsafe fn` here has the same two conditions: the range lies within one reservation (or
//! mapping) made by this module and not yet given back, and nobody uses its contents after the call
//! where the call drops them.

use core::num::NonZero;
use core::ptr::{NonNull, null_mut};

use crate::base::config::PAGE;

/// Reserving takes addresses only.
pub(super) const LAZY: bool = true;

#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_RESERVE: libc::c_int = 0;

/// Bytes of the kernel's pages: 16 or 64 KiB on some aarch64 systems, which is more than [`PAGE`].
fn system_page() -> usize {
    if cfg!(target_arch = "x86_64") {
        return PAGE;
    }
    // SAFETY: a question about a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).map_or(PAGE, |page| page.max(PAGE))
}

/// The whole pages around a range: the kernel refuses a start within a page.
fn pages_around(start: NonNull<u8>, len: usize, page: usize) -> (NonNull<u8>, usize) {
    let before = start.addr().get() % page;
    let first = start.map_addr(|addr| NonZero::new(addr.get() - before).unwrap_or(addr));
    (first, before + len)
}

/// Bytes at the ends of a range that are parts of pages which it shares with its neighbours.
fn ragged_ends(start: NonNull<u8>, len: usize, page: usize) -> (usize, usize) {
    let before = start.as_ptr().align_offset(page).min(len);
    (before, (len - before) % page)
}

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
    let (start, len) = pages_around(start, len, system_page());
    // SAFETY: the caller's reservation; more access rights invalidate nothing. Refused, it stays as
    // it was: reading it ends the process without a word.
    unsafe { libc::mprotect(start.as_ptr().cast(), len, libc::PROT_READ) };
}

/// Makes reserved pages readable and writable; they read as zero. False when memory is refused.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn commit(start: NonNull<u8>, len: usize) -> bool {
    let (start, len) = pages_around(start, len, system_page());
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

/// Gives the memory of committed pages back; they stay accessible and read as zero.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn purge(start: NonNull<u8>, len: usize) {
    // SAFETY: the caller's.
    unsafe { purge_by(start, len, system_page()) }
}

/// The same where the kernel's pages have `page` bytes: it would drop all of a page that the range ends in.
///
/// # Safety
/// See the module.
unsafe fn purge_by(start: NonNull<u8>, len: usize, page: usize) {
    let (before, after) = ragged_ends(start, len, page);
    let whole = len - before - after;
    // SAFETY: within the caller's range.
    let first = unsafe { start.add(before) };
    // SAFETY: the caller no longer needs the contents.
    let kept = if whole > 0 && !unsafe { purge_pages(first, whole) } { 0 } else { whole };
    // Locked pages cannot be dropped; callers still count on zeroes.
    // SAFETY: the caller's committed range.
    unsafe { start.write_bytes(0, before + kept) };
    // SAFETY: as above.
    let rest = unsafe { first.add(whole) };
    // SAFETY: as above.
    unsafe { rest.write_bytes(0, after) };
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

#[cfg(test)]
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "the block is one life of a mapping")]
mod tests {
    use super::*;

    #[test]
    fn purging_parts_of_large_pages_spares_their_neighbours() {
        const LARGE: usize = 64 << 10;
        let len = 4 * LARGE;
        for (first, last) in
            [(0, len), (PAGE, len - PAGE), (PAGE, 2 * PAGE), (LARGE - PAGE, LARGE + PAGE)]
        {
            let pages = map(len).expect("a few pages");
            // SAFETY: mapped and ours until `unmap`; the range lies within.
            unsafe {
                pages.write_bytes(7, len);
                purge_by(pages.add(first), last - first, LARGE);
                let bytes = core::slice::from_raw_parts(pages.as_ptr(), len);
                let wrong = (0..len).find(|i| (bytes[*i] == 0) != (first..last).contains(i));
                assert_eq!(wrong, None, "{first}..{last}");
                unmap(pages, len);
            }
        }
    }

    #[test]
    fn rights_are_given_to_whole_pages() {
        let at = NonNull::without_provenance(0x5_1000.try_into().expect("not null"));
        assert_eq!(pages_around(at, PAGE, PAGE), (at, PAGE));
        let (start, len) = pages_around(at, PAGE, 64 << 10);
        assert_eq!((start.addr().get(), len), (0x5_0000, 0x2000));
    }
}
