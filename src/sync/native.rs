//! The facade over `core` and std.

pub(crate) use std::sync::{Arc, OnceLock};

/// Atomic types, orderings and fences.
pub(crate) mod atomic {
    pub(crate) use core::sync::atomic::*;
}

/// Cells whose accesses loom can watch.
pub(crate) mod cell {
    /// `core`'s `UnsafeCell` with loom's closure interface.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T: ?Sized>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Hands `f` a pointer for reading.
        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Hands `f` a pointer for writing.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// Hints to the processor while waiting.
pub(crate) mod hint {
    pub(crate) use core::hint::spin_loop;
}
