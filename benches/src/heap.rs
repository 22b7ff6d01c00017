//! What memory costs: allocators called through `GlobalAlloc`, all in one binary.
//!
//! `__rust_alloc` is a symbol that nothing is inlined across and that gets its size at run time. So are
//! `allocate` and `free` here: an allocator written in Rust must not win by being folded into a loop
//! where, as a program's global allocator, it would not be.

use core::alloc::{GlobalAlloc, Layout};
use core::hint::black_box;
use core::ptr::NonNull;
use core::time::Duration;
use std::alloc::System;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hoopsnake::PoolAlloc;

use crate::random::Random;
use crate::row::{Row, timed, timed_twice};

/// All rows of this layer.
///
/// Inlined, so that the allocators are compiled into the binary that measures: `__rust_alloc` is made there,
/// too, and in a library each use of a thread-local is a call.
#[inline]
pub fn rows() -> Vec<Row> {
    let batch = |count, order| Batch { count, order };
    vec![
        row("pair, 16 bytes", Pair { size: 16 }),
        row("pair, 64 bytes", Pair { size: 64 }),
        row("pair, 256 bytes", Pair { size: 256 }),
        row("batch of 1 000, last first", batch(1000, Order::LastFirst)),
        row("batch of 1 000, first first", batch(1000, Order::FirstFirst)),
        row("batch of 1 000, random", batch(1000, Order::Random)),
        row("batch of 20 000, random", batch(20_000, Order::Random)),
        row("replace, mixed sizes", Replace),
        row("two threads: replace", ReplaceTwice),
        row("two threads: hand over", HandOver),
    ]
}

/// One workload over all allocators.
fn row<W: Workload>(name: &'static str, workload: W) -> Row {
    let mut row = Row::new(name, workload.operations());
    row.push("hoopsnake", move |passes| workload.run(&PoolAlloc, passes));
    #[cfg(feature = "c-peers")]
    row.push("mimalloc", move |passes| workload.run(&mimalloc::MiMalloc, passes));
    #[cfg(feature = "peers")]
    row.push("rusty_alloc", move |passes| workload.run(&rusty_alloc_api::RustyAlloc, passes));
    #[cfg(feature = "c-peers")]
    row.push("jemalloc", move |passes| workload.run(&tikv_jemallocator::Jemalloc, passes));
    row.push("System", move |passes| workload.run(&System, passes));
    row
}

/// Something that any allocator can be asked to do.
trait Workload: Copy + 'static {
    /// How many blocks one pass allocates and frees.
    fn operations(&self) -> usize;

    /// The time of so many passes.
    fn run<A: GlobalAlloc + Sync>(&self, allocator: &A, passes: u64) -> Duration;
}

// Blocks ------------------------------------------------------------------------------------------

/// A live block of one of the allocators.
struct Block {
    place: NonNull<u8>,
    size: usize,
}

// SAFETY: who holds a block owns its memory, and all the allocators may free on any thread.
unsafe impl Send for Block {}

impl Block {
    /// Allocates, and touches the memory as every program does.
    #[inline(always)]
    fn new<A: GlobalAlloc>(allocator: &A, size: usize) -> Self {
        let Some(place) = NonNull::new(allocate(allocator, layout(size))) else {
            std::alloc::handle_alloc_error(layout(size));
        };
        // SAFETY: blocks are at least 8 bytes large, and nobody else has this one.
        unsafe { place.cast::<usize>().write_volatile(size) };
        Self { place, size }
    }

    #[inline(always)]
    fn free<A: GlobalAlloc>(self, allocator: &A) {
        free(allocator, self.place, layout(self.size));
    }
}

#[inline(always)]
fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("the sizes here are small")
}

#[inline(never)]
fn allocate<A: GlobalAlloc>(allocator: &A, layout: Layout) -> *mut u8 {
    // SAFETY: no size here is 0.
    unsafe { allocator.alloc(layout) }
}

#[inline(never)]
fn free<A: GlobalAlloc>(allocator: &A, place: NonNull<u8>, layout: Layout) {
    // SAFETY: only `Block::free` calls this, with its own block, whose layout that is.
    unsafe { allocator.dealloc(place.as_ptr(), layout) }
}

// One thread --------------------------------------------------------------------------------------

/// A block is allocated and freed at once.
#[derive(Clone, Copy)]
struct Pair {
    size: usize,
}

impl Workload for Pair {
    fn operations(&self) -> usize {
        1000
    }

    fn run<A: GlobalAlloc + Sync>(&self, allocator: &A, passes: u64) -> Duration {
        let size = black_box(self.size);
        timed(|| {
            for _ in 0..passes * self.operations() as u64 {
                Block::new(allocator, size).free(allocator);
            }
        })
    }
}

/// Many blocks of 64 bytes are allocated, then all are freed.
#[derive(Clone, Copy)]
struct Batch {
    count: usize,
    order: Order,
}

