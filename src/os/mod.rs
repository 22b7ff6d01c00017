//! Virtual memory, the ends of threads, and forks; knows nothing of blocks.
//!
//! | verb | meaning | Unix (Windows alike) | elsewhere, Miri |
//! |---|---|---|---|
//! | [`reserve`] | address space without memory | `mmap(PROT_NONE)` | the System allocator |
//! | [`show`] | readable, zero, without memory | `mprotect` | nothing |
//! | [`commit`] | readable and writable, zero | `mprotect` | nothing |
//! | [`populate`] | memory at once, a hint | `madvise(POPULATE_WRITE)` on Linux | nothing |
//! | [`purge`] | memory back, addresses stay, zero | `madvise(DONTNEED)` | a fill with zeroes |
//! | [`release`] | addresses back | `munmap` | the System allocator |
//! | [`map`] | reserve and commit at once | `mmap` | the System allocator, zeroed |
//! | [`remap`] | move pages to other reserved addresses | `mremap` | refused |
//!
//! All lengths and addresses are multiples of [`PAGE`](crate::base::config::PAGE). Nothing here
//! allocates or unwinds, and the verbs take no lock.

#[cfg(all(unix, not(miri)))]
mod unix;
#[cfg(all(unix, not(miri)))]
use unix as imp;

#[cfg(all(windows, not(miri)))]
mod windows;
#[cfg(all(windows, not(miri)))]
use windows as imp;

#[cfg(any(not(any(unix, windows)), miri))]
mod fallback;
#[cfg(any(not(any(unix, windows)), miri))]
use fallback as imp;

pub(crate) mod fork;
pub(crate) mod thread_end;

pub(crate) use imp::{populate, prefer_huge_pages, purge, release, show, unmap};

#[cfg(not(test))]
pub(crate) use imp::{commit, map, remap, reserve};
#[cfg(test)]
pub(crate) use tests::failing::{self, commit, map, remap, reserve};

/// Whether [`reserve`] takes address space only, so that a large reservation is free.
pub(crate) const LAZY: bool = imp::LAZY;

#[cfg(test)]
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "each block is one life of a mapping")]
mod tests {
    pub(crate) mod failing;

    use super::*;
    use crate::base::config::PAGE;

    #[test]
    fn purged_pages_read_as_zero() {
        let len = 16 * PAGE;
        let pages = map(len).expect("a few pages");
        // SAFETY: `pages` is mapped and ours for `len` bytes until `unmap`.
        unsafe {
            pages.write_bytes(7, len);
            purge(pages, len);
            assert_eq!(pages.read(), 0);
            assert_eq!(pages.add(len - 1).read(), 0);
            unmap(pages, len);
        }
    }

    #[test]
    fn reservations_are_aligned_and_commit() {
        let (len, align) = (1 << 22, 1 << 22);
        let place = reserve(len, align).expect("four MiB of addresses");
        assert_eq!(place.as_ptr() as usize % align, 0);
        // SAFETY: the reservation is ours; the committed part is within it.
        unsafe {
            assert!(commit(place, PAGE));
            place.write(1);
            release(place, len, align);
        }
    }
}
