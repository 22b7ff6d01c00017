//! X20 at length: eight threads intern, drop, hand over and look up the same few texts and values.
//!
//! `INTERN_RACE` says how many operations (a million in CI; a hundred million by hand).

use hoopsnake::intern::{Intern, Internable, Interned, Interner, LookUp};
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const THREADS: usize = 8;
const KEYS: usize = 48;
const SLOTS: usize = 16;
/// Bits of an entry's address in [`Key::held`]; those above count handles.
const ADDRESS: u64 = (1 << 48) - 1;

fn operations() -> usize {
    std::env::var("INTERN_RACE").map_or(1_000_000, |text| text.parse().expect("a number"))
}

/// What one key is, and what is known of its entry.
struct Key<K> {
    key: K,
    /// Where its entry is, and how many handles say so.
    held: AtomicU64,
}

impl<K> Key<K> {
    /// Notes a handle. While any is noted its entry lives, so another address is a duplicate.
    fn hold(&self, id: usize) {
        let hold = |held: u64| {
            assert!(held >> 48 == 0 || held & ADDRESS == id as u64, "two live entries of one key");
            Some(((held >> 48) + 1) << 48 | id as u64)
        };
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, hold).expect("noted");
    }

    /// Forgets a handle, before it is dropped.
    fn release(&self) {
        self.held.fetch_sub(1 << 48, Ordering::Relaxed);
    }
}

/// A handle and the number of its key, or nothing.
type Held<T> = Option<(usize, Interned<T>)>;

/// All that the threads share.
struct Race<'a, T: ?Sized + Internable, K> {
    interner: &'a Interner<T>,
    keys: &'a [Key<K>],
    /// Handles on their way from one thread to another.
    slots: [Mutex<Held<T>>; SLOTS],
}

impl<T, K> Race<'_, T, K>
where
    T: ?Sized + Internable + LookUp<T> + PartialEq + Debug,
    for<'k> &'k K: Intern<T>,
    K: AsRef<T>,
{
    fn hold(&self, key: usize, handle: Interned<T>) -> (usize, Interned<T>) {
        self.keys[key].hold(handle.id());
        assert_eq!(&*handle, self.keys[key].key.as_ref(), "another value");
        (key, handle)
    }

    fn release(&self, (key, handle): (usize, Interned<T>)) {
        assert_eq!(&*handle, self.keys[key].key.as_ref(), "another value");
        self.keys[key].release();
        drop(handle);
    }

    /// One operation, and who holds what after it.
    fn step(&self, random: u64, held: &mut Held<T>) {
        let key = (random >> 32) as usize % KEYS;
        let next = match random % 16 {
            0..=6 => Some(self.hold(key, self.interner.intern(&self.keys[key].key))),
            7 => self.interner.get(self.keys[key].key.as_ref()).map(|found| self.hold(key, found)),
            8 => held.as_ref().map(|(key, handle)| self.hold(*key, handle.clone())),
            9 => held.as_ref().and_then(|(key, handle)| {
                let weak = handle.downgrade();
                Some(self.hold(*key, weak.upgrade()?))
            }),
            10..=13 => {
                let slot = &self.slots[(random >> 48) as usize % SLOTS];
                let mut slot = slot.lock().expect("no panic");
                core::mem::replace(&mut *slot, held.take())
            }
            _ => None,
        };
        if let Some(last) = core::mem::replace(held, next) {
            self.release(last);
        }
    }

    fn run(&self, seed: usize, operations: usize) {
        let mut random = seed as u64 + 1;
        let mut held: [Held<T>; 4] = Default::default();
        for _ in 0..operations {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mixed = random ^ random >> 29;
            self.step(mixed, &mut held[(mixed >> 60) as usize % 4]);
        }
        held.into_iter().flatten().for_each(|last| self.release(last));
    }
}

fn race<T, K>(key: impl Fn(usize) -> K)
where
    T: ?Sized + Internable + LookUp<T> + PartialEq + Debug + Send + Sync,
    for<'k> &'k K: Intern<T>,
    K: AsRef<T> + Send + Sync,
{
    let interner = Interner::<T>::new();
    let keys: Vec<_> =
        (0..KEYS).map(|number| Key { key: key(number), held: AtomicU64::new(0) }).collect();
    let race = Race { interner: &interner, keys: &keys, slots: Default::default() };
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            let race = &race;
            scope.spawn(move || race.run(seed, operations() / THREADS));
        }
    });
    for slot in race.slots {
        slot.into_inner().expect("no panic").into_iter().for_each(|(key, handle)| {
            keys[key].release();
            drop(handle);
        });
    }
    assert!(keys.iter().all(|key| key.held.load(Ordering::Relaxed) >> 48 == 0));
    assert_eq!((interner.len(), interner.iter().len()), (0, 0), "entries left");
}

/// Lengths from one block class to another, and boxed ones.
fn text(number: usize) -> String {
    format!("raced {number} ") + &"x".repeat(number * number)
}

#[test]
fn x20_texts() {
    race::<str, _>(text);
}

/// A value with a destructor and a poor hash: three chains for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner(Box<usize>);

impl Hash for Owner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(*self.0 % 3);
    }
}

#[test]
fn x20_slices_of_values() {
    race::<[Owner], Vec<Owner>>(|number| vec![Owner(Box::new(number)); number % 5 + 1]);
}
