//! Blocks above the largest class: runs of granules, and huge blocks with arenas of their own.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::arena::{self, MAX_RUN};
use super::check;
use super::poison;
use super::pool::{Kind, Shape};
use super::size_class::SizeClass;
use crate::base::config::GRANULE;

/// The largest block that is a run of granules.
const RUN_MAX: usize = MAX_RUN * GRANULE;

/// Whether a layout needs a huge block; runs are aligned to a granule.
pub(super) fn is_huge(size: usize, align: usize) -> bool {
    size > RUN_MAX || align > GRANULE
}

/// A block of `size` bytes, and whether it is known to be zero; `zero` asks for that.
pub(crate) fn alloc(size: usize, align: usize, zero: bool) -> Option<(NonNull<u8>, bool)> {
    if is_huge(size, align) {
        let huge = arena::lock().take_huge(size, align, zero)?;
        poison::on_new_pool(huge.0, size);
        return Some(huge);
    }
    let span = size.div_ceil(GRANULE);
    let block_size = span * GRANULE;
    let shape = Shape {
        kind: Kind::Run,
        slot: 0,
        block_size,
        capacity: 1,
        link_offset: 0,
        value_offset: 0,
    };
    let fresh = arena::lock().take_pool(span, shape, ptr::null_mut(), false)?;
    let place = fresh.held.pool().start();
    poison::on_new_pool(place, block_size);
    Some((place, fresh.zero))
}

/// A block from [`alloc`] was taken for what grows: it will be filled from its start.
pub(crate) fn will_fill(place: NonNull<u8>, size: usize, align: usize) {
    if is_huge(size, align) {
        arena::lock().will_fill_huge(place, size);
    }
}

/// Frees a block.
///
/// # Safety
/// `place` came from [`alloc`] with this size and alignment (or [`resize`]), and is the caller's.
pub(crate) unsafe fn dealloc(place: NonNull<u8>, layout: Layout) {
    if is_huge(layout.size(), layout.align()) {
        // SAFETY: the caller's huge block.
        return unsafe { check::lock_huge(place, layout).give_huge(place) };
    }
    let (mut arenas, pool) = check::lock_run(place, layout);
    // SAFETY: who owns the run's only block holds it.
    let held = unsafe { pool.assume_held() };
    arenas.give_pool(held);
}

/// Changes the size of a block without copying it; `None` when that cannot be done. Either way the block was looked
/// at, where it changes under the same hold of the lock: nobody frees it by mistake in between.
///
/// # Safety
/// As [`dealloc`]; the new size is one of a layout, and not zero.
pub(crate) unsafe fn resize(place: NonNull<u8>, layout: Layout, new: usize) -> Option<NonNull<u8>> {
    let (old, align) = (layout.size(), layout.align());
    match (is_huge(old, align), is_huge(new, align)) {
        (true, true) => {
            // SAFETY: the caller's huge block.
            let resized =
                unsafe { check::lock_huge(place, layout).resize_huge(place, layout, new) };
            let place = resized?;
            poison::on_new_pool(place, new);
            Some(place)
        }
        (false, false) if SizeClass::of_layout(new, align).is_none() => {
            let span = new.div_ceil(GRANULE);
            if old.div_ceil(GRANULE) == span {
                check::run(place, layout);
            } else {
                let (mut arenas, pool) = check::lock_run(place, layout);
                // SAFETY: who owns the run's only block holds it.
                let held = unsafe { pool.assume_held() };
                if !arenas.resize_run(held, span) {
                    return None;
                }
            }
            // What a run grows over was pools.
            poison::on_new_pool(place, span * GRANULE);
            Some(place)
        }
        _ => {
            check::live(place, layout);
            None
        }
    }
}
