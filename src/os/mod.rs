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
//! | [`unmap`] | memory of [`map`] back | `munmap` | the System allocator |
//! | [`prefer_huge_pages`], [`prefer_small_pages`] | what shall back the range, a hint | `madvise` on Linux | nothing |
//! | [`remap`] | move pages to other reserved addresses | `mremap` (Linux 5.7) | refused |
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

#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod linux;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
use linux as extras;

#[cfg(any(not(any(target_os = "linux", target_os = "android")), miri))]
mod no_extras;
#[cfg(any(not(any(target_os = "linux", target_os = "android")), miri))]
use no_extras as extras;

pub(crate) mod fork;
mod peek;
pub(crate) mod thread_end;

pub(crate) use extras::{gives_huge_pages, populate, prefer_huge_pages, prefer_small_pages};
pub(crate) use imp::{purge, release, show, unmap};
pub(crate) use peek::peek;

#[cfg(not(test))]
pub(crate) use extras::remap;
#[cfg(not(test))]
pub(crate) use imp::{commit, map, reserve};
#[cfg(test)]
pub(crate) use tests::failing::{self, commit, map, remap, reserve};

/// What came of a [`remap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remapped {
    /// The pages are at the new place.
    Moved,
    /// All is as it was.
    Refused,
    /// The pages are where they were, but the new place is gone: another mapping may lie there.
    Lost,
}

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

    /// Another thread that maps memory meanwhile must not get the place that the pages left: it was
    /// mapped over by us, and unmapped by that thread.
    #[test]
    #[cfg(target_os = "linux")]
    fn pages_that_move_leave_no_hole() {
        use crate::sync::atomic::{AtomicBool, Ordering};
        use core::ptr::NonNull;

        const LEN: usize = 8 << 20;
        // What the kernel aligns to large pages still fits into a hole of `LEN`.
        const OTHER: usize = 5 << 20;
        let map_other = || map(OTHER).expect("address space").as_ptr() as usize;
        let ours = reserve(2 * LEN, LEN).expect("address space").as_ptr() as usize;
        let place = |addr: usize| {
            NonNull::new(core::ptr::with_exposed_provenance_mut(addr)).expect("not 0")
        };
        // SAFETY: the reservation is ours.
        assert!(unsafe { commit(place(ours), 2 * LEN) });
        // From here on a hole in the reservation is the first place that fits.
        let fill: Vec<usize> =
            core::iter::repeat_with(map_other).take_while(|&addr| addr > ours).take(1000).collect();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut inside = 0;
                while !done.load(Ordering::Relaxed) {
                    let addr = map_other();
                    inside += usize::from((ours..ours + 2 * LEN).contains(&addr));
                    // SAFETY: just mapped, and unused.
                    unsafe { unmap(place(addr), OTHER) };
                }
                inside
            });
            let there_and_back = || {
                // SAFETY: both halves are ours and committed.
                unsafe {
                    place(ours).write(1);
                    remap(place(ours), place(ours + LEN), LEN) == Remapped::Moved
                        && (place(ours).read(), place(ours + LEN).read()) == (0, 1)
                        && remap(place(ours + LEN), place(ours), LEN) == Remapped::Moved
                }
            };
            let moved = (0..5000).all(|_| there_and_back());
            done.store(true, Ordering::Relaxed);
            assert!(moved, "refused: Linux can do it since 5.7");
            assert_eq!(other.join().unwrap(), 0, "mappings in our reservation");
        });
        // SAFETY: all of it was mapped above.
        unsafe {
            fill.into_iter().for_each(|addr| unmap(place(addr), OTHER));
            release(place(ours), 2 * LEN, LEN);
        }
    }
}
