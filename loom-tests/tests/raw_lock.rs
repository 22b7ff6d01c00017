//! Model of `sync::raw_lock`: one at a time, nobody sleeps for ever, and a forking thread passes.
//!
//! Tried, each fails: each Acquire Relaxed, the Release of `unlock` Relaxed (`.ci/orderings raw_lock`);
//! an unlock that never wakes, a locker that goes to sleep after swapping in HELD instead of CONTENDED
//! (deadlock); a lock that does not let the forking thread pass (deadlock).
#![cfg(loom)]

use hoopsnake::model::RawMutex;
use loom::sync::Arc;
use loom::thread;
use loom_tests::explore;

/// Three threads add to the value; loom sees accesses that are not ordered, and threads that never wake.
#[test]
fn one_at_a_time() {
    explore("three lockers", Some(2), || {
        let lock = Arc::new(RawMutex::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || *lock.lock() += 1)
            })
            .collect();
        *lock.lock() += 1;
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(*lock.lock(), 3);
    });
}

/// Between the two ends of a fork its thread passes, and no other does.
#[test]
fn only_the_forking_thread_passes() {
    explore("a fork, one locker", None, || {
        let lock = Arc::new(RawMutex::new(0));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                let mut value = lock.lock();
                assert_ne!(*value, 1, "seen in the middle of a fork");
                *value += 2;
            })
        };
        lock.begin_fork();
        *lock.lock() += 1;
        *lock.lock() += 1;
        lock.end_fork();
        other.join().unwrap();
        assert_eq!(*lock.lock(), 4);
    });
}
