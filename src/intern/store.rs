//! One interner: shards, their tables and the memory of both, in one mapping.
//!
//! Everything here is about entries as such; what their contents are is said by [`Contents`]. The
//! protocols are in `table.rs` and `entry.rs`, the blocks in `blocks.rs`.
//!
//! # Orderings
//! Relaxed: slots that are cleared here belong to a table that readers have left, or find empty.

use super::blocks::{BlockBytes, ShardMemory, block_size};
use super::entry::Header;
use super::fork;
use super::hash::Seed;
use super::lifetime::Lifetime;
use super::regions::{self, Regions};
use super::release;
use super::slice::{DeadBytes, NewBytes, Plain};
use super::table::{self, Counted, Entry, MIN_LOG2, Missed, Refused, Shard, Space, Table, View};
use super::value::{EntryPtr, New};
use crate::base::bits::align_up;
use crate::base::config::PAGE;
use crate::os;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{RawMutex, RawMutexGuard};
use alloc::vec::Vec;
use core::any::TypeId;
use core::array;
use core::cell::Cell;
use core::hash::Hash;
use core::mem::offset_of;
use core::ptr::NonNull;
use std::hash::RandomState;

/// Shards of an interner; the hash's highest bits choose.
pub(super) const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 6;
/// Tables from this length up are whole pages; they are mapped when they are first needed.
const LARGE_LOG2: u32 = (PAGE / 8).ilog2();
/// Bytes of all smaller tables: they lie behind the interner, those of one length together, so that
/// a small interner touches few pages.
const SMALL_TABLES: usize = SHARDS * (PAGE - (8 << MIN_LOG2));

/// What the entries of an interner hold, and so what becomes of a dead one.
#[derive(Debug, Clone, Copy)]
pub enum Contents {
    /// Text, bytes, paths: hashed and compared by code that may run under a lock.
    Plain {
        /// The keyed hash of an entry.
        keyed: unsafe fn(&RandomState, EntryPtr) -> u64,
    },
    /// Values of one type, compared by code that is not ours.
    Values {
        /// Whose.
        of: TypeId,
        /// The class of their blocks.
        class: Class,
        /// Drops one, where there is anything to drop.
        destroy: Option<unsafe fn(NonNull<Header>)>,
    },
}

/// The class of blocks of an interner of values.
#[derive(Debug, Clone, Copy)]
pub enum Class {
    /// All are alike.
    Fixed(usize),
    /// By the length in the header.
    ByLength(fn(u32) -> usize),
}

impl Class {
    /// The class of an entry's block.
    ///
    /// # Safety
    /// The caller owns the entry, which is of this kind.
    pub(super) unsafe fn of(self, entry: NonNull<Header>) -> usize {
        match self {
            Self::Fixed(class) => class,
            Self::ByLength(class_of) => {
                // SAFETY: entries stay mapped.
                let header = unsafe { entry.as_ref() };
                // SAFETY: the caller owns the entry.
                class_of(unsafe { header.length() })
            }
        }
    }
}

/// Canonical contents of one kind.
#[derive(Debug)]
#[repr(C)]
pub struct Store {
    seed: Seed,
    views: [View; SHARDS],
    /// What an entry's end depends on.
    pub(super) contents: Contents,
    /// The key of keyed tables (SipHash-1-3).
    key: RandomState,
    shards: [Shard<NonNull<ShardMemory>>; SHARDS],
    regions: RawMutex<Regions>,
    lifetime: Lifetime,
    /// Its place among all interners; under the lock of their list.
    pub(super) links: fork::Links,
    /// The next interner in its list of [`super::global`].
    pub(super) next: Option<&'static Store>,
}

// SAFETY: what `contents` describes is `Send + Sync` (the constructors of handles require it); the
// memory of a shard is used under its lock; the list pointer is constant once the interner is shared.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

/// An interner as it lies in memory. All but the interner itself begins as zeroes.
#[repr(C, align(64))]
struct Mapped {
    interner: Store,
    shards: [ShardMemory; SHARDS],
    small_tables: SmallTables,
}

