//! The memory of entries: blocks of one geometry for ever, in pages that belong to one shard.
//!
//! Pages lie in runs, and runs in regions (`regions.rs`); no block spans two pages.
//!
//! A page's free blocks are on a list of its own. A class hands out the blocks of one page at a time:
//! the *active* list, or, of a *fresh* page, which reads as zeroes, what is *carved* next. Those count
//! as out. A page *opens*, for its free blocks to be handed out, when an eighth of its blocks are free
//! again, and when all are free its memory can go back: it is fresh again.
//!
//! # Invariants
//! - A block keeps its place and size for ever, and so does its count word, which is dead unless the
//!   block is an entry that lives or waits for its claim. A reader with an old slot never sees anything else as a count.
//! - A free block is linked through its hash word. A page without live entries reads the same
//!   before and after a purge to such a reader. (It adds to the word, and a claim that comes late tries to
//!   change it, so a page can come back that was just purged: as zeroes, which mean dead as the words did.)
//! - All of a shard's blocks are touched under its lock. Starter spans are never purged.
//! - Of a page: blocks out + blocks on its list = blocks. A run is listed if a page is open or fresh.

use super::entry::Header;
use super::regions::{NONE, PURGES, RUN, RUN_PAGES, RunHead, SPANS, STARTER, STARTER_BLOCK};
use super::store::Store;
use crate::base::bits::prefetch;
use crate::base::config::PAGE;
use crate::os;
use core::ptr::{NonNull, null_mut};

/// The largest block; larger contents lie behind a block.
pub(super) const MAX_BLOCK: usize = 1024;

/// Size classes: multiples of 8 to 128, then what fills a page, in multiples of 16.
const SIZES: [u16; 30] = [
    24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 144, 160, 176, 192, 224, 256, 288,
    336, 368, 400, 448, 512, 576, 672, 816, 1024,
];
/// How many there are.
pub(super) const CLASSES: usize = SIZES.len();

/// The class for each size, in steps of 8.
const CLASS_OF: [u8; MAX_BLOCK / 8 + 1] = {
    let mut table = [0; MAX_BLOCK / 8 + 1];
    let (mut at, mut class) = (0, 0);
    while at < table.len() {
        if at * 8 > SIZES[class] as usize {
            class += 1;
        }
        table[at] = class as u8;
        at += 1;
    }
    table
};

/// The class of the smallest blocks that hold `size` bytes, a header and contents.
pub(super) const fn class_of(size: usize) -> usize {
    CLASS_OF[size.div_ceil(8)] as usize
}

/// The size of the blocks of a class.
pub(super) const fn block_size(class: usize) -> usize {
    SIZES[class] as usize
}

/// The blocks of a page.
const fn blocks_in_page(size: usize) -> usize {
    PAGE / size
}

/// For each class, how many blocks of a page are out when it opens.
const OPENS_AT: [u8; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let blocks = blocks_in_page(block_size(class));
        table[class] = (blocks - blocks.div_ceil(8)) as u8;
        class += 1;
    }
    table
};

/// The blocks of one class of a shard. All zero is a class without blocks.
#[derive(Debug)]
struct Class {
    /// The active list. Blocks of the starter span are always on it when they are free.
    free: *mut Header,
    /// What is carved next, and where that ends.
    next: *mut u8,
    end: *mut u8,
    /// Runs with open or fresh pages.
    listed: *mut RunHead,
    /// Entries.
    live: usize,
    /// Pages that are not fresh.
    pages: usize,
    /// Those of them that are open and have no block out.
    empty: usize,
    /// Pages that were purged and are fresh.
    purged: usize,
    /// Whether a purged page was carved again: then one empty page is kept.
    breathes: bool,
}

/// The entries of one shard, used under its lock. All zero is an empty one.
#[derive(Debug)]
pub struct ShardMemory {
    classes: [Class; CLASSES],
}

/// Bytes of the entries of a shard, or of all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BlockBytes {
    /// Of blocks that are entries.
    pub(super) live: usize,
    /// Of pages that are in use, starter spans left out.
    pub(super) pages: usize,
    /// Of pages that were given back.
    pub(super) purged: usize,
}

