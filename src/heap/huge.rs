//! Huge blocks: arenas of their own.
//!
//! A block begins at the start of an arena slot, whose record says how long it is. When it is freed, its memory goes
//! back to the system and its slots to the reservation, or both are kept for the next of about its size, as dirt
//! (`dirt.rs`). Growing moves pages, not bytes, unless a kept block that is long enough lies ready: its pages are
//! there already. What grows is filled from its start, so it lies in huge pages where there are such; of other blocks
//! nobody knows. The last of these pages may be touched for nothing: what all of them lose so is a small part of what
//! is in use, and one more block gets none when it would be more.
//!
//! A *tail* is touched memory behind the bytes in use, where a longer kept block was taken or a block shrank: a buffer
//! that doubles, is trimmed, freed and made again finds all of its pages. As nobody else can use it, the two newest
//! blocks at most have one, no longer than what is in use of them; all goes back when there is too much dirt with
//! them, and the allowance does not learn from that.
//!
//! *Invariants*: of a block `len` bytes are in use and `end` may be touched. It is free and kept (`len` is 0), or has
//! a tail (`len < end`), or neither (`len == end`); the lists and their sums say so, too.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::arena::{Arena, Arenas};
use super::pool::{Held, PoolRef, Shape};
use super::thread::ThreadHeap;
use crate::base::bits::align_up;
use crate::base::config::{ARENA, HUGE_PAGE, PAGE};
use crate::os::{self, Remapped};

/// Larger blocks are not kept when they are freed, and leave no tail when they shrink.
const KEPT_MAX: usize = 64 << 20;

/// Blocks in huge pages that there may be in any case.
const FEW: usize = 4;

/// Bytes in use for each further one: a sixteenth of them is lost at most, half of that on average.
const FOR_ONE: usize = 16 * HUGE_PAGE;

/// How much of a block of `len` bytes may be in use with them.
const fn with_waste(len: usize) -> usize {
    len + (len - PAGE) / 8
}

impl Arena {
    /// Gives back what was touched of a huge block behind the bytes in use.
    fn cut_huge(&'static self) {
        let (len, end) = (self.huge_len.get(), self.huge_end.replace(self.huge_len.get()));
        // SAFETY: the block goes on to `end`.
        let behind = unsafe { self.granule(0).start().add(len) };
        // SAFETY: nobody uses the range, which is committed.
        unsafe { os::purge(behind, end - len) };
    }
}

impl Arenas {
    /// Takes `len` bytes aligned to `align`, and says whether they are zero; `zero` asks for that.
    pub(crate) fn take_huge(
        &mut self,
        len: usize,
        align: usize,
        zero: bool,
    ) -> Option<(NonNull<u8>, bool)> {
        let len = len.checked_next_multiple_of(PAGE)?;
        if !zero
            && align <= ARENA
            && let Some(block) = self.take_kept_huge(len)
        {
            return Some((block, false));
        }
        Some((self.take_new_huge(len, align)?, true))
    }

    /// Takes `len` zeroed bytes, whole pages, from addresses of their own.
    fn take_new_huge(&mut self, len: usize, align: usize) -> Option<NonNull<u8>> {
        // Slots are aligned to their size; more alignment costs addresses in front.
        let front = if align > ARENA { align / ARENA } else { 0 };
        let slots = len.div_ceil(ARENA).checked_add(front)?;
        let place = self.slots.take(slots)?;
        let first = place.as_ptr() as usize;
        let start = align_up(first, align.max(ARENA));
        let before = (start - first) / ARENA;
        // SAFETY: the slots go on to the aligned start and `len` bytes behind it.
        let block = unsafe { place.add(before * ARENA) };
        // SAFETY: the block lies within the slots, which are ours.
        if !unsafe { os::commit(block, len) }
            || (before > 0 && !super::reservation::commit_meta(start))
        {
            self.slots.give(place, slots);
            return None;
        }
        // SAFETY: the metadata of the block's first arena are committed.
        let arena = unsafe { Arena::of(start) };
        arena.start.set(start);
        arena.huge_slots.set(slots);
        arena.huge_len.set(len);
        arena.huge_end.set(len);
        arena.huge_before.set(before);
        self.count_slots(slots);
        self.count_huge(arena);
        if len <= KEPT_MAX {
            self.note_use(len);
        }
        Some(block)
    }

    fn count_huge(&mut self, arena: &'static Arena) {
        self.huge.blocks += 1;
        self.huge.bytes += arena.huge_len.get();
        self.huge.slots += arena.huge_slots.get();
        self.huge.in_huge_pages += usize::from(arena.huge_pages.get() != 0);
    }

    /// The same for a block that is used no more, but for its slots.
    fn uncount_huge(&mut self, arena: &'static Arena) {
        self.huge.blocks -= 1;
        self.huge.bytes -= arena.huge_len.get();
        self.huge.in_huge_pages -= usize::from(arena.huge_pages.get() != 0);
    }

