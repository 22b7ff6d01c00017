//! The allocator installed: cases of `python.md`, and what every program does.
//!
//! Where the cases of the heap are, if not here:
//!
//! | case | file |
//! |---|---|
//! | H02 | does not arise: `GlobalAlloc` is never asked for nothing (`Cc<()>` has distinct ids: `it/rc.rs`) |
//! | H03 | `src/heap/tests.rs`; H01, H03 and H05 are restated for our own size classes |
//! | H07 also, X12, all sizes and alignments | `heap_pairs.rs` |
//! | H09, H11 | `memory.rs` |
//! | H13, H16 to H18 | belong to later issues |
//! | H15 exactly | `statistics.rs` |
//! | H20, X16 | `fork.rs` |
//! | the ends of threads (X11 also), threads of C | `threads.rs` |
//! | several copies in one process | `downstream/src/bin/copies.rs` |
//! | X13 also, a hundred million operations | `src/heap/tests.rs` |
//! | X14 | `checks.rs` |
//! | X15 | `src/heap/tests/refused.rs`, `limits.rs` |
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each block is one life of an allocation"
)]

use std::alloc::{GlobalAlloc, Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::collections::{BTreeMap, HashMap};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use allocator_api2::alloc::Allocator;
use hoopsnake::{PoolAlloc, heap};

mod adds_up;
mod random;
mod watched;
use adds_up::assert_adds_up;
use random::Random;
use watched::Watched;

#[global_allocator]
static GLOBAL: Watched = Watched;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

#[test]
fn collections_and_threads() {
    let handles: Vec<_> = (0..8u64)
        .map(|seed| {
            std::thread::spawn(move || {
                let mut map = HashMap::new();
                let mut tree = BTreeMap::new();
                for n in 0..20_000u64 {
                    let key = n.wrapping_mul(seed + 0x9E37_79B9_7F4A_7C15) >> 40;
                    map.entry(key % 5000).or_insert_with(Vec::new).push(format!("{n}"));
                    tree.insert(key, vec![n; (n % 50) as usize]);
                    if n % 3 == 0 {
                        tree.pop_first();
                    }
                }
                (map, tree)
            })
        })
        .collect();
    for handle in handles {
        let (map, tree) = handle.join().unwrap();
        assert_eq!(map.values().map(Vec::len).sum::<usize>(), 20_000);
        assert!(tree.values().all(|values| values.windows(2).all(|pair| pair[0] == pair[1])));
    }
}

/// Every block is as aligned as its layout asks, and neighbours of a class are its size apart.
#[test]
fn h01_alignment_and_classes() {
    for size in 1..=512 {
        for align in [1, 2, 4, 8, 16, 32, 64] {
            let layout = layout(size, align);
            // SAFETY: the size is not zero; the block is freed once.
            unsafe {
                let place = alloc(layout);
                assert_eq!(place as usize % align, 0, "{layout:?}");
                dealloc(place, layout);
            }
        }
    }
    let classes = heap::stats().classes;
    assert!(classes.windows(2).all(|pair| pair[0].block_size < pair[1].block_size));
    assert!(classes.iter().all(|class| class.block_size % 8 == 0));
    for block_size in classes.iter().map(|class| class.block_size).filter(|&size| size <= 512) {
        neighbours_are_apart(block_size);
    }
}

/// Allocates many blocks of a class on this thread and looks at the distances of those in one pool.
fn neighbours_are_apart(block_size: usize) {
    const POOL: usize = 64 << 10;
    let layout = layout(block_size, 8);
    // SAFETY: the size is not zero.
    let mut places: Vec<_> = (0..1000).map(|_| unsafe { alloc(layout) }).collect();
    places.sort_unstable();
    let same_pool = |pair: &&[*mut u8]| pair[0] as usize / POOL == pair[1] as usize / POOL;
    let distances = places.windows(2).filter(same_pool);
    let mut distances: Vec<_> = distances.map(|pair| pair[1].addr() - pair[0].addr()).collect();
    distances.sort_unstable();
    assert_eq!(distances[0], block_size, "the nearest neighbours");
    assert!(distances.iter().all(|distance| distance % block_size == 0), "{block_size} bytes");
    // SAFETY: allocated above, and freed once.
    places.into_iter().for_each(|place| unsafe { dealloc(place, layout) });
}

#[test]
fn h04_realloc_within_the_class_keeps_the_address() {
    // SAFETY: the block is live and has these sizes in turn.
    unsafe {
        let place = alloc(layout(25, 8));
        let grown = realloc(place, layout(25, 8), 32);
        assert_eq!(place, grown);
        dealloc(grown, layout(32, 8));
    }
}

#[test]
fn h05_realloc_shrinks_in_place_above_three_quarters() {
    for (size, stays) in [(400, true), (385, true), (384, false), (300, false)] {
        // SAFETY: the block is live and has these sizes in turn.
        unsafe {
            let place = alloc(layout(512, 8));
            place.write_bytes(7, 512);
            let now = realloc(place, layout(512, 8), size);
            assert_eq!(now == place, stays, "512 to {size} bytes");
            assert!((0..size).all(|at| now.add(at).read() == 7));
            dealloc(now, layout(size, 8));
        }
    }
}

#[test]
fn h06_realloc_across_all_kinds_and_back() {
    let sizes = [100, 9000, 70_000, 3 << 20, 9 << 20, 70_000, 9000, 100];
    // SAFETY: the block is live and has these sizes in turn.
    unsafe {
        let mut place = alloc(layout(sizes[0], 8));
        (0..100).for_each(|at| place.add(at).write(at as u8));
        for pair in sizes.windows(2) {
            place = realloc(place, layout(pair[0], 8), pair[1]);
            assert!((0..100).all(|at| place.add(at).read() == at as u8), "{pair:?}");
        }
        dealloc(place, layout(100, 8));
    }
}

#[test]
fn h07_zeroed_blocks_are_zero_on_dirty_memory() {
    for size in [8, 100, 5000, 20_000, 200_000, 3 << 20] {
        for _ in 0..3 {
            // SAFETY: the blocks are live between alloc and dealloc.
            unsafe {
                let dirty = alloc(layout(size, 8));
                dirty.write_bytes(0xFF, size);
                dealloc(dirty, layout(size, 8));
                let clean = alloc_zeroed(layout(size, 8));
                assert!((0..size).all(|at| clean.add(at).read() == 0), "size {size}");
                dealloc(clean, layout(size, 8));
            }
        }
    }
}

/// `Allocator`, which may change the alignment, too, and begin or end with nothing.
#[test]
fn h06_h07_growth_and_shrinking_to_every_layout() {
    const SIZES: [usize; 7] = [0, 1, 100, 104, 30_000, 300_000, 5_000_000];
    const ALIGNS: [usize; 3] = [1, 64, 1 << 17];
    let mut random = Random(7);
    let noise: Vec<u8> = (0..SIZES[6] + 1000).map(|_| random.next() as u8).collect();
    let zeroes = vec![0u8; SIZES[6]];
    let layouts = || SIZES.into_iter().flat_map(|size| ALIGNS.map(|align| layout(size, align)));
    for (old, new) in layouts().flat_map(|old| layouts().map(move |new| (old, new))) {
        for zeroed in [false, true] {
            let kept = old.size().min(new.size());
            // Others each time: what an earlier block left behind is none of it.
            let contents = &noise[random.below(1000)..][..old.size()];
            // SAFETY: each block is used with its own layout, within its size, and given back once.
            unsafe {
                let place: NonNull<u8> = (&PoolAlloc).allocate(old).unwrap().cast();
                place.as_ptr().copy_from_nonoverlapping(contents.as_ptr(), old.size());
                let moved = match (new.size() >= old.size(), zeroed) {
                    (true, true) => (&PoolAlloc).grow_zeroed(place, old, new),
                    (true, false) => (&PoolAlloc).grow(place, old, new),
                    (false, _) => (&PoolAlloc).shrink(place, old, new),
                };
                let moved = moved.unwrap();
                assert_eq!(moved.len(), new.size());
                let moved: NonNull<u8> = moved.cast();
                assert!(moved.addr().get().is_multiple_of(new.align()), "{new:?}");
                let part = |from: usize, to: usize| {
                    std::slice::from_raw_parts(moved.as_ptr().add(from), to - from)
                };
                assert!(part(0, kept) == &contents[..kept], "{old:?} to {new:?}");
                if zeroed {
                    let tail = part(kept, new.size());
                    assert!(tail == &zeroes[..tail.len()], "{old:?} to {new:?}");
                }
                moved.write_bytes(!0, new.size());
                (&PoolAlloc).deallocate(moved, new);
            }
        }
    }
    assert_adds_up(&heap::stats());
}

/// Other tests run in other threads: their blocks come and go, so this looks at its own class.
#[test]
fn h08_allocated_blocks_count() {
    let class = |size: usize| {
        let classes = heap::stats().classes;
        let found = classes.iter().find(|class| class.block_size >= size).map(|c| c.in_use);
        found.unwrap()
    };
    let before = class(7600);
    let blocks: Vec<_> = (0..1000).map(|_| Box::new([1u8; 7600])).collect();
    assert_eq!(class(7600), before + 1000);
    assert!(heap::allocated_blocks() >= 1000);
    drop(blocks);
    assert_eq!(class(7600), before);
}

#[test]
fn h15_statistics_add_up() {
    let stats = heap::stats();
    assert_adds_up(&stats);
}

/// X10 and H19: a million blocks made here, freed there; memory stays bounded.
#[test]
fn x10_producer_and_consumer() {
    let pools = || heap::stats().classes.iter().find(|c| c.block_size >= 1000).unwrap().pools;
    let (send, receive) = sync_channel::<Vec<Box<[u64; 125]>>>(8);
    let consumer = std::thread::spawn(move || {
        receive.iter().map(|batch| batch.iter().map(|block| block[2]).sum::<u64>()).sum::<u64>()
    });
    let before = pools();
    for round in 0..1000u64 {
        send.send((0..1000).map(|_| Box::new([round; 125])).collect()).unwrap();
    }
    drop(send);
    assert_eq!(consumer.join().unwrap(), (0..1000).map(|round| round * 1000).sum::<u64>());
    // Ten batches of a thousand blocks are under way at most: 160 pools.
    let after = pools();
    assert!(after <= before + 200, "{before} pools, then {after}");
}

/// X11: a thread dies with blocks that others use; the next one adopts its pools.
#[test]
fn x11_blocks_outlive_their_thread() {
    // A class that no other test uses much.
    type Block = Box<[u64; 25]>;
    let pools = || {
        let classes = heap::stats().classes;
        classes.iter().find(|class| class.block_size >= size_of::<[u64; 25]>()).unwrap().pools
    };
    let before = pools();
    let mut kept: Vec<Block> = Vec::new();
    for round in 0..100u64 {
        kept.extend(
            std::thread::spawn(move || {
                let block =
                    |n| Box::new(core::array::from_fn(|at| if at == 0 { round } else { n }));
                let blocks: Vec<Block> = (0..500u64).map(block).collect();
                blocks.into_iter().step_by(7).collect::<Vec<_>>()
            })
            .join()
            .unwrap(),
        );
    }
    // Each thread fills two pools; what is kept fills 23 in all.
    let grown = pools() - before;
    assert!(grown < 80, "{grown} pools more: ended threads' are not used");
    assert!(kept.iter().all(|block| block[1] == block[24] && block[1] % 7 == 0));
}

/// A block as it travels between threads: whole of it filled with its own tag.
struct Tagged {
    place: *mut u8,
    layout: Layout,
    tag: u8,
}

// SAFETY: a block is used by one thread at a time.
unsafe impl Send for Tagged {}

impl Tagged {
    fn new(random: &mut Random) -> Tagged {
        let size = match random.below(64) {
            0 => 1 + random.below(100_000),
            1..=6 => 1 + random.below(9000),
            _ => 1 + random.below(300),
        };
        let layout = layout(size, 1 << random.below(6));
        // SAFETY: the size is not zero.
        let place = unsafe { PoolAlloc.alloc(layout) };
        assert!(!place.is_null() && (place as usize).is_multiple_of(layout.align()));
        let tag = random.next() as u8;
        // SAFETY: the block has that size.
        unsafe { place.write_bytes(tag, size) };
        Tagged { place, layout, tag }
    }

    /// Any overlap with another block would have overwritten this one's tag.
    fn free(self) {
        // SAFETY: the block is live and has that size.
        let bytes = unsafe { std::slice::from_raw_parts(self.place, self.layout.size()) };
        assert!(bytes.iter().all(|&byte| byte == self.tag), "{:?} was overwritten", self.layout);
        // SAFETY: the block is freed once.
        unsafe { PoolAlloc.dealloc(self.place, self.layout) };
    }
}

/// X13: eight threads allocate, free, and exchange blocks through a shared table.
#[test]
fn x13_stress_against_the_contents() {
    let steps = if cfg!(debug_assertions) { 60_000 } else { 1_250_000 };
    let table: Vec<Mutex<Option<Tagged>>> = (0..512).map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let table = &table;
            scope.spawn(move || {
                let mut random = Random(0x9E37_79B9_7F4A_7C15 + thread);
                let mut own: Vec<Tagged> = Vec::new();
                for _ in 0..steps {
                    match random.below(8) {
                        0..=3 => own.push(Tagged::new(&mut random)),
                        4..=5 if !own.is_empty() => own.swap_remove(random.below(own.len())).free(),
                        _ => {
                            let taken = own.pop();
                            let place = &table[random.below(table.len())];
                            let before = std::mem::replace(&mut *place.lock().unwrap(), taken);
                            before.into_iter().for_each(Tagged::free);
                        }
                    }
                    if own.len() > 400 {
                        own.drain(..).for_each(Tagged::free);
                    }
                }
                own.into_iter().for_each(Tagged::free);
            });
        }
    });
    for place in table {
        place.into_inner().unwrap().into_iter().for_each(Tagged::free);
    }
    h15_statistics_add_up();
}

/// Large blocks over what were pools: nothing of the poison of their free blocks is left (`.ci/san`).
#[test]
fn h06_large_blocks_grow_over_what_were_pools() {
    let mut large = vec![1_u8; 100 << 10];
    let mut small: Vec<Box<[u8; 56]>> = Vec::new();
    for _ in 0..40_000 {
        small.push(Box::new([2; 56]));
    }
    drop(small);
    hoopsnake::heap::trim();
    for size in [300 << 10, 2 << 20, 9 << 20, 40 << 20] {
        large.resize(size, 3);
        assert!(large[100 << 10..].iter().all(|&byte| byte == 3));
    }
    assert!(large[..100 << 10].iter().all(|&byte| byte == 1));
}
