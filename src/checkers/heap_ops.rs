//! The heap against a shadow map: contents, overlap, alignment, zeroes, statistics.
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each block is one life of an allocation"
)]

use core::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::sync::Mutex;

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
    let world = World::default();
    let mut shadow = Shadow::new(&world);
    while !program.is_over() {
        shadow.step(&mut program);
    }
    while shadow.free_one(0) {}
    heap::check_invariants();
}

/// Plays random operations, `steps` of them on each of so many threads, which free each other's blocks.
pub fn run_threads(threads: u64, steps: usize) {
    let world = World::default();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let world = &world;
            scope.spawn(move || soak(world, 0x9E37_79B9_7F4A_7C15 ^ (thread << 40), steps));
        }
    });
    for parcel in &world.parcels {
        let mut shadow = Shadow::new(&world);
        shadow.live = core::mem::take(&mut parcel.lock().expect("no thread panicked"));
        while shadow.free_one(0) {}
    }
    heap::check_invariants();
}

/// One thread of [`run_threads`].
fn soak(world: &World, mut random: u64, steps: usize) {
    let mut shadow = Shadow::new(world);
    for step in 0..steps {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let bytes = random.to_le_bytes();
        let mut program = Program::new(&bytes[1..]);
        match bytes[0] {
            _ if step % 100_000 == 99_999 => _ = heap::trim(),
            _ if step % 20_000 == 19_999 => heap::check_invariants(),
            _ if shadow.live.len() > 1000 => _ = shadow.free_one(program.below(1000)),
            0 => shadow.alloc(Shadow::layout(&mut program), program.byte().is_multiple_of(2)),
            1..=110 => shadow.alloc(Shadow::small_layout(&mut program), false),
            111..=120 => shadow.alloc(Shadow::small_layout(&mut program), true),
            121..=145 => shadow.realloc(&mut program, Shadow::small_layout),
            146..=150 => shadow.grow(&mut program),
            151..=160 => shadow.exchange(&mut program),
            _ => _ = shadow.free_one(program.below(shadow.live.len().max(1))),
        }
    }
    while shadow.free_one(0) {}
}

/// What all threads of a run share.
#[derive(Debug, Default)]
struct World {
    /// Start and end of each live block, by the 4 MiB that it reaches into.
    ranges: [Mutex<BTreeMap<usize, usize>>; 32],
    /// Blocks on their way to other threads.
    parcels: [Mutex<Vec<Block>>; 16],
}

impl World {
    /// The maps that a range belongs to.
    fn maps(
        &self,
        start: usize,
        end: usize,
    ) -> impl Iterator<Item = &Mutex<BTreeMap<usize, usize>>> {
        let parts = (start >> 22)..=((end - 1) >> 22);
        parts.take(self.ranges.len()).map(|part| &self.ranges[part % self.ranges.len()])
    }

    fn insert(&self, start: usize, end: usize) {
        for map in self.maps(start, end) {
            let mut map = map.lock().expect("no thread panicked");
            let before = map.range(..end).next_back().map(|(&start, &end)| (start, end));
            assert!(
                before.is_none_or(|(_, end)| end <= start),
                "{start:#x} to {end:#x}: {before:x?}"
            );
            map.insert(start, end);
        }
    }

    fn remove(&self, start: usize, end: usize) {
        for map in self.maps(start, end) {
            let removed = map.lock().expect("no thread panicked").remove(&start);
            assert_eq!(removed, Some(end), "the block at {start:#x}");
        }
    }
}

/// What the heap should hold for one thread.
#[derive(Debug)]
struct Shadow<'a> {
    world: &'a World,
    live: Vec<Block>,
    tag: u8,
}

impl<'a> Shadow<'a> {
    fn new(world: &'a World) -> Shadow<'a> {
        Shadow { world, live: Vec::new(), tag: 0 }
    }

    fn step(&mut self, program: &mut Program<'_>) {
        match program.byte() % 16 {
            0..=5 => self.alloc(Self::layout(program), false),
            6 => self.alloc(Self::layout(program), true),
            7..=10 => _ = self.free_one(program.below(self.live.len().max(1))),
            11..=12 => self.realloc(program, Self::layout),
            13 => self.free_elsewhere(program),
            14 => _ = heap::trim(),
            _ => heap::check_invariants(),
        }
    }

    /// Small sizes, and small alignments.
    fn small_layout(program: &mut Program<'_>) -> Layout {
        let range = [64, 64, 300, 300, 600, 600, 3000, 12_000][usize::from(program.byte() % 8)];
        let align = 1 << (program.byte() % 7);
        Layout::from_size_align(program.below(range) + 1, align).expect("a few KiB")
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

    fn alloc(&mut self, layout: Layout, zeroed: bool) {
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
        self.world.insert(start, start + layout.size());
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
        let start = block.place as usize;
        self.world.remove(start, start + block.layout.size());
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

    /// Leaves some blocks to whoever comes next, and takes what was left.
    fn exchange(&mut self, program: &mut Program<'_>) {
        let parcel = &self.world.parcels[program.below(self.world.parcels.len())];
        let given = self.live.split_off(self.live.len() - self.live.len().min(20));
        let taken = core::mem::replace(&mut *parcel.lock().expect("no thread panicked"), given);
        self.live.extend(taken);
    }

    fn realloc(
        &mut self,
        program: &mut Program<'_>,
        layout: impl FnOnce(&mut Program<'_>) -> Layout,
    ) {
        let index = program.below(self.live.len().max(1));
        let new = layout(program).size();
        self.resize(index, |_| new);
    }

    /// Doubles a block a few times, as a vector does that is filled.
    fn grow(&mut self, program: &mut Program<'_>) {
        let mut index = program.below(self.live.len().max(1));
        for _ in 0..program.below(6) {
            self.resize(index, |old| old * 2);
            // Where it was put.
            index = self.live.len().saturating_sub(1);
        }
    }

    /// Gives a block another size.
    fn resize(&mut self, index: usize, size: impl FnOnce(usize) -> usize) {
        let Some(block) = self.remove(index) else { return };
        let new = size(block.layout.size());
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
