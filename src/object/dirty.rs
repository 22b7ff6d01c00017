//! Dirty objects: old ones that lost a handle, perhaps the last from outside of a cycle.
//!
//! A drop only notes the object, since its bits are seldom in the cache. The bits are set for many at a
//! time, when the list is full or a run asks; then an object may be gone, and another in its place. That one
//! becomes dirty for nothing, if it is old.

use crate::heap::object_pool::ObjectHeap;

use super::ObjectRef;
use super::side::{Side, Word};

/// A handle of a traced object is gone, and others are left: if it is old it is dirty now.
#[inline]
pub(crate) fn lost_handle(object: ObjectRef) {
    let heap = ObjectHeap::current();
    if heap.note(object.address()) {
        settle(heap);
    }
}

/// Sets the bits of all objects that were noted, and lists their pools.
#[cold]
pub(crate) fn settle(heap: &ObjectHeap) {
    // SAFETY: a count word in a pool of counted objects.
    let object = |header| unsafe { ObjectRef::from_header(header) };
    heap.for_each_noted(|pool, header| Side::in_pool(pool, object(header)).prefetch());
    heap.for_each_noted(|pool, header| {
        let side = Side::in_pool(pool, object(header));
        if side.has(Word::Old) && !side.has(Word::Dirty) {
            side.set(Word::Dirty);
            heap.note_dirty(pool);
        }
    });
    heap.forget_noted();
}
