//! Huge pages: where small blocks lie in them, and what happens when part of one goes back.
//!
//! To touch a huge page costs a fifth of touching the small pages in its place, and then the processor
//! translates its addresses at once. But it is there as a whole from the first touch. So:
//!
//! - An arena is asked for huge pages one by one, each when nothing of it is in use and a pool of small
//!   blocks takes the first granule, because those before it are used up. The rest is dirt from then on, and
//!   must fit into the allowance beside such pools: what a program pays for what it does not use yet is a
//!   part of what it uses, and a small program has none.
//! - Larger pools and runs never ask: who knows how much of them is ever touched. For the same reason they do
//!   not take what no small block was in yet: else a huge page would come for each of them.
//! - Free memory goes back by whole huge pages first (`dirt.rs`); these come again as such. When a part of
//!   one goes back, the rest becomes small pages: the system would make it whole again, around the blocks in
//!   use. All of it free, it can become a huge page again.
//!
//! Linux has the memory of a part that went back at its disposal, but takes it only when it needs some.
//!
//! *Invariants*: in a huge page all granules were touched, or none. What was touched and not used is dirty.

use super::arena::{Arena, Arenas};
use crate::base::bits::low_bits;
use crate::base::config::{GRANULE, GRANULES, HUGE_PAGE};
use crate::os;

/// Granules in a huge page.
const SPAN: usize = HUGE_PAGE / GRANULE;

/// Touched granules of a page of which all is free that are given up for a huge one, at most: to touch them
/// again costs less than to touch the rest in small pages.
const GIVEN_UP: u32 = SPAN as u32 / 2;

const _: () = assert!(GRANULES / SPAN <= u8::BITS as usize);

/// The granules of page `page` of an arena.
const fn granules_of(page: usize) -> u64 {
    low_bits(SPAN) << (page * SPAN)
}

/// The pages of an arena that `bits` are granules of.
fn pages_of(bits: u64) -> impl Iterator<Item = usize> {
    (0..GRANULES / SPAN).filter(move |&page| bits & granules_of(page) != 0)
}

impl Arena {
    fn is_huge(&self, page: usize) -> bool {
        self.huge_pages.get() >> page & 1 == 1
    }

    /// Those of some free granules that a pool or run of `span` granules may have.
    pub(super) fn suits(&self, free: u64, span: usize) -> u64 {
        if span == 1 { free } else { free & !self.unused.get() }
    }

    /// What is a huge page among those that `bits` are granules of is one no longer.
    pub(super) fn split_huge_pages(&'static self, bits: u64) {
        for page in pages_of(bits).filter(|&page| self.is_huge(page)) {
            self.huge_pages.set(self.huge_pages.get() & !(1 << page));
            // SAFETY: the arena is committed; its contents stay.
            unsafe { os::prefer_small_pages(self.granule(page * SPAN).start(), HUGE_PAGE) };
        }
    }

    /// The granules of a huge page of which all is free and touched.
    pub(super) fn whole_huge_page(&self) -> Option<u64> {
        let whole = pages_of(self.dirty.get()).filter(|&page| self.is_huge(page));
        whole.map(granules_of).find(|bits| self.dirty.get() & bits == *bits)
    }

    /// The dirty granules that are not in huge pages.
    pub(super) fn outside_huge_pages(&self) -> Option<u64> {
        let huge = pages_of(u64::MAX).filter(|&page| self.is_huge(page)).map(granules_of);
        let outside = huge.fold(self.dirty.get(), |dirty, page| dirty & !page);
        (outside != 0).then_some(outside)
    }

    /// A part of what may be huge pages goes back.
    pub(super) fn tear_huge_pages(&'static self, bits: u64) {
        for page in pages_of(bits).filter(|&page| self.is_huge(page)) {
            self.torn_pages.set(self.torn_pages.get() | 1 << page);
        }
        self.split_huge_pages(bits);
    }

    /// The granules of a torn page of which all is free by now, and some touched; it is torn no longer.
    pub(super) fn take_torn_page(&self, bits: u64) -> Option<u64> {
        let torn = |&page: &usize| self.torn_pages.get() >> page & 1 == 1;
        let page = pages_of(bits)
            .filter(torn)
            .find(|&page| self.free_bits() & granules_of(page) == granules_of(page))?;
        self.torn_pages.set(self.torn_pages.get() & !(1 << page));
        Some(granules_of(page))
    }
}

impl Arenas {
    /// Free granules are about to be used: decides what pages they are in. `small` says that they become
    /// a pool of small blocks, and that more such will follow.
    pub(super) fn choose_pages(&mut self, arena: &'static Arena, bits: u64, small: bool) {
        for page in pages_of(bits) {
            let all = granules_of(page);
            let dirty = all & arena.dirty.get();
            let idle = arena.free_bits() & all == all && dirty.count_ones() <= GIVEN_UP;
            if small && idle && self.can_use_huge_page() {
                self.make_huge(arena, page);
            } else if bits & all & !dirty != 0 {
                arena.split_huge_pages(all);
            }
        }
        arena.unused.set(arena.unused.get() & !bits);
    }

    /// Changes which granules of an arena are surely touched.
    pub(super) fn set_filled(&mut self, arena: &'static Arena, filled: u64) {
        let old = arena.filled.replace(filled);
        self.filled = self.filled + filled.count_ones() as usize - old.count_ones() as usize;
    }

    /// Whether there are huge pages, and the allowance has room for one.
    fn can_use_huge_page(&mut self) -> bool {
        self.has_room(HUGE_PAGE) && self.gives_huge_pages()
    }

    /// Whether there are huge pages.
    pub(super) fn gives_huge_pages(&mut self) -> bool {
        *self.huge_pages.get_or_insert_with(os::gives_huge_pages)
    }

    /// Makes a page huge of which nothing is in use.
    fn make_huge(&mut self, arena: &'static Arena, page: usize) {
        let start = arena.granule(page * SPAN).start();
        // Small pages would be in its way, and so would what the system remembers of them.
        // SAFETY: the granules are free: nobody uses their contents.
        unsafe { os::purge(start, HUGE_PAGE) };
        // SAFETY: the arena is committed.
        unsafe { os::prefer_huge_pages(start, HUGE_PAGE) };
        arena.huge_pages.set(arena.huge_pages.get() | 1 << page);
        arena.unused.set(arena.unused.get() | granules_of(page));
        self.note_touched(arena, granules_of(page));
    }
}

#[cfg(any(test, fuzzing))]
impl Arena {
    /// Asserts what this file says of huge pages.
    pub(super) fn check_huge_pages(&self) {
        assert_eq!(self.filled.get() & self.free_bits(), 0, "filled, but free");
        assert_eq!(self.unused.get() & !self.dirty.get(), 0, "unused, but not dirty");
        for page in pages_of(u64::MAX).filter(|&page| self.is_huge(page)) {
            let (all, dirty) = (granules_of(page), self.dirty.get());
            let free = self.free_bits() & all;
            assert!(
                free & dirty == free || (free == all && dirty & all == 0),
                "huge page {page}: {free:#x} free, {dirty:#x} dirty"
            );
        }
    }
}
