//! Objects by their bits, in the order of addresses: 64 neighbours at a time.

use crate::heap::object_pool::{Blocks, ObjectPool};
use crate::object::ObjectRef;
use crate::object::side::{Word, word};

/// Some of the objects of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Few {
    blocks: Blocks,
    /// The first block of the group, and a bit for each block from there on that is one of them.
    first: usize,
    bits: u64,
}

impl Iterator for Few {
    type Item = ObjectRef;

    #[inline(always)]
    fn next(&mut self) -> Option<ObjectRef> {
        (self.bits != 0).then(|| {
            let bit = self.bits.trailing_zeros() as usize;
            self.bits &= self.bits - 1;
            object_at(self.blocks, self.first + bit)
        })
    }
}

/// The objects of pools that have a bit, group by group; groups without any are left out.
pub(super) struct Groups<'a> {
    pools: core::slice::Iter<'a, ObjectPool>,
    which: Word,
    blocks: Option<Blocks>,
    /// The next group.
    index: usize,
}

impl Groups<'_> {
    pub(super) fn of(pools: &[ObjectPool], which: Word) -> Groups<'_> {
        Groups { pools: pools.iter(), which, blocks: None, index: 0 }
    }
}

impl Iterator for Groups<'_> {
    type Item = Few;

    fn next(&mut self) -> Option<Few> {
        loop {
            let Some(blocks) = self.blocks else {
                (self.blocks, self.index) = (Some(self.pools.next()?.blocks()), 0);
                continue;
            };
            let Some(group) = blocks.groups().get(self.index) else {
                self.blocks = None;
                continue;
            };
            self.index += 1;
            let bits = word(group, self.which).get();
            if bits != 0 {
                return Some(Few { blocks, first: (self.index - 1) * 64, bits });
            }
        }
    }
}

/// The object in a block that was handed out.
#[inline(always)]
pub(super) fn object_at(blocks: Blocks, index: usize) -> ObjectRef {
    // SAFETY: bits are only set for blocks that were handed out.
    unsafe { ObjectRef::from_header(blocks.header(index)) }
}
