//! Memory that is refused on purpose: unit tests call these instead of the real ones.
//!
//! A test arms it for its own thread, so that others go on undisturbed.

use core::cell::Cell;
use core::ptr::NonNull;

use super::super::{Remapped, extras, imp};

thread_local! {
    /// Requests until one is refused, and how many are then.
    static REFUSED: Cell<(usize, usize)> = const { Cell::new((usize::MAX, 0)) };
}

/// Has this thread's request number `first` (from 0) refused, and those after it up to `count`, while
/// `f` runs. Returns how many there were, too.
pub(crate) fn refusing<R>(first: usize, count: usize, f: impl FnOnce() -> R) -> (R, usize) {
    REFUSED.set((first, count));
    let result = f();
    let (left, _) = REFUSED.replace((usize::MAX, 0));
    (result, first.wrapping_sub(left))
}

/// Whether this request is refused.
fn is_refused() -> bool {
    let (left, count) = REFUSED.get();
    // Below zero the requests that are refused are counted.
    REFUSED.set((left.wrapping_sub(1), count));
    left.wrapping_neg() < count
}

/// As the real one.
pub(crate) fn reserve(len: usize, align: usize) -> Option<NonNull<u8>> {
    if is_refused() { None } else { imp::reserve(len, align) }
}

/// As the real one.
pub(crate) fn map(len: usize) -> Option<NonNull<u8>> {
    if is_refused() { None } else { imp::map(len) }
}

/// As the real one.
///
/// # Safety
/// As the real one.
pub(crate) unsafe fn commit(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the caller's.
    !is_refused() && unsafe { imp::commit(start, len) }
}

/// As the real one.
///
/// # Safety
/// As the real one.
pub(crate) unsafe fn remap(from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Remapped {
    if is_refused() {
        return Remapped::Refused;
    }
    // SAFETY: the caller's.
    unsafe { extras::remap(from, to, len) }
}
