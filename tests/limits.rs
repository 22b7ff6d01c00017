//! Memory that is refused: a process that may have little address space (`ulimit -v`).
#![cfg(all(target_os = "linux", not(sanitized)))]
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each block is one life of an allocation"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use hoopsnake::{PoolAlloc, heap};

mod adds_up;
mod watched;
use adds_up::assert_adds_up;
use watched::Watched;

#[global_allocator]
static GLOBAL: Watched = Watched;

/// Set in the process that has the limit, to the test that it runs.
const LIMITED: &str = "HOOPSNAKE_TEST_LIMITED";

/// Allocates blocks of one size until there is no memory, frees them, and allocates as many again.
fn exhaust(size: usize) {
    let layout = Layout::from_size_align(size, 8).unwrap();
    let fill = || {
        let mut blocks = Vec::with_capacity(300_000);
        loop {
            // SAFETY: the size is not zero.
            let place = unsafe { PoolAlloc.alloc(layout) };
            if place.is_null() {
                return blocks;
            }
            // SAFETY: the block is new and not empty.
            unsafe { place.write(1) };
            blocks.push(place);
        }
    };
    let mut counts = Vec::new();
    for _ in 0..3 {
        let blocks = fill();
        assert_adds_up(&heap::stats());
        counts.push(blocks.len());
        // Others still get what they ask for after the failure, once something is free.
        for place in blocks {
            // SAFETY: allocated above with this layout, and freed once.
            unsafe { PoolAlloc.dealloc(place, layout) };
        }
        assert_eq!(vec![7u8; 1000].iter().map(|&byte| usize::from(byte)).sum::<usize>(), 7000);
    }
    assert!(counts[0] > 10 && counts.iter().all(|count| count * 10 > counts[0] * 9), "{counts:?}");
    assert_adds_up(&heap::stats());
}

/// Runs a test of this file in a process with little address space.
fn limited(test: &str) -> Output {
    limited_to(test, test)
}

/// The same, with what part of the test it runs.
fn limited_to(test: &str, part: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    let command =
        format!("ulimit -v 700000; exec {} --exact --nocapture {test}", program.display());
    Command::new("bash").args(["-c", &command]).env(LIMITED, part).output().unwrap()
}

fn is_limited(test: &str) -> bool {
    std::env::var_os(LIMITED).is_some_and(|limited| limited == test)
}

#[test]
fn x15_refused_memory_is_null_and_the_heap_goes_on() {
    let name = "x15_refused_memory_is_null_and_the_heap_goes_on";
    if is_limited(name) {
        for size in [8 << 20, 100_000, 20_000, 3000] {
            exhaust(size);
        }
        return;
    }
    let output = limited(name);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stdout));
}

/// Where no records of addresses can be read at which the heap has nothing, mistakes with large blocks are
/// noticed all the same, and under full checks any reallocation.
#[test]
fn x14_what_never_was_where_records_cannot_be_read() {
    let name = "x14_what_never_was_where_records_cannot_be_read";
    let (huge, run, small) = (200_000_000, 300_000, 64);
    let mistakes = [
        ("frees a huge block", huge, None),
        ("frees a run", run, None),
        ("grows a huge block", huge, Some(2 * huge)),
        ("shrinks a huge block", huge, Some(100)),
        ("grows a run", run, Some(huge)),
        ("shrinks a run", run, Some(100)),
        ("grows a small block", small, Some(1000)),
    ];
    for (mistake, size, new) in mistakes {
        let part = format!("{name}: {mistake}");
        if is_limited(&part) {
            let layout = |size| Layout::from_size_align(size, 8).unwrap();
            if size == small {
                heap::set_checks(heap::Checks::Full);
            }
            // SAFETY: wrong on purpose: inside a huge block, which has records at its start only.
            unsafe {
                let wrong = GLOBAL.alloc(layout(huge)).add(64 << 20);
                match new {
                    None => GLOBAL.dealloc(wrong, layout(size)),
                    Some(new) => _ = GLOBAL.realloc(wrong, layout(size), new),
                }
            }
        }
        if std::env::var_os(LIMITED).is_some() {
            continue;
        }
        let output = limited_to(name, &part);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{mistake}: {text}");
        assert!(text.contains("no block begins there"), "{mistake}: {text}");
    }
}

/// A process that forbids itself more address space later: pages cannot move then, and are copied.
#[test]
fn a_limit_that_comes_late() {
    let name = "a_limit_that_comes_late";
    if is_limited(name) {
        const SIZES: [usize; 4] = [9 << 20, 40 << 20, 9 << 20, 60 << 20];
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        // SAFETY: the sizes are not zero, and the blocks are live.
        unsafe {
            let mut place = PoolAlloc.alloc(layout(SIZES[0]));
            let in_the_way = PoolAlloc.alloc(layout(SIZES[0]));
            place.write(7);
            let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
            assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
            for sizes in SIZES.windows(2) {
                place = PoolAlloc.realloc(place, layout(sizes[0]), sizes[1]);
                assert_eq!(place.read(), 7);
                place.add(sizes[1] - 1).write(8);
                assert_adds_up(&heap::stats());
            }
            PoolAlloc.dealloc(place, layout(SIZES[3]));
            PoolAlloc.dealloc(in_the_way, layout(SIZES[0]));
        }
        assert_adds_up(&heap::stats());
        return;
    }
    let output = limited(name);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {text}", output.status);
}

/// What asks for memory that cannot fail ends in std's own message, which needs none.
#[test]
fn x15_infallible_allocation_ends_with_a_message() {
    let name = "x15_infallible_allocation_ends_with_a_message";
    if is_limited(name) {
        let mut kept = Vec::with_capacity(1_000_000);
        loop {
            kept.push(vec![1u8; 3000]);
        }
    }
    let output = limited(name);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains("memory allocation of 3000 bytes failed"), "{text}");
}
