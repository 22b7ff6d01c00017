//! The allocator's face: `GlobalAlloc` and `Allocator`.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use allocator_api2::alloc::{AllocError, Allocator};

use super::check;
use super::large;
use super::poison;
use super::pool::PoolRef;
use super::size_class::{SMALL_MAX, SizeClass};
use super::thread::ThreadHeap;

/// Python's memory allocator: pools of equal blocks in large arenas, one heap per thread.
///
/// A size-class allocator like pymalloc, made thread safe. Set it as the global allocator:
///
/// ```
/// use hoopsnake::PoolAlloc;
///
/// #[global_allocator]
/// static GLOBAL: PoolAlloc = PoolAlloc;
///
/// let text = String::from("spam");
/// assert_eq!(text, "spam");
/// ```
///
/// It also implements `allocator_api2`'s `Allocator`, for containers that take one.
///
/// # Cost
/// An allocation or a free of a block of up to 8 KiB on the thread that made it is about ten
/// instructions; blocks have no header, and sizes are rounded up by at most 12.5% above 64 bytes.
/// A free on another thread is one compare-and-swap. Nothing is allocated before the first call.
///
/// # Errors
/// Without memory, allocation returns null (or `AllocError`); the heap stays usable.
///
/// Python: `obmalloc.c`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolAlloc;

/// Whether a layout is served by a pool of one granule: a constant where the layout is.
///
/// Classes are multiples of the alignment, and [`SMALL_MAX`] is a multiple of every alignment up to it.
#[inline(always)]
const fn is_small(layout: Layout) -> bool {
    layout.size() <= SMALL_MAX && layout.align() <= SMALL_MAX
}

#[inline(always)]
fn alloc(layout: Layout) -> Option<NonNull<u8>> {
    if is_small(layout) && layout.align() <= 8 {
        let class = SizeClass::of_small(layout.size());
        let block = ThreadHeap::current().alloc(class.index())?.place();
        poison::on_alloc(block, class.size());
        return Some(block);
    }
    alloc_other(layout)
}

#[inline(never)]
fn alloc_other(layout: Layout) -> Option<NonNull<u8>> {
    match SizeClass::of_layout(layout.size(), layout.align()) {
        Some(class) => {
            let block = ThreadHeap::current().alloc(class.index())?.place();
            poison::on_alloc(block, class.size());
            Some(block)
        }
        None => large::alloc(layout.size(), layout.align()).map(|(place, _)| place),
    }
}

/// # Safety
/// As `GlobalAlloc::dealloc`.
#[inline(always)]
unsafe fn dealloc(place: NonNull<u8>, layout: Layout) {
    if is_small(layout) {
        // SAFETY: a live block lies in an arena.
        let pool = unsafe { PoolRef::of_granule(place.as_ptr() as usize) };
        // SAFETY: the caller's block; a small pool has one record.
        return unsafe { ThreadHeap::free(pool, place, layout) };
    }
    // SAFETY: the caller's.
    unsafe { dealloc_other(place, layout) }
}

/// # Safety
/// As `GlobalAlloc::dealloc`; the layout is not small.
#[inline(never)]
unsafe fn dealloc_other(place: NonNull<u8>, layout: Layout) {
    if SizeClass::of_layout(layout.size(), layout.align()).is_none() {
        // SAFETY: the caller's block, above the largest class.
        return unsafe { large::dealloc(place, layout) };
    }
    // SAFETY: a live block lies in an arena.
    let pool = unsafe { PoolRef::of_any(place.as_ptr() as usize) };
    // SAFETY: the caller's block, and its pool's first record.
    unsafe { ThreadHeap::free(pool, place, layout) }
}

fn alloc_zeroed(layout: Layout) -> Option<NonNull<u8>> {
    let (place, zero) = match SizeClass::of_layout(layout.size(), layout.align()) {
        Some(_) => (alloc(layout)?, false),
        None => large::alloc(layout.size(), layout.align())?,
    };
    if !zero {
        // SAFETY: the block is new and has this size.
        unsafe { place.write_bytes(0, layout.size()) };
    }
    Some(place)
}

