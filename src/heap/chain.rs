//! Linked free blocks of one pool, and how a list of several pools' is taken apart.

use super::block::BlockPtr;
use super::check;
use super::remote::MAX_BLOCKS;
use crate::base::config::GRANULE;

/// No list is longer: the blocks of a pool, and what a thread keeps of others'.
const MAX_LIST: usize = GRANULE / 8 + MAX_BLOCKS;

/// Linked blocks of one pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    pub(super) first: BlockPtr,
    pub(super) last: BlockPtr,
    pub(super) len: usize,
}

impl Chain {
    /// A chain of one.
    pub(super) fn of_one(block: BlockPtr) -> Chain {
        Chain { first: block, last: block, len: 1 }
    }

    /// Splits a list into the blocks of its first one's pool, and the others. What follows the chain's last is
    /// not said. A block that was freed twice makes a list endless: aborts.
    ///
    /// # Safety
    /// The blocks are free, linked, and the caller's.
    pub(super) unsafe fn split_off(first: BlockPtr) -> (Chain, Option<BlockPtr>) {
        let mut chain = Chain::of_one(first);
        let (mut others, mut last_other) = (None, None::<BlockPtr>);
        let mut seen = 1;
        // SAFETY: the caller's.
        let mut next = unsafe { first.next() };
        while let Some(block) = next {
            seen += 1;
            if seen > MAX_LIST {
                check::listed_twice(block.place());
            }
            // SAFETY: the caller's.
            next = unsafe { block.next() };
            if block.addr() / GRANULE != first.addr() / GRANULE {
                match last_other {
                    // SAFETY: the caller's.
                    Some(last) => unsafe { last.set_next(Some(block)) },
                    None => others = Some(block),
                }
                last_other = Some(block);
                continue;
            }
            if last_other.is_some() {
                // SAFETY: the caller's.
                unsafe { chain.last.set_next(Some(block)) };
            }
            chain.last = block;
            chain.len += 1;
        }
        if let Some(last) = last_other {
            // SAFETY: the caller's.
            unsafe { last.set_next(None) };
        }
        (chain, others)
    }
}
