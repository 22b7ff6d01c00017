//! A look at all objects of a thread. It gives records, never handles: an object may be exclusive.

use super::generation::Generation;
use super::pacing::Census;
use crate::heap::object_pool::{ObjectHeap, ObjectPool};
use crate::object::ObjectRef;
use crate::object::dirty;
use crate::object::side::{Word, word};

/// What is known of an object without its type: see [`gc::objects`](crate::gc::objects).
///
/// ```
/// use hoopsnake::{Cc, gc};
/// let list = Cc::new(vec![Cc::new(1)]);
/// let info = gc::objects(None)[0];
/// assert_eq!((info.id, info.strong, info.weak), (Cc::id(&list), 1, 0));
/// assert_eq!(info.size, size_of::<Vec<Cc<i32>>>());
/// ```
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

/// The objects with edges of a heap, of one generation or of all.
pub(super) fn objects(heap: &ObjectHeap, only: Option<Generation>) -> Vec<ObjectInfo> {
    // The program's allocator makes room for the list, and may be the heap that is being looked at: the
    // pools are remembered first, and pools with objects stay.
    let mut pools = Vec::new();
    heap.for_each_traced_pool(|pool| pools.push(pool));
    let all = pools.into_iter().flat_map(objects_of);
    all.filter(|object| only.is_none_or(|only| object.generation == only)).collect()
}

fn objects_of(pool: ObjectPool) -> impl Iterator<Item = ObjectInfo> {
    (0..pool.carved()).filter_map(move |index| {
        // SAFETY: a block that was handed out, or is free.
        let object = unsafe { ObjectRef::from_header(pool.header_at(index)) };
        let bit = |which| word(pool.group(index), which).get() >> (index % 64) & 1 == 1;
        let generation = if object.header().is_young() {
            Generation::Young
        } else if bit(Word::Middle) {
            Generation::Middle
        } else if bit(Word::Old) {
            Generation::Old
        } else {
            return None;
        };
        // SAFETY: what has an age is traced and alive.
        let (type_name, size) = unsafe { object.describe() };
        let (strong, weak) = (object.header().strong() as usize, object.header().weak() as usize);
        let id = object.value::<u8>().addr().get();
        Some(ObjectInfo { id, type_name, size, strong, weak, generation })
    })
}

/// Counts the old objects, and those of them that are dirty.
pub(super) fn census(heap: &ObjectHeap) -> Census {
    let mut census = Census::default();
    heap.for_each_traced_pool(|pool| {
        dirty::gather(pool);
        for group in pool.groups() {
            census.old += word(group, Word::Old).get().count_ones() as usize;
            census.dirty += word(group, Word::Dirty).get().count_ones() as usize;
        }
    });
    census
}
