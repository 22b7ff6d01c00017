//! Mistakes of `unsafe` code that the heap notices: case X14 of `python.md`. Each is made in a process of
//! its own, which must abort with a message that names the pointer, the class and both sizes.
#![cfg(all(unix, not(sanitized)))]
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "each block is one mistake")]

use std::alloc::{self, GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::ptr::NonNull;
use std::thread;

use allocator_api2::alloc::Allocator;
use hoopsnake::heap::{Checks, set_checks};
use hoopsnake::{Cc, PoolAlloc, Trace, TraceInfo, Tracer, gc};

mod watched;
use watched::Watched;

#[global_allocator]
static GLOBAL: Watched = Watched;

/// Set in the process that makes the mistake: which checks it has.
const CHILD: &str = "HOOPSNAKE_TEST_CHECKS";

/// `alloc`, of which the optimizer does not know what it is: it would leave out a block that is only freed.
///
/// # Safety
/// As the real one.
unsafe fn alloc(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's.
    black_box(unsafe { alloc::alloc(layout) })
}

/// # Safety
/// None: it is called with what is wrong.
unsafe fn dealloc(place: *mut u8, layout: Layout) {
    // SAFETY: wrong on purpose.
    unsafe { alloc::dealloc(black_box(place), layout) }
}

/// # Safety
/// None: it is called with what is wrong.
unsafe fn realloc(place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    // SAFETY: wrong on purpose.
    black_box(unsafe { alloc::realloc(black_box(place), layout, size) })
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Makes a mistake in a child under these checks, and compares its last words.
fn must_abort(test: &str, checks: Checks, mistake: unsafe fn(), said: &[&str]) {
    let name = format!("{checks:?}");
    match std::env::var(CHILD) {
        Ok(mine) if mine == name => {
            set_checks(checks);
            // SAFETY: wrong on purpose.
            unsafe { mistake() };
            return;
        }
        Ok(_) => return,
        Err(_) => {}
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, &name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let signal = output.status.signal();
    assert_eq!(
        signal,
        Some(libc::SIGABRT),
        "{test} under {name} checks: {:?}\n{text}",
        output.status
    );
    let last = text.lines().find(|line| line.starts_with("hoopsnake: ")).unwrap_or_default();
    assert!(last.contains("0x"), "no pointer: {last}");
    for part in said {
        assert!(last.contains(part), "{part:?} is missing in: {last}");
    }
}

/// From here on a mistake is reported by a handler that allocates what the arena lock is for: it must not be held.
/// If the handler waits for ever, the alarm ends the process. (Mistakes are made without [`Watched`] then: it would
/// take the handler's allocations for the allocator's own.)
fn report_mistakes() {
    extern "C" fn report(_: libc::c_int) {
        drop(black_box(vec![1_u8; 300_000]));
        drop(black_box(vec![1_u8; 20_000_000]));
    }
    // SAFETY: the handler has the type of one.
    unsafe {
        libc::signal(libc::SIGABRT, report as extern "C" fn(libc::c_int) as usize);
        libc::alarm(20);
    }
}

/// A test for each mistake: its name, the checks that notice it, its code, what is said.
macro_rules! mistakes {
    ($($(#[$doc:meta])* $name:ident: [$($checks:ident),+], $said:expr, $code:block)+) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            /// # Safety
            /// Never sound: that is the point.
            unsafe fn mistake() $code
            $(must_abort(stringify!($name), Checks::$checks, mistake, &$said);)+
        }
    )+};
}

mistakes! {
    /// A vector's length for its capacity, say.
    x14_dealloc_with_a_smaller_size: [Full],
    ["dealloc or realloc of 0x", "with 90 bytes aligned to 8 (class 11, 96 bytes)", "a block of 104 bytes (class 12)"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(100, 8)), layout(90, 8)) } }

    x14_dealloc_with_a_larger_size: [Full], ["with 1000 bytes", "a block of 64 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(64, 8)), layout(1000, 8)) } }

    x14_dealloc_with_another_alignment: [Full], ["aligned to 64 (class 15, 128 bytes)", "a block of 104 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(100, 8)), layout(100, 64)) } }

    x14_dealloc_of_a_medium_block: [Full], ["with 30000 bytes", "a block of 10240 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(10_000, 8)), layout(30_000, 8)) } }

    x14_realloc_with_another_size: [Full], ["with 40 bytes", "a block of 104 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { _ = realloc(alloc(layout(100, 8)), layout(40, 8), 48); } }

    /// An address of the heap's where nothing ever was, not even the heap's own notes.
    x14_dealloc_of_a_huge_block_that_never_was: [Usual, Full], ["with 20000000 bytes", "no block begins there"],
    {
        let huge = layout(20_000_000, 8);
        // SAFETY: wrong on purpose.
        unsafe { dealloc(alloc(huge).wrapping_add(64 << 20), huge) }
    }

    x14_realloc_of_a_huge_block_that_never_was: [Usual, Full], ["with 20000000 bytes", "no block begins there"],
    {
        let huge = layout(20_000_000, 8);
        // SAFETY: wrong on purpose.
        unsafe { _ = realloc(alloc(huge).wrapping_add(64 << 20), huge, 30_000_000); }
    }

    /// Before it is copied from.
    x14_realloc_of_what_is_no_huge_block: [Usual, Full], ["with 20000000 bytes", "no block begins there"],
    {
        let huge = layout(20_000_000, 8);
        // SAFETY: wrong on purpose.
        unsafe { _ = realloc(alloc(huge).wrapping_add(64 << 20), huge, 100); }
    }

    x14_realloc_of_what_is_no_run: [Usual, Full], ["with 300000 bytes", "no block begins there"],
    {
        let run = layout(300_000, 8);
        // SAFETY: wrong on purpose.
        unsafe { _ = realloc(alloc(run).wrapping_add(64 << 20), run, 30_000_000); }
    }

    /// An allocation of another alignment is copied to by `Allocator`'s own code.
    x14_growth_to_another_alignment_of_what_is_no_block: [Usual, Full], ["with 300000 bytes", "no block begins there"],
    {
        let run = layout(300_000, 8);
        // SAFETY: wrong on purpose.
        unsafe {
            let wrong = NonNull::new_unchecked(alloc(run).wrapping_add(64 << 20));
            _ = black_box((&PoolAlloc).grow(wrong, run, layout(400_000, 4096)));
        }
    }

    x14_zeroed_growth_of_what_is_no_block: [Usual, Full], ["with 20000000 bytes", "no block begins there"],
    {
        let huge = layout(20_000_000, 8);
        // SAFETY: wrong on purpose.
        unsafe {
            let wrong = NonNull::new_unchecked(alloc(huge).wrapping_add(64 << 20));
            _ = black_box((&PoolAlloc).grow_zeroed(wrong, huge, layout(30_000_000, 8)));
        }
    }

    /// The new block could be the one that was freed.
    x14_growth_to_another_alignment_of_a_freed_run: [Usual, Full], ["with 300000 bytes", "freed already"],
    {
        let run = layout(300_000, 8);
        // SAFETY: wrong on purpose.
        unsafe {
            let place = alloc(run);
            dealloc(place, run);
            let place = NonNull::new_unchecked(place);
            _ = black_box((&PoolAlloc).grow(place, run, layout(310_000, 4096)));
        }
    }

    x14_zeroed_growth_of_a_freed_block: [Full], ["a block of 104 bytes (class 12) that is free already"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let place = alloc(layout(100, 8));
            dealloc(place, layout(100, 8));
            let place = NonNull::new_unchecked(place);
            _ = black_box((&PoolAlloc).grow_zeroed(place, layout(100, 8), layout(104, 8)));
        }
    }

    mistakes_with_runs_that_a_handler_reports: [Usual, Full], ["with 300000 bytes", "no block begins there"],
    {
        let run = layout(300_000, 8);
        report_mistakes();
        // SAFETY: wrong on purpose.
        unsafe { PoolAlloc.dealloc(black_box(alloc(run).wrapping_add(64 << 20)), run) };
    }

    mistakes_with_huge_blocks_that_a_handler_reports: [Usual, Full], ["with 9000000 bytes", "a huge block of 5001216 bytes"],
    {
        report_mistakes();
        // SAFETY: wrong on purpose.
        unsafe { PoolAlloc.dealloc(black_box(alloc(layout(5_000_000, 8))), layout(9_000_000, 8)) };
    }

    mistakes_of_growth_that_a_handler_reports: [Usual, Full], ["with 9000000 bytes", "a huge block of 5001216 bytes"],
    {
        report_mistakes();
        // SAFETY: wrong on purpose.
        unsafe {
            let place = alloc(layout(5_000_000, 8));
            _ = black_box(PoolAlloc.realloc(place, layout(9_000_000, 8), 9_500_000));
        }
    }

    mistakes_of_copies_that_a_handler_reports: [Usual, Full], ["with 9000000 bytes", "a huge block of 5001216 bytes"],
    {
        report_mistakes();
        // SAFETY: wrong on purpose.
        unsafe {
            let place = alloc(layout(5_000_000, 8));
            _ = black_box(PoolAlloc.realloc(place, layout(9_000_000, 8), 100));
        }
    }

    /// Such a layout is nobody's.
    dealloc_of_a_run_as_nothing: [Usual, Full], ["with 0 bytes aligned to 1048576", "a block of 131072 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(100_000, 8)), layout(0, 1 << 20)) } }

    x14_dealloc_of_a_run_that_never_was: [Usual, Full], ["with 300000 bytes", "no block begins there"],
    {
        let run = layout(300_000, 8);
        // SAFETY: wrong on purpose.
        unsafe { dealloc(alloc(run).wrapping_add(64 << 20), run) }
    }

    /// Always noticed: the block is another thread's.
    x14_dealloc_on_another_thread: [Usual, Full], ["with 1000 bytes", "a block of 64 bytes"],
    {
        // SAFETY: wrong on purpose.
        let place = unsafe { alloc(layout(64, 8)) } as usize;
        // SAFETY: wrong on purpose.
        let freed = thread::spawn(move || unsafe { dealloc(place as *mut u8, layout(1000, 8)) });
        freed.join().unwrap();
    }

    /// What grew may have got more room than its class has, and be of all these sizes.
    x14_dealloc_of_what_grew_on_another_thread: [Usual],
    ["with 300 bytes", "it grew in a block of 8192 bytes"],
    {
        // SAFETY: wrong on purpose.
        let place = unsafe { realloc(alloc(layout(300, 8)), layout(300, 8), 600) } as usize;
        // SAFETY: wrong on purpose.
        let freed = thread::spawn(move || unsafe { dealloc(place as *mut u8, layout(300, 8)) });
        freed.join().unwrap();
    }

    x14_dealloc_of_what_grew: [Full], ["with 1000 bytes", "a block of 640 bytes"],
    {
        // SAFETY: wrong on purpose.
        unsafe { dealloc(realloc(alloc(layout(300, 8)), layout(300, 8), 600), layout(1000, 8)) };
    }

    /// Always noticed sooner or later: when the pool has a thing to do.
    x14_dealloc_of_many: [Usual, Full], ["with 1000 bytes", "a block of 64 bytes"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let places: Vec<_> = (0..5000).map(|_| alloc(layout(64, 8))).collect();
            places.into_iter().for_each(|place| dealloc(place, layout(1000, 8)));
        }
    }

    dealloc_of_a_run_as_another: [Usual, Full], ["with 300000 bytes aligned to 8 (no class)", "a block of 131072 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(100_000, 8)), layout(300_000, 8)) } }

    dealloc_of_a_run_as_a_small_block: [Usual, Full], ["with 10 bytes", "a block of 131072 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(100_000, 8)), layout(10, 8)) } }

    dealloc_of_a_small_block_as_a_run: [Usual, Full], ["with 100000 bytes", "a block of 16 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(10, 8)), layout(100_000, 8)) } }

    realloc_of_a_run_as_another: [Usual, Full], ["with 300000 bytes", "a block of 131072 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { _ = realloc(alloc(layout(100_000, 8)), layout(300_000, 8), 310_000); } }

    dealloc_of_a_huge_block_as_another: [Usual, Full], ["with 9000000 bytes", "a huge block of 5001216 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(5_000_000, 8)), layout(9_000_000, 8)) } }

    realloc_of_a_huge_block_as_another: [Usual, Full], ["with 9000000 bytes", "a huge block of 5001216 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { _ = realloc(alloc(layout(5_000_000, 8)), layout(9_000_000, 8), 9_500_000); } }

    second_free: [Full], ["a block of 104 bytes (class 12) that is free already"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let place = alloc(layout(100, 8));
            dealloc(place, layout(100, 8));
            dealloc(place, layout(100, 8));
        }
    }

    second_free_of_eight_bytes: [Full], ["a block of 8 bytes (class 0) that is free already"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let places = [alloc(layout(8, 8)), alloc(layout(8, 8)), alloc(layout(8, 8))];
            dealloc(places[0], layout(8, 8));
            dealloc(places[2], layout(8, 8));
            dealloc(places[1], layout(8, 8));
            dealloc(places[0], layout(8, 8));
        }
    }

    second_free_on_another_thread: [Full], ["that is free already"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let place = alloc(layout(100, 8));
            dealloc(place, layout(100, 8));
            let place = place as usize;
            thread::spawn(move || dealloc(place as *mut u8, layout(100, 8))).join().unwrap();
        }
    }

    /// It has room: it grew before everything was looked at.
    second_free_of_what_grew: [Usual], ["a block of 8192 bytes (class 63) that is free already"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let place = realloc(alloc(layout(300, 8)), layout(300, 8), 600);
            set_checks(Checks::Full);
            dealloc(place, layout(600, 8));
            dealloc(place, layout(600, 8));
        }
    }

    /// Both on another thread than the block's: noticed at last when what that thread keeps goes home.
    two_frees_on_another_thread: [Usual], ["two deallocs of one block of 104 bytes (class 12), of 0x"],
    {
        // SAFETY: wrong on purpose.
        let [first, second, third] = [(); 3].map(|()| unsafe { alloc(layout(100, 8)) } as usize);
        let freed = thread::spawn(move || {
            for place in [first, second, third, second] {
                // SAFETY: wrong on purpose.
                unsafe { dealloc(place as *mut u8, layout(100, 8)) };
            }
        });
        freed.join().unwrap();
    }

    /// Its pool has ended, and another of its class lies there.
    second_free_in_a_new_pool: [Full], ["a block of 64 bytes (class 7) that is free already"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let places: Vec<_> = (0..5000).map(|_| alloc(layout(64, 8))).collect();
            places.iter().for_each(|&place| dealloc(place, layout(64, 8)));
            // One pool was kept: these are all of its blocks, and some of a new one.
            let again: Vec<_> = (0..1100).map(|_| alloc(layout(64, 8))).collect();
            let pool = |place: *mut u8| place as usize >> 16;
            let new = pool(again[1099]);
            let stale = places.iter().find(|&&place| pool(place) == new && !again.contains(&place));
            dealloc(*stale.expect("the new pool lies where one was"), layout(64, 8));
        }
    }

    second_free_of_a_run: [Usual, Full], ["with 100000 bytes", "no block is there"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let place = alloc(layout(100_000, 8));
            dealloc(place, layout(100_000, 8));
            dealloc(place, layout(100_000, 8));
        }
    }

    second_free_of_a_huge_block: [Usual, Full], ["with 5000000 bytes", "no block is there"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let place = alloc(layout(5_000_000, 8));
            dealloc(place, layout(5_000_000, 8));
            dealloc(place, layout(5_000_000, 8));
        }
    }

    second_free_of_a_huge_block_that_is_kept: [Usual, Full], ["with 3000000 bytes", "no block is there"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            // So much is in use that the heap keeps a few free MiB.
            let _used: Vec<_> = (0..60).map(|_| alloc(layout(2 << 20, 8))).collect();
            let place = alloc(layout(3_000_000, 8));
            dealloc(place, layout(3_000_000, 8));
            dealloc(place, layout(3_000_000, 8));
        }
    }

    realloc_of_a_freed_block: [Full], ["that is free already"],
    {
        // SAFETY: wrong on purpose.
        unsafe {
            let place = alloc(layout(100, 8));
            dealloc(place, layout(100, 8));
            _ = realloc(place, layout(100, 8), 104);
        }
    }

    dealloc_inside_a_block: [Full], ["it is 8 bytes into a block of 104 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(100, 8)).add(8), layout(100, 8)) } }

    dealloc_inside_a_run: [Usual, Full], ["it is 65536 bytes into a block of 131072 bytes"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(100_000, 8)).add(65_536), layout(100_000, 8)) } }

    dealloc_inside_a_huge_block: [Usual, Full], ["with 5000000 bytes", "no block is there"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(alloc(layout(5_000_000, 8)).add(4096), layout(5_000_000, 8)) } }

    dealloc_of_a_block_of_malloc: [Usual, Full], ["with 100 bytes", "this allocator did not hand it out"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(System.alloc(layout(100, 8)), layout(100, 8)) } }

    dealloc_of_a_large_block_of_malloc: [Usual, Full], ["with 5000000 bytes", "this allocator did not hand it out"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(System.alloc(layout(5_000_000, 8)), layout(5_000_000, 8)) } }

    dealloc_of_a_run_of_malloc: [Usual, Full], ["with 100000 bytes", "this allocator did not hand it out"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(System.alloc(layout(100_000, 8)), layout(100_000, 8)) } }

    dealloc_of_a_local_variable: [Usual, Full], ["this allocator did not hand it out"],
    {
        let mut local = [0u64; 4];
        // SAFETY: wrong on purpose.
        unsafe { dealloc(black_box(local.as_mut_ptr()).cast(), layout(32, 8)) };
    }

    dealloc_of_a_static: [Usual, Full], ["this allocator did not hand it out"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc((&raw const GLOBAL).cast_mut().cast(), layout(32, 8)) } }

    dealloc_of_a_dangling_pointer: [Usual, Full], ["of 0x8 with 32 bytes", "this allocator did not hand it out"],
    // SAFETY: wrong on purpose.
    { unsafe { dealloc(black_box(8 as *mut u8), layout(32, 8)) } }

    realloc_of_a_local_variable: [Full], ["this allocator did not hand it out"],
    {
        let mut local = [0u64; 4];
        // SAFETY: wrong on purpose.
        unsafe { _ = realloc(black_box(local.as_mut_ptr()).cast(), layout(32, 8), 30) };
    }

    dealloc_of_a_counted_object: [Full], ["in a pool of counted objects"],
    {
        let object = Cc::new(7u64);
        // SAFETY: wrong on purpose.
        unsafe { dealloc((&raw const *object).cast_mut().cast(), layout(8, 8)) };
    }
}

