//! Copying what was written a moment ago, as a vector that grows does.
//!
//! The C library's `memcpy` reads the end of the source first. In a vector that has just become full those
//! bytes are still on their way to the cache, word by word, and a wide read of them waits until all have
//! arrived. Front to back there is time for that: growing a vector to a thousand numbers takes 0.9 of the
//! time (Zen 3; a loop of 16-byte moves gains nothing).

use core::ptr::NonNull;

/// Copies `len` bytes, front to back where that is fast.
///
/// # Safety
/// As [`NonNull::copy_to_nonoverlapping`] for bytes.
#[inline(always)]
pub(crate) unsafe fn copy_forward(from: NonNull<u8>, to: NonNull<u8>, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(any(miri, sanitized, valgrind))))]
    if wide::LENGTHS.contains(&len) && std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the caller's, and the processor has AVX.
        return unsafe { wide::copy_forward(from.as_ptr(), to.as_ptr(), len) };
    }
    // SAFETY: the caller's.
    unsafe { from.copy_to_nonoverlapping(to, len) };
}

#[cfg(all(target_arch = "x86_64", not(any(miri, sanitized, valgrind))))]
mod wide {
    use core::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_storeu_si256};

    /// Shorter copies are a few moves for everybody, and longer ones the C library knows how to make.
    pub(super) const LENGTHS: core::ops::RangeInclusive<usize> = 256..=16 << 10;

    const STEP: usize = size_of::<__m256i>();

    /// # Safety
    /// As [`super::copy_forward`]; `len` is one of `LENGTHS`, and the processor has AVX.
    #[target_feature(enable = "avx")]
    pub(super) unsafe fn copy_forward(from: *const u8, to: *mut u8, len: usize) {
        let last = len - STEP;
        let mut at = 0;
        while at < last {
            // SAFETY: `at` and the bytes behind it are below `len`.
            unsafe { step(from, to, at) };
            // SAFETY: as above: at most the last step.
            unsafe { step(from, to, (at + STEP).min(last)) };
            at += 2 * STEP;
        }
        // SAFETY: the last `STEP` bytes, of which some may have been copied.
        unsafe { step(from, to, last) };
    }

    /// # Safety
    /// `STEP` bytes from `at` on belong to both ranges, and the processor has AVX.
    #[inline]
    #[target_feature(enable = "avx")]
    unsafe fn step(from: *const u8, to: *mut u8, at: usize) {
        // SAFETY: the caller's.
        let from = unsafe { from.add(at) };
        // SAFETY: the caller's.
        let to = unsafe { to.add(at) };
        // SAFETY: the caller's; the move needs no alignment.
        let bytes = unsafe { _mm256_loadu_si256(from.cast()) };
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(to.cast(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_and_nothing_beyond() {
        for len in (0..700).chain([1024, 4095, 16 << 10, (16 << 10) + 1, 20_000]) {
            for shift in [0, 1, 8, 31] {
                let from: Vec<u8> = (0..len + shift).map(|i| (i * 7 + len) as u8).collect();
                let mut to = vec![0xA5; len + 64];
                let source = NonNull::from(&from[shift..]).cast();
                let target = NonNull::from(&mut to[32..]).cast();
                // SAFETY: `len` bytes follow in each of the two.
                unsafe { copy_forward(source, target, len) };
                assert_eq!(to[32..32 + len], from[shift..], "{len} bytes from {shift}");
                assert!(to[..32].iter().chain(&to[32 + len..]).all(|&byte| byte == 0xA5));
            }
        }
    }
}
