//! Model of `heap::word`: push, claim, take and unhold of a pool whose blocks are out everywhere.
//!
//! Tried, each fails: push Relaxed (the taker reads the link unordered), take Relaxed (the same), unhold
//! full Relaxed (the claimer writes the holder's fields unordered), unhold by a plain store instead of
//! the CAS (a block is lost), a push that never claims (the pool never comes back), a push that does not
//! count `need` down (the same), or the blocks up (the chain is longer than its count), or a chain as one
//! block in either. Claim needs no order at all, nor does adopt: they have none.
#![cfg(loom)]

use loom::thread;
use loom_tests::explore;
use loom_tests::pool::Model;

/// The holder gives a full pool up while two others free their blocks of it.
#[test]
fn full_pool_finds_a_new_holder() {
    for threshold in 1..=3 {
        explore("full pool, two freers", Some(2), move || {
            let pool = Model::new(3, threshold);
            let freers: Vec<_> = [2, 3]
                .map(|me| {
                    let pool = pool.clone();
                    thread::spawn(move || pool.free(me, me - 2))
                })
                .into_iter()
                .collect();
            pool.give_up(1);
            pool.free(1, 2);
            for freer in freers {
                freer.join().unwrap();
            }
            pool.check_released();
        });
    }
}

/// The holder gives a full pool up while another frees two of its blocks at once, and a third one the last.
#[test]
fn chain_counts_each_of_its_blocks() {
    for threshold in 1..=3 {
        explore("full pool, a chain of two", Some(2), move || {
            let pool = Model::new(3, threshold);
            let (chain, single) = (pool.clone(), pool.clone());
            let freers = [
                thread::spawn(move || chain.free_chain(2, &[0, 1])),
                thread::spawn(move || single.free(3, 2)),
            ];
            pool.give_up(1);
            for freer in freers {
                freer.join().unwrap();
            }
            pool.check_released();
        });
    }
}

/// The holder goes on allocating while another frees into its pool, then its thread ends.
#[test]
fn holder_works_on() {
    explore("holder works, one freer", None, || {
        let pool = Model::new(1, 1);
        let freer = {
            let pool = pool.clone();
            thread::spawn(move || pool.free(2, 0))
        };
        let blocks = [pool.alloc(), pool.alloc()];
        for block in blocks.into_iter().flatten() {
            pool.free(1, block);
        }
        pool.give_up(1);
        freer.join().unwrap();
        pool.check_released();
    });
}
