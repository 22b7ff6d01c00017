//! The heap against a shadow map: contents, overlap, alignment, zeroes, statistics.
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each block is one life of an allocation"
)]

use core::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;

use super::Program;
use crate::heap::{self, PoolAlloc};

/// A block that the program holds.
#[derive(Debug, Clone, Copy)]
struct Block {
    place: *mut u8,
    layout: Layout,
    tag: u8,
}

// SAFETY: a block is used by one thread at a time.
unsafe impl Send for Block {}

/// Bytes of a block that are filled and compared, at each end.
const CHECKED: usize = 512;

/// Plays the allocations that `data` encodes. Panics on the first wrong byte.
pub fn run(data: &[u8]) {
    let mut program = Program::new(data);
    let mut shadow = Shadow::default();
    while !program.is_over() {
        shadow.step(&mut program);
    }
    while shadow.free_one(0) {}
    heap::check_invariants();
}

/// What the heap should hold.
#[derive(Debug, Default)]
struct Shadow {
    live: Vec<Block>,
    /// Start and end of each live block.
    ranges: BTreeMap<usize, usize>,
    tag: u8,
}

impl Shadow {
    fn step(&mut self, program: &mut Program<'_>) {
        match program.byte() % 16 {
            0..=5 => self.alloc(program, false),
            6 => self.alloc(program, true),
            7..=10 => _ = self.free_one(program.below(self.live.len().max(1))),
            11..=12 => self.realloc(program),
            13 => self.free_elsewhere(program),
            14 => _ = heap::trim(),
            _ => heap::check_invariants(),
        }
    }

    /// Sizes of all orders of magnitude, and alignments that are mostly small.
    fn layout(program: &mut Program<'_>) -> Layout {
        let size = match program.byte() % 16 {
            0..=9 => program.below(600),
            10..=12 => program.below(9000),
            13 => program.below(65_536),
            14 => program.below(65_536) * 16,
            _ => program.below(65_536) * 64,
        };
        let align = match program.byte() % 8 {
            0..=4 => 8,
            5 => 16,
            _ => 1 << (program.byte() % 18),
        };
        Layout::from_size_align(size + 1, align).expect("a few MiB")
    }

    fn alloc(&mut self, program: &mut Program<'_>, zeroed: bool) {
        let layout = Self::layout(program);
        // SAFETY: the size is not zero.
        let place = unsafe {
            if zeroed { PoolAlloc.alloc_zeroed(layout) } else { PoolAlloc.alloc(layout) }
        };
        assert!(!place.is_null(), "{layout:?} refused");
        if zeroed {
            let wrong = checked_bytes(layout.size()).find(|&at| {
                // SAFETY: the offset lies within the block.
                unsafe { place.add(at).read() != 0 }
            });
            assert_eq!(wrong, None, "a zeroed block of {layout:?} is not zero");
        }
        self.insert(place, layout);
    }

    /// Takes note of a new block and fills it.
    fn insert(&mut self, place: *mut u8, layout: Layout) {
        let start = place as usize;
        assert_eq!(start % layout.align(), 0, "{layout:?} at {place:p}");
        let before = self.ranges.range(..start + layout.size()).next_back();
        assert!(before.is_none_or(|(_, &end)| end <= start), "{layout:?} at {place:p} overlaps");
        self.ranges.insert(start, start + layout.size());
        self.tag = self.tag.wrapping_add(1);
        let block = Block { place, layout, tag: self.tag };
        for at in checked_bytes(layout.size()) {
            // SAFETY: the offset lies within the block.
            unsafe { place.add(at).write(block.expected(at)) };
        }
        self.live.push(block);
    }

    fn remove(&mut self, index: usize) -> Option<Block> {
        if index >= self.live.len() {
            return None;
        }
        let block = self.live.swap_remove(index);
        self.ranges.remove(&(block.place as usize));
        block.check(block.layout.size());
        Some(block)
    }

    fn free_one(&mut self, index: usize) -> bool {
        let block = self.remove(index);
        block.inspect(Block::free).is_some()
    }

    fn free_elsewhere(&mut self, program: &mut Program<'_>) {
        let count = program.below(20);
        let blocks: Vec<_> = (0..count).filter_map(|_| self.remove(0)).collect();
        std::thread::scope(|scope| {
            scope.spawn(move || blocks.iter().for_each(Block::free));
        });
    }

    fn realloc(&mut self, program: &mut Program<'_>) {
        let index = program.below(self.live.len().max(1));
        let new = Self::layout(program).size();
        let Some(block) = self.remove(index) else { return };
        // SAFETY: the block is live; sizes are a few MiB at most.
        let place = unsafe { PoolAlloc.realloc(block.place, block.layout, new) };
        assert!(!place.is_null(), "realloc of {:?} to {new} refused", block.layout);
        let kept = block.layout.size().min(new);
        Block { place, ..block }.check(kept);
        let layout = Layout::from_size_align(new, block.layout.align()).expect("a few MiB");
        self.insert(place, layout);
    }
}

impl Block {
    /// What stands at offset `at`.
    fn expected(&self, at: usize) -> u8 {
        self.tag.wrapping_add((at % 251) as u8)
    }

    /// Compares the first `kept` bytes.
    fn check(&self, kept: usize) {
        for at in checked_bytes(self.layout.size()).filter(|&at| at < kept) {
            // SAFETY: the offset lies within the block.
            let found = unsafe { self.place.add(at).read() };
            assert_eq!(found, self.expected(at), "byte {at} of {self:?}");
        }
    }

    fn free(&self) {
        // SAFETY: the block was removed from the live ones, so this happens once.
        unsafe { PoolAlloc.dealloc(self.place, self.layout) };
    }
}

/// The offsets of a block that are filled and compared.
fn checked_bytes(size: usize) -> impl Iterator<Item = usize> {
    let front = size.min(CHECKED);
    (0..front).chain(size.saturating_sub(CHECKED).max(front)..size)
}
