//! What there is in a shard: numbers, all its entries, and whether its table keeps the rules.
//!
//! # Orderings
//! Relaxed: the shard's lock orders all loads.

#[cfg(any(test, fuzzing, loom))]
use super::probe::distance_of;
use super::slot::EMPTY;
#[cfg(any(test, fuzzing, loom))]
use super::slot::{PAIR, has_tag, is_passed, tag_of};
#[cfg(any(test, fuzzing, loom))]
use super::table::place_of;
use super::table::{Entry, Space};
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
        let slot = slot.load(Ordering::Relaxed);
        let entry = Entry::in_slot(slot);
        if slot != EMPTY && space.header(entry).count.try_increment() {
            into.push(entry);
        }
    }
    Ok(())
}

/// Whether the table of one shard keeps its rules: as many entries as are counted, each where a
/// probe finds it, with what its slot says; passed pairs full, and never all slots.
///
/// # Panics
/// If not.
#[cfg(any(test, fuzzing, loom))]
pub fn check_invariants<S: Space>(space: &S, shard_hash: u64) {
    let writer = space.shard(shard_hash).writer.lock();
    let table = space.view(shard_hash).current();
    let slots: Vec<_> =
        space.slots(table).iter().map(|slot| slot.load(Ordering::Relaxed)).collect();
    let taken = slots.iter().filter(|&&slot| slot != EMPTY).count();
    assert_eq!(taken, writer.live, "entries in the table and entries counted");
    assert!(taken < slots.len(), "no slot is left");
    assert!(writer.immortal <= writer.live, "{} of {}", writer.immortal, writer.live);
    for (at, &slot) in slots.iter().enumerate().filter(|&(_, &slot)| slot != EMPTY) {
        let place = place_of(space, table, Entry::in_slot(slot));
        assert!(has_tag(slot, tag_of(place)), "the tag in slot {at}");
        let home = table.home(place);
        let distance = (at.wrapping_sub(home) & (slots.len() - 1)) / PAIR;
        assert_eq!(distance_of(space, table, slot, at), distance, "noted in slot {at}");
        for step in 0..distance {
            let between = (home + step * PAIR) & (slots.len() - 1);
            assert!(is_passed(slots[between]), "no probe gets to slot {at}");
        }
        let [first, second] = [at - at % PAIR, at - at % PAIR + 1];
        assert!(!is_passed(slots[second]), "a mark in the second slot {second}");
        assert!(!is_passed(slots[first]) || slots[second] != EMPTY, "slot {second} was passed");
    }
}