#[repr(C, align(64))]
struct SmallTables([u8; SMALL_TABLES]);

impl Store {
    /// Maps a new interner. `None` when memory is refused.
    ///
    /// Takes about 450 KiB of addresses, of which a few pages are touched; others when used. The
    /// caller [registered](fork::register) for forks, under no lock. One that is not `closable` is never closed.
    pub(super) fn map(
        contents: Contents,
        closable: bool,
        next: Option<&'static Self>,
    ) -> Option<NonNull<Self>> {
        let mapped = os::map(align_up(size_of::<Mapped>(), PAGE))?;
        let key = RandomState::new();
        let interner = mapped.cast::<Self>();
        let view = |number| {
            let base = small_table(interner.as_ptr(), MIN_LOG2, number);
            View::new(Table::new(base, MIN_LOG2, false))
        };
        let shard = |number| {
            let offset = offset_of!(Mapped, shards) + number * size_of::<ShardMemory>();
            // SAFETY: that of a shard's memory in the mapping.
            Shard::new(unsafe { mapped.add(offset) }.cast::<ShardMemory>())
        };
        let filled = Self {
            seed: Seed::of_program().clone(),
            views: array::from_fn(view),
            contents,
            key,
            shards: array::from_fn(shard),
            regions: RawMutex::new(Regions::new(closable)),
            lifetime: Lifetime::new(SHARDS),
            links: fork::Links::default(),
            next,
        };
        // SAFETY: the mapping begins with an interner, is aligned to pages, and is ours alone.
        unsafe { interner.write(filled) };
        // SAFETY: filled; `unmap` leaves.
        unsafe { fork::join(interner) };
        Some(interner)
    }

    /// Takes all locks for the time of a fork.
    pub(super) fn begin_fork(&self) {
        self.shards.iter().for_each(Shard::begin_fork);
        self.regions.begin_fork();
    }

    /// Gives them back.
    pub(super) fn end_fork(&self) {
        self.regions.end_fork();
        self.shards.iter().for_each(Shard::end_fork);
    }

