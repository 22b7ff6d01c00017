//! The addresses that entries and large tables have: regions, runs of pages in them, tables side by side.
//!
//! ```text
//! region  4 MiB, at a multiple of 16 or 4 or 8 behind one: | heads of runs | run 1 | run 2 | …
//! run     sixteen pages of 4 KiB, of one shard and size class; no block spans two pages
//! starter a run cut into spans of 512 bytes, one for each class of a shard that begins
//! ```
//!
//! An entry finds its region, and so its interner, by masking its address. The heads of runs lie
//! together in the region's first page, not in the runs: heads 64 KiB apart would share one cache set.
//!
//! What becomes of a handle that goes is seen in its address, without a load, since a region of each kind has
//! bits of its own:
//! - Entries that are made immortal lie one behind the other in regions of their own ([`is_immortal`]), and
//!   nothing of a popular immortal entry is written, nor read to clone it. (An entry that lived before it became
//!   immortal cannot move, and is counted on.)
//! - The entries of an interner that may be closed are given back at once ([`is_closable`]; `entry.rs` says why).
//! - All others are of the program's interners, and there are most of their handles: neither bit is set.
//!
//! # Invariants
//! - Addresses are never given back while the interner lives.
//! - What a run's head says is its shard's, and used under its lock; all else is used under the lock of the
//!   regions.

use super::blocks::BlockBytes;
use super::entry::Header;
use super::store::{SHARDS, Store};
use crate::base::config::{HUGE_PAGE, PAGE};
use crate::os;
use core::ptr::{NonNull, null_mut};

/// The bytes of a run.
pub(super) const RUN: usize = 64 << 10;
const REGION: usize = if os::LAZY { 4 << 20 } else { 4 * RUN };
pub(super) const RUN_PAGES: usize = RUN / PAGE;
/// What a class of a shard starts with, so that few entries take little memory.
pub(super) const STARTER: usize = 512;
/// The largest block that a starter span is worth for.
pub(super) const STARTER_BLOCK: usize = 128;
/// The class in the head of a run that is cut into starter spans.
pub(super) const SPANS: u8 = u8::MAX;
/// Whether memory is given back while the interner lives. Readers may look at it at any time: a purge
/// must not take it away for a moment, as it does on Windows. (Where it has to write zeroes, for a system that
/// refuses, as with locked memory, or at the ends of a range where the kernel's pages are larger than ours, it lowers
/// dead words, which stay dead, beside late readers who add to them: no machine minds, the language's memory model
/// calls it a race.)
pub(super) const PURGES: bool = os::LAZY && !cfg!(windows);
/// log2 of the lengths that tables can have, at most.
const LEVELS: usize = 32;
/// The end of a page's list.
pub(super) const NONE: u16 = u16::MAX;

/// Where the regions lie of interners that may be closed, behind a multiple of [`ALIGN`]; those of others lie at one.
const CLOSABLE: usize = REGION;
/// Where those of immortal entries lie.
const IMMORTAL: usize = 2 * REGION;
/// So that one bit of an address tells each kind.
const ALIGN: usize = 4 * REGION;

const _: () = assert!(REGION / RUN * size_of::<RunHead>() <= PAGE);

/// The bytes of one table.
const fn table_bytes(log2: u32) -> usize {
    8 << log2
}

/// Whether an entry was made immortal: nobody counts its handles.
#[inline(always)]
pub(super) fn is_immortal(entry: NonNull<Header>) -> bool {
    entry.addr().get() & IMMORTAL != 0
}

/// Whether an entry is counted, and of an interner that may be closed.
#[inline(always)]
pub(super) fn is_closable(entry: NonNull<Header>) -> bool {
    entry.addr().get() & (CLOSABLE | IMMORTAL) == CLOSABLE
}

/// Whether an entry is counted, and of an interner that lives as long as the program.
#[inline(always)]
pub(super) fn is_lasting(entry: NonNull<Header>) -> bool {
    entry.addr().get() & (CLOSABLE | IMMORTAL) == 0
}

/// What a region begins with.
#[repr(C, align(64))]
struct RegionHead {
    interner: *const Store,
    /// The region before, if any.
    before: *mut u8,
}

