//! The weak table: who has the entry of this hash? Readers take no lock and no pin.
//!
//! # Protocol
//! A shard has one table per power of two, for ever: it grows and shrinks by moving to another of
//! them, and clears the one it leaves. A table is a power of two of slots; a slot is empty or an
//! entry's address under a tag of its place (6); entries lie at or behind their home slot with no empty
//! slot between (linear probing; a removal closes the gap by moving later entries back). The three
//! low bits, which addresses do not need, say how far: so a removal does not have to look at its
//! neighbours' hashes, each a cache miss.
//!
//! 1. A reader loads the shard's [`View`] and probes. The table may be one that the shard has left,
//!    that was cleared, or that is in use again: whatever the reader sees is empty, a tag that
//!    differs, or an entry that it verifies by count and comparison ([`look_up`]). So it may miss
//!    an entry that is there; it never finds one that is not.
//! 2. A miss takes the shard's lock and probes the current table again ([`look_up_or_insert`]).
//!    Under the lock nothing in the table is reused, so contents may be compared without a count:
//!    *compare first, then count*. A count that is given back could be the last one, and a last
//!    drop takes a lock and runs user code.
//! 3. Insertion makes room first, then fills a block, publishes its count, and stores the slot.
//!    What can fail comes before what can be seen.
//! 4. Who owns a dead entry removes its slot under the lock ([`unlink`]), and only then may the
//!    block be freed ([`free`], or both at once: [`bury`]): every live entry is in the table exactly
//!    once, and none that is free.
//! 5. Contents whose comparison is user code are compared by readers only. [`insert_unless_changed`]
//!    inserts if nothing was inserted or moved in the shard since before the reader's probe.
//! 6. What chooses home slot and tag is the entry's *place*: its hash, spread, but in a *keyed* table a
//!    keyed hash of its contents. A shard that is flooded (many entries of one tag on one probe, or very long
//!    probes) moves to a keyed table. The mode is a bit of the view, so that a reader's mode always
//!    fits its table.
//! 7. A shard that is *closed* is looked up in no more; who frees its last block is told, so that its
//!    memory may go (`lifetime.rs`).
//!
//! # Orderings
//! - Slots and the view are stored with Release and loaded with Acquire: the memory they lead to may
//!   be fresh, and its zeroes must be there before it is read. A table in use again can be read
//!   through an old view, so each slot needs it, not the view alone. An immortal entry has one life and no
//!   count that is taken: its slot alone orders its contents.
//! - `changes` is stored with Release after the slots and the view it stands for, and loaded with
//!   Acquire before them: who sees the number sees what it counts.
//! - Under the lock loads are Relaxed: the lock orders them. An emptied slot publishes nothing.

#[cfg(any(test, fuzzing, loom))]
pub use super::census::check_invariants;
pub use super::census::{Tally, take_all, tally};
use super::entry::{Header, Taken};
use super::probe::Probe;
use super::slot::{ADDRESS, DISTANCE, EMPTY, at_distance, tag_of};
pub use super::slot::{Entry, Table, place_of_hash};
use crate::base::bits::prefetch;
use crate::sync::RawMutex;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// log2 of the smallest table.
pub const MIN_LOG2: u32 = if cfg!(loom) { 1 } else { 4 };
/// Entries of the wanted tag that one probe may meet in vain before the shard counts as flooded.
const TWINS: usize = if cfg!(loom) { 1 } else { 8 };
/// Slots that one probe may pass before the shard counts as flooded; at the highest load allowed a
/// run of this length has a chance of 4e-9.
const PROBES: usize = 512;
/// How many slots a move to another table looks ahead.
const AHEAD: usize = 12;

/// What readers see of a shard: its current table.
#[derive(Debug)]
pub struct View(AtomicUsize);

impl View {
    /// A view of `table`.
    pub fn new(table: Table) -> Self {
        Self(AtomicUsize::new(table.word()))
    }