    /// The regions; the lock comes after a shard's.
    pub(super) fn regions(&self) -> RawMutexGuard<'_, Regions> {
        self.regions.lock()
    }

    /// Entries that can die.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(Shard::mortal).sum()
    }

    /// Lets an entry live for ever, if it was not made so; the caller has a count.
    pub(super) fn make_immortal(&self, entry: EntryPtr) {
        if regions::is_immortal(entry.0) {
            return;
        }
        // SAFETY: the caller's count keeps the entry alive.
        let header = unsafe { entry.0.as_ref() };
        if header.count.make_immortal() {
            // SAFETY: as above.
            self.shard(unsafe { header.hash() }).note_immortal();
        }
    }

    /// Takes a count of every live entry, shard by shard; the caller gives them back.
    ///
    /// An entry that is made or dies meanwhile may be missing.
    pub(super) fn entries(&self) -> Vec<EntryPtr> {
        let mut all = Vec::new();
        for hash in shard_hashes() {
            while let Err(live) = table::take_all(self, hash, &mut all) {
                all.reserve(live);
            }
        }
        all.into_iter().map(entry_ptr).collect()
    }

    /// Gives back what memory can go: tables as small as fit, pages without entries.
    pub(super) fn shrink_to_fit(&self) {
        for hash in shard_hashes() {
            // SAFETY: the lock of the shard is held.
            table::shrink(self, hash, |memory| unsafe { memory.as_mut() }.trim());
        }
    }

    /// How much there is of what, counted shard by shard.
    pub(super) fn tally(&self) -> (table::Tally, BlockBytes) {
        let (mut tables, mut blocks) = (table::Tally::default(), BlockBytes::default());
        for hash in shard_hashes() {
            table::tally(self, hash, &mut tables);
            // SAFETY: the lock of the shard is held.
            let bytes = self.shard(hash).with_blocks(|memory| unsafe { memory.as_ref() }.bytes());
            blocks.add(bytes);
        }
        blocks.add(self.regions().immortal_bytes());
        (tables, blocks)
    }

    /// Lets the memory of an interner go with its last entry; that may be now. One that has immortal
    /// entries stays for ever.
    ///
    /// # Safety
    /// The interner was mapped as closable, and from now on nobody but handles of its entries uses it.
    pub(super) unsafe fn close(this: NonNull<Self>) {
        for number in 0..SHARDS {
            // SAFETY: this thread has not left, so the interner is mapped.
            let shard = unsafe { &this.as_ref().shards[number] };
            if shard.close() {
                // SAFETY: a part that is closed and empty leaves, once.
                unsafe { Self::leave(this) };
            }
        }
        // SAFETY: the closer leaves, after its last access.
        unsafe { Self::leave(this) };
    }

    /// A part leaves; with the last the interner goes.
    ///
    /// # Safety
    /// A shard leaves once it is closed and empty, the closer when all shards are closed, each once.
    unsafe fn leave(this: NonNull<Self>) {
        // SAFETY: mapped until the last has left.
        let last = unsafe { this.as_ref() }.lifetime.leave();
        if last {
            // SAFETY: nobody uses it any more.
            unsafe { Self::unmap(this) };
        }
    }

    /// # Safety
    /// Nobody uses the interner or an entry any more.
    #[cold]
    unsafe fn unmap(this: NonNull<Self>) {
        // SAFETY: `map` joined it.
        unsafe { fork::leave(this) };
        // SAFETY: mapped until the end of this function.
        let interner = unsafe { this.as_ref() };
        // SAFETY: no entry or table is used any more.
        unsafe { interner.regions().release() };
        // SAFETY: mapped with this length by `map`.
        unsafe { os::unmap(this.cast(), align_up(size_of::<Mapped>(), PAGE)) };
    }

    /// Removes a dead entry from its table and leaves its block to the caller.
    ///
    /// # Safety
    /// The entry is of this interner and dead, and the caller owns it.
    pub(super) unsafe fn unlink(&self, entry: NonNull<Header>) {
        table::unlink(self, entry_of(entry));
    }

    /// Takes the block of an unlinked entry back. That may be the interner's end.
    ///
    /// # Safety
    /// The caller unlinked the entry, which is of this interner and whose blocks are of `class`, and
    /// destroyed its contents; the hash word still has the bits that choose the shard.
    pub(super) unsafe fn free(this: NonNull<Self>, entry: NonNull<Header>, class: usize) {
        // SAFETY: the entry's shard has not left.
        let interner = unsafe { this.as_ref() };
        // SAFETY: the caller owns the entry.
        let header = unsafe { entry.as_ref() };
        // SAFETY: as above.
        let hash = unsafe { header.hash() };
        let gone = table::free(interner, hash, |memory| {
            // SAFETY: the lock of the shard is held.
            let memory = unsafe { memory.as_mut() };
            // SAFETY: the block is the shard's, dead, and of this class.
            unsafe { memory.free(entry, class) }
        });
        if gone {
            // SAFETY: the entry's shard leaves.
            unsafe { Self::leave(this) };
        }
    }

    /// Removes a dead entry and frees its block at once. That may be the interner's end.
    ///
    /// # Safety
    /// As for [`unlink`](Self::unlink), and the contents need no destruction.
    #[inline(always)]
    unsafe fn unlink_and_free(this: NonNull<Self>, entry: NonNull<Header>, class: usize) {
        // SAFETY: the entry's shard has not left.
        let interner = unsafe { this.as_ref() };
        let gone = table::bury(interner, entry_of(entry), |memory| {
            // SAFETY: the lock of the shard is held.
            let memory = unsafe { memory.as_mut() };
            // SAFETY: the block is the shard's, dead, and of this class.
            unsafe { memory.free(entry, class) }
        });
        if gone {
            // SAFETY: the entry's shard leaves.
            unsafe { Self::leave(this) };
        }
    }

    /// The end of an entry whose contents run no code when they go.
    ///
    /// # Safety
    /// The entry is of this interner and dead, and the caller owns it.
    #[inline(always)]
    pub(super) unsafe fn bury_plain(this: NonNull<Self>, entry: NonNull<Header>) {
        // SAFETY: the entry's shard has not left.
        let dead = match unsafe { this.as_ref() }.contents {
            // SAFETY: the caller owns the entry.
            Contents::Plain { .. } => unsafe { DeadBytes::of(EntryPtr(entry)) },
            Contents::Values { class, .. } => {
                // SAFETY: the caller owns the entry.
                DeadBytes::without_box(unsafe { class.of(entry) })
            }
        };
        // SAFETY: the caller's promise; the bytes are still there.
        unsafe { Self::unlink_and_free(this, entry, dead.class) };
        // SAFETY: the block is free.
        unsafe { dead.end() };
    }

    /// A block of `class` for an entry of a shard.
    ///
    /// # Safety
    /// The memory is that of the shard, whose lock is held.
    unsafe fn block(
        &self,
        memory: &mut NonNull<ShardMemory>,
        class: usize,
        immortal: bool,
    ) -> Option<NonNull<Header>> {
        if immortal {
            return self.immortal_block(class);
        }
        // SAFETY: the caller's promise.
        unsafe { memory.as_mut() }.allocate(class, self)
    }

    /// A block of `class` that is never freed.
    #[cold]
    fn immortal_block(&self, class: usize) -> Option<NonNull<Header>> {
        self.regions().immortal(block_size(class), self)
    }

    fn number(hash: u64) -> usize {
        (hash >> (u64::BITS - SHARD_BITS)) as usize
    }

    /// The rules of all shards' tables and blocks.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check_invariants(&self) {
        for hash in shard_hashes() {
            table::check_invariants(self, hash);
            // SAFETY: the lock of the shard is held.
            self.shard(hash).with_blocks(|memory| unsafe { memory.as_ref() }.check_invariants());
        }
    }
}

