//! Memory for trial counters: straight from the operating system, kept between runs while it is small.

use core::ptr::NonNull;

use crate::base::bits::align_up;
use crate::base::config::PAGE;
use crate::os;

/// More counters than this are given back after the run: 1 MiB.
const KEPT: usize = 256 << 10;

/// A buffer of zeroed counters.
#[derive(Debug)]
pub(super) struct Counters {
    start: NonNull<u32>,
    /// Counters that fit, and those that the present run uses.
    room: usize,
    used: usize,
}

impl Counters {
    /// No memory yet.
    pub(super) const fn new() -> Counters {
        Counters { start: NonNull::dangling(), room: 0, used: 0 }
    }

    /// Makes room for `count` counters; false without memory.
    pub(super) fn reserve(&mut self, count: usize) -> bool {
        self.used = count;
        if count <= self.room {
            return true;
        }
        self.release();
        let bytes = align_up(count * size_of::<u32>(), PAGE);
        match os::map(bytes) {
            Some(start) => {
                (self.start, self.room, self.used) =
                    (start.cast(), bytes / size_of::<u32>(), count);
                true
            }
            None => false,
        }
    }

    /// The counters, all zero.
    pub(super) fn zeroed(&mut self) -> &mut [u32] {
        // SAFETY: `start` has room for `used` counters, which are initialised: maps are zeroed.
        let counters = unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.used) };
        counters.fill(0);
        counters
    }

    /// After a run: gives large buffers back.
    pub(super) fn trim(&mut self) {
        if self.room > KEPT {
            self.release();
        }
    }

    fn release(&mut self) {
        if self.room > 0 {
            // SAFETY: mapped by `reserve` with this length; no run uses it now.
            unsafe { os::unmap(self.start.cast(), self.room * size_of::<u32>()) }
        }
        (self.start, self.room, self.used) = (NonNull::dangling(), 0, 0);
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_zero_each_time() {
        let mut counters = Counters::new();
        for count in [10, 5000, 100, KEPT + 1, 0, 3] {
            assert!(counters.reserve(count));
            let all = counters.zeroed();
            assert_eq!(all.len(), count);
            assert!(all.iter().all(|&n| n == 0));
            all.fill(7);
            counters.trim();
            assert!(counters.room <= KEPT);
        }
    }

    #[test]
    fn refused_memory_is_no_disaster() {
        let mut counters = Counters::new();
        assert!(!counters.reserve(usize::MAX / 8));
        assert!(counters.reserve(1));
        counters.zeroed()[0] = 1;
    }
}