    /// The current table, or one that was current.
    #[inline(always)]
    pub(super) fn acquire(&self) -> Table {
        Table::from_word(self.0.load(Ordering::Acquire))
    }

    /// The current table; the caller holds the shard's lock.
    pub(super) fn current(&self) -> Table {
        Table::from_word(self.0.load(Ordering::Relaxed))
    }
}

/// What writers see of a shard: one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub struct Shard<B> {
    /// Counts insertions, moves of entries and moves to another table.
    changes: AtomicUsize,
    pub(super) writer: RawMutex<Writer<B>>,
}

/// What the lock of a shard guards besides the slots.
#[derive(Debug)]
pub struct Writer<B> {
    /// Entries in the table.
    pub(super) live: usize,
    /// Those of them that never die.
    pub(super) immortal: usize,
    /// Entries that are unlinked and whose blocks are not free yet.
    dying: usize,
    /// Whether nobody will look anything up any more.
    closed: bool,
    /// Where entries are made and come back to.
    pub blocks: B,
}

impl<B> Shard<B> {
    /// A shard without entries.
    pub fn new(blocks: B) -> Self {
        let writer = Writer { live: 0, immortal: 0, dying: 0, closed: false, blocks };
        let writer = RawMutex::new(writer);
        Self { changes: AtomicUsize::new(0), writer }
    }

    /// The number to hand to [`insert_unless_changed`] after a probe.
    pub fn changes(&self) -> usize {
        self.changes.load(Ordering::Acquire)
    }

    /// Entries that can die.
    pub fn mortal(&self) -> usize {
        let writer = self.writer.lock();
        writer.live - writer.immortal
    }

    /// Notes that a mortal entry became immortal.
    pub fn note_immortal(&self) {
        self.writer.lock().immortal += 1;
    }

    /// Runs `f` under the lock.
    pub fn with_blocks<R>(&self, f: impl FnOnce(&mut B) -> R) -> R {
        f(&mut self.writer.lock().blocks)
    }

    /// Takes the lock for the time of a fork.
    #[cfg(not(loom))]
    pub fn begin_fork(&self) {
        self.writer.begin_fork();
    }

    /// Gives it back.
    #[cfg(not(loom))]
    pub fn end_fork(&self) {
        self.writer.end_fork();
    }

    /// Closes the shard; true if it holds nothing. If not, whoever frees its last block is told so.
    pub fn close(&self) -> bool {
        let mut writer = self.writer.lock();
        writer.closed = true;
        writer.is_gone()
    }

    fn changed(&self, _lock: &mut Writer<B>) {
        let number = self.changes.load(Ordering::Relaxed);
        self.changes.store(number.wrapping_add(1), Ordering::Release);
    }
}

impl<B> Writer<B> {
    /// Whether the shard is closed and holds nothing any more.
    fn is_gone(&self) -> bool {
        self.closed && self.live == 0 && self.dying == 0
    }
}

/// The memory of tables and entries; all of it stays readable as what it is while the space lives.
pub trait Space {
    /// What makes entries.
    type Blocks;

    /// The view of the shard that `hash` belongs to.
    fn view(&self, hash: u64) -> &View;

    /// The shard that `hash` belongs to.
    fn shard(&self, hash: u64) -> &Shard<Self::Blocks>;

    /// The slots of a table: exactly its length.
    fn slots(&self, table: Table) -> &[AtomicU64];

    /// The head of an entry, dead or alive.
    fn header(&self, entry: Entry) -> &Header;

    /// Whether an entry was made immortal, so that its handles are not counted; it has had no other life.
    fn is_immortal(&self, entry: Entry) -> bool;

    /// The keyed hash of an entry's contents, or `None` where contents cannot be hashed under the
    /// lock; such a space has no keyed tables. The caller holds the lock of the entry's shard.
    fn keyed_hash(&self, entry: Entry) -> Option<u64>;

