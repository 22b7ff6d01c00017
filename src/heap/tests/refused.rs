//! Case X15: the n-th request for memory fails, for every small n.

use core::alloc::{GlobalAlloc, Layout};

use super::HEAP;
use crate::heap;
use crate::os::failing::refusing;

/// A live block, filled with its number.
struct Block {
    place: *mut u8,
    layout: Layout,
    number: u8,
}

/// What a program does that is refused memory: it goes on with what it has.
#[derive(Default)]
struct Greedy {
    live: Vec<Block>,
    refused: usize,
}

impl Greedy {
    fn take(&mut self, size: usize, zeroed: bool) {
        let layout = Layout::from_size_align(size, 16).unwrap();
        // SAFETY: the size is not zero.
        let place = unsafe { if zeroed { HEAP.alloc_zeroed(layout) } else { HEAP.alloc(layout) } };
        if place.is_null() {
            self.refused += 1;
            return;
        }
        // SAFETY: the block is new and has that size.
        assert!(!zeroed || unsafe { place.read() == 0 && place.add(size - 1).read() == 0 });
        let block = Block { place, layout, number: self.live.len() as u8 };
        block.fill();
        self.live.push(block);
    }

    fn resize(&mut self, index: usize, size: usize) {
        let Some(block) = self.live.get_mut(index) else { return };
        let old = block.layout.size();
        block.check();
        // SAFETY: the block is live.
        let place = unsafe { HEAP.realloc(block.place, block.layout, size) };
        if place.is_null() {
            // Then it is still where it was, and whole.
            self.refused += 1;
            return block.check();
        }
        block.place = place;
        for at in [0, old - 1].into_iter().filter(|&at| at < size) {
            // SAFETY: the byte is the block's.
            assert_eq!(unsafe { place.add(at).read() }, block.number, "{old} to {size}");
        }
        block.layout = Layout::from_size_align(size, 16).unwrap();
        block.fill();
    }

    /// Allocates and frees blocks of all kinds, most of all such as need fresh arenas.
    fn play(&mut self) {
        for round in 0..4 {
            for n in 0..10 {
                self.take(1_900_000 + n, n % 3 == 0);
                self.take(100 * (n + 1) + round, n % 2 == 0);
                self.take(9_000 * (n + 1), false);
            }
            self.take(5 << 20, round % 2 == 0);
            let last = self.live.len().saturating_sub(1);
            self.resize(last, 7 << 20);
            self.resize(last, 30 << 20);
            self.resize(last / 2, 3 << 20);
            self.resize(last / 3, 50_000);
            for n in 0..self.live.len() / 3 {
                self.live.swap_remove(n).free();
            }
        }
    }

    fn free_all(&mut self) {
        self.live.drain(..).for_each(|block| block.free());
    }
}

impl Block {
    /// The places that are written and read: both ends.
    fn ends(&self) -> [*mut u8; 2] {
        // SAFETY: the last byte is the block's.
        [self.place, unsafe { self.place.add(self.layout.size() - 1) }]
    }

    fn fill(&self) {
        // SAFETY: the bytes are the block's.
        self.ends().into_iter().for_each(|place| unsafe { place.write(self.number) });
    }

    fn check(&self) {
        // SAFETY: the bytes are the block's.
        let read = self.ends().map(|place| unsafe { place.read() });
        assert_eq!(read, [self.number; 2], "{:?}", self.layout);
    }

    fn free(self) {
        self.check();
        // SAFETY: the block is live, and dropped from the list.
        unsafe { HEAP.dealloc(self.place, self.layout) };
    }
}

/// Plays with request `first` and `count - 1` more refused; the heap is whole before anything is freed
/// and after, and works. Returns what was refused, and how many requests there were.
fn play_refused(first: usize, count: usize) -> (usize, usize) {
    let mut greedy = Greedy::default();
    greedy.live.reserve(1000);
    let ((), requests) = refusing(first, count, || greedy.play());
    heap::check_invariants();
    let refused = greedy.refused;
    greedy.free_all();
    heap::check_invariants();
    greedy.play();
    assert_eq!(greedy.refused, refused, "memory is there again");
    greedy.free_all();
    heap::trim();
    heap::check_invariants();
    (refused, requests)
}

#[test]
fn x15_the_nth_request_for_memory_fails() {
    std::thread::spawn(|| {
        let mut failed = 0;
        let several = if cfg!(debug_assertions) { 20 } else { 60 };
        for first in 0..several {
            for count in [1, 2, 3, usize::MAX / 2] {
                failed += usize::from(play_refused(first, count).0 > 0);
            }
        }
        assert!(failed > several, "only {failed} runs met a refusal");
    })
    .join()
    .unwrap();
}

/// A thread's first allocation finds no memory for its heap; the next one does.
#[test]
fn x15_no_memory_for_a_heap() {
    // Each holds the heap that an ended thread left: the last of them need new ones.
    let (send, receive) = std::sync::mpsc::channel::<usize>();
    let heaps = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..60)
            .map(|_| {
                let send = send.clone();
                scope.spawn(move || {
                    let layout = Layout::new::<u64>();
                    // SAFETY: the size is not zero.
                    let (first, _) = refusing(0, usize::MAX / 2, || unsafe { HEAP.alloc(layout) });
                    // SAFETY: as above.
                    let second = unsafe { HEAP.alloc(layout) };
                    assert!(!second.is_null());
                    send.send(usize::from(first.is_null())).unwrap();
                    std::thread::park();
                    for place in [first, second].into_iter().filter(|place| !place.is_null()) {
                        // SAFETY: the block is live.
                        unsafe { HEAP.dealloc(place, layout) };
                    }
                })
            })
            .collect();
        let refused: usize = receive.iter().take(60).sum();
        threads.iter().for_each(|thread| thread.thread().unpark());
        refused
    });
    assert!(heaps > 0, "nobody was refused");
    heap::check_invariants();
}

/// A thread without a heap frees blocks of others while there is no memory for one.
#[test]
fn x15_no_memory_for_a_heap_that_only_frees() {
    let layout = Layout::from_size_align(600, 8).unwrap();
    // SAFETY: the size is not zero.
    let blocks: Vec<_> = (0..1000).map(|_| unsafe { HEAP.alloc(layout) } as usize).collect();
    std::thread::spawn(move || {
        refusing(0, usize::MAX / 2, || {
            for place in blocks {
                // SAFETY: the block is live, and no longer used by the thread that made it.
                unsafe { HEAP.dealloc(place as *mut u8, layout) };
            }
        });
    })
    .join()
    .unwrap();
    heap::check_invariants();
}
