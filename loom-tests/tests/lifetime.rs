//! The end of a closed interner: the last to leave sees what all others did, and nobody comes after.
//!
//! Tried, one at a time in `src/intern/lifetime.rs` and `table.rs`; each makes the model here fail:
//! - orderings made Relaxed: the subtraction, the load after the last;
//! - rules: the closer that does not count; a count that is not given back at once; an entry that is unlinked
//!   but not freed not counted, or counted and not asked for; a shard that is empty leaves though it is open.
#![cfg(loom)]

use hoopsnake::model::Lifetime;
use hoopsnake::model::intern_entry::Header;
use hoopsnake::model::intern_table::{self as table, Entry, MIN_LOG2, Shard, Space, Table, View};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use loom_tests::explore;

const SHARDS: usize = 2;

#[repr(align(64))]
struct Slots([AtomicU64; 1 << MIN_LOG2]);

/// An entry whose memory goes: the model ends its count as nobody but the last to leave may.
struct Node(core::cell::UnsafeCell<Header>);

// SAFETY: shared until the end, which loom watches.
unsafe impl Sync for Node {}

/// What is unmapped at the end: loom reports who uses it without an order to that.
struct Memory {
    views: [View; SHARDS],
    shards: [Shard<()>; SHARDS],
    slots: Vec<Slots>,
    headers: [Node; SHARDS],
    lifetime: Lifetime,
    mapped: UnsafeCell<bool>,
}

impl Memory {
    /// An interner with one entry in each shard, whose hash is the shard's number.
    fn new() -> Arc<Self> {
        let slots: Vec<_> =
            (0..SHARDS).map(|_| Slots(core::array::from_fn(|_| AtomicU64::new(0)))).collect();
        let view = |number: usize| {
            View::new(Table::new(&raw const slots[number] as usize, MIN_LOG2, false))
        };
        let memory = Self {
            views: core::array::from_fn(view),
            shards: core::array::from_fn(|_| Shard::new(())),
            slots,
            headers: core::array::from_fn(|_| Node(Header::dead().into())),
            lifetime: Lifetime::new(SHARDS),
            mapped: UnsafeCell::new(true),
        };
        let memory = Arc::new(memory);
        for hash in 0..SHARDS as u64 {
            let entry = memory.entry(hash as usize);
            // SAFETY: dead, and this thread's.
            unsafe { memory.header(entry).set_hash(hash) };
            let made = table::look_up_or_insert(
                &*memory,
                hash,
                || hash,
                |_| false,
                false,
                |()| Some(entry),
            );
            assert_eq!(made, Some(entry));
        }
        memory
    }

    /// The entry of a shard.
    fn entry(&self, number: usize) -> Entry {
        Entry(self.headers[number].0.get() as u64)
    }

    fn assert_mapped(&self) {
        // SAFETY: loom reports a write without an order.
        assert!(self.mapped.with(|mapped| unsafe { *mapped }), "used after its end");
    }

    fn leave(&self) {
        self.assert_mapped();
        if self.lifetime.leave() {
            // SAFETY: loom reports whoever may still read.
            self.mapped.with_mut(|mapped| unsafe { *mapped = false });
            for node in &self.headers {
                // SAFETY: as above.
                unsafe { &mut *node.0.get() }.count.end();
            }
        }
    }

    /// A handle of a shard's entry goes; of the last the entry goes too: at once, or as a value whose `Drop`
    /// comes between.
    fn release(&self, number: usize, at_once: bool) {
        self.assert_mapped();
        let entry = self.entry(number);
        if !self.header(entry).count.decrement_at_once() {
            return;
        }
        let gone = if at_once {
            table::bury(self, entry, |()| self.assert_mapped())
        } else {
            table::unlink(self, entry);
            self.assert_mapped();
            table::free(self, number as u64, |()| self.assert_mapped())
        };
        if gone {
            self.leave();
        }
    }

    fn close(&self) {
        for shard in &self.shards {
            self.assert_mapped();
            if shard.close() {
                self.leave();
            }
        }
        self.leave();
    }
}

impl Space for Memory {
    type Blocks = ();

    fn view(&self, hash: u64) -> &View {
        &self.views[hash as usize]
    }

    fn shard(&self, hash: u64) -> &Shard<()> {
        &self.shards[hash as usize]
    }

    fn slots(&self, table: Table) -> &[AtomicU64] {
        let slots = self.slots.iter().find(|slots| &raw const **slots as usize == table.base());
        &slots.expect("a table of ours").0
    }

    fn header(&self, entry: Entry) -> &Header {
        let node = self.headers.iter().find(|node| node.0.get() as u64 == entry.0);
        // SAFETY: shared until the end.
        unsafe { &*node.expect("an entry of ours").0.get() }
    }

    fn is_immortal(&self, _entry: Entry) -> bool {
        false
    }

    fn keyed_hash(&self, _entry: Entry) -> Option<u64> {
        None
    }

    fn table(&self, _: u64, _: u32, _: bool) -> Option<Table> {
        None
    }

    fn clear(&self, _table: Table) {}

    fn give_back(&self, _entry: Entry) {
        unreachable!("nobody looks up");
    }
}

/// The last drops of both shards and the closing, on three threads.
#[test]
fn the_last_to_leave_unmaps() {
    for at_once in [true, false] {
        explore("the last to leave unmaps", Some(3), move || {
            let memory = Memory::new();
            let droppers: Vec<_> = (0..SHARDS)
                .map(|number| {
                    let memory = memory.clone();
                    thread::spawn(move || memory.release(number, at_once))
                })
                .collect();
            memory.close();
            droppers.into_iter().for_each(|dropper| dropper.join().unwrap());
            // SAFETY: all threads are gone.
            assert!(!memory.mapped.with(|mapped| unsafe { *mapped }), "nobody unmapped");
        });
    }
}

/// A reader comes while the last handle goes, then nobody can read any more: what the reader took may be the
/// last count, and then nobody may look at the entry again.
#[test]
fn a_reader_before_the_end() {
    explore("a reader before the end", Some(3), move || {
        let memory = Memory::new();
        memory.release(1, true);
        let dropper = {
            let memory = memory.clone();
            thread::spawn(move || memory.release(0, true))
        };
        if memory.header(memory.entry(0)).count.try_increment() {
            memory.release(0, true);
        }
        memory.close();
        dropper.join().unwrap();
        // SAFETY: all threads are gone.
        assert!(!memory.mapped.with(|mapped| unsafe { *mapped }), "nobody unmapped");
    });
}