    /// An empty table of `1 << log2` slots for the shard of `hash`, if memory can be had. The caller
    /// holds the lock.
    fn table(&self, hash: u64, log2: u32, keyed: bool) -> Option<Table>;

    /// Empties a table that its shard has left; the caller holds the lock.
    fn clear(&self, table: Table);

    /// Gives back a count that a reader took in vain; no lock is held.
    fn give_back(&self, entry: Entry);
}

/// What chooses home slot and tag of what is sought.
#[inline(always)]
fn place_of_sought(table: Table, hash: u64, keyed: impl FnOnce() -> u64) -> u64 {
    if table.is_keyed() { keyed() } else { place_of_hash(hash) }
}

/// What chooses home slot and tag of an entry in the table, or about to be. The lock is held.
pub(super) fn place_of<S: Space>(space: &S, table: Table, entry: Entry) -> u64 {
    // SAFETY: the entry is in the table or the caller's, and the lock of its shard is held.
    let hash = unsafe { space.header(entry).hash() };
    let place = || place_of_hash(hash);
    if table.is_keyed() { space.keyed_hash(entry).unwrap_or_else(place) } else { place() }
}

/// What came of a look, if not an entry.
#[derive(Debug)]
pub enum Missed<'a, S: Space> {
    /// There is none of the tag.
    Absent,
    /// Anything else; looking on tells. With what was taken in vain.
    Unclear(Option<Counted<'a, S>>),
}

/// Looks for an entry in its home slot, without a lock, and takes a count of it, if there is nothing special
/// about it: three of four entries are at home.
///
/// What is less common is left to the caller, whose last call it can be: so a hit saves no registers, and more
/// of what comes after it is under way while it waits for memory.
///
/// # Errors
/// If it was not found, which says little: [`look_up_first`] tells more, or, if something was taken,
/// [`Counted::into_match`] and [`look_up_again`].
#[inline(always)]
pub fn look_up_at_home<S: Space>(
    space: &S,
    hash: u64,
    matches: impl Fn(Entry) -> bool,
) -> Result<Entry, Missed<'_, S>> {
    let table = space.view(hash).acquire();
    if table.is_keyed() {
        return Err(Missed::Unclear(None));
    }
    match Probe::new(space, table, place_of_hash(hash)).at_home(Ordering::Acquire) {
        Ok(entry) => take_plain(space, entry, matches),
        Err(EMPTY) => Err(Missed::Absent),
        Err(_) => Err(Missed::Unclear(None)),
    }
}

/// Looks for an entry without a lock, and takes a count of it, if it is the first of the tag and there is
/// nothing special about it: of 32,768 entries that are met on the way, one has the tag by chance.
///
/// # Errors
/// If it was not found, which says little: see the protocol.
#[inline(always)]
pub fn look_up_first<S: Space>(
    space: &S,
    hash: u64,
    matches: impl Fn(Entry) -> bool,
) -> Result<Entry, Missed<'_, S>> {
    let table = space.view(hash).acquire();
    if table.is_keyed() {
        return Err(Missed::Unclear(None));
    }
    let mut probe = Probe::new(space, table, place_of_hash(hash));
    let first = probe.next(Ordering::Acquire).ok_or(Missed::Absent)?;
    take_plain(space, first, matches)
}

/// Takes a count of an entry, then compares it, if there is nothing special about its count.
#[inline(always)]
fn take_plain<S: Space>(
    space: &S,
    entry: Entry,
    matches: impl Fn(Entry) -> bool,
) -> Result<Entry, Missed<'_, S>> {
    if space.is_immortal(entry) {
        return if matches(entry) { Ok(entry) } else { Err(Missed::Unclear(None)) };
    }
    let taken = space.header(entry).count.take();
    let counted = Counted { space, entry, taken };
    if !taken.is_plain() || !matches(entry) {
        return Err(Missed::Unclear(Some(counted)));
    }
    core::mem::forget(counted);
    Ok(entry)
}