/// The order in which a batch is freed.
#[derive(Clone, Copy)]
enum Order {
    LastFirst,
    FirstFirst,
    Random,
}

impl Order {
    fn of(self, count: usize) -> Vec<usize> {
        match self {
            Self::LastFirst => (0..count).rev().collect(),
            Self::FirstFirst => (0..count).collect(),
            Self::Random => Random::new(1).permutation(count),
        }
    }
}

impl Workload for Batch {
    fn operations(&self) -> usize {
        self.count
    }

    fn run<A: GlobalAlloc + Sync>(&self, allocator: &A, passes: u64) -> Duration {
        let (order, size) = (self.order.of(self.count), black_box(64));
        let mut blocks: Vec<Option<Block>> = (0..self.count).map(|_| None).collect();
        timed(|| {
            for _ in 0..passes {
                blocks.iter_mut().for_each(|slot| *slot = Some(Block::new(allocator, size)));
                order
                    .iter()
                    .filter_map(|&at| blocks[at].take())
                    .for_each(|block| block.free(allocator));
            }
        })
    }
}

/// Blocks of many sizes in slots: one at random makes room for another, as in the benchmark `larson`.
#[derive(Clone, Copy)]
struct Replace;

const SLOTS: usize = 5000;

impl Workload for Replace {
    fn operations(&self) -> usize {
        SLOTS
    }

    fn run<A: GlobalAlloc + Sync>(&self, allocator: &A, passes: u64) -> Duration {
        let mut random = Random::new(2);
        let mut slots: Vec<Option<Block>> =
            (0..SLOTS).map(|_| Some(Block::new(allocator, mixed_size(&mut random)))).collect();
        let time = timed(|| {
            for _ in 0..passes * SLOTS as u64 {
                let slot = &mut slots[random.below(SLOTS)];
                slot.take().into_iter().for_each(|old| old.free(allocator));
                *slot = Some(Block::new(allocator, mixed_size(&mut random)));
            }
        });
        slots.into_iter().flatten().for_each(|block| block.free(allocator));
        time
    }
}

/// From 8 bytes to 2 KiB; half of them are below 64.
#[inline(always)]
fn mixed_size(random: &mut Random) -> usize {
    const LIMITS: [usize; 8] = [32, 48, 64, 96, 128, 256, 512, 2048];
    let limit = LIMITS[random.below(LIMITS.len())];
    8 + random.below(limit - 8)
}

// Two threads -------------------------------------------------------------------------------------

/// Two threads replace, each its own blocks: what one thread takes, if they do not disturb each other.
#[derive(Clone, Copy)]
struct ReplaceTwice;

impl Workload for ReplaceTwice {
    fn operations(&self) -> usize {
        Replace.operations()
    }

    fn run<A: GlobalAlloc + Sync>(&self, allocator: &A, passes: u64) -> Duration {
        timed_twice(|_| Replace.run(allocator, passes))
    }
}

/// One thread allocates, another frees: every free is a remote one.
#[derive(Clone, Copy)]
struct HandOver;

/// Blocks that change threads together, so that the channel costs little beside them.
const PARCEL: usize = 1000;
const PARCELS: u64 = 20;

impl Workload for HandOver {
    fn operations(&self) -> usize {
        PARCEL * PARCELS as usize
    }

    fn run<A: GlobalAlloc + Sync>(&self, allocator: &A, passes: u64) -> Duration {
        let (full, to_free) = sync_channel(4);
        let (empty, to_fill) = sync_channel(4);
        (0..4).for_each(|_| empty.send(Vec::with_capacity(PARCEL)).expect("it has room for four"));
        std::thread::scope(|scope| {
            let consumer = scope.spawn(move || consume(allocator, &to_free, &empty));
            timed(|| {
                produce(allocator, passes * PARCELS, &to_fill, full);
                consumer.join().expect("freeing does not panic");
            })
        })
    }
}

fn produce<A: GlobalAlloc>(
    allocator: &A,
    parcels: u64,
    to_fill: &Receiver<Vec<Block>>,
    full: SyncSender<Vec<Block>>,
) {
    let mut random = Random::new(3);
    for _ in 0..parcels {
        let mut parcel = to_fill.recv().expect("the consumer gives back what it empties");
        parcel.extend((0..PARCEL).map(|_| Block::new(allocator, 16 * (1 + random.below(16)))));
        full.send(parcel).expect("the consumer listens as long as there are parcels");
    }
}

/// Frees until the producer has gone.
fn consume<A: GlobalAlloc>(
    allocator: &A,
    to_free: &Receiver<Vec<Block>>,
    empty: &SyncSender<Vec<Block>>,
) {
    for mut parcel in to_free {
        parcel.drain(..).for_each(|block| block.free(allocator));
        empty.send(parcel).expect("it has room for all parcels there are");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_workload_runs_over_every_allocator() {
        crate::row::run_all(super::rows);
    }
}
