//! Look-ups against insertion, last drops, growth, shrinking, the keyed switch and used-again blocks.
//!
//! Tried, one at a time in `src/intern/table.rs`; each makes a model here fail:
//! - orderings made Relaxed: slots loaded by a reader (at home, the first of the tag, and those behind), stored by `put_at`,
//!   stored by `take_out`; the view loaded, stored; `changes` loaded, stored;
//! - rules of the design, by their numbers: 1, no second probe under the lock, the table that was left
//!   not cleared; 2, contents compared before they are counted; 2 again, blocks that two interners share
//!   (a model below shows that); 4, a block freed before its slot is removed; 5, counted first under
//!   the lock, and given back there (a deadlock); 6, insertions, moved entries, moves to another table
//!   not counted as changes, a value inserted whatever changed; 8, a miss of `get` not confirmed under
//!   the lock, an entry that became immortal where it was and dies, an immortal one that is not compared;
//!   9, a keyed table placed by the plain hash, or probed so. (3 is of pages, and checked by
//!   `blocks.rs`; 7 is a bound of types.) And: a distance that a moved entry keeps, a gap left open.
#![cfg(loom)]

use hoopsnake::model::intern_entry::Header;
use hoopsnake::model::intern_table::{self as table, Entry, Refused, Shard, Space, Table, View};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use loom_tests::explore;
use std::sync::Mutex;

/// What a dead entry's key reads as.
const NO_KEY: u64 = u64::MAX;

/// A block: keys are the contents.
struct Node {
    header: Header,
    key: UnsafeCell<u64>,
    /// Whether it is one of those that are made immortal. (In the product its address says so.)
    immortal: bool,
}

/// A table's slots, aligned as tables are.
#[repr(align(64))]
struct Slots(Vec<AtomicU64>);

/// Memory that a shard has, under its lock.
#[derive(Default)]
struct Blocks {
    free: Vec<Entry>,
}

/// What the model made, at addresses that stay.
#[expect(clippy::vec_box, reason = "tables and readers have the addresses")]
struct Made {
    nodes: Vec<Box<Node>>,
    /// One table per length, plain and keyed in the same memory.
    slots: Vec<Box<Slots>>,
}

/// An interner of one shard. Nodes and tables are made by the thread that needs them first, so loom
/// sees a reader that gets to fresh memory without an order.
struct Model {
    /// Free blocks that another interner takes too, against the rule.
    common: Option<Arc<loom::sync::Mutex<Vec<Entry>>>>,
    view: View,
    shard: Shard<Blocks>,
    /// The hash of a key: all keys share one, or the home alone, or each has its own home.
    hash: fn(u64) -> u64,
    keyed: bool,
    made: Mutex<Made>,
}

impl Model {
    fn new(hash: fn(u64) -> u64, keyed: bool) -> Self {
        let first = slots(table::MIN_LOG2);
        let base = &raw const *first as usize;
        Self {
            common: None,
            view: View::new(Table::new(base, table::MIN_LOG2, false)),
            shard: Shard::new(Blocks::default()),
            hash,
            keyed,
            made: Mutex::new(Made { nodes: Vec::new(), slots: vec![first] }),
        }
    }

    fn node(&self, entry: Entry) -> &Node {
        // SAFETY: entries are addresses of nodes, which live as long as the model.
        unsafe { &*(entry.0 as *const Node) }
    }

    fn key(&self, entry: Entry) -> u64 {
        // SAFETY: the caller has a count or the lock; loom would report a write.
        self.node(entry).key.with(|key| unsafe { *key })
    }

    fn make(&self, blocks: &mut Blocks, key: u64) -> Option<Entry> {
        let common = self.common.as_ref().and_then(|common| common.lock().unwrap().pop());
        let entry = common.or_else(|| blocks.free.pop()).unwrap_or_else(|| self.block(false));
        Some(self.fill(entry, key))
    }

