//! Threads of every kind: their ends, and what runs after ours.
#![cfg(unix)]
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "each block is one life of a thread")]

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use hoopsnake::{Cc, heap};
use libc::{c_void, pthread_key_t, pthread_t};

mod adds_up;
mod watched;
use adds_up::assert_adds_up;
use watched::Watched;

#[global_allocator]
static GLOBAL: Watched = Watched;

/// Allocates blocks of all kinds, and one that grows, checks and frees them.
fn work(seed: usize) {
    let sizes = [8, 24, 100, 1000, 9000, 70_000, 5 << 20];
    let blocks: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![seed as u8; size]).collect();
    let many: Vec<Box<usize>> = (0..500).map(|n| Box::new(n ^ seed)).collect();
    let mut grown = Vec::new();
    (0..3000).for_each(|n| grown.push(n ^ seed));
    assert!(grown.iter().enumerate().all(|(n, &number)| number == n ^ seed));
    assert!(blocks.iter().all(|block| block[block.len() - 1] == seed as u8));
    assert!(many.iter().enumerate().all(|(n, block)| **block == n ^ seed));
}

/// Tests that count arenas wait for those that use some.
static QUIET: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    QUIET.read().unwrap_or_else(PoisonError::into_inner)
}

// Destructors of threads ---------------------------------------------------------------------------

/// Rounds of key destructors that the C library runs at the least.
const ROUNDS: usize = 4;

/// Rounds in which destructors of the last test's threads ran.
static RAN: [AtomicUsize; ROUNDS] = [const { AtomicUsize::new(0) }; ROUNDS];

