//! Memory that is refused: a process that may have little address space (`ulimit -v`).
#![cfg(all(target_os = "linux", not(sanitized)))]
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;

use hoopsnake::{PoolAlloc, heap};

mod watched;
use watched::Watched;

#[global_allocator]
static GLOBAL: Watched = Watched;

/// Set in the process that has the limit.
const LIMITED: &str = "HOOPSNAKE_TEST_LIMITED";

fn assert_adds_up() {
    let stats = heap::stats();
    let parts = stats.allocated
        + stats.available
        + stats.unused_pools
        + stats.headers
        + stats.quantization
        + stats.alignment;
    assert_eq!(parts, stats.total(), "{stats}");
}

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
        assert_adds_up();
        counts.push(blocks.len());
        // Others still get what they ask for after the failure, once something is free.
        for place in blocks {
            // SAFETY: allocated above with this layout, and freed once.
            unsafe { PoolAlloc.dealloc(place, layout) };
        }
        assert_eq!(vec![7u8; 1000].iter().map(|&byte| usize::from(byte)).sum::<usize>(), 7000);
    }
    assert!(counts[0] > 10 && counts.iter().all(|count| count * 10 > counts[0] * 9), "{counts:?}");
    assert_adds_up();
}

#[test]
fn refused_memory_is_null_and_the_heap_goes_on() {
    if std::env::var_os(LIMITED).is_some() {
        for size in [8 << 20, 100_000, 20_000, 3000] {
            exhaust(size);
        }
        return;
    }
    let test = std::env::current_exe().unwrap();
    let command = format!("ulimit -v 700000; exec {} --exact --nocapture {}", test.display(), NAME);
    let output = Command::new("bash").args(["-c", &command]).env(LIMITED, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stdout));
}

const NAME: &str = "refused_memory_is_null_and_the_heap_goes_on";
