//! A look at a word that other threads may use as they like at the same moment.
//!
//! Statistics count the free blocks that another thread has at hand by following their links. That thread goes on
//! meanwhile: what was a link can be the program's by now. Linux' slab allocator looks at free objects in the same
//! way (`get_freepointer_safe`). No read of Rust's own is allowed to do so; a debugger's is, so this is one: the
//! processor's instruction, of which the compiler sees only that some number comes out.

/// The word at a place, or any number if it is written meanwhile.
///
/// # Safety
/// The place is aligned and its memory committed.
#[inline]
pub(crate) unsafe fn peek(place: *const usize) -> usize {
    // For the processors that have an arm below.
    macro_rules! load {
        ($instruction:literal) => {{
            let word;
            // SAFETY: an aligned load, which changes nothing.
            unsafe {
                core::arch::asm!($instruction, word = lateout(reg) word, place = in(reg) place,
                    options(nostack, preserves_flags, readonly));
            }
            word
        }};
    }
    match () {
        #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
        () if !cfg!(miri) => load!("mov {word}, [{place}]"),
        #[cfg(target_arch = "x86")]
        () if !cfg!(miri) => load!("mov {word:e}, [{place:e}]"),
        #[cfg(all(target_arch = "aarch64", target_pointer_width = "64"))]
        () if !cfg!(miri) => load!("ldr {word}, [{place}]"),
        // The nearest thing to it that Rust has.
        // SAFETY: the caller's.
        () => unsafe { place.read_volatile() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sees_what_stands_there() {
        let word = core::hint::black_box(0x5eed);
        // SAFETY: a word of this function.
        assert_eq!(unsafe { peek(&raw const word) }, 0x5eed);
    }
}