/// A key of another library, whose destructor allocates and frees in every round: after the heap's own has
/// given everything up in the third one, too.
fn late_key() -> pthread_key_t {
    static KEY: OnceLock<pthread_key_t> = OnceLock::new();

    /// # Safety
    /// The value is what `arm_late_key` or this function set.
    unsafe extern "C" fn late(value: *mut c_void) {
        // SAFETY: the value is the box that was set for this round.
        let mut kept = unsafe { Box::from_raw(value.cast::<Late>()) };
        RAN[kept.round].fetch_add(1, Ordering::Relaxed);
        work(kept.round);
        kept.blocks.push(vec![kept.round as u8; 300]);
        kept.round += 1;
        if kept.round < ROUNDS {
            let value = Box::into_raw(kept).cast();
            // SAFETY: the key exists; its destructor takes the box back.
            assert_eq!(unsafe { libc::pthread_setspecific(late_key(), value) }, 0);
        }
    }

    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` is writable.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(late)) }, 0);
        key
    })
}

struct Late {
    round: usize,
    blocks: Vec<Vec<u8>>,
}

/// Has the key's destructor run in this thread.
fn arm_late_key() {
    let late = Box::new(Late { round: 0, blocks: (1..200).map(|n| vec![7; n]).collect() });
    // SAFETY: the key exists; its destructor takes the box back.
    assert_eq!(unsafe { libc::pthread_setspecific(late_key(), Box::into_raw(late).cast()) }, 0);
}

#[test]
fn destructors_allocate_after_our_own() {
    let _beside = beside_others();
    // The heap's key is made first, so within a round its destructor runs first.
    work(1);
    let before = RAN.each_ref().map(|round| round.load(Ordering::Relaxed));
    for seed in 0..50 {
        thread::spawn(move || {
            work(seed);
            arm_late_key();
        })
        .join()
        .unwrap();
    }
    let after = RAN.each_ref().map(|round| round.load(Ordering::Relaxed));
    for (round, (before, after)) in before.into_iter().zip(after).enumerate() {
        assert!(after >= before + 50, "round {round} ran {} times", after - before);
    }
    assert_adds_up(&heap::stats());
}

/// As above, in a thread that never allocated before its destructors: its heap is made there.
#[test]
fn destructors_make_the_heap() {
    let _beside = beside_others();
    let value = Box::into_raw(Box::new(Late { round: 1, blocks: Vec::new() })) as usize;
    in_c_thread(value as *mut c_void, |value| {
        // SAFETY: the key exists; its destructor takes the box back.
        assert_eq!(unsafe { libc::pthread_setspecific(late_key(), value) }, 0);
        value
    });
    assert_adds_up(&heap::stats());
}

thread_local! {
    /// Registered before the thread's first allocation, so destroyed last.
    static FIRST: RefCell<Noisy> = const { RefCell::new(Noisy(Vec::new())) };
    static OBJECTS: Cell<Option<Cc<Vec<u8>>>> = const { Cell::new(None) };
}

struct Noisy(Vec<Option<Box<u64>>>);

impl Drop for Noisy {
    fn drop(&mut self) {
        assert!(self.0.iter().zip(0..).all(|(block, n)| block.as_deref() == Some(&n)));
        self.0.extend((0..1000).map(Box::new).map(Some));
        work(self.0.len());
    }
}

#[test]
fn thread_locals_are_destroyed_before_and_after() {
    let _beside = beside_others();
    for _ in 0..50 {
        thread::spawn(|| {
            FIRST.with(|_| ());
            OBJECTS.set(Some(Cc::new(vec![1; 100])));
            FIRST.with(|first| first.borrow_mut().0.extend((0..5000).map(Box::new).map(Some)));
        })
        .join()
        .unwrap();
    }
    assert_adds_up(&heap::stats());
}

// Threads that Rust did not make -------------------------------------------------------------------

/// Runs `f` in a thread made by `pthread_create`, and returns what it returns.
fn in_c_thread(value: *mut c_void, f: fn(*mut c_void) -> *mut c_void) -> *mut c_void {
    struct Call(fn(*mut c_void) -> *mut c_void, *mut c_void);

    extern "C" fn start(call: *mut c_void) -> *mut c_void {
        // SAFETY: the caller waits, so the call outlives this.
        let call = unsafe { &*call.cast::<Call>() };
        (call.0)(call.1)
    }

    let call = Call(f, value);
    let mut id: pthread_t = 0 as pthread_t;
    let mut result = ptr::null_mut();
    // SAFETY: `call` lives until the thread was joined, once.
    unsafe {
        let arg = (&raw const call).cast_mut().cast();
        assert_eq!(libc::pthread_create(&raw mut id, ptr::null(), start, arg), 0);
        assert_eq!(libc::pthread_join(id, &raw mut result), 0);
    }
    result
}

#[test]
fn c_threads_allocate_and_free() {
    let _beside = beside_others();
    for seed in 0..30 {
        let given = Box::into_raw(Box::new(vec![seed as u8; 100 * (seed + 1)]));
        let taken = in_c_thread(given.cast(), |given| {
            // SAFETY: the box is this thread's now.
            let given = unsafe { Box::from_raw(given.cast::<Vec<u8>>()) };
            work(given.len());
            arm_late_key();
            Box::into_raw(Box::new(given.iter().map(|&byte| u64::from(byte)).sum::<u64>())).cast()
        });
        // SAFETY: the thread that made the box has ended.
        let sum = unsafe { Box::from_raw(taken.cast::<u64>()) };
        assert_eq!(*sum, (seed * 100 * (seed + 1)) as u64);
    }
    assert_adds_up(&heap::stats());
}

/// A thread whose first and only dealings with the heap are frees.
#[test]
fn a_thread_only_frees() {
    let _beside = beside_others();
    for _ in 0..20 {
        let blocks: Vec<Box<[u64; 9]>> = (0..3000).map(|n| Box::new([n; 9])).collect();
        let raw = Box::into_raw(Box::new(blocks));
        in_c_thread(raw.cast(), |blocks| {
            // SAFETY: the box is this thread's now.
            drop(unsafe { Box::from_raw(blocks.cast::<Vec<Box<[u64; 9]>>>()) });
            ptr::null_mut()
        });
    }
    assert_adds_up(&heap::stats());
}

// Storms -------------------------------------------------------------------------------------------

/// Many short threads, some of them at once, whose blocks are freed by others: nothing grows.
#[test]
fn a_storm_of_threads_leaves_nothing() {
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    let threads = if cfg!(any(debug_assertions, sanitized)) { 1_000 } else { 10_000 };
    let left: Mutex<Vec<Vec<Box<[u8; 40]>>>> = Mutex::new(Vec::new());
    let storm = |count: usize| {
        for round in 0..count / 20 {
            thread::scope(|scope| {
                for n in 0..20 {
                    let left = &left;
                    scope.spawn(move || {
                        work(n);
                        let blocks = (0..100).map(|_| Box::new([n as u8; 40])).collect();
                        let mut left = left.lock().unwrap();
                        left.push(blocks);
                        if left.len() > 50 {
                            drop(left.drain(..30));
                        }
                    });
                }
            });
            black_box(round);
        }
    };
    // Without the large blocks that the heap keeps for the next of their size: how many those are depends
    // on which threads happened to run together.
    let trimmed = || {
        heap::trim();
        heap::stats()
    };
    storm(threads / 10);
    let before = trimmed();
    storm(threads);
    let after = trimmed();
    assert_adds_up(&heap::stats());
    // With optimisation, one forgotten pool of each thread would be ten times that.
    assert!(after.arenas <= before.arenas + 16, "{} then {} arenas", before.arenas, after.arenas);
}