/// Looks for an entry without a lock, and takes a count of it. `None` says little: see the protocol.
///
/// `matches` compares the contents; `keyed` is the keyed hash of what is sought.
#[inline(always)]
pub fn look_up<S: Space>(
    space: &S,
    hash: u64,
    keyed: impl FnOnce() -> u64,
    matches: impl Fn(Entry) -> bool,
) -> Option<Entry> {
    let mut looked = look_up_at_home(space, hash, &matches);
    if matches!(looked, Err(Missed::Unclear(None))) {
        looked = look_up_first(space, hash, &matches);
    }
    match looked {
        Ok(found) => Some(found),
        Err(Missed::Absent) => None,
        Err(Missed::Unclear(counted)) => counted
            .and_then(|counted| counted.into_match(&matches))
            .or_else(|| look_up_again(space, hash, keyed, matches)),
    }
}

/// As [`look_up`], after a first look that left it unclear and what it took was given back.
#[cold]
pub fn look_up_again<S: Space>(
    space: &S,
    hash: u64,
    keyed: impl FnOnce() -> u64,
    matches: impl Fn(Entry) -> bool,
) -> Option<Entry> {
    let table = space.view(hash).acquire();
    let mut probe = Probe::new(space, table, place_of_sought(table, hash, keyed));
    while let Some(entry) = probe.next(Ordering::Acquire) {
        if take(space, entry, &matches) {
            return Some(entry);
        }
    }
    None
}

/// Takes a count of an entry, unless it is dead. There is nothing to count of an immortal one: it was filled
/// before its slot was, and never again.
pub(super) fn count<S: Space>(space: &S, entry: Entry) -> bool {
    space.is_immortal(entry) || space.header(entry).count.try_increment()
}

/// Takes a count of an entry if it lives and matches: counts first, then compares.
fn take<S: Space>(space: &S, entry: Entry, matches: impl Fn(Entry) -> bool) -> bool {
    if !count(space, entry) {
        return false;
    }
    // Gives the count back, also when a user's comparison panics.
    let counted = Counted { space, entry, taken: Taken::PLAIN };
    let matched = matches(entry);
    if matched {
        core::mem::forget(counted);
    }
    matched
}

/// What was taken of an entry: a count is given back when dropped.
#[derive(Debug)]
pub struct Counted<'a, S: Space> {
    space: &'a S,
    entry: Entry,
    taken: Taken,
}

/// Drops what is left of a look-up that has taken a count of an entry. That may be user code: if it panics
/// the count is given back.
#[inline(always)]
pub fn drop_rest<S: Space, R>(space: &S, entry: Entry, rest: R) {
    let counted = Counted { space, entry, taken: Taken::PLAIN };
    drop(rest);
    core::mem::forget(counted);
}

impl<S: Space> Counted<'_, S> {
    /// The entry with the count, if it lives and matches: where there was something special about it, so that it
    /// was not compared.
    #[cold]
    pub fn into_match(self, matches: impl Fn(Entry) -> bool) -> Option<Entry> {
        let Self { space, entry, taken } = self;
        if taken.is_plain() || !taken.is_count() || !matches(entry) {
            return None;
        }
        space.header(entry).count.settle();
        core::mem::forget(self);
        Some(entry)
    }
}

impl<S: Space> Drop for Counted<'_, S> {
    fn drop(&mut self) {
        if !self.taken.is_count() {
            self.space.header(self.entry).count.settle();
        } else if !self.space.is_immortal(self.entry) {
            self.space.give_back(self.entry);
        }
    }
}

