//! The count of an entry against its last drop and the next life of its block.
//!
//! Tried, one at a time in `src/intern/entry.rs`; each makes a model here fail:
//! - orderings made Relaxed: `publish`, `take`, `decrement`, the claim, `is_only`, and either half
//!   of `decrement_at_once`;
//! - rules: a count taken of the dead; an addition to a dead word that is given back; an entry at zero that is
//!   owned without a claim; a watched one claimed as another; a watcher who stores the word; a dead word that is
//!   set back whatever it has become; an immortal one that is not set back. (An entry at zero that cannot be
//!   taken makes models of `table.rs` fail, `decrement` in place of `decrement_at_once` one of `lifetime.rs`.)
#![cfg(loom)]

use hoopsnake::model::intern_entry::{Count, DRIFT, Header};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use loom_tests::explore;

/// A block whose lives have contents 1, 2, …; it is filled again as soon as it is dead.
struct Block {
    header: Header,
    contents: UnsafeCell<usize>,
    deaths: AtomicUsize,
}

impl Block {
    fn new() -> Arc<Self> {
        let (contents, deaths) = (UnsafeCell::new(0), AtomicUsize::new(0));
        Arc::new(Self { header: Header::dead(), contents, deaths })
    }

    /// The caller owns the block: it is dead.
    fn fill(&self, life: usize, immortal: bool) {
        // SAFETY: the block is dead and the caller owns it; loom would report another access.
        self.contents.with_mut(|contents| unsafe { *contents = life });
        // SAFETY: as above.
        unsafe { self.header.set_length(life as u32) };
        self.header.count.publish(immortal);
    }

    /// The caller has a count.
    fn read(&self) -> usize {
        // SAFETY: the count keeps the contents; loom would report a write.
        let life = self.contents.with(|contents| unsafe { *contents });
        // SAFETY: as above.
        assert_eq!(unsafe { self.header.length() } as usize, life);
        life
    }

    /// Gives a count back; the last one fills the block again, for the next life.
    fn release(&self, lives: usize) {
        self.release_by(Count::decrement, lives);
    }

    fn release_by(&self, decrement: fn(&Count) -> bool, lives: usize) {
        if decrement(&self.header.count) {
            let death = self.deaths.fetch_add(1, Ordering::Relaxed) + 1;
            // SAFETY: this thread owns the dead block; loom would report a reader.
            self.contents.with_mut(|contents| unsafe { *contents = usize::MAX });
            if death < lives {
                self.fill(death + 1, false);
                self.release_by(decrement, lives);
            }
        }
    }
}

/// A stale reader takes a count of whatever life the block is in, or of none.
fn stale_reader(lives: usize) {
    let block = Block::new();
    block.fill(1, false);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let block = block.clone();
            thread::spawn(move || {
                if block.header.count.try_increment() {
                    assert!((1..=lives).contains(&block.read()));
                    block.release(lives);
                }
            })
        })
        .collect();
    block.release(lives);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(block.deaths.load(Ordering::Relaxed), lives, "each life ends once");
    assert!(!block.header.count.try_increment());
    assert!(block.header.count.is_dead(), "the word stays a dead one");
}

#[test]
fn one_life() {
    explore("one life", None, || stale_reader(1));
}

#[test]
fn two_lives() {
    explore("two lives", None, || stale_reader(2));
}

/// Handles on three threads, each read before it goes.
#[test]
fn the_last_of_several_owns() {
    last_of_several("the last of several owns", Count::decrement);
}

#[test]
fn the_last_of_several_owns_at_once() {
    last_of_several("the last of several owns at once", Count::decrement_at_once);
}

fn last_of_several(name: &'static str, decrement: fn(&Count) -> bool) {
    explore(name, None, move || {
        let block = Block::new();
        block.fill(1, false);
        let others: Vec<_> = (0..2)
            .map(|_| {
                block.header.count.increment();
                let block = block.clone();
                thread::spawn(move || {
                    assert_eq!(block.read(), 1);
                    block.release_by(decrement, 1);
                })
            })
            .collect();
        assert_eq!(block.read(), 1);
        block.release_by(decrement, 1);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(block.deaths.load(Ordering::Relaxed), 1);
    });
}

/// Of an object that no table knows of, who sees that theirs is the only handle owns it.
#[test]
fn the_only_handle_owns() {
    explore("the only handle owns", None, || {
        let block = Block::new();
        block.fill(1, false);
        block.header.count.increment();
        let release = |block: &Block| {
            assert_eq!(block.read(), 1);
            block.release_by(|count| count.is_only() || count.decrement(), 1);
        };
        let other = {
            let block = block.clone();
            thread::spawn(move || release(&block))
        };
        release(&block);
        other.join().unwrap();
        assert_eq!(block.deaths.load(Ordering::Relaxed), 1);
    });
}

/// A reader of an immortal entry sees the contents.
#[test]
fn immortals_are_seen() {
    explore("immortals are seen", None, || {
        let block = Block::new();
        let reader = {
            let block = block.clone();
            thread::spawn(move || {
                if block.header.count.try_increment() {
                    assert_eq!(block.read(), 1);
                    assert!(!block.header.count.decrement());
                }
            })
        };
        block.fill(1, true);
        reader.join().unwrap();
    });
}

