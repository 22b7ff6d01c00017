//! Dirty objects: those that lost a handle since they were born, or last found alive. It was perhaps the last one
//! from outside of a cycle, and garbage that nobody else holds always has one of them: the last handle from
//! outside was dropped, and left others behind.
//!
//! `SLOW` in the header is the only note of that: objects are born with it, and what is found alive gets it back. So
//! the first drop that leaves handles behind is slow, clears it, and leaves a mark at the pool. The bits of old
//! ones are set when somebody wants to know them.

use crate::base::bits::bits;
use crate::heap::object_pool::{ObjectHeap, ObjectPool};

use super::ObjectRef;
use super::side::{Word, word};

/// A handle of an object is gone, others are left, and that is to be noted.
#[inline(always)]
pub(crate) fn keep(object: ObjectRef) {
    if object.header().settle_alive() {
        lost_handle(object);
    }
}

/// A handle of a traced object is gone, and others are left.
#[inline(always)]
pub(crate) fn lost_handle(object: ObjectRef) {
    ObjectHeap::current().note_lost(object.address(), object.header().is_aged());
}

/// Sets the bits of the old objects of a pool that are dirty, if some may have become so. Returns how many
/// groups of objects were looked at for that.
pub(crate) fn gather(pool: ObjectPool) -> usize {
    if !pool.take_news() {
        return 0;
    }
    let blocks = pool.blocks();
    for (index, group) in blocks.groups().iter().enumerate() {
        let unknown = word(group, Word::Old).get() & !word(group, Word::Dirty).get();
        let mut dirty = 0;
        bits(unknown, |bit| {
            // SAFETY: bits are only set for blocks that were handed out.
            let object = unsafe { ObjectRef::from_header(blocks.header(index * 64 + bit)) };
            dirty |= u64::from(object.header().has_lost()) << bit;
        });
        word(group, Word::Dirty).set(word(group, Word::Dirty).get() | dirty);
    }
    blocks.groups().len()
}
