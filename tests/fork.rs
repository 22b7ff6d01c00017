//! Forks of a process whose other threads allocate and intern: cases H20 and X16 of `python.md`.
//!
//! Handlers of another library allocate and intern around every fork: some were registered before the heap's own
//! (from the list of initializers, before Rust's runtime), some after. A child that finds a lock held
//! hangs, and is killed.
#![cfg(target_os = "linux")]
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "each block is one life of a process")]

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hoopsnake::intern::{Atom, Interned, WeakInterned, intern};
use hoopsnake::{PoolAlloc, heap};

mod adds_up;
mod forked;
mod watched;
use adds_up::assert_adds_up;
use forked::{PATIENCE, fork};
use watched::Watched;

#[global_allocator]
static GLOBAL: Watched = Watched;

/// Calls of the handlers in this process.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Allocates all kinds of blocks and frees them.
fn allocate() {
    let blocks: Vec<Vec<u8>> =
        [1, 40, 700, 9000, 70_000, 3 << 20].iter().map(|&size| vec![7; size]).collect();
    assert!(blocks.iter().all(|block| block[block.len() - 1] == 7));
    let many: Vec<Box<u64>> = (0..2000).map(Box::new).collect();
    assert!(many.iter().zip(0..).all(|(block, n)| **block == n));
}

/// Takes the locks of all shards, of new words and of the last handles of old ones.
fn intern_all(round: usize) {
    let words: Vec<Interned<str>> =
        (0..400).map(|n| intern(&format!("word {}", (n * 31 + round) % 1000))).collect();
    assert!(
        words
            .iter()
            .zip(0..)
            .all(|(word, n)| **word == format!("word {}", (n * 31 + round) % 1000))
    );
    let value = Interned::new((round, "a value"));
    let weak = value.downgrade();
    assert!(weak.upgrade().is_some_and(|again| again.ptr_eq(&value)));
}

/// Something to do, and the calls of the handler since it was set.
type Later = (usize, Box<dyn FnOnce() + Send>);

/// What the second call from here on does: while this crate's locks are held for the fork.
static LATER: Mutex<Option<Later>> = Mutex::new(None);

/// Has the next fork's handler do something.
fn in_handler(f: impl FnOnce() + Send + 'static) {
    *LATER.lock().unwrap() = Some((0, Box::new(f)));
}

extern "C" fn another_handler() {
    CALLS.fetch_add(1, Ordering::Relaxed);
    allocate();
    intern_all(0);
    let mut later = LATER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((calls, _)) = &mut *later {
        *calls += 1;
        if let Some((_, f)) = later.take_if(|(calls, _)| *calls == 2) {
            f();
        }
    }
}

/// What another library does, at the time that suits it.
extern "C" fn register_another() {
    let handler: Option<unsafe extern "C" fn()> = Some(another_handler);
    // SAFETY: the handlers are functions of this program.
    assert_eq!(unsafe { libc::pthread_atfork(handler, handler, handler) }, 0);
}

/// Registers before anything has allocated.
#[used]
// The section holds pointers to functions without arguments, which this is.
#[unsafe(link_section = ".init_array")]
static BEFORE_ALL: extern "C" fn() = register_another;

/// Tests that fork take turns: what they keep busy must not be each other.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static AFTER: Once = Once::new();
    AFTER.call_once(|| {
        allocate();
        register_another();
    });
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child frees what it inherited and allocates.
#[test]
fn h20_a_child_frees_inherited_blocks() {
    let _alone = alone();
    let inherited: Vec<Vec<u8>> = (1..2000).map(|n| vec![n as u8; n * 50]).collect();
    let calls = CALLS.load(Ordering::Relaxed);
    fork(|| {
        assert!(CALLS.load(Ordering::Relaxed) >= calls + 4, "two handlers before and two after");
        assert!(inherited.iter().zip(1..).all(|(block, n)| block[block.len() - 1] == n as u8));
        drop(inherited);
        allocate();
        heap::trim();
        assert_adds_up(&heap::stats());
    });
}

/// Keeps every lock of the heap busy, and pools in every state.
fn busy(stop: &AtomicBool, round: usize) {
    let (send, receive) = sync_channel::<Vec<Box<[usize; 5]>>>(2);
    thread::scope(|scope| {
        scope.spawn(move || receive.into_iter().for_each(drop));
        let mut kept = Vec::new();
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let size = 1 + (n * 7919 + round) % 9000;
            kept.push(vec![1u8; size]);
            if kept.len() > 500 {
                kept.drain(..400);
            }
            if n % 50 == 0 {
                send.send((0..300).map(|n| Box::new([n; 5])).collect()).unwrap();
            }
            if n % 500 == 0 {
                black_box(vec![0u8; 5 << 20]);
                thread::spawn(|| drop(black_box(vec![1u64; 100]))).join().unwrap();
                heap::trim();
            }
        }
        drop(send);
    });
}

