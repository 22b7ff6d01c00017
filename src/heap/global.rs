//! The allocator's face: `GlobalAlloc` and `Allocator`.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use allocator_api2::alloc::{AllocError, Allocator};

use super::check;
use super::large;
use super::poison;
use super::pool::PoolRef;
use super::roomy::wants_room;
use super::size_class::{SMALL_MAX, SizeClass};
use super::thread::ThreadHeap;
use crate::base::copy::copy_forward;

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
/// A free on another thread is about four times as long, and a compare-and-swap for up to 64 of them. Nothing is
/// allocated before the first call.
///
/// A block that is made half as large again, or more, and has then 512 bytes to 4 KiB, may get 8 KiB, so that it
/// can grow on where it lies: in at most a sixty-fourth of the memory that is in use, and 128 KiB. One that shrinks
/// keeps its place while it fills three quarters of it.
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
        let block = ThreadHeap::current().alloc(class)?.place();
        poison::on_alloc(block, class.size());
        return Some(block);
    }
    alloc_other(layout)
}

#[cold]
#[inline(never)]
fn alloc_other(layout: Layout) -> Option<NonNull<u8>> {
    match SizeClass::of_layout(layout.size(), layout.align()) {
        Some(class) => {
            let block = ThreadHeap::current().alloc(class)?.place();
            poison::on_alloc(block, class.size());
            Some(block)
        }
        None => large::alloc(layout.size(), layout.align(), false).map(|(place, _)| place),
    }
}

/// # Safety
/// As `GlobalAlloc::dealloc`.
#[inline(always)]
unsafe fn dealloc(place: NonNull<u8>, layout: Layout) {
    if is_small(layout) {
        // First of all: where the thread-local is behind a call, little has to be kept across it.
        let heap = ThreadHeap::current();
        // SAFETY: a live block lies in an arena.
        let pool = unsafe { PoolRef::of_granule(place.as_ptr() as usize) };
        // SAFETY: the caller's block; a small pool has one record.
        return unsafe { heap.free(pool, place, layout) };
    }
    // SAFETY: the caller's.
    unsafe { dealloc_other(place, layout.size(), layout.align()) }
}

/// Cold, so that a small free whose size is known at run time only falls through to what comes after it.
///
/// # Safety
/// As `GlobalAlloc::dealloc` with the layout of this size and alignment, which is not small.
#[cold]
#[inline(never)]
unsafe fn dealloc_other(place: NonNull<u8>, size: usize, align: usize) {
    // SAFETY: the caller's: they are a layout's.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    if SizeClass::of_layout(size, align).is_none() {
        // SAFETY: the caller's block, whose layout has no class.
        return unsafe { large::dealloc(place, layout) };
    }
    // SAFETY: a live block lies in an arena.
    let pool = unsafe { PoolRef::of_any(place.as_ptr() as usize) };
    // SAFETY: the caller's block, and its pool's first record.
    unsafe { ThreadHeap::current().free(pool, place, layout) }
}

fn alloc_zeroed(layout: Layout) -> Option<NonNull<u8>> {
    let (place, zero) = match SizeClass::of_layout(layout.size(), layout.align()) {
        Some(_) => (alloc(layout)?, false),
        None => large::alloc(layout.size(), layout.align(), true)?,
    };
    if !zero {
        // SAFETY: the block is new and has this size.
        unsafe { place.write_bytes(0, layout.size()) };
    }
    Some(place)
}

/// Whether a block of `size` bytes can stay where it is when its `old` bytes become `new`: it fits, and
/// shrinking leaves it more than three quarters full (pymalloc's rule), or in the smallest class.
#[inline(always)]
const fn stays(size: usize, old: usize, new: usize) -> bool {
    new <= size && (new >= old || 4 * new > 3 * size || new + 8 > size)
}

/// # Safety
/// As `GlobalAlloc::realloc`.
#[inline(always)]
unsafe fn realloc(place: NonNull<u8>, old: Layout, new: usize) -> Option<NonNull<u8>> {
    if check::is_full() {
        // SAFETY: the caller's.
        return unsafe { realloc_checked(place, old, new) };
    }
    if is_small(old) {
        // SAFETY: a live block lies in an arena.
        let pool = unsafe { PoolRef::of_granule(place.as_ptr() as usize) };
        if stays(pool.block_size(), old.size(), new) {
            poison::on_alloc(place, new);
            return Some(place);
        }
        // SAFETY: the caller's.
        return unsafe { move_block(place, old, new) };
    }
    // SAFETY: the caller's.
    unsafe { realloc_other(place, old, new) }
}

