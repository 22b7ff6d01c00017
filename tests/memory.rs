//! Resident memory: cases H09 and H11 of `python.md`, and how memory goes back. Each scenario has a
//! process of its own: what an earlier one left behind would count.
//!
//! `HOOPSNAKE_SOAK_SECONDS` makes the soak longer than the two seconds it takes by default.
#![cfg(all(target_os = "linux", not(sanitized)))]

use core::alloc::Layout;
use core::hint::black_box;
use core::time::Duration;
use std::process::Command;
use std::time::Instant;

use hoopsnake::heap;

mod random;
mod watched;
use random::Random;
use watched::Watched;

#[global_allocator]
static GLOBAL: Watched = Watched;

/// Set for the process that runs one scenario.
const INNER: &str = "HOOPSNAKE_MEMORY_SCENARIO";

/// Runs the named test's scenario in a process that does nothing else.
fn alone(test: &str, scenario: impl FnOnce()) {
    if std::env::var_os(INNER).is_some() {
        return scenario();
    }
    let program = std::env::current_exe().unwrap();
    let status = Command::new(program)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INNER, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}: {status}");
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Memory in huge pages, in MiB; `None` where the system gives none.
fn in_huge_pages() -> Option<f64> {
    let choice = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    // Where all memory may become huge pages, they tell nothing of this crate.
    if !choice.contains("[madvise]") {
        return None;
    }
    let sums = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = sums.lines().find(|line| line.starts_with("AnonHugePages"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Many small blocks, and a random order to free them in.
struct Blocks {
    places: Vec<*mut u8>,
    live: usize,
}

const BLOCK: Layout = Layout::new::<[u64; 8]>();
const MILLION: usize = 1_000_000;

impl Blocks {
    /// Room for that many, touched, so that it is part of the start.
    fn room(count: usize) -> Blocks {
        Blocks { places: vec![core::ptr::dangling_mut(); count], live: 0 }
    }

    fn alloc_all(&mut self) {
        for place in &mut self.places {
            // SAFETY: the layout is not empty.
            *place = unsafe { std::alloc::alloc(BLOCK) };
            // SAFETY: the block is ours, and as large as its layout.
            unsafe { place.write_bytes(1, BLOCK.size()) };
        }
        self.live = self.places.len();
    }

    fn shuffle(&mut self) {
        let mut random = Random(88_172_645_463_325_252);
        for end in (1..self.places.len()).rev() {
            self.places.swap(end, random.below(end + 1));
        }
    }

    /// Frees the last ones until `left` are left.
    fn free_to(&mut self, left: usize) {
        for place in &self.places[left..self.live] {
            // SAFETY: the block is live, and ours.
            unsafe { std::alloc::dealloc(*place, BLOCK) };
        }
        self.live = left;
    }
}

#[test]
fn h09_one_in_a_thousand_stays() {
    alone("h09_one_in_a_thousand_stays", || {
        let mut blocks = Blocks::room(MILLION);
        let start = resident();
        blocks.alloc_all();
        let full = resident() - start;
        blocks.shuffle();
        blocks.free_to(MILLION / 1000);
        let idle = resident() - start;
        heap::trim();
        let trimmed = resident() - start;
        blocks.free_to(0);
        let end = resident() - start;
        println!("full {full:.1} MiB, idle {idle:.1}, trimmed {trimmed:.1}, all freed {end:.1}");
        assert!(full > 60.0 && idle <= 25.0 && trimmed <= 4.5 && end <= 2.0);
    });
}

#[test]
fn h09_all_that_was_freed_goes_back() {
    alone("h09_all_that_was_freed_goes_back", || {
        let mut blocks = Blocks::room(MILLION);
        let start = resident();
        blocks.alloc_all();
        let full = resident() - start;
        blocks.shuffle();
        blocks.free_to(0);
        let idle = resident() - start;
        heap::trim();
        let trimmed = resident() - start;
        println!("full {full:.1} MiB, all freed {idle:.1}, trimmed {trimmed:.1}");
        assert!(full > 60.0 && idle <= 2.0 && trimmed <= 1.0);
    });
}

#[test]
fn twenty_rounds_do_not_grow() {
    alone("twenty_rounds_do_not_grow", || {
        let mut blocks = Blocks::room(MILLION);
        let mut full = Vec::new();
        for _ in 0..20 {
            blocks.alloc_all();
            full.push(resident());
            blocks.shuffle();
            blocks.free_to(0);
        }
        println!("resident when full, MiB: {full:.1?}");
        assert!(full[2..].iter().all(|&later| later <= full[1] + 1.0), "{full:.1?}");
    });
}

/// What a program uses by and by costs a few large faults; what it gives back does not come again by itself.
#[test]
fn many_small_blocks_lie_in_huge_pages() {
    alone("many_small_blocks_lie_in_huge_pages", || {
        let mut blocks = Blocks::room(MILLION);
        let Some(start) = in_huge_pages() else { return };
        blocks.alloc_all();
        let full = in_huge_pages().unwrap() - start;
        blocks.shuffle();
        blocks.free_to(0);
        let (idle, kept) = (in_huge_pages().unwrap() - start, resident());
        blocks.alloc_all();
        let again = in_huge_pages().unwrap() - start;
        println!("full {full:.1} MiB in huge pages, all freed {idle:.1}, full again {again:.1}");
        // `khugepaged` or another program may have had a part of them.
        assert!(full >= 40.0 && idle <= 2.0 && again >= 40.0, "{kept:.1} MiB resident between");
    });
}

#[test]
fn few_small_blocks_need_no_huge_page() {
    alone("few_small_blocks_need_no_huge_page", || {
        let Some(start) = in_huge_pages() else { return };
        let mut blocks = Blocks::room(40_000);
        blocks.alloc_all();
        assert!(in_huge_pages().unwrap() <= start);
    });
}

/// Of large blocks nobody knows how much will be touched, not even when small ones come in between.
#[test]
fn a_byte_in_each_large_block_costs_no_huge_page() {
    alone("a_byte_in_each_large_block_costs_no_huge_page", || {
        let mut blocks = Blocks::room(MILLION / 2);
        blocks.alloc_all();
        let start = resident();
        let mut small = Vec::new();
        let large: Vec<Vec<Vec<u8>>> = (0..32)
            .map(|_| {
                // A pool of small blocks, then what is left of its arena, and another arena.
                small.extend((0..1024).map(|n| Box::new([n; 8])));
                let sizes = [31 << 16, 31 << 16, 4 << 20];
                let touched = |size| {
                    let mut large = Vec::with_capacity(size);
                    large.push(1);
                    large
                };
                sizes.into_iter().map(touched).collect()
            })
            .collect();
        let more = resident() - start;
        println!("{} blocks: {more:.1} MiB, and {} small ones", 3 * large.len(), small.len());
        assert!(more <= 8.0, "{more:.1} MiB");
    });
}

/// A vector that is filled by pushing lies in huge pages; what has its addresses after it does not.
#[test]
fn what_grows_large_lies_in_huge_pages() {
    alone("what_grows_large_lies_in_huge_pages", || {
        let Some(start) = in_huge_pages() else { return };
        let mut numbers = Vec::new();
        numbers.extend((0..1000u64).map(black_box));
        while numbers.len() < 2 << 20 {
            numbers.push(black_box(numbers.len() as u64));
        }
        let full = in_huge_pages().unwrap() - start;
        println!("{full:.1} of 16 MiB in huge pages");
        assert!(full >= 12.0, "{full:.1} MiB");
        assert!(numbers.iter().enumerate().all(|(at, &number)| at as u64 == number));
        drop(numbers);
        heap::trim();
        let before = resident();
        let large: Vec<Vec<u8>> = (0..8)
            .map(|_| {
                let mut large = Vec::with_capacity(4 << 20);
                large.push(1);
                large
            })
            .collect();
        let more = resident() - before;
        assert!(more <= 1.0, "{more:.1} MiB for {} bytes", large.len());
        assert!(in_huge_pages().unwrap() <= start);
    });
}

/// A vector that grows by a page each time keeps its last huge page: it does not give the rest back each other time.
#[test]
fn what_grows_by_little_lies_in_huge_pages() {
    alone("what_grows_by_little_lies_in_huge_pages", || {
        let Some(start) = in_huge_pages() else { return };
        let mut bytes: Vec<u8> = Vec::new();
        let large = 33 << 20;
        while bytes.len() < large {
            let more = if bytes.is_empty() { 20 << 20 } else { 4096 };
            bytes.reserve_exact(more);
            bytes.resize(bytes.len() + more, black_box(1));
        }
        let full = in_huge_pages().unwrap() - start;
        println!("{full:.1} of 33 MiB in huge pages");
        assert!(full >= 10.0, "{full:.1} MiB");
    });
}

/// Of many vectors that are half full each has a huge page that is touched for nothing, if all have huge pages.
#[test]
fn many_that_grow_large_lose_little_to_huge_pages() {
    alone("many_that_grow_large_lose_little_to_huge_pages", || {
        let before = resident();
        let vectors: Vec<Vec<u8>> = (0..60)
            .map(|_| {
                let mut vector = Vec::new();
                for _ in 0..2200 {
                    vector.extend_from_slice(black_box(&[1; 1000]));
                }
                vector
            })
            .collect();
        let bytes = vectors.iter().map(Vec::len).sum::<usize>() as f64 / f64::from(1 << 20);
        let more = resident() - before;
        println!("{more:.1} MiB for {bytes:.1}");
        assert!(more <= 1.25 * bytes, "{more:.1} MiB for {bytes:.1}");
    });
}

/// How often this process has touched a page that was not there.
fn faults() -> usize {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = &stat[stat.rfind(')').unwrap()..];
    behind_name.split_whitespace().nth(8).unwrap().parse().unwrap()
}

/// The memory of a block that grew large is kept where the next one can grow into it, step by step, also what was
/// left of it when it shrank.
#[test]
fn what_grows_again_finds_its_pages() {
    alone("what_grows_again_finds_its_pages", || {
        // So much is in use that a few MiB are kept.
        let used = black_box(vec![1_u8; 200 << 20]);
        let grow = |len: usize| {
            let mut vec: Vec<u64> = Vec::new();
            (0..2_000_000).for_each(|n| vec.push(n));
            vec.truncate(len);
            vec.shrink_to_fit();
            black_box(&vec);
        };
        for len in [2_000_000, 1_100_000] {
            (0..3).for_each(|_| grow(len));
            let before = faults();
            (0..10).for_each(|_| grow(len));
            let fetched = faults() - before;
            println!("{len}: {fetched} faults");
            // A huge page is one fault, and half of the vector were four of them.
            assert!(fetched < 20, "{fetched} faults for what had been there");
        }
        drop(used);
    });
}

/// What shrinks and stays in use keeps nothing behind it, but for the last two.
#[test]
fn what_shrinks_and_stays_keeps_no_more() {
    alone("what_shrinks_and_stays_keeps_no_more", || {
        const MIB: usize = 1 << 20;
        for (full, part) in [(64 * MIB, 8 * MIB), (60 * MIB, 34 * MIB)] {
            let before = resident();
            let results: Vec<Vec<u8>> = (0..20)
                .map(|_| {
                    let mut result = vec![black_box(1_u8); full];
                    result.truncate(part);
                    result.shrink_to_fit();
                    result
                })
                .collect();
            let (in_use, more) = ((results.len() * part / MIB) as f64, resident() - before);
            println!("{more:.1} MiB for {in_use}");
            assert!(more <= in_use * 1.125 + 2.0, "{more:.1} MiB for {in_use}");
            drop(results);
            heap::trim();
        }
    });
}

/// Blocks that grow past each other are moved, kept, and taken again, and leave no addresses behind.
#[test]
fn what_grows_large_leaves_nothing() {
    alone("what_grows_large_leaves_nothing", || {
        let before = heap::stats();
        for round in 0..6u8 {
            let mut vectors: [Vec<u8>; 4] = Default::default();
            for step in 0..40 {
                for (at, vector) in (0u8..).zip(&mut vectors) {
                    vector.resize(vector.len() + (step * 20_000) + 1000, at ^ round);
                }
                if step % 13 == 12 {
                    vectors[1].shrink_to(1 << 20);
                    vectors[2].truncate(3 << 20);
                    vectors[2].shrink_to_fit();
                }
            }
            for (at, vector) in (0u8..).zip(&vectors) {
                assert!(
                    vector.iter().all(|&byte| byte == at ^ round),
                    "vector {at}, round {round}"
                );
            }
        }
        heap::trim();
        let after = heap::stats();
        assert_eq!(after.huge.in_use, before.huge.in_use);
        assert_eq!(after.alignment, before.alignment, "{after}");
        assert!(after.arenas <= before.arenas + 8, "{} to {} arenas", before.arenas, after.arenas);
    });
}

/// mimalloc #1364: such a thread never allocates, so what it frees must find its way by itself.
#[test]
fn a_thread_that_only_frees_keeps_nothing() {
    alone("a_thread_that_only_frees_keeps_nothing", || {
        let seconds = std::env::var("HOOPSNAKE_SOAK_SECONDS").map_or(2, |n| n.parse().unwrap());
        const WAITING: usize = 16;
        const BATCH: usize = 10_000;
        let (send, receive) = std::sync::mpsc::sync_channel::<Vec<Box<[u64; 8]>>>(WAITING);
        let consumer = std::thread::spawn(move || {
            for (n, batch) in (0..).zip(receive) {
                drop(batch);
                // Now and then it stops, so that the queue is full at times wherever this runs.
                if n % 40 == 0 {
                    std::thread::sleep(Duration::from_millis(40));
                }
            }
        });
        let round = || {
            let batch = (0..BATCH as u64).map(|n| Box::new([n; 8])).collect();
            send.send(batch).unwrap();
        };
        // Blocks and vectors on their way: those that wait, one being made, one being freed. How many there
        // are at a moment depends on which thread is ahead.
        let under_way = ((WAITING + 2) * BATCH * (64 + 8)) as f64 / f64::from(1 << 20);
        let (start, until) = (resident(), Instant::now() + Duration::from_secs(seconds));
        let mut most = start;
        while Instant::now() < until {
            (0..100).for_each(|_| round());
            most = most.max(resident());
        }
        drop(send);
        consumer.join().unwrap();
        println!("{start:.1} MiB, at most {most:.1}, with up to {under_way:.1} under way");
        // The queue runs full and empty again and again: the heap learns to keep what that takes, and may have
        // touched a huge page more. What such a thread kept would grow without end.
        assert!(most <= start + under_way * 1.5 + 2.0, "{start} MiB, then {most}");
    });
}

/// The first thread to free a block of a full pool holds it from then on. One that frees a single block of
/// each, and never allocates, must not keep what others free of the rest, also where some blocks live long.
#[test]
fn a_thread_that_frees_the_first_block_of_each_pool_keeps_nothing() {
    alone("a_thread_that_frees_the_first_block_of_each_pool_keeps_nothing", || {
        type Batch = Vec<Box<[u64; 8]>>;
        let (send, receive) = std::sync::mpsc::sync_channel::<Batch>(0);
        let (done, wait) = std::sync::mpsc::sync_channel::<()>(0);
        let first = std::thread::spawn(move || {
            for batch in receive {
                drop(batch);
                done.send(()).unwrap();
            }
        });
        let mut long: Batch = Vec::with_capacity(4000);
        let mut round = || {
            let mut rest: Batch = (0..50_000).map(|n| Box::new([n; 8])).collect();
            let few = (0..100).map(|n| rest.swap_remove(n * 400)).collect();
            send.send(few).unwrap();
            wait.recv().unwrap();
            long.extend((0..40).map(|n| rest.swap_remove(n * 1000)));
        };
        (0..10).for_each(|_| round());
        let start = resident();
        (0..50).for_each(|_| round());
        let end = resident();
        drop(send);
        first.join().unwrap();
        println!("{start:.1} MiB after 10 rounds of 3 MiB, {end:.1} after 60");
        assert!(end <= start + 20.0);
    });
}

/// Blocks that come home early, while their pool is full, keep it with its owner; the rest comes home late.
#[test]
fn pools_that_others_empty_late_are_found_again() {
    alone("pools_that_others_empty_late_are_found_again", || {
        type Batch = Vec<Box<[u64; 32]>>;
        let (early, receive) = std::sync::mpsc::sync_channel::<Batch>(1);
        let soon = std::thread::spawn(move || receive.into_iter().for_each(drop));
        let (late, receive) = std::sync::mpsc::sync_channel::<Batch>(100);
        let later = std::thread::spawn(move || {
            let mut waiting = std::collections::VecDeque::new();
            for batch in receive {
                waiting.push_back(batch);
                if waiting.len() > 50 {
                    waiting.pop_front();
                }
            }
        });
        let rounds = |count| {
            for n in 0..count {
                let mut rest: Batch = (0..1000).map(|n| Box::new([n; 32])).collect();
                early.send((0..5).map(|k| rest.swap_remove(k * 190)).collect()).unwrap();
                late.send(rest).unwrap();
                // So that each of the three runs in turn, also on one processor.
                if n % 16 == 0 {
                    std::thread::yield_now();
                }
            }
        };
        rounds(500);
        let start = resident();
        rounds(2500);
        let end = resident();
        drop((early, late));
        soon.join().unwrap();
        later.join().unwrap();
        println!("{start:.1} MiB after 500 rounds of 256 KiB, {end:.1} after 3000");
        // What waits in the channel, or does not.
        assert!(end <= start + 50.0);
    });
}

#[test]
fn ten_thousand_threads_leave_nothing() {
    alone("ten_thousand_threads_leave_nothing", || {
        let threads = |count| {
            for n in 0..count {
                let thread = std::thread::spawn(move || {
                    let kept: Vec<Vec<u8>> = (1..50).map(|size| vec![n as u8; size * 20]).collect();
                    kept.len()
                });
                assert_eq!(thread.join().unwrap(), 49);
            }
        };
        threads(100);
        let start = resident();
        threads(10_000);
        let end = resident();
        println!("{start:.1} MiB after a hundred threads, {end:.1} after ten thousand");
        assert!(end <= start + 0.5);
    });
}

#[test]
fn h11_an_empty_pool_changes_its_class() {
    alone("h11_an_empty_pool_changes_its_class", || {
        let before = resident();
        for round in 0..4 {
            let small: Vec<_> = (0..300_000u64).map(|n| Box::new([n; 4])).collect();
            drop(small);
            let large: Vec<_> = (0..100_000u64).map(|n| Box::new([n; 12])).collect();
            drop(large);
            if round == 0 {
                assert!(resident() < before + 30.0);
            }
        }
        assert!(resident() < before + 20.0, "{before} MiB, then {}", resident());
    });
}