/// Looks for an entry under the lock; if there is none, makes one, an `immortal` one if so. `None` when
/// memory is refused.
///
/// Nothing that is handed in may be user code. `make` fills a block and leaves its count dead.
pub fn look_up_or_insert<S: Space>(
    space: &S,
    hash: u64,
    keyed: impl Fn() -> u64,
    matches: impl Fn(Entry) -> bool,
    immortal: bool,
    make: impl FnOnce(&mut S::Blocks) -> Option<Entry>,
) -> Option<Entry> {
    let mut writer = space.shard(hash).writer.lock();
    match probe_locked(space, hash, keyed, matches) {
        Ok(found) => Some(found),
        Err(vacancy) => insert(space, &mut writer, hash, Some(vacancy), immortal, make),
    }
}

/// Looks for an entry under the lock, so that `None` is certain. Nothing may be user code.
pub fn look_up_locked<S: Space>(
    space: &S,
    hash: u64,
    keyed: impl Fn() -> u64,
    matches: impl Fn(Entry) -> bool,
) -> Option<Entry> {
    let _writer = space.shard(hash).writer.lock();
    probe_locked(space, hash, keyed, matches).ok()
}

/// Where a probe under the lock ended in vain.
struct Vacancy {
    table: Table,
    place: u64,
    distance: usize,
    /// Whether what it met on the way is too much.
    flooded: bool,
}

/// Compares first, then counts; a dying entry is none. The error: where one can be made.
#[inline]
fn probe_locked<S: Space>(
    space: &S,
    hash: u64,
    keyed: impl Fn() -> u64,
    matches: impl Fn(Entry) -> bool,
) -> Result<Entry, Vacancy> {
    let table = space.view(hash).current();
    let place = place_of_sought(table, hash, keyed);
    let mut probe = Probe::new(space, table, place);
    let mut twins = 0;
    while let Some(entry) = probe.next(Ordering::Relaxed) {
        if matches(entry) && count(space, entry) {
            return Ok(entry);
        }
        twins += 1;
    }
    let distance = probe.steps;
    Err(Vacancy { table, place, distance, flooded: twins > TWINS || distance > PROBES })
}

/// Why nothing was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The shard changed since `seen`: probe again.
    Changed,
    /// Memory is refused.
    NoMemory,
}

/// Makes an entry, unless the shard changed since the number `seen` was read before a probe.
///
/// # Errors
/// See [`Refused`].
pub fn insert_unless_changed<S: Space>(
    space: &S,
    hash: u64,
    seen: usize,
    immortal: bool,
    make: impl FnOnce(&mut S::Blocks) -> Option<Entry>,
) -> Result<Entry, Refused> {
    let shard = space.shard(hash);
    let mut writer = shard.writer.lock();
    if shard.changes.load(Ordering::Relaxed) != seen {
        return Err(Refused::Changed);
    }
    insert(space, &mut writer, hash, None, immortal, make).ok_or(Refused::NoMemory)
}

/// Whether nothing was inserted or moved in the shard of `hash` since the number `seen` was read.
pub fn is_unchanged<S: Space>(space: &S, hash: u64, seen: usize) -> bool {
    let shard = space.shard(hash);
    let _writer = shard.writer.lock();
    shard.changes.load(Ordering::Relaxed) == seen
}

fn insert<S: Space>(
    space: &S,
    writer: &mut Writer<S::Blocks>,
    hash: u64,
    vacancy: Option<Vacancy>,
    immortal: bool,
    make: impl FnOnce(&mut S::Blocks) -> Option<Entry>,
) -> Option<Entry> {
    let flooded = vacancy.as_ref().is_some_and(|vacancy| vacancy.flooded);
    if !make_room(space, writer, hash, flooded) {
        return None;
    }
    let entry = make(&mut writer.blocks)?;
    debug_assert!(entry.0 & ADDRESS == entry.0 && entry.0 != 0, "{entry:?} does not fit a slot");
    debug_assert_eq!(space.is_immortal(entry), immortal, "{entry:?} is of the other kind");
    let table = space.view(hash).current();
    space.header(entry).count.publish(immortal);
    match vacancy {
        Some(seen) if seen.table == table => {
            put_at(space, table, seen.place, seen.distance, entry);
        }
        _ => put(space, table, entry),
    }
    writer.live += 1;
    if immortal {
        writer.immortal += 1;
    }
    space.shard(hash).changed(writer);
    Some(entry)
}

