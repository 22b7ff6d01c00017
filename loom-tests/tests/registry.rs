//! Model of `heap::registry`: a pool that one thread lists, another adopts, and freers claim.
//!
//! Tried, each fails: unhold outside the registry lock (the pool is given up but in no list), link after
//! unhold (links written unordered), a failed unhold that leaves the pool linked, a claimer that does
//! not unlink (a released pool stays listed), a claimer that unlinks after it took (fields read
//! unordered), adopt outside the lock, adopt that does not check the state (two holders). There is no
//! ordering to weaken:
//! all of the registry is behind its lock.
#![cfg(loom)]

use loom::thread;
use loom_tests::explore;
use loom_tests::pool::Model;

/// A thread ends with one block out and one free; another adopts the pool, a third frees the block.
#[test]
fn adopted_while_freed() {
    explore("abandon, adopt, free", Some(3), || {
        let pool = Model::new(1, 1);
        let (freeing, adopting) = (pool.clone(), pool.clone());
        let freer = thread::spawn(move || freeing.free(2, 0));
        let adopter = thread::spawn(move || {
            if adopting.adopt(3) {
                if let Some(block) = adopting.alloc() {
                    adopting.free(3, block);
                }
                adopting.give_up(3);
            }
        });
        pool.give_up(1);
        freer.join().unwrap();
        adopter.join().unwrap();
        pool.check_released();
    });
}

/// A listed pool with two blocks out: two freers, and an adopter that gives it up again.
#[test]
fn claimed_while_adopted() {
    for threshold in 1..=2 {
        explore("two freers, one adopter", Some(2), move || {
            let pool = Model::new(2, threshold);
            pool.give_up(1);
            let freers: Vec<_> = [2, 3]
                .map(|me| {
                    let pool = pool.clone();
                    thread::spawn(move || pool.free(me, me - 2))
                })
                .into_iter()
                .collect();
            if pool.adopt(4) {
                pool.give_up(4);
            }
            for freer in freers {
                freer.join().unwrap();
            }
            pool.check_released();
        });
    }
}

/// A listed pool with two blocks out, which another thread frees at once, and an adopter that gives it up
/// again.
#[test]
fn claimed_by_a_chain_while_adopted() {
    for threshold in 1..=2 {
        explore("a chain, one adopter", Some(3), move || {
            let pool = Model::new(2, threshold);
            pool.give_up(1);
            let freeing = pool.clone();
            let freer = thread::spawn(move || freeing.free_chain(2, &[0, 1]));
            if pool.adopt(4) {
                pool.give_up(4);
            }
            freer.join().unwrap();
            pool.check_released();
        });
    }
}

/// A pool that is being listed is found, by the adopter that is there or by the next one.
#[test]
fn listed_is_found() {
    explore("list, adopt", None, || {
        let pool = Model::new(1, 1);
        let adopting = pool.clone();
        let adopter = thread::spawn(move || adopting.adopt(2));
        pool.give_up(1);
        let adopted = adopter.join().unwrap();
        assert!(adopted != pool.adopt(1), "adopted by both or by nobody");
    });
}