/// Under full checks only blocks that keep their class stay, of those that were shrunk before only what still may
/// have the layout.
///
/// # Safety
/// As `GlobalAlloc::realloc`.
#[cold]
#[inline(never)]
unsafe fn realloc_checked(place: NonNull<u8>, old: Layout, new: usize) -> Option<NonNull<u8>> {
    let Some(class) = class_of(old.size(), old.align()) else {
        // SAFETY: the caller's. It looks at the block itself.
        return unsafe { realloc_other(place, old, new) };
    };
    check::live(place, old);
    // SAFETY: the caller's: the new size is one of a layout.
    let layout = unsafe { Layout::from_size_align_unchecked(new, old.align()) };
    if class_of(new, old.align()) == Some(class) && check::may_have(place, layout) {
        poison::on_alloc(place, new);
        return Some(place);
    }
    // SAFETY: the caller's.
    unsafe { move_block(place, old, new) }
}

/// # Safety
/// As `GlobalAlloc::realloc`; the layout is not small.
#[inline(never)]
unsafe fn realloc_other(place: NonNull<u8>, old: Layout, new: usize) -> Option<NonNull<u8>> {
    let in_place = if class_of(old.size(), old.align()).is_some() {
        // SAFETY: a live block lies in an arena.
        let pool = unsafe { PoolRef::of_any(place.as_ptr() as usize) };
        // It never becomes small: `dealloc` finds the record of a small one by its granule alone.
        let stays = new > SMALL_MAX && stays(pool.block_size(), old.size(), new);
        stays.then_some(place)
    } else {
        // SAFETY: the caller's block, whose layout has no class. It looks at the block itself.
        unsafe { large::resize(place, old, new) }
    };
    if in_place.is_some() {
        return in_place;
    }
    // SAFETY: the caller's: the new size is one of a layout.
    let moved = alloc(unsafe { Layout::from_size_align_unchecked(new, old.align()) })?;
    if new > old.size() {
        large::will_fill(moved, new, old.align());
    }
    // SAFETY: the caller's, and a new block of that many bytes.
    unsafe { move_to(moved, place, old, new) };
    Some(moved)
}

/// A block for what grows: with room if there may be one, else as any other.
#[inline(never)]
fn alloc_roomy(layout: Layout) -> Option<NonNull<u8>> {
    let Some(block) = ThreadHeap::current().alloc_roomy() else { return alloc(layout) };
    poison::on_alloc(block.place(), layout.size());
    Some(block.place())
}

fn class_of(size: usize, align: usize) -> Option<SizeClass> {
    SizeClass::of_layout(size, align)
}

/// Moves a block to one of `new` bytes.
///
/// # Safety
/// As `GlobalAlloc::realloc`.
#[inline]
unsafe fn move_block(place: NonNull<u8>, old: Layout, new: usize) -> Option<NonNull<u8>> {
    // SAFETY: the caller's: the new size is one of a layout.
    let layout = unsafe { Layout::from_size_align_unchecked(new, old.align()) };
    let moved = if wants_room(old, new) { alloc_roomy(layout) } else { alloc(layout) }?;
    // SAFETY: the caller's, and a new block of that many bytes.
    unsafe { move_to(moved, place, old, new) };
    Some(moved)
}

/// Copies a block to one of `new` bytes and frees it.
///
/// # Safety
/// `place` is the caller's live block with the layout `old`, which is not empty; `moved` is another one of `new` bytes, or
/// any pointer if these are none.
#[inline(always)]
unsafe fn move_to(moved: NonNull<u8>, place: NonNull<u8>, old: Layout, new: usize) {
    // SAFETY: both blocks have at least that many bytes and are distinct.
    unsafe { copy_forward(place, moved, old.size().min(new)) };
    // SAFETY: the caller's block, which is not used any more.
    unsafe { dealloc(place, old) };
}

#[inline(always)]
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

    unsafe fn grow_zeroed(
        &self,
        place: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's.
        unsafe { replace(place, old, new, alloc_zeroed) }
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
    // SAFETY: the caller's.
    unsafe { replace(place, old, new, alloc) }
}

/// Moves a block to a new one of another layout. What is to be looked at ([`check::live`]) is before there is a new one:
/// had it been freed by mistake, the new one could be the same.
///
/// # Safety
/// As `Allocator::grow` or `shrink`; `alloc` returns a block of the layout that it gets, which nobody else has.
unsafe fn replace(
    place: NonNull<u8>,
    old: Layout,
    new: Layout,
    alloc: impl FnOnce(Layout) -> Option<NonNull<u8>>,
) -> Result<NonNull<[u8]>, AllocError> {
    if old.size() == 0 {
        return sized(new, alloc);
    }
    if check::is_full() || class_of(old.size(), old.align()).is_none() {
        check::live(place, old);
    }
    let moved = sized(new, alloc)?;
    // SAFETY: the caller's block, and a new one of that many bytes, or none.
    unsafe { move_to(moved.cast(), place, old, new.size()) };
    Ok(moved)
}