thread_local! {
    static LATE: Cell<Option<Late>> = const { Cell::new(None) };
}

/// Allocates and frees when its thread ends.
struct Late(Vec<u8>);

impl Drop for Late {
    fn drop(&mut self) {
        self.0.resize(5000, 1);
        drop(black_box(self.0.clone()));
    }
}

/// Whether this is the process for that test; if not it is run, and must succeed.
fn is_child(test: &str) -> bool {
    if let Some(mine) = std::env::var_os(CHILD) {
        return mine == *test;
    }
    let program = std::env::current_exe().unwrap();
    let child = Command::new(program).args([test, "--exact"]).env(CHILD, test).output();
    let output = child.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    false
}

/// Correct programs run as before under full checks, also those that began without.
#[test]
fn correct_programs_pass_full_checks() {
    if !is_child("correct_programs_pass_full_checks") {
        return;
    }
    let work = |round: usize| {
        LATE.set(Some(Late(vec![1; 10])));
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for n in 0..30_000 {
            let mut bytes = vec![round as u8; 1 + (n * 7919 + round) % 3000];
            bytes.truncate(bytes.len() - bytes.len() / 5);
            bytes.shrink_to_fit();
            kept.push(bytes);
            if kept.len() > 300 {
                kept.drain(..200);
            }
        }
        let objects: Vec<_> = (0..2000u64).map(Cc::new).collect();
        assert!(objects.iter().zip(0..).all(|(object, n)| **object == n));
        kept
    };
    // What was allocated before, also by other threads, and shrunk in place, is freed under checks.
    let before = work(0);
    let elsewhere = thread::spawn(move || work(1)).join().unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(move || (0..4).flat_map(work).collect::<Vec<_>>());
        thread::sleep(std::time::Duration::from_millis(5));
        set_checks(Checks::Full);
        drop((before, elsewhere));
        let threads: Vec<_> = (2..6).map(|round| scope.spawn(move || work(round))).collect();
        for thread in threads {
            drop(thread.join().unwrap());
        }
        drop(running.join().unwrap());
    });
    let stats = hoopsnake::heap::stats();
    let parts = stats.allocated + stats.available + stats.unused_pools + stats.headers;
    assert_eq!(parts + stats.quantization + stats.alignment, stats.total(), "{stats}");
}

