//! What there is in a shard: numbers, all its entries, and whether its table keeps the rules.
//!
//! # Orderings
//! Relaxed: the shard's lock orders all loads.

use super::slot::{ADDRESS, EMPTY};
#[cfg(any(test, fuzzing, loom))]
use super::slot::{BELOW_TAG, tag_of};
use super::table::{Entry, Space, count};
#[cfg(any(test, fuzzing, loom))]
use super::table::{distance_of, place_of};
use crate::sync::atomic::Ordering;
use alloc::vec::Vec;

/// What there is in tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Entries, the dying ones included.
    pub live: usize,
    /// Those of them that never die.
    pub immortal: usize,
    /// Slots of the current tables, 8 bytes each.
    pub slots: usize,
    /// Shards that were flooded.
    pub keyed: usize,
}

/// Adds what there is in the shard of `hash`.
pub fn tally<S: Space>(space: &S, hash: u64, sum: &mut Tally) {
    let writer = space.shard(hash).writer.lock();
    let table = space.view(hash).current();
    sum.live += writer.live;
    sum.immortal += writer.immortal;
    sum.slots += table.length();
    sum.keyed += usize::from(table.is_keyed());
}

/// Takes a count of each live entry of the shard of `hash`, without room for more than `into` has;
/// the error is how many there are.
///
/// The caller gives the counts back when no lock is held.
///
/// # Errors
/// If `into` has too little spare room. It stays as it was.
pub fn take_all<S: Space>(space: &S, hash: u64, into: &mut Vec<Entry>) -> Result<(), usize> {
    let writer = space.shard(hash).writer.lock();
    if into.capacity() - into.len() < writer.live {
        return Err(writer.live);
    }
    for slot in space.slots(space.view(hash).current()) {
        let entry = Entry(slot.load(Ordering::Relaxed) & ADDRESS);
        if entry.0 != EMPTY && count(space, entry) {
            into.push(entry);
        }
    }
    Ok(())
}

/// Whether the table of one shard keeps its rules: as many entries as are counted, each where a
/// probe finds it, never full.
///
/// # Panics
/// If not.
#[cfg(any(test, fuzzing, loom))]
pub fn check_invariants<S: Space>(space: &S, shard_hash: u64) {
    let writer = space.shard(shard_hash).writer.lock();
    let table = space.view(shard_hash).current();
    let slots = space.slots(table);
    let taken = slots.iter().filter(|slot| slot.load(Ordering::Relaxed) != EMPTY).count();
    assert_eq!(taken, writer.live, "entries in the table and entries counted");
    assert!(taken < slots.len(), "no slot ends the probes");
    assert!(writer.immortal <= writer.live, "{} of {}", writer.immortal, writer.live);
    for (at, slot) in slots.iter().enumerate() {
        let slot = slot.load(Ordering::Relaxed);
        if slot == EMPTY {
            continue;
        }
        let place = place_of(space, table, Entry(slot & ADDRESS));
        assert_eq!(slot & !BELOW_TAG, tag_of(place), "the tag in slot {at}");
        let home = table.home(place);
        let distance = at.wrapping_sub(home) & (slots.len() - 1);
        assert_eq!(distance_of(space, table, slot, at), distance, "noted in slot {at}");
        for step in 0..distance {
            let between = (home + step) & (slots.len() - 1);
            assert_ne!(slots[between].load(Ordering::Relaxed), EMPTY, "a gap before slot {at}");
        }
    }
}
