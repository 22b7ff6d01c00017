//! What holds between runs, asserted: for tests and fuzzing.

use super::candidates::IN_RUN;
use super::groups::object_at;
use crate::heap::object_pool::{Group, ObjectHeap, ObjectPool};
use crate::object::side::{Word, word};

/// Asserts what `side.rs` says of the bits of all objects of this thread, and that nothing is left of a run.
/// Not for use in callbacks.
pub(crate) fn check_invariants() {
    let Some(heap) = ObjectHeap::own() else { return };
    let mut recent = Vec::new();
    heap.for_each_recent(|pool| {
        recent.push(pool);
        true
    });
    heap.for_each_traced_pool(|pool| {
        assert_eq!(pool.marks().get() & IN_RUN, 0, "a pool is marked outside of a run");
        let listed = recent.contains(&pool);
        for (index, group) in pool.groups().iter().enumerate() {
            check_group(pool, index, group, listed);
        }
    });
}

fn check_group(pool: ObjectPool, index: usize, group: &Group, recent: bool) {
    let get = |which| word(group, which).get();
    let (middle, old) = (get(Word::Middle), get(Word::Old));
    assert_eq!(middle & old, 0, "an object has two ages");
    assert!(recent || middle == 0, "a run will miss objects: their pool is not recent");
    assert_eq!(get(Word::Dirty) & !old, 0, "an object is dirty and not old");
    for which in [Word::Candidate, Word::Condemned, Word::Skipped, Word::Zombie] {
        assert_eq!(get(which), 0, "{which:?} is left");
    }
    let blocks = pool.blocks();
    for bit in 0..64.min(pool.carved() - index * 64) {
        let block = index * 64 + bit;
        assert_eq!(blocks.counters_of(index)[bit].get(), 0, "a trial counter is left");
        let header = object_at(blocks, block).header();
        assert!(recent || !header.is_young(), "a run will miss a young object");
        let aged = (middle | old) >> bit & 1 == 1;
        let is_noted = pool.has_news() || get(Word::Dirty) >> bit & 1 == 1;
        let has_lost = old >> bit & 1 == 1 && header.has_lost();
        assert!(is_noted || !has_lost, "an old object lost a handle, and no walk will begin there");
        if header.strong() > 0 {
            assert!(!header.is_in_run(), "an object is still in a run");
            assert_eq!(aged, header.is_aged(), "flag and bits tell different ages");
        } else {
            assert!(!aged, "an object without handles has an age");
        }
        assert!(!aged || header.is_alive(), "a dead object has an age");
    }
}
