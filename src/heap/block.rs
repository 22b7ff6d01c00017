//! A free block: its first word is its link. This file is the only one that casts.

use core::ptr::NonNull;

/// A free block, or rather the word in it that links free blocks. For blocks of the allocator that
/// is the block's first word; blocks of objects keep their count word out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct BlockPtr(NonNull<u8>);

impl BlockPtr {
    /// The free block whose link word is at `place`.
    ///
    /// # Safety
    /// `place` is 8-aligned and the word there belongs to the caller for as long as the block is free.
    #[inline(always)]
    pub(crate) const unsafe fn new(place: NonNull<u8>) -> BlockPtr {
        BlockPtr(place)
    }

    /// The block that follows in its list.
    ///
    /// # Safety
    /// The block is free, linked by [`set_next`](Self::set_next), and the caller's.
    #[inline(always)]
    pub(crate) unsafe fn next(self) -> Option<BlockPtr> {
        // SAFETY: `set_next` stored a link there and the block is the caller's.
        unsafe { self.0.cast::<Option<BlockPtr>>().read() }
    }

    /// Links the block in front of `next`.
    ///
    /// # Safety
    /// The block is free and the caller's.
    #[inline(always)]
    pub(crate) unsafe fn set_next(self, next: Option<BlockPtr>) {
        // SAFETY: the word is 8-aligned and the caller's.
        unsafe { self.0.cast::<Option<BlockPtr>>().write(next) }
    }

    /// Where the link word is.
    #[inline(always)]
    pub(crate) const fn place(self) -> NonNull<u8> {
        self.0
    }

    /// The address of the link word.
    #[inline(always)]
    pub(crate) fn addr(self) -> usize {
        self.0.as_ptr() as usize
    }
}