/// Text, bytes and paths.
impl Store {
    /// The hash that chooses shard, tag and slot.
    #[inline(always)]
    pub(super) fn hash_plain<P: Plain + ?Sized>(&self, sought: &P) -> u64 {
        sought.hash(&self.seed)
    }

    /// Looks contents up without a lock. `None` is not certain.
    #[inline(always)]
    pub(super) fn look_up_plain<P: Plain + ?Sized>(
        &self,
        sought: &P,
        hash: u64,
    ) -> Option<EntryPtr> {
        let found = table::look_up(
            self,
            hash,
            || self.keyed(sought),
            // SAFETY: compared while a count is held.
            |entry| unsafe { sought.is(entry_ptr(entry)) },
        );
        found.map(entry_ptr)
    }

    /// As [`look_up_plain`](Self::look_up_plain) in the home slot only, which calls nothing for few bytes.
    #[inline(always)]
    pub(super) fn look_up_plain_at_home<P: Plain + ?Sized>(
        &self,
        sought: &P,
        hash: u64,
    ) -> Result<EntryPtr, Missed<'_, Self>> {
        let found = table::look_up_at_home(
            self,
            hash,
            #[inline(always)]
            // SAFETY: compared while a count is held.
            |entry| unsafe { sought.is(entry_ptr(entry)) },
        );
        found.map(entry_ptr)
    }

    /// As [`look_up_plain`](Self::look_up_plain), if there is nothing special about it.
    #[inline(always)]
    pub(super) fn look_up_plain_first<P: Plain + ?Sized>(
        &self,
        sought: &P,
        hash: u64,
    ) -> Result<EntryPtr, Missed<'_, Self>> {
        let found = table::look_up_first(
            self,
            hash,
            #[inline(always)]
            // SAFETY: compared while a count is held.
            |entry| unsafe { sought.is(entry_ptr(entry)) },
        );
        found.map(entry_ptr)
    }

    /// What a look-up took that was left unclear: whether it was the contents.
    pub(super) fn resolve_plain<P: Plain + ?Sized>(
        &self,
        sought: &P,
        counted: Counted<'_, Self>,
    ) -> Option<EntryPtr> {
        // SAFETY: compared while a count is held.
        counted.into_match(|entry| unsafe { sought.is(entry_ptr(entry)) }).map(entry_ptr)
    }

    /// Looks contents up under the lock.
    pub(super) fn look_up_plain_locked<P: Plain + ?Sized>(
        &self,
        sought: &P,
        hash: u64,
    ) -> Option<EntryPtr> {
        let matches = |entry| self.is(entry, sought);
        let found = table::look_up_locked(self, hash, || self.keyed(sought), matches);
        found.map(entry_ptr)
    }

    /// Looks contents up under the lock and makes an entry if there is none. `None` when memory is
    /// refused.
    #[cold]
    pub(super) fn insert_plain<P: Plain + ?Sized>(
        &self,
        sought: &P,
        hash: u64,
        immortal: bool,
    ) -> Option<EntryPtr> {
        let new = NewBytes::new(sought.bytes())?;
        let (class, mut new) = (new.class(), Some(new));
        let entry = table::look_up_or_insert(
            self,
            hash,
            || self.keyed(sought),
            |entry| self.is(entry, sought),
            immortal,
            |memory| {
                // SAFETY: the shard's lock is held, and the memory is the shard's.
                let entry = unsafe { self.block(memory, class, immortal) }?;
                // SAFETY: the block was just allocated for this class.
                unsafe { new.take()?.fill(EntryPtr(entry), hash) };
                Some(entry_of(entry))
            },
        );
        entry.map(entry_ptr)
    }

    /// Compares the contents of an entry in the table. The shard's lock is held.
    fn is<P: Plain + ?Sized>(&self, entry: Entry, sought: &P) -> bool {
        // SAFETY: the entry is in the table of a shard whose lock is held.
        unsafe { sought.is(entry_ptr(entry)) }
    }

    #[cold]
    fn keyed<P: Plain + ?Sized>(&self, sought: &P) -> u64 {
        sought.keyed_hash(&self.key)
    }
}