/// Sees to it that one more entry fits: at most three quarters of the slots are taken.
fn make_room<S: Space>(
    space: &S,
    writer: &mut Writer<S::Blocks>,
    hash: u64,
    flooded: bool,
) -> bool {
    let table = space.view(hash).current();
    let full = !is_room(writer.live + 1, table.length());
    let keyed = table.is_keyed() || flooded;
    if !full && keyed == table.is_keyed() {
        return true;
    }
    // A refused table is a slow one, until only the slot is left that ends the probes.
    move_to(space, writer, hash, table.log2() + 1, keyed) || writer.live + 1 < table.length()
}

/// Moves a shard to another of its tables; false, and nothing has happened, if there is none.
#[cold]
#[inline(never)]
fn move_to<S: Space>(
    space: &S,
    writer: &mut Writer<S::Blocks>,
    hash: u64,
    log2: u32,
    keyed: bool,
) -> bool {
    let view = space.view(hash);
    let old = view.current();
    let Some(new) = space.table(hash, log2, keyed) else { return false };
    let slots = space.slots(old);
    for (at, slot) in slots.iter().enumerate() {
        // Each entry's hash is a cache miss: have some under way.
        let ahead = slots[(at + AHEAD) & (slots.len() - 1)].load(Ordering::Relaxed);
        prefetch(core::ptr::without_provenance::<u8>((ahead & ADDRESS) as usize));
        let slot = slot.load(Ordering::Relaxed);
        if slot != EMPTY {
            put(space, new, Entry(slot & ADDRESS));
        }
    }
    view.0.store(new.word(), Ordering::Release);
    space.shard(hash).changed(writer);
    space.clear(old);
    true
}

/// Stores an entry in the first empty slot from its home on; there is one. The lock is held.
fn put<S: Space>(space: &S, table: Table, entry: Entry) {
    let place = place_of(space, table, entry);
    let slots = space.slots(table);
    let mask = slots.len() - 1;
    let (home, mut distance) = (table.home(place), 0);
    while slots[(home + distance) & mask].load(Ordering::Relaxed) != EMPTY {
        distance += 1;
    }
    put_at(space, table, place, distance, entry);
}

/// Stores an entry in an empty slot so far from its home. The lock is held.
fn put_at<S: Space>(space: &S, table: Table, place: u64, distance: usize, entry: Entry) {
    let slots = space.slots(table);
    let slot = &slots[(table.home(place) + distance) & (slots.len() - 1)];
    debug_assert_eq!(slot.load(Ordering::Relaxed), EMPTY, "{place:x} {distance} is taken");
    slot.store(at_distance(entry.0 | tag_of(place), distance), Ordering::Release);
}

/// Removes a dead entry from its shard's table. Its block stays the caller's, until [`free`].
///
/// The caller owns it.
pub fn unlink<S: Space>(space: &S, entry: Entry) {
    // SAFETY: the caller owns the dead entry.
    let hash = unsafe { space.header(entry).hash() };
    prefetch_home(space, hash);
    let mut writer = space.shard(hash).writer.lock();
    writer.dying += 1;
    remove(space, &mut writer, entry, hash);
}

/// Frees the block of an unlinked entry of the shard of `hash`; true if that was the last of a closed
/// shard.
#[must_use = "the last one closes the door"]
pub fn free<S: Space>(space: &S, hash: u64, free: impl FnOnce(&mut S::Blocks)) -> bool {
    let mut writer = space.shard(hash).writer.lock();
    writer.dying -= 1;
    free(&mut writer.blocks);
    writer.is_gone()
}