/// What is known of one run, in the slot of its number in the region's first page. All zero is a run
/// whose blocks are all out.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct RunHead {
    /// The next run in the list of the class and shard.
    pub(super) next: *mut RunHead,
    /// Where the list of each page's free blocks begins, in eights of bytes, or [`NONE`].
    pub(super) first: [u16; RUN_PAGES],
    /// Blocks of each page that are not on its list.
    pub(super) out: [u8; RUN_PAGES],
    /// Pages whose free blocks may be handed out.
    pub(super) open: u16,
    /// Pages to be carved from the start.
    pub(super) fresh: u16,
    /// Those of them that were in use before.
    pub(super) purged: u16,
    /// The class of its blocks, or [`SPANS`].
    pub(super) class: u8,
    /// Whether it is in the list of the class and shard.
    pub(super) listed: bool,
}

const _: () = assert!(size_of::<RunHead>() == 64);

impl RunHead {
    /// The head of the run that `block` lies in.
    #[inline(always)]
    pub(super) fn of(block: NonNull<Header>) -> NonNull<Self> {
        let address = block.addr().get();
        let number = address % REGION / RUN;
        let offset = address % REGION - number * size_of::<Self>();
        // SAFETY: heads lie at the start of the block's own region, in front of all runs.
        unsafe { block.cast::<u8>().sub(offset) }.cast()
    }

    /// The first byte of a page of the run.
    pub(super) fn page(head: NonNull<Self>, page: usize) -> NonNull<u8> {
        let offset = head.addr().get() % REGION;
        let number = offset / size_of::<Self>();
        // SAFETY: run `number` lies that far behind its head, in the same region.
        unsafe { head.cast::<u8>().add(number * RUN + page * PAGE - offset) }
    }

    /// The list of a page, as it is linked.
    pub(super) fn list(head: NonNull<Self>, page: usize) -> *mut Header {
        // SAFETY: the caller holds the lock of the run's shard.
        let first = unsafe { head.as_ref() }.first[page];
        Self::list_in(Self::page(head, page), first)
    }

    /// The list of the page at `start`, which begins at `first`.
    #[inline(always)]
    pub(super) fn list_in(start: NonNull<u8>, first: u16) -> *mut Header {
        match first {
            NONE => null_mut(),
            // SAFETY: a block of the page begins there.
            eighths => unsafe { start.add(eighths as usize * 8) }.as_ptr().cast(),
        }
    }

    /// Pages that are open and have no block out.
    pub(super) fn empty(&self) -> u16 {
        (0..RUN_PAGES).filter(|&page| self.out[page] == 0).fold(0, |all, page| all | 1 << page)
            & self.open
    }
}

/// The interner that an entry belongs to.
///
/// # Safety
/// `entry` is an entry of an interner that is not unmapped for as long as `'a`.
#[inline]
pub(super) unsafe fn interner_of<'a>(entry: NonNull<Header>) -> &'a Store {
    // SAFETY: the caller's promise.
    let interner = unsafe { interner_ptr_of(entry) };
    // SAFETY: it is the address of the entry's interner, which stays mapped.
    unsafe { interner.as_ref() }
}

/// As [`interner_of`], for those whose call may be the interner's end.
///
/// # Safety
/// `entry` is an entry of an interner that is mapped now.
#[inline]
pub(super) unsafe fn interner_ptr_of(entry: NonNull<Header>) -> NonNull<Store> {
    let offset = entry.addr().get() % REGION;
    // SAFETY: an entry lies in a region, whose head is at its aligned start.
    let head = unsafe { entry.cast::<u8>().sub(offset) }.cast::<RegionHead>();
    // SAFETY: the head was written before the region's first entry was made.
    let interner = unsafe { (*head.as_ptr()).interner };
    // SAFETY: no interner is at null.
    unsafe { NonNull::new_unchecked(interner.cast_mut()) }
}

/// The large tables of one length, of all shards side by side.
#[derive(Debug, Clone, Copy)]
struct Level {
    tables: *mut u8,
    /// Shards that use theirs.
    users: usize,
}

/// What shards of an interner share: regions, and the memory of large tables.
#[derive(Debug)]
pub(super) struct Regions {
    levels: [Level; LEVELS],
    /// Where regions lie behind a multiple of [`ALIGN`].
    at: usize,
    region: *mut u8,
    /// Number of the next run in the region; the end at first.
    next_run: usize,
    starter: *mut u8,
    starter_end: *mut u8,
    immortals: Immortals,
}

