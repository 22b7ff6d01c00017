//! A counter that one thread counts down and any may read.
//!
//! # Orderings
//! Relaxed: one writer, and readers may see it late.

use super::atomic::AtomicU32;

/// Counts down by one; true when that makes it 0. For the only writer.
///
/// The compiler makes one instruction of a relaxed load, a subtraction and a relaxed store, too, but compares
/// with memory once more to learn of the 0: a free takes 5% to 10% longer. (Not for MSVC, where a panic runs drops
/// in funclets, which LLVM lets no assembly jump out of; nor for x32, whose pointers are half a register.)
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, sanitized, target_env = "msvc"))
))]
#[inline(always)]
#[must_use]
pub(crate) fn count_down(counter: &AtomicU32) -> bool {
    // SAFETY: the counter may be written, and aligned loads and stores of four bytes are relaxed atomic ones.
    unsafe {
        core::arch::asm!(
            "dec dword ptr [{counter}]",
            "jz {zero}",
            counter = in(reg) counter.as_ptr(),
            zero = label { return true },
            options(nostack),
        );
    }
    false
}

/// Counts down by one; true when that makes it 0. For the only writer.
#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, sanitized, target_env = "msvc"))
)))]
#[inline(always)]
#[must_use]
pub(crate) fn count_down(counter: &AtomicU32) -> bool {
    use super::atomic::Ordering;

    let left = counter.load(Ordering::Relaxed).wrapping_sub(1);
    counter.store(left, Ordering::Relaxed);
    left == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::atomic::Ordering;

    #[test]
    fn it_tells_of_the_zero_and_of_nothing_else() {
        let counter = AtomicU32::new(3);
        let told = [(); 4].map(|()| count_down(&counter));
        assert_eq!(told, [false, false, true, false]);
        assert_eq!(counter.load(Ordering::Relaxed), u32::MAX);
    }
}