/// [`unlink`] and [`free`] at once.
#[must_use = "the last one closes the door"]
pub fn bury<S: Space>(space: &S, entry: Entry, free: impl FnOnce(&mut S::Blocks)) -> bool {
    // SAFETY: the caller owns the dead entry.
    let hash = unsafe { space.header(entry).hash() };
    prefetch_home(space, hash);
    let mut writer = space.shard(hash).writer.lock();
    remove(space, &mut writer, entry, hash);
    free(&mut writer.blocks);
    writer.is_gone()
}

/// Asks for the slot of a hash, while the lock is on its way.
#[inline(always)]
fn prefetch_home<S: Space>(space: &S, hash: u64) {
    let table = space.view(hash).acquire();
    prefetch(&raw const space.slots(table)[table.home(place_of_hash(hash))]);
}

#[inline(always)]
fn remove<S: Space>(space: &S, writer: &mut Writer<S::Blocks>, entry: Entry, hash: u64) {
    let table = space.view(hash).current();
    if take_out(space, table, entry) {
        space.shard(hash).changed(writer);
    }
    writer.live -= 1;
    if table.log2() > MIN_LOG2 && writer.live * 8 < table.length() {
        // Half the size at most a quarter full; without memory the table stays as it is.
        move_to(space, writer, hash, table.log2() - 1, table.is_keyed());
    }
}

/// Moves the shard of `hash` to the smallest table that its entries fit in, then runs `trim`.
pub fn shrink<S: Space>(space: &S, hash: u64, trim: impl FnOnce(&mut S::Blocks)) {
    let mut writer = space.shard(hash).writer.lock();
    let table = space.view(hash).current();
    let mut log2 = table.log2();
    while log2 > MIN_LOG2 && is_room(writer.live, 1 << (log2 - 1)) {
        log2 -= 1;
    }
    if log2 < table.log2() {
        move_to(space, &mut writer, hash, log2, table.is_keyed());
    }
    trim(&mut writer.blocks);
}

/// Whether so many entries fit in a table: three quarters of the slots.
fn is_room(entries: usize, slots: usize) -> bool {
    entries * 4 <= slots * 3
}

/// Empties the slot of an entry and closes the gap; true if other entries moved.
///
/// An entry behind the gap moves into it unless its home lies after the gap. A reader can miss an
/// entry that moves past it, never find a wrong one.
#[inline(always)]
fn take_out<S: Space>(space: &S, table: Table, entry: Entry) -> bool {
    let slots = space.slots(table);
    let mask = slots.len() - 1;
    let mut gap = table.home(place_of(space, table, entry));
    while slots[gap].load(Ordering::Relaxed) & ADDRESS != entry.0 {
        debug_assert_ne!(
            slots[gap].load(Ordering::Relaxed),
            EMPTY,
            "{entry:?} is not in its table"
        );
        gap = (gap + 1) & mask;
    }
    let (mut next, mut moved) = (gap, false);
    loop {
        next = (next + 1) & mask;
        let slot = slots[next].load(Ordering::Relaxed);
        if slot == EMPTY {
            break;
        }
        let (distance, step) =
            (distance_of(space, table, slot, next), next.wrapping_sub(gap) & mask);
        if distance >= step {
            slots[gap].store(at_distance(slot, distance - step), Ordering::Release);
            gap = next;
            moved = true;
        }
    }
    slots[gap].store(EMPTY, Ordering::Relaxed);
    moved
}

/// How far the entry in slot `at` is from its home.
pub(super) fn distance_of<S: Space>(space: &S, table: Table, slot: u64, at: usize) -> usize {
    let distance = slot & DISTANCE;
    if distance < DISTANCE {
        return distance as usize;
    }
    let home = table.home(place_of(space, table, Entry(slot & ADDRESS)));
    at.wrapping_sub(home) & (table.length() - 1)
}