impl BlockBytes {
    /// Adds those of another shard.
    pub(super) fn add(&mut self, other: Self) {
        self.live += other.live;
        self.pages += other.pages;
        self.purged += other.purged;
    }
}

impl ShardMemory {
    /// A block of `class`, its count dead and its contents anything.
    #[inline]
    pub(super) fn allocate(&mut self, class: usize, interner: &Store) -> Option<NonNull<Header>> {
        let size = block_size(class);
        let blocks = &mut self.classes[class];
        if blocks.free.is_null() && blocks.next == blocks.end && !blocks.refill(class, interner) {
            return None;
        }
        blocks.live += 1;
        if let Some(block) = NonNull::new(blocks.free) {
            blocks.free = link_of(block);
            prefetch(blocks.free);
            return Some(block);
        }
        let block = NonNull::new(blocks.next.cast());
        // SAFETY: `refill` leaves room for a whole number of blocks, at least one.
        blocks.next = unsafe { blocks.next.add(size) };
        // With many shards and classes the next block is in no cache when its turn comes.
        prefetch(blocks.next);
        block
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// The block is of this shard and class, its count is dead, and nobody owns it any more.
    #[inline]
    pub(super) unsafe fn free(&mut self, block: NonNull<Header>, class: usize) {
        let blocks = &mut self.classes[class];
        blocks.live -= 1;
        blocks.put(block, class);
        if blocks.live == 0 && blocks.pages > 0 && !blocks.breathes {
            blocks.put_all_back(class);
        }
        if blocks.empty > blocks.pages / 4 + usize::from(blocks.breathes) {
            blocks.purge();
        }
    }

    /// Gives all memory back that can go.
    pub(super) fn trim(&mut self) {
        for (class, blocks) in self.classes.iter_mut().enumerate() {
            blocks.put_all_back(class);
            blocks.purge();
            blocks.breathes = false;
        }
    }

    /// How much memory the entries have.
    pub(super) fn bytes(&self) -> BlockBytes {
        let mut sum = BlockBytes::default();
        for (class, blocks) in self.classes.iter().enumerate() {
            sum.live += blocks.live * block_size(class);
            sum.pages += blocks.pages * PAGE;
            sum.purged += blocks.purged * PAGE;
        }
        sum
    }
}

/// The next free block.
#[inline(always)]
fn link_of(block: NonNull<Header>) -> *mut Header {
    // SAFETY: a free block is mapped.
    let header = unsafe { block.as_ref() };
    // SAFETY: its shard's lock is held.
    let hash = unsafe { header.hash() };
    core::ptr::with_exposed_provenance_mut(hash as usize)
}

#[inline(always)]
fn set_link(block: NonNull<Header>, next: *mut Header) {
    // SAFETY: a free block is mapped.
    let header = unsafe { block.as_ref() };
    // SAFETY: its count is dead, and its shard, which owns it, is locked.
    unsafe { header.set_hash(next.expose_provenance() as u64) };
}

impl Class {
    /// Puts a free block on its page's list, and opens the page when it is time.
    #[inline]
    fn put(&mut self, block: NonNull<Header>, class: usize) {
        let run = RunHead::of(block);
        let page = block.addr().get() % RUN / PAGE;
        // SAFETY: heads of this shard's runs are used under its lock only; the class of a run of
        // spans is written once, before the first block is handed out.
        if unsafe { (*run.as_ptr()).class } == SPANS {
            set_link(block, self.free);
            self.free = block.as_ptr();
            return;
        }
        // SAFETY: not a run of spans, so the head is this shard's.
        let head = unsafe { &mut *run.as_ptr() };
        let offset = block.addr().get() % PAGE;
        // SAFETY: the start of the block's page.
        let start = unsafe { block.cast::<u8>().sub(offset) };
        set_link(block, RunHead::list_in(start, head.first[page]));
        head.first[page] = (offset / 8) as u16;
        head.out[page] -= 1;
        let out = head.out[page];
        if head.open >> page & 1 == 0 {
            if out > OPENS_AT[class] {
                return;
            }
            head.open |= 1 << page;
            self.list(run);
        }
        if out == 0 {
            self.empty += 1;
        }
    }

