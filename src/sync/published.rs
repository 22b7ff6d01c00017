//! A place where something that never goes away is published once it is ready.
//!
//! # Protocol
//! A publisher, under a lock of its own, fills the value and stores its address; readers take the
//! address without a lock and read the value. An address is only ever replaced by that of a value from
//! which the old one can be reached.
//!
//! # Orderings
//! Storing is Release and reading Acquire: who finds the address finds the value filled.

use super::atomic::{AtomicPtr, Ordering};
use core::ptr::{NonNull, null_mut};

/// The address of a value that is filled and lives for ever, or nothing yet.
#[derive(Debug)]
pub struct Published<T>(AtomicPtr<T>);

impl<T: 'static> Published<T> {
    const_fn! {
        /// Nothing is published yet.
        pub const fn new() -> Published<T> {
            Published(AtomicPtr::new(null_mut()))
        }
    }

    /// What was published, if anything was by now.
    #[inline(always)]
    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: null or what `publish` was given: a value that is filled and lives for ever.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Publishes a value.
    ///
    /// # Safety
    /// The value is filled, lives for ever, and is shared from here on.
    pub unsafe fn publish(&self, value: NonNull<T>) {
        self.0.store(value.as_ptr(), Ordering::Release);
    }

    /// The place itself, which is a pointer to a `T`: null, or as [`get`](Self::get) returns it.
    #[cfg(not(loom))]
    #[inline(always)]
    pub fn place(&self) -> *const *mut T {
        self.0.as_ptr()
    }
}