    /// A block that nobody had before.
    fn block(&self, immortal: bool) -> Entry {
        let (header, key) = (Header::dead(), UnsafeCell::new(NO_KEY));
        let node = Box::new(Node { header, key, immortal });
        let entry = Entry(&raw const *node as u64);
        self.made.lock().unwrap().nodes.push(node);
        entry
    }

    fn fill(&self, entry: Entry, key: u64) -> Entry {
        let node = self.node(entry);
        // SAFETY: the block is free and this thread has the lock; loom would report a reader.
        node.key.with_mut(|place| unsafe { *place = key });
        // SAFETY: as above.
        unsafe { node.header.set_hash((self.hash)(key)) };
        entry
    }

    /// As `intern` does for text.
    fn intern(&self, key: u64) -> Entry {
        self.intern_as(key, false)
    }

    /// As `intern_immortal` does for text.
    fn intern_immortal(&self, key: u64) -> Entry {
        let entry = self.intern_as(key, true);
        if !self.is_immortal(entry) {
            self.header(entry).count.make_immortal();
        }
        entry
    }

    fn intern_as(&self, key: u64, immortal: bool) -> Entry {
        let hash = (self.hash)(key);
        let make = |blocks: &mut Blocks| {
            if immortal {
                return Some(self.fill(self.block(true), key));
            }
            self.make(blocks, key)
        };
        let matches = |entry| self.key(entry) == key;
        table::look_up(self, hash, || keyed_home(key), matches)
            .or_else(|| {
                table::look_up_or_insert(self, hash, || keyed_home(key), matches, immortal, make)
            })
            .unwrap()
    }

    /// As `get` does for text: a miss is confirmed under the lock.
    fn get(&self, key: u64) -> Option<Entry> {
        let hash = (self.hash)(key);
        table::look_up(self, hash, || keyed_home(key), |entry| self.key(entry) == key).or_else(
            || {
                let matches = |entry| self.key(entry) == key;
                table::look_up_locked(self, hash, || keyed_home(key), matches)
            },
        )
    }

    /// As `Interned::new` does for values, whose comparison must not run under the lock.
    fn intern_value(&self, key: u64) -> Entry {
        let hash = (self.hash)(key);
        loop {
            let seen = self.shard.changes();
            let found = table::look_up(
                self,
                hash,
                || table::place_of_hash(hash),
                |entry| self.key(entry) == key,
            );
            if let Some(found) = found {
                return found;
            }
            let made = |blocks: &mut Blocks| self.make(blocks, key);
            match table::insert_unless_changed(self, hash, seen, false, made) {
                Ok(entry) => return entry,
                Err(Refused::Changed) => {}
                Err(Refused::NoMemory) => unreachable!(),
            }
        }
    }

    fn release(&self, entry: Entry) {
        if !self.is_immortal(entry) && self.header(entry).count.decrement() {
            let gone = table::bury(self, entry, |blocks| {
                // SAFETY: dead, unlinked and owned; loom would report a reader.
                self.node(entry).key.with_mut(|key| unsafe { *key = NO_KEY });
                match &self.common {
                    Some(common) => common.lock().unwrap().push(entry),
                    None => blocks.free.push(entry),
                }
            });
            assert!(!gone, "the shard is open");
        }
    }

    /// Takes an entry, looks at it, and lets it go.
    fn use_once(&self, key: u64, intern: fn(&Self, u64) -> Entry) {
        let entry = intern(self, key);
        assert_eq!(self.key(entry), key);
        self.release(entry);
    }

    fn finish(&self) {
        table::check_invariants(self, 0);
        assert_eq!(self.shard.mortal(), 0, "entries left");
        let nodes = self.made.lock().unwrap().nodes.iter().filter(|node| !node.immortal).count();
        self.shard.with_blocks(|blocks| assert_eq!(blocks.free.len(), nodes, "blocks lost"));
    }
}

fn slots(log2: u32) -> Box<Slots> {
    Box::new(Slots((0..1 << log2).map(|_| AtomicU64::new(0)).collect()))
}