/// Where immortal entries are made. They stay for ever, and so does an interner that has any.
#[derive(Debug)]
struct Immortals {
    /// Where the next one goes, and where that ends: in a page or run of their current region.
    next: *mut u8,
    end: *mut u8,
    region: *mut u8,
    /// Number of the next run in the region; the end at first.
    next_run: usize,
    /// Of all entries.
    bytes: usize,
    /// Of the memory behind them.
    committed: usize,
}

// SAFETY: the pointers are to memory of the interner, which moves with the regions.
unsafe impl Send for Regions {}

impl Regions {
    /// No region yet, of an interner that may be closed or not.
    pub(super) const fn new(closable: bool) -> Self {
        Self {
            levels: [Level { tables: null_mut(), users: 0 }; LEVELS],
            at: if closable { CLOSABLE } else { 0 },
            region: null_mut(),
            next_run: REGION / RUN,
            starter: null_mut(),
            starter_end: null_mut(),
            immortals: Immortals {
                next: null_mut(),
                end: null_mut(),
                region: null_mut(),
                next_run: REGION / RUN,
                bytes: 0,
                committed: 0,
            },
        }
    }

    /// A new run, its head zero.
    pub(super) fn run(&mut self, interner: *const Store) -> Option<NonNull<RunHead>> {
        if self.next_run == REGION / RUN {
            let region = new_region(self.at, RegionHead { interner, before: self.region })?;
            self.region = region.as_ptr();
            self.next_run = 1;
        }
        // SAFETY: the number is below the number of runs in the region.
        let base = unsafe { self.region.add(self.next_run * RUN) };
        let base = NonNull::new(base)?;
        // SAFETY: the run lies in our reservation and was not committed before.
        if !unsafe { os::commit(base, RUN) } {
            return None;
        }
        self.next_run += 1;
        Some(RunHead::of(base.cast()))
    }

    /// The memory of a shard's large table, zeroed; [`leave_table`](Self::leave_table) undoes it.
    ///
    /// The tables of all shards lie together, since all grow at about the same time: so they fill huge
    /// pages, where the system has them. One table's slots are used at random, and 4 KiB pages would
    /// cost a walk of the page table each.
    pub(super) fn enter_table(&mut self, log2: u32, number: usize) -> Option<NonNull<u8>> {
        let bytes = table_bytes(log2);
        let level = self.levels.get_mut(log2 as usize)?;
        if level.tables.is_null() {
            let len = bytes * SHARDS;
            let align = len.min(HUGE_PAGE);
            let tables = os::reserve(len, align)?;
            // SAFETY: all of the reservation just made.
            if !unsafe { os::commit(tables, len) } {
                // SAFETY: nobody else knows of the reservation.
                unsafe { os::release(tables, len, align) };
                return None;
            }
            // SAFETY: as above.
            unsafe { os::prefer_huge_pages(tables, len) };
            level.tables = tables.as_ptr();
        }
        level.users += 1;
        // SAFETY: the shard's part of the level.
        NonNull::new(unsafe { level.tables.add(number * bytes) })
    }

    /// A shard has left its large table, and emptied it.
    pub(super) fn leave_table(&mut self, log2: u32) {
        let level = &mut self.levels[log2 as usize];
        level.users -= 1;
        if level.users == 0
            && PURGES
            && let Some(tables) = NonNull::new(level.tables)
        {
            // SAFETY: committed by `enter_table`; readers that still probe it see zeroes as before.
            unsafe { os::purge(tables, table_bytes(log2) * SHARDS) };
        }
    }

    /// Gives all regions and tables back.
    ///
    /// # Safety
    /// Nobody uses an entry or a table of the interner any more.
    pub(super) unsafe fn release(&mut self) {
        for (log2, level) in self.levels.iter_mut().enumerate() {
            if let Some(tables) = NonNull::new(core::mem::replace(&mut level.tables, null_mut())) {
                let len = table_bytes(log2 as u32) * SHARDS;
                // SAFETY: reserved like this by `enter_table`; nobody uses it any more.
                unsafe { os::release(tables, len, len.min(HUGE_PAGE)) };
            }
        }
        while let Some(region) = NonNull::new(self.region) {
            // SAFETY: a region begins with its head.
            self.region = unsafe { (*region.as_ptr().cast::<RegionHead>()).before };
            // SAFETY: from `run`; nobody uses it any more.
            unsafe { release_region(region) };
        }
    }

