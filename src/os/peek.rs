//! A look at a word that other threads may use as they like at the same moment.
//!
//! Statistics count the free blocks that another thread has at hand by following their links. That thread goes on
//! meanwhile: what was a link can be the program's by now. Linux' slab allocator looks at free objects in the same
//! way (`get_freepointer_safe`). No read of Rust's own is allowed to do so; a debugger's is, so this is one: the
//! processor's instruction, of which the compiler sees only that some number comes out, or the system's.

/// The word at a place, or any number if it is written meanwhile.
///
/// # Safety
/// The place is aligned and its memory mapped, though on Windows perhaps not committed.
#[inline]
pub(crate) unsafe fn peek(place: *const usize) -> usize {
    // SAFETY: the caller's.
    unsafe { imp::peek(place) }
}

#[cfg(all(
    not(any(windows, miri)),
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod imp {
    /// # Safety
    /// As [`peek`](super::peek).
    pub(super) unsafe fn peek(place: *const usize) -> usize {
        let word;
        // SAFETY: an aligned load from mapped memory, which changes nothing.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!("mov {word}, [{place}]", word = lateout(reg) word, place = in(reg) place,
                options(nostack, preserves_flags, readonly));
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!("ldr {word}, [{place}]", word = lateout(reg) word, place = in(reg) place,
                options(nostack, preserves_flags, readonly));
        }
        word
    }
}

/// Pages that are purged are gone for a moment: the system looks, and says so.
#[cfg(all(windows, not(miri)))]
mod imp {
    use core::ffi::c_void;

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetCurrentProcess() -> *mut c_void;
        fn ReadProcessMemory(
            process: *mut c_void,
            from: *const c_void,
            to: *mut c_void,
            size: usize,
            read: *mut usize,
        ) -> i32;
    }

    /// # Safety
    /// As [`peek`](super::peek).
    pub(super) unsafe fn peek(place: *const usize) -> usize {
        let (mut word, mut read) = (0usize, 0);
        // SAFETY: a handle that is valid always.
        let own = unsafe { GetCurrentProcess() };
        let (to, size) = ((&raw mut word).cast(), size_of::<usize>());
        // SAFETY: any place may be asked for; what is there goes into a word of ours.
        let done = unsafe { ReadProcessMemory(own, place.cast(), to, size, &raw mut read) };
        if done == 0 { 0 } else { word }
    }
}

#[cfg(not(all(
    not(any(windows, miri)),
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[cfg(not(all(windows, not(miri))))]
mod imp {
    /// The nearest thing to it that Rust has.
    ///
    /// # Safety
    /// As [`peek`](super::peek).
    pub(super) unsafe fn peek(place: *const usize) -> usize {
        // SAFETY: aligned and mapped.
        unsafe { place.read_volatile() }
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