fn keyed_home(key: u64) -> u64 {
    !own_place(key)
}

impl Space for Model {
    type Blocks = Blocks;

    fn view(&self, _hash: u64) -> &View {
        &self.view
    }

    fn shard(&self, _hash: u64) -> &Shard<Blocks> {
        &self.shard
    }

    fn slots(&self, table: Table) -> &[AtomicU64] {
        // SAFETY: tables are addresses of slots, which live as long as the model.
        unsafe { &(&*(table.base() as *const Slots)).0 }
    }

    fn header(&self, entry: Entry) -> &Header {
        &self.node(entry).header
    }

    fn is_immortal(&self, entry: Entry) -> bool {
        self.node(entry).immortal
    }

    fn keyed_hash(&self, entry: Entry) -> Option<u64> {
        self.keyed.then(|| keyed_home(self.key(entry)))
    }

    fn table(&self, _hash: u64, log2: u32, keyed: bool) -> Option<Table> {
        let mut made = self.made.lock().unwrap();
        let length = 1 << log2;
        if !made.slots.iter().any(|slots| slots.0.len() == length) {
            made.slots.push(slots(log2));
        }
        let table = made.slots.iter().find(|slots| slots.0.len() == length)?;
        Some(Table::new(&raw const **table as usize, log2, keyed))
    }

    fn clear(&self, table: Table) {
        self.slots(table).iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }

    fn give_back(&self, entry: Entry) {
        self.release(entry);
    }
}

fn same(_key: u64) -> u64 {
    0
}

/// A home for each, one tag.
fn own(key: u64) -> u64 {
    hash_at(own_place(key))
}

fn own_place(key: u64) -> u64 {
    key.reverse_bits()
}

/// One home for all, a tag for each.
fn apart(key: u64) -> u64 {
    hash_at(key << 17)
}

/// The hash whose place this is.
fn hash_at(place: u64) -> u64 {
    let hash = place.wrapping_mul(0xf1de_83e1_9937_733d);
    assert_eq!(table::place_of_hash(hash), place, "not the inverse");
    hash
}

/// A reader of one key, while another thread lets that key die, uses the block for a second key,
/// grows the table and shrinks it.
#[test]
fn reader_against_death_and_growth() {
    for hash in [same, own] {
        explore("reader against death and growth", None, move || {
            let model = Arc::new(Model::new(hash, false));
            let first = model.intern(0);
            let reader = {
                let model = model.clone();
                thread::spawn(move || model.use_once(0, Model::intern))
            };
            model.release(first);
            let second = model.intern(1);
            assert_eq!(model.key(second), 1);
            model.use_once(0, Model::intern);
            model.release(second);
            reader.join().unwrap();
            model.finish();
        });
    }
}

/// A key is made behind another, of its tag or not, under a reader of it.
#[test]
fn reader_behind_another() {
    for hash in [same, apart] {
        explore("reader behind another", None, move || {
            let model = Arc::new(Model::new(hash, false));
            let first = model.intern(0);
            let reader = {
                let model = model.clone();
                thread::spawn(move || model.use_once(1, Model::intern))
            };
            model.use_once(1, Model::intern);
            reader.join().unwrap();
            model.release(first);
            model.finish();
        });
    }
}

/// A watched entry is in a reader's way, which takes a count of it in vain.
#[test]
fn reader_behind_a_watched_one() {
    explore("reader behind a watched one", None, || {
        let model = Arc::new(Model::new(same, false));
        let first = model.intern(0);
        model.header(first).count.watch();
        let reader = {
            let model = model.clone();
            thread::spawn(move || model.use_once(1, Model::intern))
        };
        model.use_once(0, Model::intern);
        model.release(first);
        reader.join().unwrap();
        model.finish();
    });
}

