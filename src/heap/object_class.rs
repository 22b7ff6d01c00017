//! The shape of an object's block.

use core::alloc::Layout;

use super::size_class::{SMALL_MAX, SizeClass};
use super::thread::{LARGE_SLOT, LEAF_SLOTS, TRACED_SLOTS};
use crate::base::config::{ARENA, GRANULE};

/// The shape of an object's block: where it is allocated, and where its value begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObjectClass {
    pub(super) slot: u8,
    pub(super) traced: bool,
    value_offset: u32,
    /// Bytes from the block's start to the value's end.
    pub(super) used: usize,
}

impl ObjectClass {
    /// The class of values of a layout; `None` when no block can be that large or that aligned.
    pub(crate) const fn new(value: Layout, traced: bool) -> Option<ObjectClass> {
        let align = value.align();
        let leaf = !traced && align <= 8;
        let value_offset = value_offset(traced, align);
        if align > GRANULE || value.size() > isize::MAX as usize - value_offset - ARENA {
            return None;
        }
        let least = value_offset + if leaf { 8 } else { 0 };
        let used = value_offset + value.size();
        let used = if used < least { least } else { used };
        let slot = if used > SMALL_MAX || value_offset > 16 {
            LARGE_SLOT
        } else if let Some(class) = SizeClass::of_layout(used, if align > 8 { align } else { 8 }) {
            let first = if leaf { LEAF_SLOTS } else { TRACED_SLOTS };
            first + class.index()
        } else {
            LARGE_SLOT
        };
        let value_offset = value_offset as u32;
        Some(ObjectClass { slot: slot as u8, traced, value_offset, used })
    }

    /// From the block's start to the value; the count word is 8 bytes before it, the vtable word 16.
    #[inline(always)]
    pub(crate) const fn value_offset(self) -> usize {
        self.value_offset as usize
    }

    #[inline(always)]
    pub(super) const fn is_large(self) -> bool {
        self.slot as usize == LARGE_SLOT
    }

    /// From the block's link word to its count word.
    #[inline(always)]
    pub(super) const fn link_to_count(self) -> isize {
        if self.value_offset == 8 { -8 } else { self.value_offset as isize - 8 }
    }

    /// Bytes of the block.
    #[inline(always)]
    pub(super) const fn block_size(self) -> usize {
        let slot = self.slot as usize;
        let class = if slot >= TRACED_SLOTS { slot - TRACED_SLOTS } else { slot - LEAF_SLOTS };
        SizeClass::from_index(class).size()
    }
}

/// From the start of a block to its value.
#[inline(always)]
pub(super) const fn value_offset(traced: bool, align: usize) -> usize {
    if !traced && align <= 8 {
        8
    } else if align > 16 {
        align
    } else {
        16
    }
}
