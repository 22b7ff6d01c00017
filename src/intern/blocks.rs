//! The memory of entries: blocks of one geometry for ever, in runs that belong to one shard.
//!
//! ```text
//! region  4 MiB, aligned, of one interner:   | heads of runs | run 1 | run 2 | …
//! run     64 KiB of blocks of one size class; pages of 4 KiB are purged and carved again
//! starter a run cut into spans of 512 bytes, one for each class of a shard that begins
//! ```
//!
//! An entry finds its region, and so its interner, by masking its address. The heads of runs lie
//! together in the region's first page, not in the runs: heads 64 KiB apart would share one cache set.
//!
//! # Invariants
//! - A block keeps its place and size for ever, and so does its count word, which is zero unless the
//!   block is a live entry. A reader with an old slot never sees anything else as a count.
//! - A free block is linked through its hash word. A page without live entries reads the same
//!   before and after a purge to such a reader; its blocks leave the free list first, and the page
//!   is carved again later. Addresses are never given back while the interner lives.
//! - All of a shard's blocks are touched under its lock. Starter spans are never purged.

use super::entry::Header;
use super::interner::Interner;
use crate::base::config::PAGE;
use crate::os;
use core::ptr::{NonNull, null_mut};

/// The largest block; larger contents lie behind a block.
pub(super) const MAX_BLOCK: usize = 1024;
/// Size classes: multiples of 8 to 128, then eight to each doubling.
pub(super) const CLASSES: usize = class_of(MAX_BLOCK) + 1;

const RUN: usize = 64 << 10;
const REGION: usize = if os::LAZY { 4 << 20 } else { 4 * RUN };
const RUN_PAGES: usize = RUN / PAGE;
/// What a class of a shard starts with, so that few entries take little memory.
const STARTER: usize = 512;
/// The largest block that a starter span is worth for.
const STARTER_BLOCK: usize = 128;
/// Free bytes of a class and shard below which pages are not looked for.
const MIN_RECLAIM: usize = 8 << 10;

const _: () = assert!(REGION / RUN * size_of::<RunHead>() <= PAGE);

/// The class of the smallest blocks that hold `size` bytes, a header and contents.
pub(super) const fn class_of(size: usize) -> usize {
    debug_assert!(size <= MAX_BLOCK);
    if size <= 24 {
        0
    } else if size <= 128 {
        size.div_ceil(8) - 3
    } else {
        let log2 = (size - 1).ilog2() as usize;
        let eighth = (size - 1 - (1 << log2)) >> (log2 - 3);
        14 + (log2 - 7) * 8 + eighth
    }
}

/// The size of the blocks of a class.
pub(super) const fn block_size(class: usize) -> usize {
    if class < 14 {
        (class + 3) * 8
    } else {
        let log2 = 7 + (class - 14) / 8;
        (1 << log2) + (((class - 14) % 8 + 1) << (log2 - 3))
    }
}

/// What a region begins with.
#[repr(C, align(64))]
struct RegionHead {
    interner: *const Interner,
}

/// What is known of one run, in the slot of its number in the region's first page.
#[repr(C, align(64))]
struct RunHead {
    /// The next run of the class and shard.
    next: *mut RunHead,
    /// Whether shards share the run, in spans.
    starter: bool,
    /// Pages that wait to be carved again.
    purged: u16,
    /// Pages that the current reclaim purges.
    purging: u16,
    /// Pages into which a free block of the page before reaches.
    reached: u16,
    /// Free blocks that start in each page.
    free: [u8; RUN_PAGES],
}

impl RunHead {
    /// The head of the run that `block` lies in.
    fn of(block: NonNull<Header>) -> NonNull<Self> {
        let address = block.addr().get();
        let number = address % REGION / RUN;
        let offset = address % REGION - number * size_of::<Self>();
        // SAFETY: heads lie at the start of the block's own region, in front of all runs.
        unsafe { block.cast::<u8>().sub(offset) }.cast()
    }

    /// The run's first byte.
    fn base(head: NonNull<Self>) -> NonNull<u8> {
        let offset = head.addr().get() % REGION;
        let number = offset / size_of::<Self>();
        // SAFETY: run `number` lies that far behind its head, in the same region.
        unsafe { head.cast::<u8>().add(number * RUN - offset) }
    }
}

/// The interner that an entry belongs to.
///
/// # Safety
/// `entry` is an entry of an interner that is not unmapped for as long as `'a`.
#[inline]
pub(super) unsafe fn interner_of<'a>(entry: NonNull<Header>) -> &'a Interner {
    let offset = entry.addr().get() % REGION;
    // SAFETY: an entry lies in a region, whose head is at its aligned start.
    let head = unsafe { entry.cast::<u8>().sub(offset) }.cast::<RegionHead>();
    // SAFETY: the head was written before the region's first entry was made.
    let interner = unsafe { (*head.as_ptr()).interner };
    // SAFETY: it is the address of the entry's interner.
    unsafe { &*interner }
}

