//! Statistics at rest are exact, per class and with what other threads hold: case H15 of `python.md`, in a
//! process that does nothing else.
#![cfg(not(sanitized))]

use core::ptr;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

use hoopsnake::Cc;
use hoopsnake::heap::{self, ClassStats, Stats};

mod adds_up;
mod watched;
use adds_up::assert_adds_up;
use watched::Watched;

#[global_allocator]
static GLOBAL: Watched = Watched;

/// Bytes of a granule, which is a pool of small blocks.
const POOL: usize = 64 << 10;

/// Asserts that all adds up, class by class, when nothing moves.
fn assert_exact(stats: &Stats) {
    assert_adds_up(stats);
    let classes =
        || stats.classes.iter().chain([&stats.roomy, &stats.objects, &stats.runs, &stats.huge]);
    assert_eq!(classes().map(|class| class.bytes).sum::<usize>(), stats.allocated, "{stats}");
    let elsewhere: usize = classes().map(|class| class.pools_elsewhere).sum();
    assert_eq!(elsewhere, stats.pools_elsewhere, "{stats}");
    for class in stats.classes.iter().chain([&stats.roomy]) {
        assert_eq!(class.bytes, class.in_use * class.block_size, "{stats}");
        assert!(class.available_elsewhere <= class.available, "{stats}");
    }
}

/// What the class of `size` bytes has now; everything adds up.
fn class(size: usize) -> ClassStats {
    let stats = heap::stats();
    assert_exact(&stats);
    *stats.classes.iter().find(|class| class.block_size >= size).unwrap()
}

/// A thread that allocates and frees blocks of `SIZE` bytes when it is told to.
struct Worker<const SIZE: usize> {
    orders: Sender<Order>,
    done: Receiver<Vec<Box<[u8; SIZE]>>>,
    thread: thread::JoinHandle<()>,
}

enum Order {
    Alloc(usize),
    Free(usize),
    /// Hand over so many blocks.
    Send(usize),
}

impl<const SIZE: usize> Worker<SIZE> {
    fn start() -> Self {
        let (orders, inbox) = channel();
        let (outbox, done) = channel();
        let thread = thread::spawn(move || {
            let mut blocks: Vec<Box<[u8; SIZE]>> = Vec::with_capacity(10_000);
            for order in inbox {
                let mut sent = Vec::new();
                match order {
                    Order::Alloc(count) => blocks.extend((0..count).map(|_| Box::new([1; SIZE]))),
                    Order::Free(count) => drop(blocks.drain(..count)),
                    Order::Send(count) => sent = blocks.drain(..count).collect(),
                }
                outbox.send(sent).unwrap();
            }
        });
        Worker { orders, done, thread }
    }

    /// Has an order carried out; the worker waits for the next one then.
    fn order(&self, order: Order) -> Vec<Box<[u8; SIZE]>> {
        self.orders.send(order).unwrap();
        self.done.recv().unwrap()
    }

    fn end(self) {
        drop(self.orders);
        self.thread.join().unwrap();
    }
}

/// Blocks of a size that nobody else has: every count is known.
fn counts_are_exact<const SIZE: usize>() {
    let before = class(SIZE);
    assert_eq!((before.in_use, before.pools), (0, 0), "the class of {SIZE} bytes is free");
    let pool = if SIZE <= 8 << 10 { POOL } else { 8 * POOL };
    let capacity = pool / before.block_size;
    let workers: Vec<_> = (0..3).map(|_| Worker::<SIZE>::start()).collect();
    let expect = |in_use: usize| {
        let now = class(SIZE);
        assert_eq!(now.in_use, in_use, "in use");
        assert_eq!(now.available, now.pools * capacity - in_use, "available");
        assert_eq!(now.bytes, in_use * now.block_size);
        now
    };
    for worker in &workers {
        worker.order(Order::Alloc(1000));
    }
    let now = expect(3000);
    assert!(now.pools_elsewhere > 0);
    workers[0].order(Order::Free(401));
    expect(2599);
    // Freed here: the blocks go home to a thread that sleeps, and are counted at once.
    let sent = workers[1].order(Order::Send(77));
    let now = expect(2599);
    assert_eq!(now.available_elsewhere, now.available, "none of these pools is this thread's");
    drop(sent);
    let now = expect(2522);
    // A full pool of a worker may have become this thread's with the blocks that it freed.
    let here = now.pools - now.pools_elsewhere;
    assert!(now.available - now.available_elsewhere <= here * capacity);
    let mine: Vec<_> = (0..100).map(|_| Box::new([2u8; SIZE])).collect();
    let now = expect(2622);
    assert!(now.pools > now.pools_elsewhere, "this thread has a pool of its own");
    assert!(now.available_elsewhere < now.available);
    drop(mine);
    expect(2522);
    workers.into_iter().for_each(Worker::end);
    let now = expect(0);
    assert_eq!(now.pools_elsewhere, 0);
    assert_eq!(now.available_elsewhere, 0);
    heap::trim();
    assert_eq!(expect(0).pools, 0);
}

