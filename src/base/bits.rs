//! Arithmetic on sizes and addresses; pure, and tested exhaustively where it can be.

/// The smallest multiple of `align` that is at least `n`; `align` is a power of two.
///
/// Wraps to zero when the result does not fit: callers check sizes before they round them.
#[inline(always)]
pub(crate) const fn align_up(n: usize, align: usize) -> usize {
    debug_assert!(align.is_power_of_two());
    n.wrapping_add(align - 1) & !(align - 1)
}

/// Asks for the cache line at an address that will be used soon; any address will do.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint, which faults at no address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}

/// The same address, in a register of its own: the compiler does not know how it was made.
///
/// Where a load gives back what was just stored, Intel's recent processors skip the five cycles of the way through the
/// first cache, but not if the load's address is a sum of two registers; AMD's take a cycle more for a scaled one.
#[inline(always)]
pub(crate) fn in_register<T>(place: *const T) -> *const T {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[expect(clippy::pointers_in_nomem_asm_block, reason = "nothing is read there")]
    let place = {
        let mut place = place;
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!(
                "/* {0} */",
                inout(reg) place,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        place
    };
    place
}

/// A word with its lowest `n` bits set; `n` may be the word's width.
#[inline(always)]
pub(crate) const fn low_bits(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// Calls `f` with the index of each bit that is set.
#[inline(always)]
pub(crate) fn bits(mut word: u64, mut f: impl FnMut(usize)) {
    while word != 0 {
        f(word.trailing_zeros() as usize);
        word &= word - 1;
    }
}

/// The lowest position at which `word` has `run` set bits in a row.
#[inline]
pub(crate) const fn find_run(word: u64, run: usize) -> Option<usize> {
    debug_assert!(run >= 1 && run <= 64);
    // Fold the word onto itself until each set bit stands for a run of `run` bits.
    let mut folded = word;
    let mut have = 1;
    while have < run && folded != 0 {
        let step = if have < run - have { have } else { run - have };
        folded &= folded >> step;
        have += step;
    }
    if folded == 0 { None } else { Some(folded.trailing_zeros() as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_agrees_with_division() {
        for align in [1usize, 2, 8, 64, 4096] {
            for n in 0..3 * align + 3 {
                assert_eq!(align_up(n, align), n.div_ceil(align) * align);
            }
        }
    }

    #[test]
    fn low_bits_count() {
        for n in 0..=64 {
            assert_eq!(low_bits(n).count_ones() as usize, n);
            assert_eq!(low_bits(n).trailing_ones() as usize, n);
        }
    }

    #[test]
    fn runs_agree_with_a_naive_search() {
        let naive = |word: u64, run: usize| {
            (0..=64 - run).find(|&at| (word >> at) & low_bits(run) == low_bits(run))
        };
        let mut word = 0x9E37_79B9_7F4A_7C15u64;
        for _ in 0..2000 {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            let dense = word | word.rotate_left(7) | word.rotate_left(21);
            for run in 1..=64 {
                for w in [word, dense, !dense, u64::MAX, low_bits(run) << (64 - run)] {
                    assert_eq!(find_run(w, run), naive(w, run), "{w:#x} run {run}");
                }
            }
        }
    }
}