/// What grew before has room under full checks, too, and keeps it while its class stays the same: also below
/// the least that gets room.
#[test]
fn what_grew_before_full_checks_passes_them() {
    if !is_child("what_grew_before_full_checks_passes_them") {
        return;
    }
    let grown = [(300, 8, 512), (100, 1024, 600), (300, 4096, 3000)].map(|(old, align, new)| {
        // SAFETY: the size is not zero, and the block is resized once.
        let place = unsafe { realloc(alloc(layout(old, align)), layout(old, align), new) };
        (place, align, new)
    });
    set_checks(Checks::Full);
    for (place, align, size) in grown {
        let least = if align == 8 { 481 } else { 1 };
        // SAFETY: the block is live, resized to its class's least size, and freed.
        unsafe {
            assert_eq!(realloc(place, layout(size, align), least), place, "{size} to {least}");
            dealloc(place, layout(least, align));
        }
    }
}

/// What shrank in place before has a layout of another class, and may get too small for its block under full checks
/// without a change of that class.
#[test]
fn what_shrank_before_full_checks_passes_them() {
    if !is_child("what_shrank_before_full_checks_passes_them") {
        return;
    }
    let steps = [(40, 31, 27), (1024, 800, 770), (12 << 10, (9 << 10) + 8, (9 << 10) - 500)];
    let shrunk = steps.map(|(old, new, least)| {
        // SAFETY: the size is not zero, and the block is resized once.
        unsafe {
            let place = alloc(layout(old, 8));
            assert_eq!(realloc(place, layout(old, 8), new), place, "{old} to {new}");
            place.write_bytes(7, new);
            (place, new, least)
        }
    });
    set_checks(Checks::Full);
    for (place, size, least) in shrunk {
        // SAFETY: the block is live, resized, written to its size, and freed.
        unsafe {
            let place = realloc(place, layout(size, 8), least);
            assert!(core::slice::from_raw_parts(place, least).iter().all(|&byte| byte == 7));
            dealloc(place, layout(least, 8));
        }
    }
}

/// Pools of a checked heap are its own: what the collector notes in them is not lost.
#[test]
fn old_garbage_is_found_under_full_checks() {
    struct Ring(RefCell<Option<Cc<Ring>>>);
    // SAFETY: the one field, once; no `Drop`.
    unsafe impl Trace for Ring {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            self.0.trace(tracer);
        }
    }
    impl TraceInfo for Ring {}
    if !is_child("old_garbage_is_found_under_full_checks") {
        return;
    }
    set_checks(Checks::Full);
    gc::disable();
    let ring = Cc::new(Ring(RefCell::default()));
    *ring.0.borrow_mut() = Some(ring.clone());
    gc::collect();
    drop(ring);
    assert_eq!(gc::step(100), 1);
}