    /// A block of so many bytes for an immortal entry, its count dead and its contents anything.
    pub(super) fn immortal(
        &mut self,
        size: usize,
        interner: *const Store,
    ) -> Option<NonNull<Header>> {
        self.immortals.allocate(size, interner)
    }

    /// How much memory the immortal entries have.
    pub(super) fn immortal_bytes(&self) -> BlockBytes {
        BlockBytes { live: self.immortals.bytes, pages: self.immortals.committed, purged: 0 }
    }

    /// A span for a class of a shard that begins.
    pub(super) fn starter(&mut self, interner: *const Store) -> Option<NonNull<u8>> {
        if self.starter == self.starter_end {
            let head = self.run(interner)?;
            // SAFETY: the run is new; nobody else writes its head.
            unsafe { (*head.as_ptr()).class = SPANS };
            self.starter = RunHead::page(head, 0).as_ptr();
            // SAFETY: one past the end of the run.
            self.starter_end = unsafe { self.starter.add(RUN) };
        }
        let span = self.starter;
        // SAFETY: a run is a whole number of spans, and one is left.
        self.starter = unsafe { span.add(STARTER) };
        NonNull::new(span)
    }
}

/// A region so far behind a multiple of [`ALIGN`], its first page committed and begun with `head`.
fn new_region(at: usize, head: RegionHead) -> Option<NonNull<u8>> {
    let reserved = os::reserve(at + REGION, ALIGN)?;
    // SAFETY: the last of the reservation.
    let region = unsafe { reserved.add(at) };
    // SAFETY: the first page of what was just reserved.
    if !unsafe { os::commit(region, PAGE) } {
        // SAFETY: nobody else knows of it.
        unsafe { release_region(region) };
        return None;
    }
    // SAFETY: the first page is writable and nobody else knows of it.
    unsafe { region.cast::<RegionHead>().write(head) };
    Some(region)
}

/// # Safety
/// `region` is from [`new_region`], and nobody uses it any more.
unsafe fn release_region(region: NonNull<u8>) {
    let at = region.addr().get() % ALIGN;
    // SAFETY: the region is the last of its reservation.
    let reserved = unsafe { region.sub(at) };
    // SAFETY: reserved like this.
    unsafe { os::release(reserved, at + REGION, ALIGN) };
}

impl Immortals {
    fn allocate(&mut self, size: usize, interner: *const Store) -> Option<NonNull<Header>> {
        // Sizes that are a multiple of 16 may be of values that are aligned so.
        let align = if size.is_multiple_of(16) { 16 } else { 8 };
        let mut skip = self.next.align_offset(align);
        if self.end.addr() - self.next.addr() < skip + size {
            self.refill(interner)?;
            skip = self.next.align_offset(align);
        }
        // SAFETY: there is room for the gap and the block.
        let block = unsafe { self.next.add(skip) };
        // SAFETY: as above.
        self.next = unsafe { block.add(size) };
        self.bytes += size;
        NonNull::new(block.cast())
    }

    /// Goes on in the next run, or in the first page of a new region, behind its head: room for any block.
    #[cold]
    fn refill(&mut self, interner: *const Store) -> Option<()> {
        let (start, bytes, head) = if self.next_run == REGION / RUN {
            let region = new_region(IMMORTAL, RegionHead { interner, before: self.region })?;
            self.region = region.as_ptr();
            self.next_run = 1;
            (self.region, PAGE, size_of::<RegionHead>())
        } else {
            // SAFETY: the number is below the number of runs in the region.
            let run = unsafe { self.region.add(self.next_run * RUN) };
            // SAFETY: the run lies in our reservation and was not committed before.
            if !unsafe { os::commit(NonNull::new(run)?, RUN) } {
                return None;
            }
            self.next_run += 1;
            (run, RUN, 0)
        };
        self.committed += bytes;
        // SAFETY: behind the head, in the page or run.
        self.next = unsafe { start.add(head) };
        // SAFETY: its end.
        self.end = unsafe { start.add(bytes) };
        Some(())
    }
}
