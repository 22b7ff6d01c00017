//! Free memory that was touched: how much stays for the next use, and what goes back first.
//!
//! Dirt is of three kinds: free granules, huge blocks kept for the next of their size, and the free
//! pages inside pools of which nearly all blocks came home (*sparse* ones). Together, and with the tails of huge
//! blocks (`huge.rs`), they may be as much as the [`Allowance`] says. The freer that exceeds it gives tails back, then
//! huge blocks, then whole huge pages, then granules in small pages, and pieces of huge pages only when there is much
//! too much; of all these those of the arenas that have been dirty for longest. A pool that becomes sparse when there
//! are too many gives back its own free pages.

use super::allowance::Allowance;
use super::arena::{Arena, Arenas};
use super::pool::{PoolRef, SPARSE};
use crate::base::bits::{find_run, low_bits};
use crate::base::config::{GRANULE, GRANULES, HUGE_PAGE, PAGE};
use crate::os;

/// Huge blocks that are kept at most.
const KEPT_HUGE: usize = 16;

/// What a sparse pool counts for: each of its blocks keeps a page.
const SPARSE_BYTES: usize = GRANULE - SPARSE as usize * PAGE;

/// Dirty arenas that are looked at for a new pool.
const LOOKED_AT: usize = 8;

/// Dirty arenas that are searched for what goes back before other dirt.
const SEARCHED: usize = 64;

/// Huge pages of which a part is in use stay whole when no more than this is to be given back: soon all of one
/// may be free.
const TORN: usize = HUGE_PAGE;

/// Given back at once, so that there are fewer and longer calls.
const BATCH: usize = 512 << 10;