    /// The smallest kept block that can be made `len` bytes, with as much behind them at most.
    fn find_kept_huge(&self, len: usize) -> Option<&'static Arena> {
        let fits = |block: &Arena| {
            let end = block.huge_end.get();
            block.huge_slots.get() * ARENA >= len && end <= 2 * len && len <= 2 * end
        };
        let kept = self.dirt.huge.iter().flatten().filter(|block| fits(block));
        kept.copied().min_by_key(|block| block.huge_end.get())
    }

    /// Takes a kept block for `len` bytes.
    fn take_kept_huge(&mut self, len: usize) -> Option<NonNull<u8>> {
        let arena = self.find_kept_huge(len)?;
        self.use_huge(arena, len)?;
        self.count_huge(arena);
        self.keep_tail(arena);
        Some(arena.granule(0).start())
    }

    /// `len` bytes of a block come to be in use, where it lies and has slots for them; there were fewer, or none. A
    /// small rest is in use with them, a larger one is to be its tail.
    fn use_huge(&mut self, arena: &'static Arena, len: usize) -> Option<()> {
        let end = arena.huge_end.get();
        if len > end {
            // SAFETY: the block's slots go on to `len`.
            let behind = unsafe { arena.granule(0).start().add(end) };
            // SAFETY: the range lies within the block's slots.
            if !unsafe { os::commit(behind, len - end) } {
                return None;
            }
        }
        self.forget_kept_huge(arena);
        self.forget_tail(arena);
        let end_now = end.max(len);
        arena.huge_end.set(end_now);
        arena.huge_len.set(if end_now > with_waste(len) { len } else { end_now });
        self.note_use(if len <= KEPT_MAX { len.saturating_sub(end) } else { 0 });
        Some(())
    }

    /// Takes a kept block off the list, if it is on it.
    fn forget_kept_huge(&mut self, arena: &'static Arena) {
        let kept = &mut self.dirt.huge;
        let place = kept.iter().position(|block| block.is_some_and(|b| core::ptr::eq(b, arena)));
        if let Some(place) = place {
            kept.copy_within(place + 1.., place);
            kept[kept.len() - 1] = None;
            self.dirt.huge_bytes -= arena.huge_end.get();
            self.huge.kept -= arena.huge_slots.get();
        }
    }

    /// Lists the tail of a block, if it has one, and gives tails back if there is too much dirt with them.
    fn keep_tail(&mut self, arena: &'static Arena) {
        let bytes = arena.huge_end.get() - arena.huge_len.get();
        if bytes > 0 {
            if let [Some(older), Some(_)] = self.dirt.tails {
                self.purge_tail(older);
            }
            let place = usize::from(self.dirt.tails[0].is_some());
            self.dirt.tails[place] = Some(arena);
            self.dirt.tail_bytes += bytes;
        }
        self.limit_tails();
    }

    /// Takes the tail of a block off the list, if it is on it.
    fn forget_tail(&mut self, arena: &'static Arena) {
        let listed = self.dirt.tails.into_iter().flatten();
        let mut others = listed.clone().filter(|block| !core::ptr::eq(*block, arena));
        let left = [others.next(), others.next()];
        if left.iter().flatten().count() < listed.count() {
            self.dirt.tails = left;
            self.dirt.tail_bytes -= arena.huge_end.get() - arena.huge_len.get();
        }
    }

    /// Gives the tail of a block back.
    fn purge_tail(&mut self, arena: &'static Arena) {
        self.forget_tail(arena);
        arena.cut_huge();
    }

    /// Gives all tails back. Returns the bytes.
    pub(super) fn purge_tails(&mut self) -> usize {
        let bytes = self.dirt.tail_bytes;
        self.dirt.tails.into_iter().flatten().for_each(|block| self.purge_tail(block));
        bytes
    }

    /// Takes a huge block as a pool of one block.
    pub(crate) fn take_huge_pool(
        &mut self,
        len: usize,
        shape: Shape,
        owner: *mut ThreadHeap,
    ) -> Option<Held> {
        let (block, _) = self.take_huge(len, PAGE, true)?;
        // SAFETY: the block begins with an arena whose metadata are committed.
        let pool = unsafe { PoolRef::of_granule(block.as_ptr() as usize) };
        // SAFETY: the block is the caller's; a span of 0 says that the granules are not the pool's.
        Some(unsafe { pool.init(shape, 0, owner) })
    }

    /// Gives a huge block back, or keeps it for the next of its size.
    ///
    /// # Safety
    /// `block` came from [`take_huge`](Self::take_huge) and is the caller's.
    pub(crate) unsafe fn give_huge(&mut self, block: NonNull<u8>) {
        // SAFETY: a huge block begins with an arena whose metadata are committed.
        let arena = unsafe { Arena::of(block.as_ptr() as usize) };
        let (slots, end) = (arena.huge_slots.get(), arena.huge_end.get());
        self.forget_tail(arena);
        self.uncount_huge(arena);
        self.huge.slots -= slots;
        if end > KEPT_MAX || arena.huge_before.get() > 0 {
            self.drop_huge(arena);
            self.limit_tails();
            return;
        }
        if let [Some(oldest), .., Some(_)] = self.dirt.huge {
            self.purge_kept_huge(oldest);
        }
        if let Some(free) = self.dirt.huge.iter_mut().find(|block| block.is_none()) {
            *free = Some(arena);
        }
        arena.huge_len.set(0);
        self.dirt.huge_bytes += end;
        self.huge.kept += slots;
        self.note_free(end);
    }

    /// Gives the memory of a kept block back. Returns the bytes.
    pub(super) fn purge_kept_huge(&mut self, arena: &'static Arena) -> usize {
        let bytes = arena.huge_end.get();
        self.forget_kept_huge(arena);
        self.drop_huge(arena);
        bytes
    }

    /// Gives the memory and the slots of a block back that is neither in use nor kept.
    fn drop_huge(&mut self, arena: &'static Arena) {
        arena.huge_len.set(0);
        arena.cut_huge();
        let (slots, before) = (arena.huge_slots.take(), arena.huge_before.take());
        self.made -= slots;
        let block = arena.granule(0).start();
        if arena.huge_pages.take() != 0 {
            // SAFETY: the slots are the block's; nobody uses their contents.
            unsafe { os::prefer_small_pages(block, (slots - before) * ARENA) };
        }
        // SAFETY: that many slots lie in front of the block's.
        let place = unsafe { block.sub(before * ARENA) };
        self.slots.give(place, slots);
    }

    /// A huge block of `size` bytes is there for what grows, so it is filled from its start: all of it may be huge
    /// pages, of which one at most is touched for nothing. (All or none: `remap` moves only what is of one kind.)
    pub(super) fn will_fill_huge(&mut self, block: NonNull<u8>, size: usize) {
        // SAFETY: a huge block begins with an arena whose metadata are committed.
        let arena = unsafe { Arena::of(block.as_ptr() as usize) };
        if arena.huge_pages.get() == 0 {
            if !self.has_huge_pages_for_one_more() {
                return;
            }
            self.count_in_huge_pages(arena);
        }
        self.end_with_huge_page(arena, size.next_multiple_of(PAGE));
        // SAFETY: the block is committed; its contents stay.
        unsafe { os::prefer_huge_pages(block, arena.huge_len.get()) };
    }

    /// The pages of a huge block are asked for as huge ones, or were when they lay elsewhere.
    fn count_in_huge_pages(&mut self, arena: &'static Arena) {
        arena.huge_pages.set(u8::MAX);
        self.huge.in_huge_pages += 1;
    }

    /// Whether there are huge pages, and few blocks in them beside what is in use.
    fn has_huge_pages_for_one_more(&mut self) -> bool {
        self.huge.in_huge_pages < FEW + self.used_bytes() / FOR_ONE && self.gives_huge_pages()
    }

    /// Makes a huge block end with a huge page if then it is longer than `len` by an eighth at most.
    fn end_with_huge_page(&mut self, arena: &'static Arena, len: usize) {
        let old = arena.huge_len.get();
        let whole = align_up(old, HUGE_PAGE);
        if whole == old || whole > with_waste(len) || arena.huge_end.get() > old {
            return;
        }
        // SAFETY: the block's slots go on behind it, to the end of a huge page.
        let tail = unsafe { arena.granule(0).start().add(old) };
        // SAFETY: the range lies within the block's slots.
        if unsafe { os::commit(tail, whole - old) } {
            self.huge.bytes += whole - old;
            arena.huge_len.set(whole);
            arena.huge_end.set(whole);
        }
    }

    /// Leaves the end of a block in use, which its owner gives up, as its tail, or gives it back where it is very short
    /// or long.
    fn shrink_huge(&mut self, arena: &'static Arena, len: usize) {
        self.forget_tail(arena);
        self.huge.bytes -= arena.huge_len.replace(len) - len;
        let end = arena.huge_end.get();
        if end <= with_waste(len) || end > KEPT_MAX.min(2 * len) {
            arena.cut_huge();
        }
        self.keep_tail(arena);
    }

    /// Changes the length of a huge block where it lies, or moves its pages; `None` when neither can
    /// be done without copying.
    ///
    /// # Safety
    /// As [`give_huge`](Self::give_huge); the block has this layout, and `new` is not 0.
    pub(crate) unsafe fn resize_huge(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        new: usize,
    ) -> Option<NonNull<u8>> {
        let (len, align) = (new.checked_next_multiple_of(PAGE)?, layout.align());
        // SAFETY: a huge block begins with an arena whose metadata are committed.
        let arena = unsafe { Arena::of(block.as_ptr() as usize) };
        let (slots, old, end) =
            (arena.huge_slots.get(), arena.huge_len.get(), arena.huge_end.get());
        let need = len.div_ceil(ARENA) + arena.huge_before.get();
        if len <= old {
            // One that grows has the rest of its last huge page still.
            if len < old && new < layout.size() {
                self.shrink_huge(arena, len);
            }
            return Some(block);
        }
        if align <= ARENA && len >= end + old / 2 {
            // A copy into memory that was touched before costs a quarter of touching other memory. Not
            // for a block that grows by little: it would be copied again and again.
            let warm = self.find_kept_huge(len);
            if warm.is_some_and(|kept| kept.huge_end.get() >= len) {
                return None;
            }
        }
        if need > slots && !self.grow_slots(arena, need - slots) {
            // SAFETY: the caller's block.
            return unsafe { self.move_huge(block, len, align) };
        }
        self.use_huge(arena, len)?;
        self.huge.bytes += arena.huge_len.get() - old;
        self.keep_tail(arena);
        if len > end {
            self.will_fill_huge(block, len);
        }
        Some(block)
    }

    fn grow_slots(&mut self, arena: &'static Arena, more: usize) -> bool {
        let slots = arena.huge_slots.get();
        let first = arena.start.get() - arena.huge_before.get() * ARENA;
        if !self.slots.extend(first, slots, more) {
            return false;
        }
        arena.huge_slots.set(slots + more);
        self.huge.slots += more;
        self.count_slots(more);
        true
    }

    /// Moves the pages of a huge block to a larger place.
    ///
    /// # Safety
    /// As [`give_huge`](Self::give_huge); the block's slots are too few for `len`.
    unsafe fn move_huge(
        &mut self,
        block: NonNull<u8>,
        len: usize,
        align: usize,
    ) -> Option<NonNull<u8>> {
        let place = self.take_new_huge(len, align)?;
        // SAFETY: a huge block begins with an arena whose metadata are committed.
        let arena = unsafe { Arena::of(block.as_ptr() as usize) };
        let (kind, end) = (arena.huge_pages.get(), arena.huge_end.get());
        if kind != 0 {
            // What was kept may have got another end since.
            // SAFETY: the block is committed; its contents stay.
            unsafe { os::prefer_huge_pages(block, end) };
        }
        // SAFETY: both ranges are ours, committed, and do not overlap; `end` is less than `len`, for which the block
        // has too few slots.
        let moved = unsafe { os::remap(block, place, end) };
        let given_up = if moved == Remapped::Moved { block } else { place };
        // SAFETY: a huge block begins with an arena whose metadata are committed.
        let arena = unsafe { Arena::of(given_up.as_ptr() as usize) };
        self.forget_tail(arena);
        self.uncount_huge(arena);
        if moved == Remapped::Lost {
            // Its slots stay taken for ever.
            arena.huge_len.set(0);
            arena.huge_end.set(0);
            return None;
        }
        self.huge.slots -= arena.huge_slots.get();
        self.drop_huge(arena);
        if moved == Remapped::Moved {
            if kind != 0 {
                // SAFETY: as above.
                self.count_in_huge_pages(unsafe { Arena::of(place.as_ptr() as usize) });
            }
            self.will_fill_huge(place, len);
        }
        (moved == Remapped::Moved).then_some(place)
    }
}

#[cfg(any(test, fuzzing))]
impl Arenas {
    /// Asserts what this file says of kept blocks and tails.
    pub(super) fn check_huge_lists(&self) {
        let parts = |block: &Arena| {
            let (len, end) = (block.huge_len.get(), block.huge_end.get());
            let room = (block.huge_slots.get() - block.huge_before.get()) * ARENA;
            assert!(end <= room.min(KEPT_MAX), "{end} bytes of {room} touched");
            (len, end)
        };
        let (mut bytes, mut slots) = (0, 0);
        for block in self.dirt.huge.iter().flatten() {
            let (len, end) = parts(block);
            assert_eq!(len, 0, "a kept block is in use");
            bytes += end;
            slots += block.huge_slots.get();
        }
        assert_eq!((bytes, slots), (self.dirt.huge_bytes, self.huge.kept), "kept huge blocks");
        let mut bytes = 0;
        for block in self.dirt.tails.iter().flatten() {
            let (len, end) = parts(block);
            assert!(with_waste(len) < end && end <= 2 * len, "a tail from {len} to {end}");
            bytes += end - len;
        }
        assert_eq!(bytes, self.dirt.tail_bytes, "tails");
    }
}