/// While both threads hold the key, they hold one entry.
fn one_entry(intern: fn(&Model, u64) -> Entry, hash: fn(u64) -> u64) {
    let model = Arc::new(Model::new(hash, false));
    let first = intern(&model, 0);
    let other = {
        let model = model.clone();
        thread::spawn(move || intern(&model, 0))
    };
    model.release(first);
    let neighbour = intern(&model, 1);
    let here = intern(&model, 0);
    let there = other.join().unwrap();
    assert_eq!(here, there, "two live entries of one key");
    [here, there, neighbour].into_iter().for_each(|entry| model.release(entry));
    model.finish();
}

#[test]
fn text_has_one_entry() {
    explore("text has one entry", None, || one_entry(Model::intern, same));
}

#[test]
fn a_value_has_one_entry() {
    explore("a value has one entry", None, || one_entry(Model::intern_value, own));
}

/// Two threads make the same value, while a third moves others about.
#[test]
fn a_value_is_made_once() {
    explore("a value is made once", Some(2), || {
        let model = Arc::new(Model::new(same, false));
        let held = model.intern_value(7);
        let makers: Vec<_> = (0..2)
            .map(|_| {
                let model = model.clone();
                thread::spawn(move || model.intern_value(0))
            })
            .collect();
        model.release(held);
        let made: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        assert_eq!(made[0], made[1], "two live entries of one value");
        made.into_iter().for_each(|entry| model.release(entry));
        model.finish();
    });
}

/// Removing an entry moves the one behind it, past a reader.
#[test]
fn reader_against_a_closing_gap() {
    for intern in [Model::intern, Model::intern_value] {
        explore("reader against a closing gap", None, move || {
            let model = Arc::new(Model::new(same, false));
            let (first, second) = (intern(&model, 0), intern(&model, 1));
            let reader = {
                let model = model.clone();
                thread::spawn(move || intern(&model, 1))
            };
            model.release(first);
            let found = reader.join().unwrap();
            assert_eq!(found, second, "two live entries of one key");
            table::check_invariants(&*model, 0);
            model.release(second);
            model.release(found);
            model.finish();
        });
    }
}

/// Entries of one tag make the shard move to a keyed table under a reader.
#[test]
fn reader_against_the_keyed_switch() {
    explore("reader against the keyed switch", Some(2), || {
        let model = Arc::new(Model::new(same, true));
        let held: Vec<_> = (0..2).map(|key| model.intern(key)).collect();
        let reader = {
            let model = model.clone();
            thread::spawn(move || model.intern(1))
        };
        let third = model.intern(2);
        let found = reader.join().unwrap();
        assert_eq!(found, held[1], "two live entries of one key");
        held.into_iter().chain([third, found]).for_each(|entry| model.release(entry));
        model.finish();
    });
}

/// The shard moves to a smaller table and clears the one that a reader probes.
#[test]
fn reader_against_shrinking() {
    for intern in [Model::intern, Model::intern_value] {
        explore("reader against shrinking", None, move || {
            let model = Arc::new(Model::new(own, false));
            // Seven entries need sixteen slots; less than two of them are shrunk to eight.
            let mut held: Vec<_> = (0..7).map(|key| intern(&model, key)).collect();
            held.drain(2..).for_each(|entry| model.release(entry));
            let reader = {
                let model = model.clone();
                thread::spawn(move || intern(&model, 0))
            };
            model.release(held[1]);
            let found = reader.join().unwrap();
            assert_eq!(found, held[0], "two live entries of one key");
            [found, held[0]].into_iter().for_each(|entry| model.release(entry));
            model.finish();
        });
    }
}

/// Who holds a key gets it, whatever moves meanwhile.
#[test]
fn what_is_held_is_found() {
    for hash in [same, own] {
        explore("what is held is found", None, move || {
            let model = Arc::new(Model::new(hash, true));
            let (first, held) = (model.intern(1), model.intern(0));
            let reader = {
                let model = model.clone();
                thread::spawn(move || model.get(0))
            };
            model.release(first);
            let others = [2, 3, 4].map(|key| model.intern(key));
            let found = reader.join().unwrap();
            assert_eq!(found, Some(held), "a held key is found");
            others.into_iter().chain([held, held]).for_each(|entry| model.release(entry));
            model.finish();
        });
    }
}