    /// Puts a run on the list, unless it is there.
    fn list(&mut self, run: NonNull<RunHead>) {
        // SAFETY: the run is this shard's, whose lock is held.
        let head = unsafe { &mut *run.as_ptr() };
        if !head.listed {
            head.listed = true;
            head.next = self.listed;
            self.listed = run.as_ptr();
        }
    }

    /// Finds something to hand out: an open page, a fresh one, or a new run.
    #[cold]
    fn refill(&mut self, class: usize, interner: &Store) -> bool {
        if let Some(run) = NonNull::new(self.listed) {
            self.open_page(run, block_size(class));
            return true;
        }
        let mut regions = interner.regions();
        if self.next.is_null() && block_size(class) <= STARTER_BLOCK {
            let Some(span) = regions.starter(interner) else { return false };
            self.carve(span, STARTER, block_size(class));
            return true;
        }
        let Some(run) = regions.run(interner) else { return false };
        // SAFETY: the run is new and this shard's.
        let head = unsafe { &mut *run.as_ptr() };
        head.class = class as u8;
        head.first = [NONE; RUN_PAGES];
        head.fresh = u16::MAX;
        self.list(run);
        self.open_page(run, block_size(class));
        true
    }

    /// Hands out a page of the first run in the list; the class has nothing else.
    fn open_page(&mut self, run: NonNull<RunHead>, size: usize) {
        // SAFETY: the run is this shard's, whose lock is held.
        let head = unsafe { &mut *run.as_ptr() };
        let page = (if head.open == 0 { head.fresh } else { head.open }).trailing_zeros() as usize;
        let bit = 1 << page;
        if head.open & bit == 0 {
            if head.purged & bit != 0 {
                self.purged -= 1;
                self.breathes = true;
            }
            head.fresh &= !bit;
            head.purged &= !bit;
            self.pages += 1;
            self.carve(RunHead::page(run, page), PAGE, size);
        } else {
            self.free = RunHead::list(run, page);
            head.first[page] = NONE;
            head.open &= !bit;
            self.empty -= usize::from(head.out[page] == 0);
        }
        head.out[page] = blocks_in_page(size) as u8;
        if head.open | head.fresh == 0 {
            self.listed = head.next;
            head.listed = false;
        }
    }

    /// Will carve the blocks of `bytes` bytes from `start` on.
    fn carve(&mut self, start: NonNull<u8>, bytes: usize, size: usize) {
        self.next = start.as_ptr();
        // SAFETY: in the page or span that begins at `start`.
        self.end = unsafe { start.add(bytes / size * size) }.as_ptr();
    }

    /// Takes back what is handed out next, so that the page can go.
    #[cold]
    fn put_all_back(&mut self, class: usize) {
        let mut block = core::mem::replace(&mut self.free, null_mut());
        while let Some(free) = NonNull::new(block) {
            block = link_of(free);
            self.put(free, class);
        }
        // What was never carved reads as zeroes: a dead block, but for the link.
        while self.next != self.end {
            if let Some(free) = NonNull::new(self.next.cast()) {
                self.put(free, class);
            }
            // SAFETY: a whole number of blocks is left.
            self.next = unsafe { self.next.add(block_size(class)) };
        }
    }

    fn runs(&self) -> impl Iterator<Item = NonNull<RunHead>> + use<> {
        // SAFETY: the list is of this shard's runs, whose lock is held.
        core::iter::successors(NonNull::new(self.listed), |run| unsafe {
            NonNull::new((*run.as_ptr()).next)
        })
    }