/// Values, and whatever else is compared by code that is not ours.
impl Store {
    /// The hash that chooses shard, tag and slot. User code.
    #[inline]
    pub(super) fn hash_value<Q: Hash + ?Sized>(&self, value: &Q) -> u64 {
        self.seed.hash_value(value)
    }

    /// Looks a value up without a lock. `None` is not certain. `matches` is user code; it is called
    /// while a count of the entry is held.
    #[inline]
    pub(super) fn look_up_value(
        &self,
        hash: u64,
        matches: impl Fn(EntryPtr) -> bool,
    ) -> Option<EntryPtr> {
        let found = table::look_up(
            self,
            hash,
            || table::place_of_hash(hash),
            |entry| matches(entry_ptr(entry)),
        );
        found.map(entry_ptr)
    }

    /// An entry that was found, when the value that was not needed is dropped. User code.
    #[inline(always)]
    pub(super) fn found<R>(&self, entry: EntryPtr, rest: R) -> EntryPtr {
        table::drop_rest(self, entry_of(entry.0), rest);
        entry
    }

    /// Looks a value up until nothing changes meanwhile, so that `None` is certain.
    pub(super) fn look_up_value_surely(
        &self,
        hash: u64,
        matches: impl Fn(EntryPtr) -> bool,
    ) -> Option<EntryPtr> {
        loop {
            let seen = self.shard(hash).changes();
            let found = self.look_up_value(hash, &matches);
            if found.is_some() || table::is_unchanged(self, hash, seen) {
                return found;
            }
        }
    }