/// Free memory that was touched; behind the arena lock.
#[derive(Debug)]
pub(super) struct Dirt {
    allowance: Allowance,
    /// Dirty granules.
    granules: usize,
    /// Arenas with dirty granules, by when they became so.
    first: Option<&'static Arena>,
    last: Option<&'static Arena>,
    /// Free huge blocks whose memory is kept, the oldest first, and their bytes.
    pub(super) huge: [Option<&'static Arena>; KEPT_HUGE],
    pub(super) huge_bytes: usize,
    /// Huge blocks in use that have tails, the older first, and these tails' bytes.
    pub(super) tails: [Option<&'static Arena>; 2],
    pub(super) tail_bytes: usize,
    /// Sparse pools whose free pages were not given back.
    sparse: usize,
    /// Bytes given back inside pools.
    holes: usize,
}

impl Dirt {
    pub(super) const fn new() -> Dirt {
        Dirt {
            allowance: Allowance::new(),
            granules: 0,
            first: None,
            last: None,
            huge: [None; KEPT_HUGE],
            huge_bytes: 0,
            tails: [None; 2],
            tail_bytes: 0,
            sparse: 0,
            holes: 0,
        }
    }

    fn bytes(&self) -> usize {
        self.granules * GRANULE + self.huge_bytes + self.sparse * SPARSE_BYTES
    }

    /// Changes which granules of an arena are dirty.
    fn set(&mut self, arena: &'static Arena, dirty: u64) {
        let old = arena.dirty.replace(dirty);
        self.granules = self.granules + dirty.count_ones() as usize - old.count_ones() as usize;
        match (old != 0, dirty != 0) {
            (false, true) => self.link_last(arena),
            (true, false) => self.unlink(arena),
            _ => {}
        }
    }

    fn link_last(&mut self, arena: &'static Arena) {
        arena.dirty_prev.set(self.last.replace(arena));
        arena.dirty_next.set(None);
        match arena.dirty_prev.get() {
            Some(prev) => prev.dirty_next.set(Some(arena)),
            None => self.first = Some(arena),
        }
    }

    fn unlink(&mut self, arena: &'static Arena) {
        let (prev, next) = (arena.dirty_prev.take(), arena.dirty_next.take());
        match prev {
            Some(prev) => prev.dirty_next.set(next),
            None => self.first = next,
        }
        match next {
            Some(next) => next.dirty_prev.set(prev),
            None => self.last = prev,
        }
    }

    /// The arena that has been dirty for longest of those of which `wanted` are some granules, and these.
    fn search(&self, wanted: impl Fn(&Arena) -> Option<u64>) -> Option<(&'static Arena, u64)> {
        let arenas = core::iter::successors(self.first, |arena| arena.dirty_next.get());
        arenas.take(SEARCHED).find_map(|arena| Some((arena, wanted(arena)?)))
    }

    /// Gives free granules of an arena back, which follow each other. Returns the bytes that were dirty.
    fn purge_run(&mut self, arena: &'static Arena, granules: u64) -> usize {
        let start = arena.granule(granules.trailing_zeros() as usize).start();
        // SAFETY: the granules are free: nobody uses their contents.
        unsafe { os::purge(start, granules.count_ones() as usize * GRANULE) };
        let dirty = arena.dirty.get();
        self.set(arena, dirty & !granules);
        arena.unused.set(arena.unused.get() & !granules);
        (dirty & granules).count_ones() as usize * GRANULE
    }

    /// Gives back up to `bytes` of some dirty granules of an arena, the highest first: they are the last to
    /// be taken again. Returns the bytes given back.
    fn purge_some(&mut self, arena: &'static Arena, mut granules: u64, bytes: usize) -> usize {
        let mut purged = 0;
        while granules != 0 && purged < bytes {
            let end = GRANULES - granules.leading_zeros() as usize;
            let run = (granules << (GRANULES - end)).leading_ones() as usize;
            let run = run.min((bytes - purged).div_ceil(GRANULE));
            let last = low_bits(run) << (end - run);
            purged += self.purge_run(arena, last);
            granules &= !last;
        }
        purged
    }
}

impl Arenas {
    /// Bytes in pools, runs and huge blocks.
    pub(super) fn used_bytes(&self) -> usize {
        (self.used * GRANULE + self.huge.bytes).saturating_sub(self.dirt.holes)
    }

    /// `span` dirty granules in a row, from the fullest of the arenas that became dirty last.
    pub(super) fn find_warm(&self, span: usize) -> Option<(&'static Arena, usize)> {
        let arenas = core::iter::successors(self.dirt.last, |arena| arena.dirty_prev.get());
        let runs = arenas.take(LOOKED_AT).filter_map(|arena| {
            let first = find_run(arena.suits(arena.dirty.get(), span), span)?;
            Some((arena, first))
        });
        runs.min_by_key(|(arena, _)| arena.free_count())
    }

    /// Granules of an arena are used again; returns how many of them are clean.
    pub(super) fn use_granules(&mut self, arena: &'static Arena, bits: u64) -> usize {
        let clean = (bits & !arena.dirty.get()).count_ones() as usize;
        self.dirt.set(arena, arena.dirty.get() & !bits);
        self.note_use(clean * GRANULE);
        clean
    }

    /// Memory is used of which `clean` bytes were not dirty.
    pub(super) fn note_use(&mut self, clean: usize) {
        let dirty = self.dirt.bytes();
        self.dirt.allowance.on_use(clean, dirty);
    }

    /// Free granules of an arena were touched, by and by or at once as parts of a huge page.
    pub(super) fn note_touched(&mut self, arena: &'static Arena, bits: u64) {
        let clean = (bits & !arena.dirty.get()).count_ones() as usize;
        self.dirt.set(arena, arena.dirty.get() | bits);
        self.note_use(clean * GRANULE);
    }

    /// Whether that many bytes of free memory may be touched beside what is in use and surely touched.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.dirt.bytes() + bytes <= self.dirt.allowance.room(self.filled * GRANULE)
    }

    /// Granules of an arena are free and dirty.
    pub(super) fn free_granules_of(&mut self, arena: &'static Arena, bits: u64) {
        self.dirt.set(arena, arena.dirty.get() | bits);
        while let Some(page) = arena.take_torn_page(bits) {
            let purged = self.dirt.purge_run(arena, page);
            self.dirt.allowance.on_purge(purged);
        }
        self.note_free(bits.count_ones() as usize * GRANULE);
    }

    /// That many bytes have become dirty: gives memory back if there is too much now.
    pub(super) fn note_free(&mut self, bytes: usize) {
        let (dirty, used) = (self.dirt.bytes(), self.used_bytes());
        self.dirt.allowance.on_free(bytes, dirty, used);
        let limit = self.limit_tails();
        if dirty > limit {
            let purged = self.purge(dirty - limit + BATCH.min(limit / 2));
            self.dirt.allowance.on_purge(purged);
        }
    }

    /// Gives the tails back if with them there is too much dirt. Returns how much there may be.
    pub(super) fn limit_tails(&mut self) -> usize {
        let limit = self.dirt.allowance.limit(self.used_bytes());
        if self.dirt.tail_bytes > 0 && self.dirt.bytes() + self.dirt.tail_bytes > limit {
            self.purge_tails();
        }
        limit
    }

    /// Gives back at least that many bytes, if there are; returns how many.
    fn purge(&mut self, bytes: usize) -> usize {
        let mut purged = 0;
        while purged < bytes {
            let missing = bytes - purged;
            if let Some(block) = self.dirt.huge[0] {
                purged += self.purge_kept_huge(block);
            } else if let Some((arena, page)) = self.dirt.search(Arena::whole_huge_page) {
                purged += self.dirt.purge_run(arena, page);
            } else if let Some((arena, small)) = self.dirt.search(Arena::outside_huge_pages) {
                purged += self.dirt.purge_some(arena, small, missing);
            } else if let Some(arena) = self.dirt.first
                && missing > TORN
            {
                arena.tear_huge_pages(arena.dirty.get());
            } else {
                break;
            }
        }
        purged
    }

    /// Gives all dirty memory back and forgets what was learned. Returns the bytes.
    pub(crate) fn trim(&mut self) -> usize {
        self.dirt.allowance = Allowance::new();
        self.purge_tails() + self.purge(usize::MAX)
    }

    /// Whether a pool that has become sparse may keep its free pages; it counts as dirt from here on.
    pub(super) fn keep_sparse(&mut self) -> bool {
        let limit = self.dirt.allowance.limit(self.used_bytes());
        let keep = (self.dirt.sparse + 1) * SPARSE_BYTES <= limit;
        self.dirt.sparse += usize::from(keep);
        keep
    }

    /// A pool that counted as dirt is no longer sparse.
    pub(super) fn end_sparse(&mut self) {
        self.dirt.sparse -= 1;
    }

    /// Pages inside a pool were given back, unasked or by `trim`.
    pub(super) fn note_holes(&mut self, pool: PoolRef, bytes: usize, asked: bool) {
        if bytes > 0 {
            // SAFETY: the arena of a pool has its metadata.
            let arena = unsafe { Arena::of(pool.start().as_ptr() as usize) };
            arena.tear_huge_pages(1 << pool.granule());
        }
        self.dirt.holes += bytes;
        if !asked {
            self.dirt.allowance.on_purge(bytes);
        }
    }

    /// Pages inside a pool are used again.
    pub(super) fn fill_holes(&mut self, bytes: usize) {
        self.dirt.holes -= bytes;
        self.note_use(bytes);
    }

    /// A pool with that many bytes given back ends.
    pub(super) fn forget_holes(&mut self, bytes: usize) {
        self.dirt.holes -= bytes;
    }
}