/// Somebody watches while handles go on two threads: whoever is the last knows of it.
#[test]
fn the_last_knows_of_the_watcher() {
    explore("the last knows of the watcher", None, || {
        let block = Block::new();
        block.fill(1, false);
        block.header.count.increment();
        let watcher = {
            let block = block.clone();
            thread::spawn(move || {
                block.header.count.watch();
                let last = block.header.count.decrement();
                assert!(!last || block.header.count.is_watched());
                last
            })
        };
        let last = block.header.count.decrement();
        let theirs = watcher.join().unwrap();
        assert!(last != theirs, "one of them is the last");
        assert!(block.header.count.is_watched() && !block.header.count.try_increment());
        block.fill(2, false);
        assert!(block.header.count.decrement() && !block.header.count.is_watched());
    });
}

/// A reader comes while the last handle of a watched entry goes: who is the last knows of the watcher.
#[test]
fn a_reader_knows_of_the_watcher() {
    explore("a reader knows of the watcher", None, || {
        let block = Block::new();
        block.fill(1, false);
        block.header.count.watch();
        let reader = {
            let block = block.clone();
            thread::spawn(move || {
                block.header.count.try_increment() && {
                    assert_eq!(block.read(), 1);
                    block.header.count.decrement()
                }
            })
        };
        let last = block.header.count.decrement();
        assert!(last != reader.join().unwrap(), "one of them is the last");
        assert!(block.header.count.is_watched() && !block.header.count.try_increment());
    });
}

/// An entry becomes immortal while another thread clones, watches and drops: nobody is the last.
#[test]
fn who_becomes_immortal_does_not_die() {
    explore("who becomes immortal does not die", None, || {
        let block = Block::new();
        block.fill(1, false);
        block.header.count.increment();
        let other = {
            let block = block.clone();
            thread::spawn(move || {
                block.header.count.watch();
                block.header.count.increment();
                assert_eq!(block.read(), 1);
                (0..2).for_each(|_| block.release(1));
            })
        };
        assert!(block.header.count.make_immortal());
        block.release(1);
        other.join().unwrap();
        assert!(block.header.count.try_increment() && block.header.count.is_immortal());
        assert_eq!(block.deaths.load(Ordering::Relaxed), 0);
    });
}

/// A word that was looked at often while it was dead is set back while the block is filled: the new life stays.
#[test]
fn what_is_set_back_is_dead() {
    explore("what is set back is dead", None, || {
        let block = Block::new();
        // The next one sets it back.
        (0..DRIFT).for_each(|_| assert!(!block.header.count.try_increment()));
        let reader = {
            let block = block.clone();
            thread::spawn(move || {
                if block.header.count.try_increment() {
                    assert_eq!(block.read(), 1);
                    block.release(1);
                }
            })
        };
        block.fill(1, false);
        reader.join().unwrap();
        assert_eq!(block.read(), 1);
        block.release(1);
        assert_eq!(block.deaths.load(Ordering::Relaxed), 1);
        assert!(block.header.count.is_dead() && block.header.count.is_settled());
    });
}

/// Two threads count one that became immortal so often that both set it back.
#[test]
fn what_became_immortal_stays_so() {
    explore("what became immortal stays so", None, || {
        let block = Block::new();
        block.fill(1, false);
        let other = {
            block.header.count.increment();
            let block = block.clone();
            thread::spawn(move || {
                (0..DRIFT).for_each(|_| block.header.count.increment());
                assert!(block.header.count.try_increment());
                assert_eq!(block.read(), 1);
            })
        };
        assert!(block.header.count.make_immortal());
        (0..=DRIFT).for_each(|_| block.header.count.increment());
        other.join().unwrap();
        assert!(block.header.count.is_immortal() && block.header.count.is_settled());
        assert_eq!(block.deaths.load(Ordering::Relaxed), 0);
    });
}

/// What `weak.rs` does, which is not compiled here, with a cell of this model's own: tried, an upgrade without the
/// lock, and a cell that is emptied after the block is filled; both fail.
///
/// A weak handle is upgraded while the last handle goes and the block is filled again: to this life or to none.
#[test]
fn an_upgrade_is_of_the_same_life() {
    explore("an upgrade is of the same life", None, || {
        let block = Block::new();
        block.fill(1, false);
        block.header.count.watch();
        let cell = Arc::new(Mutex::new(true));
        let upgrade = {
            let (block, cell) = (block.clone(), cell.clone());
            thread::spawn(move || {
                let alive = cell.lock().unwrap();
                if *alive && block.header.count.try_increment() {
                    drop(alive);
                    assert_eq!(block.read(), 1, "the value that it was a handle of");
                    end(&block, &cell);
                }
            })
        };
        end(&block, &cell);
        upgrade.join().unwrap();
        assert_eq!(block.deaths.load(Ordering::Relaxed), 1);
        assert_eq!(block.read(), 2);
    });

    /// As `release::last_drop` does: who owns the entry empties its cell, and frees the block after.
    fn end(block: &Block, cell: &Mutex<bool>) {
        if block.header.count.decrement() {
            assert!(block.header.count.is_watched());
            *cell.lock().unwrap() = false;
            block.deaths.fetch_add(1, Ordering::Relaxed);
            block.fill(2, false);
        }
    }
}
