//! Trimming inside pools: the memory of pages on which every block is free goes back.
//!
//! That is where the memory sits when one block in a thousand survives. Free-list links lie in the
//! blocks, so the list is rebuilt without those whose link is on such a page, and the page is remembered
//! in `purged`: its blocks are carved again when the pool has no others.
//!
//! # Orderings
//! Relaxed, as in `pool.rs`: these are the holder's fields.

use super::arena;
use super::poison;
use super::pool::Held;
use crate::base::bits::{self, low_bits};
use crate::base::config::PAGE;
use crate::sync::atomic::Ordering;
use crate::sync::hint::spin_loop;

/// Bytes of a cache line, or of a part of one.
const LINE: usize = 64;

/// Lines asked for in a row: processors forget what they are asked for while too many are on their way.
const IN_FLIGHT: usize = 8;

impl Held {
    /// Bytes that one bit of `purged` stands for.
    fn part(self) -> usize {
        (self.pool().extent() / 64).max(PAGE)
    }

    /// Blocks whose link word lies in part `part`: a range of indices.
    fn blocks_of_part(self, part: usize) -> core::ops::Range<usize> {
        let size = self.pool().block_size();
        let link = self.link_offset();
        let index = |offset: usize| offset.saturating_sub(link).div_ceil(size);
        let end = usize::from(self.record().bump.get());
        index(part * self.part()).min(end)..index((part + 1) * self.part()).min(end)
    }

    /// Puts the blocks of a purged page back into circulation.
    pub(super) fn carve_purged(self) {
        let pool = self.record();
        let part = pool.purged.get().trailing_zeros() as usize;
        pool.purged.set(pool.purged.get() & (pool.purged.get() - 1));
        let blocks = self.blocks_of_part(part);
        self.circulate(blocks.start, blocks.end);
        arena::lock().fill_holes(self.part());
    }

    /// Bytes given back inside the pool.
    pub(super) fn holes(self) -> usize {
        self.record().purged.get().count_ones() as usize * self.part()
    }

    /// The pool has become sparse: it keeps its free pages, or gives them back.
    pub(super) fn sparse(self) {
        let keep = arena::lock().keep_sparse();
        self.set_sparse(keep);
        if !keep {
            let bytes = self.purge_pages();
            arena::lock().note_holes(self.pool(), bytes, false);
        }
    }

    /// Gives back the memory of pages on which every block is free, and takes their blocks out of
    /// circulation until they are carved again. Returns the bytes given back.
    ///
    /// A page may go when no live block reaches into it; only the blocks whose link word is on it
    /// leave the free list.
    pub(crate) fn purge_free_pages(self) -> usize {
        let bytes = self.purge_pages();
        let mut arenas = arena::lock();
        arenas.note_holes(self.pool(), bytes, true);
        if self.take_sparse() {
            arenas.end_sparse();
        }
        bytes
    }

    fn purge_pages(self) -> usize {
        let pool = self.record();
        let parts = self.pool().extent() / self.part();
        if parts > 64 || pool.local.get().is_none() {
            return 0;
        }
        self.prefetch_links();
        let idle = self.idle_parts(parts);
        if idle == 0 {
            return 0;
        }
        let removed = self.remove_from_list(idle);
        let carved = pool.carved.load(Ordering::Relaxed);
        pool.carved.store(carved - removed as u32, Ordering::Relaxed);
        pool.purged.set(pool.purged.get() | idle);
        // Statistics look at blocks under the lock, and some systems take the pages away for a moment.
        let _arenas = arena::lock();
        let mut rest = idle;
        while rest != 0 {
            let part = rest.trailing_zeros() as usize;
            let run = (!(rest >> part)).trailing_zeros() as usize;
            rest &= !(low_bits(run) << part);
            // SAFETY: the part lies within the pool.
            let place = unsafe { self.pool().start().add(part * self.part()) };
            poison::purge(place, run * self.part());
        }
        idle.count_ones() as usize * self.part()
    }

    /// Asks for the free list, which runs through the pool in the order of frees: one cache miss after the
    /// other when it is read for the first time in a while, 110 us instead of 9 for a pool of 1024 blocks.
    fn prefetch_links(self) {
        let end = self.bump() * self.pool().block_size();
        let step = self.pool().block_size().max(LINE);
        for (count, offset) in (self.link_offset()..end).step_by(step).enumerate() {
            bits::prefetch(self.pool().start().as_ptr().wrapping_add(offset));
            if count % IN_FLIGHT == 0 {
                spin_loop();
            }
        }
    }

    /// The carved, unpurged parts into which no live block reaches.
    fn idle_parts(self, parts: usize) -> u64 {
        let pool = self.record();
        let size = self.pool().block_size();
        let mut free_in = [0u16; 64];
        let start = self.pool().start().as_ptr() as usize;
        let mut block = pool.local.get();
        while let Some(free) = block {
            free_in[(free.addr() - start) / self.part()] += 1;
            // SAFETY: the block is in the pool's own list.
            block = unsafe { free.next() };
        }
        let mut idle = 0u64;
        let mut busy_until = 0;
        for (part, &free) in free_in.iter().enumerate().take(parts) {
            let begin = part * self.part();
            let blocks = self.blocks_of_part(part);
            let purged = pool.purged.get() >> part & 1 == 1;
            if !purged && usize::from(free) < blocks.len() {
                // A live block may reach into the parts that follow, and begin (with the words in
                // front of its link) in the one before.
                busy_until = blocks.end * size;
                if part > 0 && blocks.start * size < begin {
                    idle &= !(1 << (part - 1));
                }
            } else if !purged && begin >= busy_until && begin < self.bump() * size {
                idle |= 1 << part;
            }
        }
        idle
    }

    /// Rebuilds the free list without the blocks of `parts`; returns how many left.
    fn remove_from_list(self, parts: u64) -> usize {
        let pool = self.record();
        let start = self.pool().start().as_ptr() as usize;
        let (mut kept, mut removed) = (None, 0);
        let mut rest = pool.local.take();
        while let Some(block) = rest {
            // SAFETY: the block is in the pool's own list.
            rest = unsafe { block.next() };
            if parts >> ((block.addr() - start) / self.part()) & 1 == 1 {
                removed += 1;
            } else {
                // SAFETY: as above.
                unsafe { block.set_next(kept) };
                kept = Some(block);
            }
        }
        pool.local.set(kept);
        removed
    }
}