/// Whether a block can stay where it is for `new` bytes: it fits, and shrinking leaves it more than three
/// quarters full (pymalloc's rule) of what it is, which may be more than its layout's class after other
/// shrinking. A block of a larger pool never becomes small: `dealloc` finds the record of a small one by
/// its granule alone.
///
/// # Safety
/// `place` is a live block of layout `old`.
unsafe fn stays(place: NonNull<u8>, old: Layout, new: usize) -> bool {
    let Some(class) = SizeClass::of_layout(old.size(), old.align()) else { return false };
    if new >= old.size() {
        return new <= class.size();
    }
    // SAFETY: a live block lies in an arena.
    let pool = unsafe { PoolRef::of_any(place.as_ptr() as usize) };
    let keeps_its_kind = is_small(old) || new > SMALL_MAX;
    4 * new > 3 * pool.block_size() && keeps_its_kind && !check::is_full()
        || SizeClass::of_layout(new, old.align()).is_some_and(|class| class.index() == pool.slot())
}

/// # Safety
/// As `GlobalAlloc::realloc`.
unsafe fn realloc(place: NonNull<u8>, old: Layout, new: usize) -> Option<NonNull<u8>> {
    if check::is_full() {
        check::live(place, old);
    }
    // SAFETY: the caller's block.
    if unsafe { stays(place, old, new) } {
        return Some(place);
    }
    let both_large = SizeClass::of_layout(old.size(), old.align()).is_none()
        && SizeClass::of_layout(new, old.align()).is_none();
    if both_large {
        // SAFETY: the caller's block; both sizes are above the largest class.
        let resized = unsafe { large::resize(place, old, new) };
        if resized.is_some() {
            return resized;
        }
    }
    let layout = Layout::from_size_align(new, old.align()).ok()?;
    let moved = alloc(layout)?;
    // SAFETY: both blocks have at least that many bytes and are distinct.
    unsafe { moved.copy_from_nonoverlapping(place, old.size().min(new)) };
    // SAFETY: the caller's block, which is not used any more.
    unsafe { dealloc(place, old) };
    Some(moved)
}

fn or_null(block: Option<NonNull<u8>>) -> *mut u8 {
    block.map_or(ptr::null_mut(), NonNull::as_ptr)
}

// SAFETY: blocks are as large and as aligned as their layouts ask, stay valid until they are freed, and
// nothing here unwinds.
unsafe impl GlobalAlloc for PoolAlloc {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        or_null(alloc(layout))
    }

    #[inline(always)]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller passes a live block, which is not null.
        let place = unsafe { NonNull::new_unchecked(place) };
        // SAFETY: the caller's.
        unsafe { dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        or_null(alloc_zeroed(layout))
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller passes a live block, which is not null.
        let place = unsafe { NonNull::new_unchecked(place) };
        // SAFETY: the caller's.
        or_null(unsafe { realloc(place, layout, new_size) })
    }
}

// SAFETY: as for `GlobalAlloc`; all values of the type are one allocator.
unsafe impl Allocator for &PoolAlloc {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        sized(layout, alloc)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        sized(layout, alloc_zeroed)
    }

    unsafe fn deallocate(&self, place: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: the caller's block.
            unsafe { dealloc(place, layout) };
        }
    }

    unsafe fn grow(
        &self,
        place: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's.
        unsafe { resize(place, old, new) }
    }

    unsafe fn shrink(
        &self,
        place: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's.
        unsafe { resize(place, old, new) }
    }
}

fn sized(
    layout: Layout,
    alloc: impl FnOnce(Layout) -> Option<NonNull<u8>>,
) -> Result<NonNull<[u8]>, AllocError> {
    let place = if layout.size() == 0 {
        // SAFETY: an alignment is not zero.
        unsafe { NonNull::new_unchecked(ptr::without_provenance_mut(layout.align())) }
    } else {
        alloc(layout).ok_or(AllocError)?
    };
    Ok(NonNull::slice_from_raw_parts(place, layout.size()))
}

/// # Safety
/// As `Allocator::grow` and `shrink`.
unsafe fn resize(
    place: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    if old.align() == new.align() && old.size() != 0 && new.size() != 0 {
        // SAFETY: the caller's block.
        let moved = unsafe { realloc(place, old, new.size()) }.ok_or(AllocError)?;
        return Ok(NonNull::slice_from_raw_parts(moved, new.size()));
    }
    let moved = sized(new, alloc)?;
    // SAFETY: both blocks have at least that many bytes and are distinct.
    unsafe { moved.cast::<u8>().copy_from_nonoverlapping(place, old.size().min(new.size())) };
    if old.size() != 0 {
        // SAFETY: the caller's block, which is not used any more.
        unsafe { dealloc(place, old) };
    }
    Ok(moved)
}