/// A key dies in one interner while a reader looks for it, and is interned in another.
fn side_by_side(common: bool) {
    let mut models = [Model::new(own, false), Model::new(own, false)];
    if common {
        let blocks = Arc::new(loom::sync::Mutex::new(Vec::new()));
        models.iter_mut().for_each(|model| model.common = Some(blocks.clone()));
    }
    let models = Arc::new(models);
    let first = models[0].intern(0);
    let reader = {
        let models = models.clone();
        thread::spawn(move || models[0].intern(0))
    };
    models[0].release(first);
    let other = models[1].intern(0);
    let here = models[0].intern(0);
    let there = reader.join().unwrap();
    assert_eq!(here, there, "two live entries of one key");
    assert_ne!(here, other, "an entry of another interner");
    [here, there].into_iter().for_each(|entry| models[0].release(entry));
    models[1].release(other);
    if !common {
        models.iter().for_each(Model::finish);
    }
}

#[test]
fn two_interners_side_by_side() {
    explore("two interners side by side", None, || side_by_side(false));
}

/// Blocks belong to one interner: if another takes a dead one, a reader with an old slot finds the right
/// contents in the wrong interner.
#[test]
#[should_panic(expected = "two live entries of one key")]
fn two_interners_of_common_blocks() {
    explore("two interners of common blocks", None, || side_by_side(true));
}

/// Two threads let the same block live and die, each for keys of its own, while a third looks for one. (The only
/// model in which a claim comes so late that it is of another key. It takes two preemptions.)
#[test]
fn a_block_is_used_again() {
    explore("a block is used again", Some(2), || {
        let model = Arc::new(Model::new(same, false));
        let users: Vec<_> = [0, 1]
            .map(|key| {
                let model = model.clone();
                thread::spawn(move || model.use_once(key, Model::intern))
            })
            .into();
        model.use_once(0, Model::intern);
        users.into_iter().for_each(|user| user.join().unwrap());
        model.finish();
    });
}

/// An entry is made immortal beside another while a reader, who counts nothing, looks for it, and a third
/// goes.
#[test]
fn an_immortal_is_made_under_a_reader() {
    for hash in [same, own] {
        explore("an immortal is made under a reader", None, move || {
            let model = Arc::new(Model::new(hash, true));
            model.intern_immortal(2);
            let other = model.intern(1);
            let reader = {
                let model = model.clone();
                thread::spawn(move || {
                    let found = table::look_up(
                        &*model,
                        hash(0),
                        || keyed_home(0),
                        |entry| model.key(entry) == 0,
                    );
                    found.inspect(|&entry| assert_eq!(model.key(entry), 0))
                })
            };
            let made = model.intern_immortal(0);
            model.release(other);
            let found = reader.join().unwrap();
            assert!(found.is_none_or(|found| found == made), "two entries of one key");
            assert_eq!(model.intern(0), made);
            model.release(made);
            model.finish();
        });
    }
}

/// A counted entry becomes immortal where it is, while another thread lets it go: either it did not die,
/// or the one that is immortal is another.
#[test]
fn a_counted_entry_becomes_immortal() {
    explore("a counted entry becomes immortal", None, || {
        let model = Arc::new(Model::new(own, true));
        let first = model.intern(0);
        let user = {
            let model = model.clone();
            thread::spawn(move || model.use_once(0, Model::intern))
        };
        let maker = {
            let model = model.clone();
            thread::spawn(move || model.intern_immortal(0))
        };
        model.release(first);
        let made = maker.join().unwrap();
        user.join().unwrap();
        assert_eq!(model.key(made), 0);
        model.release(made);
        assert_eq!(model.get(0), Some(made), "an immortal died");
        table::check_invariants(&*model, 0);
    });
}
