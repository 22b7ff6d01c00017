//! Where on its stack a thread is.

/// An address in the frame of the caller, or right below: less the deeper the calls are.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
pub(crate) fn here() -> usize {
    let here;
    // SAFETY: a register is read, and nothing changed.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags));
    }
    here
}

/// An address in the frame of the caller, or right below: less the deeper the calls are.
#[cfg(all(target_arch = "aarch64", not(miri)))]
#[inline(always)]
pub(crate) fn here() -> usize {
    let here;
    // SAFETY: a register is read, and nothing changed.
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) here, options(nomem, nostack, preserves_flags));
    }
    here
}

/// An address in the frame of the caller, or right below: less the deeper the calls are.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
#[inline(always)]
pub(crate) fn here() -> usize {
    let local = 0_u8;
    (&raw const local).addr()
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(not(miri))]
    fn calls_go_down() {
        #[inline(never)]
        fn deeper(calls: usize) -> usize {
            let below = if calls == 0 { super::here() } else { deeper(calls - 1) };
            core::hint::black_box(below)
        }
        let (here, once, often) = (super::here(), deeper(0), deeper(10));
        assert!(here >= once && once > often && here - often < 1 << 20);
    }
}