    /// Gives the memory of empty pages back.
    #[cold]
    fn purge(&mut self) {
        for run in self.runs() {
            // SAFETY: the run is this shard's, whose lock is held.
            let head = unsafe { &mut *run.as_ptr() };
            let empty = head.empty();
            purge_pages(run, empty);
            head.open &= !empty;
            head.fresh |= empty;
            head.purged |= empty;
            for page in (0..RUN_PAGES).filter(|page| empty >> page & 1 == 1) {
                head.first[page] = NONE;
            }
            let count = empty.count_ones() as usize;
            self.pages -= count;
            self.purged += count;
        }
        self.empty = 0;
    }
}

/// Purges the chosen pages of a run.
fn purge_pages(run: NonNull<RunHead>, chosen: u16) {
    if !PURGES {
        return;
    }
    let mut left = u32::from(chosen);
    while left != 0 {
        let first = left.trailing_zeros();
        let pages = (left >> first).trailing_ones();
        let start = RunHead::page(run, first as usize);
        // SAFETY: committed pages of our reservation, in which no block is live or active.
        unsafe { os::purge(start, pages as usize * PAGE) };
        left &= !(((1 << pages) - 1) << first);
    }
}

#[cfg(any(test, fuzzing))]
impl ShardMemory {
    /// Whether each class keeps its rules: free blocks are dead and as many as are counted, in the
    /// pages of listed runs; empty and purged pages are as many as are counted. The shard's lock is
    /// held.
    ///
    /// # Panics
    /// If not.
    pub(super) fn check_invariants(&self) {
        for (class, blocks) in self.classes.iter().enumerate() {
            let (mut empty, mut purged) = (0, 0);
            for run in blocks.runs() {
                // SAFETY: the run is this shard's, whose lock is held.
                let head = unsafe { run.as_ref() };
                assert!(head.listed && head.open | head.fresh != 0, "listed for nothing");
                assert_eq!(usize::from(head.class), class);
                assert!(head.open & head.fresh == 0 && head.purged & !head.fresh == 0);
                (0..RUN_PAGES).for_each(|page| check_page(run, page, block_size(class)));
                empty += head.empty().count_ones() as usize;
                purged += head.purged.count_ones() as usize;
            }
            count_dead(blocks.free);
            assert_eq!((empty, purged), (blocks.empty, blocks.purged), "pages and counts");
        }
    }
}

/// Checks one page of a listed run.
#[cfg(any(test, fuzzing))]
fn check_page(run: NonNull<RunHead>, page: usize, size: usize) {
    // SAFETY: the run is of the shard whose lock the caller holds.
    let head = unsafe { run.as_ref() };
    let free = count_dead(RunHead::list(run, page));
    if head.fresh >> page & 1 == 1 {
        assert_eq!(free, 0, "free blocks on a fresh page");
        return;
    }
    let blocks = blocks_in_page(size);
    assert_eq!(free + usize::from(head.out[page]), blocks, "blocks on the list and out");
    assert_eq!(
        head.open >> page & 1 == 1,
        free >= blocks.div_ceil(8),
        "open when an eighth is free"
    );
}

/// How many blocks a list has, all of which must be dead.
#[cfg(any(test, fuzzing))]
fn count_dead(mut list: *mut Header) -> usize {
    let mut count = 0;
    while let Some(block) = NonNull::new(list) {
        // SAFETY: a free block is mapped.
        let header = unsafe { block.as_ref() };
        assert!(header.count.is_dead(), "a free block lives");
        list = link_of(block);
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for() {
        for size in 16..=MAX_BLOCK {
            let class = class_of(size);
            let block = block_size(class);
            assert!(class < CLASSES && block >= size, "{size} in {block}");
            assert!(class == 0 || block_size(class - 1) < size, "{size} in {block}");
            assert_eq!(class_of(block), class);
            // Values aligned to 16 are rounded up, to more than a header, before they choose.
            let aligned = block_size(class_of((size + 1).next_multiple_of(16).min(MAX_BLOCK)));
            assert!(aligned.is_multiple_of(16), "{aligned}");
        }
        assert_eq!(block_size(CLASSES - 1), MAX_BLOCK);
    }

    #[test]
    fn pages_are_nearly_filled() {
        for class in 0..CLASSES {
            let blocks = blocks_in_page(block_size(class));
            assert!(blocks <= usize::from(u8::MAX));
            let rest = PAGE - blocks * block_size(class);
            assert!(rest <= PAGE / 32, "{rest} bytes of a page of {}", block_size(class));
        }
    }
}