/// The regions of an interner.
#[derive(Debug)]
pub(super) struct Regions {
    region: *mut u8,
    /// Number of the next run in the region; the end at first.
    next_run: usize,
    starter: *mut u8,
    starter_end: *mut u8,
}

// SAFETY: the pointers are to memory of the interner, which moves with the regions.
unsafe impl Send for Regions {}

impl Regions {
    /// No region yet.
    pub(super) const fn new() -> Self {
        Self {
            region: null_mut(),
            next_run: REGION / RUN,
            starter: null_mut(),
            starter_end: null_mut(),
        }
    }

    fn run(&mut self, interner: *const Interner) -> Option<NonNull<RunHead>> {
        if self.next_run == REGION / RUN {
            let region = os::reserve(REGION, REGION)?;
            // SAFETY: the first page of the reservation just made.
            if !unsafe { os::commit(region, PAGE) } {
                // SAFETY: nobody else knows of the reservation.
                unsafe { os::release(region, REGION, REGION) };
                return None;
            }
            // SAFETY: the first page is writable and nobody else knows of it.
            unsafe { region.cast::<RegionHead>().write(RegionHead { interner }) };
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
        // Its head is zero: no page is purged and nothing is counted.
        Some(RunHead::of(base.cast()))
    }

    fn starter(&mut self, interner: *const Interner) -> Option<NonNull<u8>> {
        if self.starter == self.starter_end {
            let head = self.run(interner)?;
            // SAFETY: the run is new; nobody else writes its head.
            unsafe { (*head.as_ptr()).starter = true };
            self.starter = RunHead::base(head).as_ptr();
            // SAFETY: one past the end of the run.
            self.starter_end = unsafe { self.starter.add(RUN) };
        }
        let span = self.starter;
        // SAFETY: a run is a whole number of spans, and one is left.
        self.starter = unsafe { span.add(STARTER) };
        NonNull::new(span)
    }
}

/// The blocks of one class of a shard. All zero is a class without blocks.
#[derive(Debug)]
struct Class {
    free: *mut Header,
    /// What is carved next, and where that ends.
    next: *mut u8,
    end: *mut u8,
    runs: *mut RunHead,
    live: usize,
    free_blocks: usize,
    /// Free blocks that the last reclaim left, and live ones.
    kept: usize,
    lived: usize,
    purged_pages: usize,
}

/// The entries and large tables of one shard, used under its lock. All zero is an empty one.
#[derive(Debug)]
pub struct ShardMemory {
    classes: [Class; CLASSES],
    /// The tables that do not lie with the interner, by log2 of their length.
    pub(super) tables: [*mut u8; 32],
}

impl ShardMemory {
    /// A block of `class`, its count zero and its contents anything.
    pub(super) fn allocate(
        &mut self,
        class: usize,
        interner: &Interner,
    ) -> Option<NonNull<Header>> {
        let size = block_size(class);
        let class = &mut self.classes[class];
        if let Some(block) = NonNull::new(class.free) {
            class.free = link_of(block);
            class.free_blocks -= 1;
            class.live += 1;
            return Some(block);
        }
        if class.next == class.end && !class.refill(size, interner) {
            return None;
        }
        let block = NonNull::new(class.next.cast());
        // SAFETY: `refill` leaves room for a whole number of blocks, at least one.
        class.next = unsafe { class.next.add(size) };
        class.live += 1;
        block
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// The block is of this shard and class, its count is zero, and nobody owns it any more.
    pub(super) unsafe fn free(&mut self, block: NonNull<Header>, class: usize) {
        let size = block_size(class);
        let class = &mut self.classes[class];
        set_link(block, class.free);
        class.free = block.as_ptr();
        class.free_blocks += 1;
        class.live -= 1;
        if class.may_reclaim(size) {
            class.reclaim(size);
        }
    }
}

#[cfg(any(test, fuzzing))]
impl ShardMemory {
    /// Whether each class keeps its rules: free blocks are dead, on no purged page, and as many as
    /// are counted, like the purged pages. The shard's lock is held.
    ///
    /// # Panics
    /// If not.
    pub(super) fn check_invariants(&self) {
        for class in &self.classes {
            let (mut block, mut free) = (class.free, 0);
            while let Some(listed) = NonNull::new(block) {
                // SAFETY: a free block is mapped.
                let header = unsafe { listed.as_ref() };
                assert_eq!(header.count.get(), Some(0), "a free block lives");
                // SAFETY: heads are readable; those of starters do not change.
                let head = unsafe { RunHead::of(listed).as_ref() };
                let page = listed.addr().get() % RUN / PAGE;
                assert_eq!(head.purged >> page & 1, 0, "a free block on purged page {page}");
                block = link_of(listed);
                free += 1;
            }
            assert_eq!(free, class.free_blocks, "blocks on the free list and counted");
            assert_eq!(class.count_purged(), class.purged_pages, "pages purged and counted");
        }
    }

