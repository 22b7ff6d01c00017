//! What Linux offers besides: huge pages, memory at once, pages that move. (Android's libc has the first only.)
//!
//! # Safety
//! As in `unix.rs`.

use core::ptr::NonNull;

use super::Remapped;

/// Whether memory that [`prefer_huge_pages`] is said of is backed with huge pages.
pub(crate) fn gives_huge_pages() -> bool {
    // SAFETY: a question about this process.
    if unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) } == 1 {
        return false;
    }
    // One of three words is chosen: "always [madvise] never".
    const CHOICE: &core::ffi::CStr = c"/sys/kernel/mm/transparent_hugepage/enabled";
    // SAFETY: the path is a string of C.
    let file = unsafe { libc::open(CHOICE.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return false;
    }
    let mut text = [0u8; 64];
    // SAFETY: the buffer has that many bytes.
    let len = unsafe { libc::read(file, text.as_mut_ptr().cast(), text.len()) };
    // SAFETY: just opened, and known to nobody else.
    unsafe { libc::close(file) };
    let text = &text[..usize::try_from(len).unwrap_or(0)];
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    has(b"[always]") || has(b"[madvise]")
}

/// Says that large pages would serve committed memory better, where there are such.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn prefer_huge_pages(start: NonNull<u8>, len: usize) {
    // SAFETY: advice about the caller's range.
    let _ = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
}

/// Takes [`prefer_huge_pages`] back.
///
/// # Safety
/// See the module.
pub(crate) unsafe fn prefer_small_pages(start: NonNull<u8>, len: usize) {
    // SAFETY: advice about the caller's range.
    let _ = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_NOHUGEPAGE) };
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
#[cfg(target_os = "android")]
pub(crate) unsafe fn populate(_start: NonNull<u8>, _len: usize) {}

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
    // Kernels before 5.7 do not know the flag. Those before 6.17 move one mapping at a time, and what was moved
    // and has grown since is two. They, and what else is refused, may have unmapped `to` by then.
    if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) || map_hole(to, len) {
        Remapped::Refused
    } else {
        Remapped::Lost
    }
}

/// Maps `len` zeroed bytes where nothing is mapped; false where something is.
#[cfg(target_os = "linux")]
fn map_hole(start: NonNull<u8>, len: usize) -> bool {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let flags =
        libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: replaces nothing that is mapped.
    let place = unsafe { libc::mmap(start.as_ptr().cast(), len, rights, flags, -1, 0) };
    place == start.as_ptr().cast()
}

/// Not available: callers copy.
///
/// # Safety
/// See the module.
#[cfg(target_os = "android")]
pub(crate) unsafe fn remap(_from: NonNull<u8>, _to: NonNull<u8>, _len: usize) -> Remapped {
    Remapped::Refused
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64", not(sanitized)))]
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "the block is one life of a mapping")]
mod tests {
    use super::super::{commit, unmap};
    use super::*;
    use crate::base::config::PAGE;

    /// A move that an old kernel refuses costs no addresses.
    #[test]
    fn what_a_refused_move_unmapped_is_mapped_again() {
        const LEN: usize = 4 * PAGE;
        // Where nobody's `mmap` comes upon the holes.
        let from = NonNull::without_provenance((64 << 30).try_into().expect("not null"));
        assert!(map_hole(from, 2 * LEN));
        // SAFETY: mapped and ours, but for the holes, until `unmap`.
        unsafe {
            let to = from.add(LEN);
            assert!(!map_hole(to, LEN), "it is mapped");
            unmap(to, LEN);
            assert!(map_hole(to, LEN), "it is ours again");
            assert!(commit(to, LEN));
            // Old kernels unmap the new place before they find more than one mapping at the old one; here is none.
            unmap(from, 2 * LEN);
            assert_eq!(remap(from, to, LEN), Remapped::Refused);
            assert!(!map_hole(to, LEN), "it is ours again");
            unmap(to, LEN);
        }
    }
}