    /// Makes an entry of a value unless there is one by now. `None` when memory is refused.
    ///
    /// `matches` compares the value with an entry's; user code.
    #[cold]
    pub(super) fn insert_value<N: New>(
        &self,
        new: N,
        hash: u64,
        immortal: bool,
        matches: impl Fn(&N, EntryPtr) -> bool,
    ) -> Option<EntryPtr> {
        // Dropped when the lock is released: what is left of a value may be user code.
        let (new, rest) = (Cell::new(Some(new)), Cell::new(None));
        loop {
            let seen = self.shard(hash).changes();
            let held = new.take()?;
            if let Some(found) = self.look_up_value(hash, |entry| matches(&held, entry)) {
                return Some(self.found(found, held));
            }
            new.set(Some(held));
            let made = table::insert_unless_changed(self, hash, seen, immortal, |memory| {
                let held = new.take()?;
                // SAFETY: the shard's lock is held, and the memory is the shard's.
                let Some(entry) = (unsafe { self.block(memory, held.class(), immortal) }) else {
                    new.set(Some(held));
                    return None;
                };
                // SAFETY: the block was just allocated for this class.
                rest.set(Some(unsafe { held.fill(EntryPtr(entry), hash) }));
                Some(entry_of(entry))
            });
            match made {
                Ok(entry) => return Some(entry_ptr(entry)),
                Err(Refused::Changed) => {}
                Err(Refused::NoMemory) => return None,
            }
        }
    }
}

impl Space for Store {
    type Blocks = NonNull<ShardMemory>;

    #[inline(always)]
    fn view(&self, hash: u64) -> &View {
        &self.views[Self::number(hash)]
    }

    #[inline(always)]
    fn shard(&self, hash: u64) -> &Shard<Self::Blocks> {
        &self.shards[Self::number(hash)]
    }

    #[inline(always)]
    fn slots(&self, table: Table) -> &[AtomicU64] {
        let base = core::ptr::with_exposed_provenance(table.base());
        // SAFETY: tables are made by `table` and `map` below with as many slots as they say, zeroed,
        // and stay mapped while the interner lives.
        unsafe { core::slice::from_raw_parts(base, table.length()) }
    }

    #[inline(always)]
    fn header(&self, entry: Entry) -> &Header {
        // SAFETY: what is in a slot is a block of this interner, and blocks stay blocks while it lives.
        unsafe { entry_ptr(entry).0.as_ref() }
    }

    #[inline(always)]
    fn is_immortal(&self, entry: Entry) -> bool {
        regions::is_immortal(entry_ptr(entry).0)
    }

    fn keyed_hash(&self, entry: Entry) -> Option<u64> {
        match self.contents {
            // SAFETY: the interner's own function for its entries; the caller holds the lock of the
            // entry's shard, and the entry is in its table or about to be.
            Contents::Plain { keyed } => Some(unsafe { keyed(&self.key, entry_ptr(entry)) }),
            Contents::Values { .. } => None,
        }
    }

    fn table(&self, hash: u64, log2: u32, keyed: bool) -> Option<Table> {
        let number = Self::number(hash);
        let base = if log2 < LARGE_LOG2 {
            small_table(core::ptr::from_ref(self).cast_mut(), log2, number)
        } else {
            self.regions().enter_table(log2, number)?.as_ptr().expose_provenance()
        };
        Some(Table::new(base, log2, keyed))
    }

    fn clear(&self, table: Table) {
        self.slots(table).iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
        if table.log2() >= LARGE_LOG2 {
            self.regions().leave_table(table.log2());
        }
    }

    #[cold]
    fn give_back(&self, entry: Entry) {
        // SAFETY: the caller's count.
        unsafe { release::give_back(entry_ptr(entry).0) };
    }
}

/// One hash for each shard.
fn shard_hashes() -> impl Iterator<Item = u64> {
    (0..SHARDS as u64).map(|number| number << (u64::BITS - SHARD_BITS))
}

/// Where a small table of a shard lies.
fn small_table(interner: *mut Store, log2: u32, number: usize) -> usize {
    let offset = SHARDS * ((8 << log2) - (8 << MIN_LOG2)) + number * (8 << log2);
    let tables = interner.expose_provenance() + offset_of!(Mapped, small_tables);
    tables + offset
}

/// An entry as tables store it.
fn entry_of(entry: NonNull<Header>) -> Entry {
    Entry(entry.as_ptr().expose_provenance() as u64)
}

/// An entry as handles store it.
#[inline(always)]
fn entry_ptr(entry: Entry) -> EntryPtr {
    let address = core::ptr::with_exposed_provenance_mut(entry.0 as usize);
    // SAFETY: only addresses of blocks get into slots, and none is null.
    EntryPtr(unsafe { NonNull::new_unchecked(address) })
}