    /// Pages that were given back and not carved again.
    pub(super) fn purged_pages(&self) -> usize {
        self.classes.iter().map(|class| class.purged_pages).sum()
    }
}

/// The next free block.
fn link_of(block: NonNull<Header>) -> *mut Header {
    // SAFETY: a free block is mapped.
    let header = unsafe { block.as_ref() };
    // SAFETY: its shard's lock is held.
    let hash = unsafe { header.hash() };
    core::ptr::with_exposed_provenance_mut(hash as usize)
}

fn set_link(block: NonNull<Header>, next: *mut Header) {
    // SAFETY: a free block is mapped.
    let header = unsafe { block.as_ref() };
    // SAFETY: its count is zero, and its shard, which owns it, is locked.
    unsafe { header.set_hash(next.expose_provenance() as u64) };
}

impl Class {
    /// Finds something to carve.
    #[cold]
    fn refill(&mut self, size: usize, interner: &Interner) -> bool {
        if self.purged_pages > 0 {
            self.carve_again(size);
            return true;
        }
        let mut regions = interner.regions();
        if self.next.is_null() && size <= STARTER_BLOCK {
            let Some(span) = regions.starter(interner) else { return false };
            self.carve(span, 0, STARTER / size, size);
            return true;
        }
        let Some(run) = regions.run(interner) else { return false };
        // SAFETY: the run is new and this shard's.
        unsafe { (*run.as_ptr()).next = self.runs };
        self.runs = run.as_ptr();
        self.carve(RunHead::base(run), 0, RUN / size, size);
        true
    }

    /// Will carve the blocks numbered `first..last` behind `base`.
    fn carve(&mut self, base: NonNull<u8>, first: usize, last: usize, size: usize) {
        debug_assert!(first < last, "{first}..{last} of {size} bytes");
        // SAFETY: the caller's blocks lie in one run.
        self.next = unsafe { base.add(first * size) }.as_ptr();
        // SAFETY: as above.
        self.end = unsafe { base.add(last * size) }.as_ptr();
    }

    fn runs(&self) -> impl Iterator<Item = NonNull<RunHead>> + use<> {
        // SAFETY: the list is of this shard's runs, whose lock is held.
        core::iter::successors(NonNull::new(self.runs), |run| unsafe {
            NonNull::new((*run.as_ptr()).next)
        })
    }

    #[cfg(any(test, fuzzing))]
    fn count_purged(&self) -> usize {
        // SAFETY: heads of this shard's runs are used under its lock only.
        let purged = |run: NonNull<RunHead>| unsafe { (*run.as_ptr()).purged };
        self.runs().map(|run| purged(run).count_ones() as usize).sum()
    }

    /// Takes up one purged page; there is one.
    fn carve_again(&mut self, size: usize) {
        for run in self.runs() {
            // SAFETY: heads of this shard's runs are used under its lock only.
            let head = unsafe { &mut *run.as_ptr() };
            if head.purged != 0 {
                let page = head.purged.trailing_zeros() as usize;
                head.purged &= head.purged - 1;
                self.purged_pages -= 1;
                let (first, last) = starting_in(page, size);
                self.carve(RunHead::base(run), first, last, size);
                return;
            }
        }
        debug_assert!(false, "{} purged pages, none found", self.purged_pages);
    }

    /// Whether looking for pages is worth a walk over the free list: most blocks are free, and since
    /// the last walk their number doubled; or an eighth of those that lived then is left, whose pages
    /// may be free now.
    fn may_reclaim(&self, size: usize) -> bool {
        let enough = MIN_RECLAIM.div_ceil(size);
        let doubled = self.free_blocks >= enough + 2 * self.kept && self.free_blocks >= self.live;
        doubled || (self.free_blocks >= enough && self.live * 8 < self.lived)
    }

    /// Gives the pages that only free blocks touch back to the system.
    #[cold]
    fn reclaim(&mut self, size: usize) {
        for run in self.runs() {
            // SAFETY: heads of this shard's runs are used under its lock only.
            let head = unsafe { &mut *run.as_ptr() };
            head.free = [0; RUN_PAGES];
            head.reached = head.purged << 1;
        }
        self.tally(size);
        let pages: u32 = self.runs().map(|run| choose(run, size)).sum();
        self.purged_pages += pages as usize;
        if pages > 0 {
            self.drop_chosen();
            self.runs().for_each(purge);
        }
        self.kept = self.free_blocks;
        self.lived = self.live;
    }