/// Case X16: a thousand forks (of the optimised build) while other threads allocate, free each other's blocks, start and end.
#[test]
fn x16_a_thousand_forks_of_a_busy_process() {
    let _alone = alone();
    let forks = if cfg!(any(sanitized, debug_assertions)) { 100 } else { 1000 };
    let stop = AtomicBool::new(false);
    let inherited: Vec<Vec<u8>> = (1..100).map(|n| vec![n as u8; n * 90]).collect();
    thread::scope(|scope| {
        for round in 0..3 {
            let stop = &stop;
            scope.spawn(move || busy(stop, round));
        }
        for n in 0..forks {
            fork(|| {
                allocate();
                assert!(inherited.iter().all(|block| block[0] == block[block.len() - 1]));
                if n % 50 == 0 {
                    // Its own threads, too, and their ends.
                    thread::spawn(allocate).join().unwrap();
                    heap::trim();
                    assert_adds_up(&heap::stats());
                }
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    // The parent goes on as before.
    allocate();
    assert_adds_up(&heap::stats());
}

/// Forks while other threads intern the same words and drop the last handles of them; the child does so
/// on threads of its own.
#[test]
fn x16_forks_of_a_process_that_interns() {
    let _alone = alone();
    let forks = if cfg!(any(sanitized, debug_assertions)) { 20 } else { 100 };
    let stop = AtomicBool::new(false);
    let inherited: Vec<Interned<str>> =
        (0..1000).step_by(3).map(|n| intern(&format!("word {n}"))).collect();
    thread::scope(|scope| {
        for round in 0..3 {
            let stop = &stop;
            scope.spawn(move || {
                (0..)
                    .take_while(|_| !stop.load(Ordering::Relaxed))
                    .for_each(|n| intern_all(n * 3 + round));
            });
        }
        for n in 0..forks {
            fork(|| {
                intern_all(n);
                assert!(inherited[n % 300].ptr_eq(&intern(&format!("word {}", n % 300 * 3))));
                if n % 10 == 0 {
                    thread::scope(|scope| {
                        (0..3).for_each(|round| drop(scope.spawn(move || intern_all(round))));
                    });
                }
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    intern_all(0);
}

/// Asks on another thread, and not for ever.
fn assert_in_time(check: impl FnOnce() -> bool + Send + 'static) {
    let (send, receive) = sync_channel(1);
    thread::spawn(move || send.send(check()));
    assert_eq!(receive.recv_timeout(PATIENCE / 4), Ok(true), "locked for ever");
}

fn assert_gone(weak: &WeakInterned<str>) {
    let weak = weak.clone();
    assert_in_time(move || weak.upgrade().is_none());
}

/// Another library's handler drops the last handle of an entry whose weak handles' lock is held for the fork.
#[test]
fn a_weak_handle_outlives_its_entry_in_a_handler() {
    let _alone = alone();
    let word = intern("dropped by a handler");
    let weak = word.downgrade();
    in_handler(move || drop(word));
    fork(|| assert_gone(&weak));
    assert!(LATER.lock().unwrap().is_none());
    assert_gone(&weak);
}

/// Runs `work` in two threads while the process forks, and `check` on a thread of each child.
fn fork_beside(work: impl Fn() + Sync, check: impl Fn() -> bool + Clone + Send + 'static) {
    let (stop, begin) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && begin.elapsed() < PATIENCE {
                    work();
                }
            });
        }
        for _ in 0..20 {
            let check = check.clone();
            fork(move || assert_in_time(check));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Other threads look at a weak handle of a dead entry while the process forks.
#[test]
fn a_dead_weak_handle_is_dead_in_a_child() {
    let _alone = alone();
    let weak = intern("dead before the fork").downgrade();
    let theirs = weak.clone();
    fork_beside(|| assert!(weak.upgrade().is_none()), move || theirs.upgrade().is_none());
}

/// Other threads upgrade a weak handle of a live entry, and its child does.
#[test]
fn a_live_weak_handle_is_alive_in_a_child() {
    let _alone = alone();
    let word = intern("alive in the child");
    let (weak, theirs) = (word.downgrade(), word.downgrade());
    fork_beside(|| assert!(weak.upgrade().is_some()), move || theirs.upgrade().is_some());
}

/// Weak handles come and go in other threads, and in the child.
#[test]
fn a_child_makes_weak_handles() {
    let _alone = alone();
    let word = intern("handles come and go");
    let theirs = word.clone();
    fork_beside(|| drop(word.downgrade()), move || theirs.downgrade().upgrade().is_some());
}

/// A child uses the atoms that another thread was about to make.
#[test]
fn a_child_uses_atoms() {
    let _alone = alone();
    for _ in 0..20 {
        let atoms: &'static [Atom] = Vec::leak((0..50_000).map(|_| Atom::new("an atom")).collect());
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for (at, atom) in atoms.iter().enumerate() {
                    next.store(at, Ordering::Relaxed);
                    atom.get();
                }
            });
            while next.load(Ordering::Relaxed) < 1000 {
                thread::yield_now();
            }
            fork(|| {
                let next = next.load(Ordering::Relaxed);
                let near = &atoms[next - 1000..atoms.len().min(next + 1000)];
                assert_in_time(move || near.iter().all(|atom| **atom.get() == *"an atom"));
            });
        });
    }
}

/// Other handlers are the first to intern values of some types, while this crate's locks are held for the fork;
/// other threads follow.
#[test]
fn an_interner_is_made_in_a_handler() {
    #[derive(PartialEq, Eq, Hash)]
    struct Fresh<const N: usize>;

    fn make<const N: usize>() {
        (0..100).for_each(|_| drop(Interned::new(Fresh::<N>)));
    }

    static MADE: AtomicBool = AtomicBool::new(false);

    let _alone = alone();
    let all: [fn(); 10] = [
        make::<0>, make::<1>, make::<2>, make::<3>, make::<4>, make::<5>, make::<6>, make::<7>,
        make::<8>, make::<9>,
    ];
    for f in all {
        MADE.store(false, Ordering::Relaxed);
        let (stop, begin) = (AtomicBool::new(false), Instant::now());
        let goes_on = || !stop.load(Ordering::Relaxed) && begin.elapsed() < PATIENCE;
        thread::scope(|scope| {
            scope.spawn(|| {
                while !MADE.load(Ordering::Relaxed) && goes_on() {
                    thread::yield_now();
                }
                while goes_on() {
                    f();
                }
            });
            in_handler(move || {
                f();
                MADE.store(true, Ordering::Relaxed);
                // Other threads follow.
                thread::sleep(Duration::from_millis(20));
            });
            fork(f);
            stop.store(true, Ordering::Relaxed);
        });
        assert!(MADE.load(Ordering::Relaxed), "the handler ran");
    }
}

/// A child forks again, and its child again.
#[test]
fn a_child_forks_too() {
    let _alone = alone();
    fork(|| {
        allocate();
        fork(|| {
            allocate();
            fork(allocate);
        });
        allocate();
    });
}

/// Blocks above the largest class need the arena lock, and no thread heap.
#[test]
fn a_child_uses_huge_blocks() {
    let _alone = alone();
    let layout = Layout::from_size_align(6 << 20, 4096).unwrap();
    // SAFETY: the block is live and has these sizes in turn.
    fork(|| unsafe {
        let mut place = PoolAlloc.alloc(layout);
        place.write(5);
        place = PoolAlloc.realloc(place, layout, 50 << 20);
        assert_eq!(place.read(), 5);
        PoolAlloc.dealloc(place, Layout::from_size_align(50 << 20, 4096).unwrap());
    });
}

/// Why writers are not under parking_lot's locks. It hands a lock to who sleeps for it, and in a child nobody
/// sleeps any more: what the forking thread took before the fork and gives back after it stays taken.
#[test]
fn x16_a_lock_of_parking_lot_is_lost_in_a_child() {
    static LOCK: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _turn = alone();
    let held = LOCK.lock();
    let sleeper = thread::spawn(|| drop(LOCK.lock()));
    thread::sleep(Duration::from_millis(200));
    fork(|| {
        // SAFETY: taken above by this thread, and the other guard is the parent's.
        unsafe { LOCK.force_unlock() };
        assert!(LOCK.try_lock_for(Duration::from_millis(100)).is_none(), "handed to nobody");
    });
    drop(held);
    sleeper.join().expect("in the parent all is well");
}

/// Nor would one let the thread pass that holds it for the fork, when another library's handler needs it.
#[test]
fn x16_a_lock_of_parking_lot_knows_no_owner() {
    let lock = parking_lot::Mutex::new(());
    let _held = lock.lock();
    assert!(lock.try_lock_for(Duration::from_millis(50)).is_none());
}
