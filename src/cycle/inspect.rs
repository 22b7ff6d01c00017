//! A look at all objects of a thread. It gives records, never handles: an object may be exclusive.

use super::generation::Generation;
use super::pacing::Census;
use crate::heap::object_pool::{ObjectHeap, ObjectPool};
use crate::object::ObjectRef;
use crate::object::side::{Word, word};

/// What is known of an object without its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its identity, as [`Cc::id`](crate::Cc::id) tells it.
    pub id: usize,
    /// The name of its type, of its elements' type if it is a slice.
    pub type_name: &'static str,
    /// Bytes of its value.
    pub size: usize,
    /// Handles.
    pub strong: usize,
    /// Weak handles.
    pub weak: usize,
    /// Its age.
    pub generation: Generation,
}

const AGES: [(Generation, Word); 3] = [
    (Generation::Young, Word::Young),
    (Generation::Middle, Word::Middle),
    (Generation::Old, Word::Old),
];

/// The objects with edges of a heap, of one generation or of all.
pub(super) fn objects(heap: &ObjectHeap, only: Option<Generation>) -> Vec<ObjectInfo> {
    // The program's allocator makes room for the list, and may be the heap that is being looked at: the
    // pools are remembered first, and pools with objects stay.
    let mut pools = Vec::new();
    heap.for_each_traced_pool(|pool| pools.push(pool));
    let mut found = Vec::new();
    for pool in pools {
        for (generation, age) in
            AGES.into_iter().filter(|age| only.is_none_or(|only| age.0 == only))
        {
            objects_of(pool, generation, age, &mut found);
        }
    }
    found
}

fn objects_of(pool: ObjectPool, generation: Generation, age: Word, found: &mut Vec<ObjectInfo>) {
    for (index, group) in pool.groups().iter().enumerate() {
        let mut bits = word(group, age).get();
        while bits != 0 {
            let block = index * 64 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            // SAFETY: bits are only set for blocks that were handed out.
            let object = unsafe { ObjectRef::from_header(pool.header_at(block)) };
            // SAFETY: what has an age is traced and alive.
            let (type_name, size) = unsafe { object.describe() };
            let (strong, weak) =
                (object.header().strong() as usize, object.header().weak() as usize);
            let id = object.value::<u8>().addr().get();
            found.push(ObjectInfo { id, type_name, size, strong, weak, generation });
        }
    }
}

/// Counts the old objects.
pub(super) fn census(heap: &ObjectHeap) -> Census {
    let mut census = Census::default();
    heap.for_each_traced_pool(|pool| {
        for group in pool.groups() {
            census.old += word(group, Word::Old).get().count_ones() as usize;
            census.dirty += word(group, Word::Dirty).get().count_ones() as usize;
        }
    });
    census
}
