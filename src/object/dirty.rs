//! Dirty objects: old ones that lost a handle, perhaps the last from outside of a cycle.
//!
//! A drop only notes the object, since its bits are seldom in the cache. The bits are set for many at a
//! time, when the list is full or a run asks; then an object may be gone, and another in its place. That one
//! becomes dirty for nothing, if it is old.

use crate::heap::object_pool::{ObjectHeap, ObjectPool};

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
    let objects = || heap.noted().map(|header| unsafe { ObjectRef::from_header(header) });
    objects().for_each(|object| Side::of(object).prefetch());
    for object in objects() {
        // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
        let pool = unsafe { ObjectPool::of(object.address()) };
        let side = Side::in_pool(pool, object);
        if side.has(Word::Old) && !side.has(Word::Dirty) {
            side.set(Word::Dirty);
            heap.note_dirty(pool);
        }
    }
    heap.forget_noted();
}