/// The blocks that a thread has at hand are counted while it hands them out. What the program writes to them is
/// followed, within the pool, be it a list, a ring, or no address: that pool's blocks may be missing, and what
/// changes while pools are counted.
fn counts_are_about_right<const SIZE: usize>() {
    const LIVE: usize = 20_000;
    let before = class(SIZE);
    let capacity = POOL / before.block_size;
    let (stop, stopped) = channel::<()>();
    let (ready, begun) = channel();
    let busy = thread::spawn(move || {
        let mut blocks: Vec<Box<[usize; 8]>> = Vec::with_capacity(LIVE + 1);
        let mut step = 0usize;
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            let mut block = Box::new([0; 8]);
            let own = ptr::from_ref(&*block).addr();
            let last = blocks.last().map_or(0, |last| ptr::from_ref(&**last).addr());
            block[0] =
                [last, own, own + 1, own ^ 1 << (usize::BITS - 24), own ^ 1 << 20, last][step % 6];
            blocks.push(block);
            if blocks.len() > LIVE {
                drop(blocks.swap_remove(step * 7919 % LIVE));
            } else if blocks.len() == LIVE {
                ready.send(()).unwrap();
            }
            step += 1;
        }
        blocks.len()
    });
    begun.recv().unwrap();
    for _ in 0..2000 {
        let stats = heap::stats();
        assert_adds_up(&stats);
        let now = stats.classes.iter().find(|class| class.block_size >= SIZE).unwrap();
        let in_use = now.in_use - before.in_use;
        assert!(in_use + 2 * capacity >= LIVE && in_use <= LIVE + 2 * capacity, "{in_use} in use");
    }
    drop(stop);
    assert_eq!(busy.join().unwrap(), LIVE);
    assert_eq!(class(SIZE).in_use, before.in_use);
}

#[test]
fn h15_statistics_are_exact_at_rest() {
    // The test's own thread and the one that waits for it have what they need by now.
    println!("{}", heap::stats());
    counts_are_exact::<5_000>();
    counts_are_exact::<1_777>();
    counts_are_exact::<7_000>();
    counts_are_exact::<30_000>();
    counts_are_about_right::<64>();

    // What has grown.
    let mut grown = vec![1u8; 300];
    let before = heap::stats();
    grown.reserve(300);
    let after = heap::stats();
    assert_exact(&after);
    assert_eq!(after.roomy.in_use, before.roomy.in_use + 1, "{after}");
    assert_eq!(after.allocated, before.allocated + 8192 - 320, "{after}");
    assert_eq!(heap::allocated_blocks(), before.blocks_in_use());
    drop(grown);
    assert_eq!(heap::stats().roomy.in_use, before.roomy.in_use);

    // Large and huge blocks, and counted objects.
    let before = heap::stats();
    let run = vec![1u8; 200_000];
    let huge = vec![1u8; 5_000_000];
    let objects: Vec<u64> = Vec::with_capacity(70_000);
    let after = heap::stats();
    assert_exact(&after);
    assert_eq!(after.runs.in_use, before.runs.in_use + 2);
    assert_eq!(after.runs.bytes, before.runs.bytes + 4 * POOL + 9 * POOL, "560,000 bytes are 9");
    assert_eq!(after.huge.in_use, before.huge.in_use + 1);
    assert_eq!(after.huge.bytes, before.huge.bytes + 5_001_216);
    drop((run, huge, objects));
    let mut objects = Vec::with_capacity(5000);
    let before = heap::stats();
    objects.extend((0..5000).map(|n| Cc::new([n as u64; 6])));
    let after = heap::stats();
    assert_exact(&after);
    assert_eq!(after.objects.in_use, before.objects.in_use + 5000);
    assert_eq!(after.objects.bytes, before.objects.bytes + 5000 * 56);
    assert_eq!(heap::allocated_blocks(), before.blocks_in_use() + 5000);
    drop(objects);
}