    /// Counts the free blocks of each page.
    fn tally(&self, size: usize) {
        let mut block = self.free;
        while let Some(free) = NonNull::new(block) {
            let head = RunHead::of(free);
            // SAFETY: `starter` is written once, before the run's first block is handed out.
            if !unsafe { (*head.as_ptr()).starter } {
                // SAFETY: not a starter, so the head is this shard's.
                let head = unsafe { &mut *head.as_ptr() };
                let offset = free.addr().get() % RUN;
                let (page, last) = (offset / PAGE, (offset + size - 1) / PAGE);
                head.free[page] += 1;
                if last != page {
                    head.reached |= 1 << last;
                }
            }
            block = link_of(free);
        }
    }

    /// Takes the blocks of chosen pages off the free list.
    fn drop_chosen(&mut self) {
        let (mut block, mut kept, mut count) = (self.free, null_mut(), 0);
        while let Some(free) = NonNull::new(block) {
            block = link_of(free);
            let head = RunHead::of(free);
            // SAFETY: `starter` is constant while blocks are out; `purging` of a starter is never
            // written, and of any other run under the lock that is held.
            let purging = unsafe { (*head.as_ptr()).purging };
            if purging >> (free.addr().get() % RUN / PAGE) & 1 == 0 {
                set_link(free, kept);
                kept = free.as_ptr();
                count += 1;
            }
        }
        self.free = kept;
        self.free_blocks = count;
    }
}

/// The numbers of the blocks that start in a page of a run.
const fn starting_in(page: usize, size: usize) -> (usize, usize) {
    let (first, last) = ((page * PAGE).div_ceil(size), ((page + 1) * PAGE).div_ceil(size));
    let blocks = RUN / size;
    (first, if last < blocks { last } else { blocks })
}

/// Chooses the pages of a run that only free blocks touch; returns how many.
fn choose(run: NonNull<RunHead>, size: usize) -> u32 {
    // SAFETY: heads of a shard's runs are used under its lock only, which the caller holds.
    let head = unsafe { &mut *run.as_ptr() };
    head.purging = 0;
    for page in 0..RUN_PAGES {
        let (first, last) = starting_in(page, size);
        let all_free = head.free[page] as usize == last - first;
        let reached_by_none = (page * PAGE).is_multiple_of(size) || head.reached >> page & 1 == 1;
        if all_free && reached_by_none && head.purged >> page & 1 == 0 {
            head.purging |= 1 << page;
        }
    }
    head.purging.count_ones()
}

/// Purges the chosen pages of a run.
fn purge(run: NonNull<RunHead>) {
    let base = RunHead::base(run);
    // SAFETY: heads of a shard's runs are used under its lock only, which the caller holds.
    let head = unsafe { &mut *run.as_ptr() };
    head.purged |= head.purging;
    let mut left = u32::from(core::mem::take(&mut head.purging));
    while left != 0 {
        let first = left.trailing_zeros();
        let pages = (left >> first).trailing_ones();
        // SAFETY: the page lies in the run.
        let start = unsafe { base.add(first as usize * PAGE) };
        // Elsewhere a purge is a fill with zeroes, under the eyes of readers and for nothing.
        if os::LAZY {
            // SAFETY: committed pages of our reservation, in which no block is live or listed.
            unsafe { os::purge(start, pages as usize * PAGE) };
        }
        left &= !(((1 << pages) - 1) << first);
    }
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
            let waste = (size.next_power_of_two() / 8).max(7);
            assert!(class == 0 || block - size <= waste, "{size} in {block}");
            assert!(class == 0 || block_size(class - 1) < size, "{size} in {block}");
            assert_eq!(class_of(block), class);
            // Values aligned to 16 are rounded up, to more than a header, before they choose.
            let aligned = block_size(class_of((size + 1).next_multiple_of(16).min(MAX_BLOCK)));
            assert!(aligned.is_multiple_of(16), "{aligned}");
        }
        assert_eq!(block_size(CLASSES - 1), MAX_BLOCK);
    }

    #[test]
    fn each_block_starts_in_one_page() {
        for class in 0..CLASSES {
            let size = block_size(class);
            let mut expected = 0;
            for page in 0..RUN_PAGES {
                let (first, last) = starting_in(page, size);
                assert_eq!(first, expected);
                assert!(first < last && last - first <= usize::from(u8::MAX));
                expected = last;
            }
            assert_eq!(expected, RUN / size);
        }
    }
}
