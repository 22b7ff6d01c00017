//! Which size class serves a layout; pure, and tested for all pairs.
//!
//! Steps of 8 bytes up to 64, then eight steps to each doubling (about 12.5%). Blocks lie at multiples
//! of their size from an aligned start, so a class serves an alignment exactly when its size is a
//! multiple of it: that clause is what keeps every block aligned.

use crate::base::bits::align_up;

/// A size class: twice its number. What a heap has of each class for the fast path takes 16 bytes, and x86
/// multiplies by 8 at most where it adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeClass(u8);

/// The largest size that a pool of one granule serves.
pub(crate) const SMALL_MAX: usize = 8 << 10;

/// The largest size that any pool serves; larger blocks are runs of granules.
pub(crate) const MEDIUM_MAX: usize = 64 << 10;

/// Number of classes up to [`SMALL_MAX`].
pub(crate) const SMALL_CLASSES: usize = 64;

/// Number of classes.
pub(crate) const CLASSES: usize = 88;

/// `TABLE[n]` is twice the class of sizes from `8 * n - 7` to `8 * n`.
static TABLE: [u8; SMALL_MAX / 8 + 1] = {
    let mut table = [0; SMALL_MAX / 8 + 1];
    let mut n = 1;
    while n < table.len() {
        table[n] = SizeClass::compute(8 * n).0;
        n += 1;
    }
    table
};

impl SizeClass {
    /// The smallest class of at least `size` bytes, by arithmetic; `size` is 1 to [`MEDIUM_MAX`].
    const fn compute(size: usize) -> SizeClass {
        debug_assert!(size >= 1 && size <= MEDIUM_MAX);
        if size <= 64 {
            return SizeClass::from_index(size.div_ceil(8) - 1);
        }
        // The doubling that `size` is in, and which eighth of it.
        let last = size - 1;
        let doubling = last.ilog2() as usize;
        let eighth = (last >> (doubling - 3)) & 7;
        SizeClass::from_index(8 + (doubling - 6) * 8 + eighth)
    }

    /// The smallest class of at least `size` bytes; `size` is at most [`SMALL_MAX`].
    #[inline(always)]
    #[expect(clippy::manual_div_ceil, reason = "without the test for a remainder")]
    pub(crate) const fn of_small(size: usize) -> SizeClass {
        debug_assert!(size <= SMALL_MAX);
        SizeClass(TABLE[(size + 7) / 8])
    }

    /// The smallest class of at least `size` bytes whose blocks are all aligned to `align`; `None`
    /// when only a run of granules will do.
    #[inline]
    pub(crate) const fn of_layout(size: usize, align: usize) -> Option<SizeClass> {
        if size > MEDIUM_MAX || align > MEDIUM_MAX {
            return None;
        }
        let size = if size == 0 { align } else { align_up(size, align) };
        if size > MEDIUM_MAX {
            return None;
        }
        let mut class = SizeClass::compute(size);
        while !class.size().is_multiple_of(align) {
            class = SizeClass::from_index(class.index() + 1);
        }
        Some(class)
    }

    /// The class of number `index`.
    #[inline(always)]
    pub(crate) const fn from_index(index: usize) -> SizeClass {
        debug_assert!(index < CLASSES);
        SizeClass(2 * index as u8)
    }

    /// The number of the class, less than [`CLASSES`].
    #[inline(always)]
    pub(crate) const fn index(self) -> usize {
        let index = self.0 as usize / 2;
        // SAFETY: every constructor makes a number below `CLASSES`; this drops the test of indices.
        unsafe { core::hint::assert_unchecked(index < CLASSES) };
        index
    }

    /// Twice the number.
    #[inline(always)]
    pub(crate) const fn twice(self) -> usize {
        self.0 as usize
    }

    /// Whether pools of this class are one granule.
    #[inline(always)]
    pub(crate) const fn is_small(self) -> bool {
        self.index() < SMALL_CLASSES
    }

    /// Bytes of a block.
    #[inline(always)]
    pub(crate) const fn size(self) -> usize {
        let class = self.index();
        if class < 8 {
            return 8 * (class + 1);
        }
        let doubling = 6 + (class - 8) / 8;
        let eighth = (class - 8) % 8;
        (1 << doubling) + ((eighth + 1) << (doubling - 3))
    }
}

const _: () = assert!(SizeClass::compute(SMALL_MAX).index() == SMALL_CLASSES - 1);
const _: () = assert!(SizeClass::compute(MEDIUM_MAX).index() == CLASSES - 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_grow_and_are_their_own_class() {
        for index in 0..CLASSES {
            let class = SizeClass::from_index(index);
            assert_eq!(SizeClass::compute(class.size()), class);
            assert_eq!(class.is_small(), class.size() <= SMALL_MAX);
            if index > 0 {
                assert!(class.size() > SizeClass::from_index(index - 1).size());
            }
        }
    }

    #[test]
    fn the_table_is_the_arithmetic() {
        for size in 1..=SMALL_MAX {
            assert_eq!(SizeClass::of_small(size), SizeClass::compute(size), "size {size}");
        }
    }

    #[test]
    fn every_pair_is_served_by_the_smallest_aligned_class() {
        for align in (0..=12).map(|bit| 1usize << bit) {
            for size in 0..=16 << 10 {
                let wanted = align_up(size.max(1), align);
                let class = SizeClass::of_layout(size, align).expect("within MEDIUM_MAX");
                let best = (0..CLASSES)
                    .map(|index| SizeClass::from_index(index).size())
                    .find(|&s| s >= wanted && s.is_multiple_of(align));
                assert_eq!(Some(class.size()), best, "size {size} align {align}");
                if align <= 8 && size > 0 && size <= SMALL_MAX {
                    assert_eq!(class, SizeClass::of_small(size));
                }
            }
        }
    }

    #[test]
    fn waste_is_bounded() {
        for size in 65..=MEDIUM_MAX {
            let got = SizeClass::compute(size).size();
            assert!(got >= size && (got - size) * 8 <= got, "{size} gets {got}");
        }
    }

    #[test]
    fn small_alignments_of_small_sizes_stay_small() {
        for align in (0..=13).map(|bit| 1usize << bit) {
            for size in [1, 8, 100, 1000, 4097, 8191, 8192] {
                assert!(SizeClass::of_layout(size, align).unwrap().is_small());
            }
        }
        assert_eq!(SizeClass::of_layout(MEDIUM_MAX + 1, 1), None);
        assert_eq!(SizeClass::of_layout(1, 2 * MEDIUM_MAX), None);
    }
}
