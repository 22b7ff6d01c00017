//! Interning against a `HashMap` of what must be alive.
//!
//! A byte pair is an operation: what to do, and with which key. Keys are texts of all sizes (the boxed
//! ones too), bytes of the program's interner, slices, and values whose hash is the same for all.

use crate::intern::{Intern, InternMap, Internable, Interned, Interner, LookUp, WeakInterned};
use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt::Debug;
use core::hash::{Hash, Hasher};
use std::collections::HashMap;

/// A value that every table hates: one hash for all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Clumsy(String);

impl Hash for Clumsy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(0);
    }
}

/// What must be true of one key whose entry lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Alive {
    /// Handles, that of the map included.
    handles: usize,
    /// Where the entry is.
    id: usize,
    /// Which of the key's entries it is.
    life: usize,
    immortal: bool,
}

/// Interns a key.
type Make<T, K> = fn(&Interner<T>, &K) -> Interned<T>;

/// Handles that are held, and the oracle.
struct Player<T: ?Sized + Internable, K> {
    interner: Interner<T>,
    /// Whether nobody else uses the interner.
    own: bool,
    key: fn(u8) -> K,
    make: Make<T, K>,
    make_immortal: Make<T, K>,
    held: Vec<(u8, Interned<T>)>,
    weak: Vec<(u8, usize, WeakInterned<T>)>,
    map: InternMap<T, usize>,
    alive: HashMap<u8, Alive>,
    mapped: HashMap<u8, usize>,
    lives: usize,
}

impl<T, K> Player<T, K>
where
    T: ?Sized + Internable + LookUp<T> + PartialEq + Debug,
    K: Borrow<T>,
{
    fn new(
        interner: Interner<T>,
        own: bool,
        key: fn(u8) -> K,
        [make, make_immortal]: [Make<T, K>; 2],
    ) -> Self {
        Self {
            interner,
            own,
            key,
            make,
            make_immortal,
            held: Vec::new(),
            weak: Vec::new(),
            map: InternMap::new(),
            alive: HashMap::new(),
            mapped: HashMap::new(),
            lives: 0,
        }
    }

    /// Notes one more handle of a key.
    fn count(&mut self, number: u8, handle: &Interned<T>) {
        let key = (self.key)(number);
        assert_eq!(**handle, *key.borrow(), "another value");
        self.lives += 1;
        let born = Alive { handles: 0, id: handle.id(), life: self.lives, immortal: false };
        let alive = self.alive.entry(number).or_insert(born);
        assert_eq!(alive.id, handle.id(), "two entries of {number}");
        alive.handles += 1;
        let counted = if alive.immortal { u32::MAX as usize } else { alive.handles };
        assert_eq!(handle.strong_count(), counted, "handles of {number}");
        assert_eq!(handle.is_immortal(), alive.immortal, "{number}");
    }

    fn hold(&mut self, number: u8, handle: Interned<T>) {
        self.count(number, &handle);
        self.held.push((number, handle));
    }

    /// Notes one handle less.
    fn uncount(&mut self, number: u8) {
        let alive = self.alive.get_mut(&number).expect("held, so alive");
        alive.handles -= 1;
        if alive.handles == 0 && !alive.immortal {
            self.alive.remove(&number);
        }
    }

    /// Holds a key that is immortal from the start, or from now on if it lives.
    fn hold_immortal(&mut self, number: u8) {
        let handle = (self.make_immortal)(&self.interner, &(self.key)(number));
        self.lives += 1;
        let born = Alive { handles: 0, id: handle.id(), life: self.lives, immortal: true };
        self.alive.entry(number).or_insert(born).immortal = true;
        self.hold(number, handle);
    }

    fn release(&mut self, at: usize) {
        let (number, handle) = self.held.swap_remove(at);
        drop(handle);
        self.uncount(number);
    }

    fn step(&mut self, op: u8, number: u8) {
        let at = usize::from(op >> 4) * self.held.len() / 16;
        match op % 16 {
            0..=3 => self.hold(number, (self.make)(&self.interner, &(self.key)(number))),
            4 => self.look(number),
            5 => self.insert(number),
            6 => self.remove(number),
            7 => self.check_whole(),
            8 => self.look_weakly(number),
            _ if self.held.is_empty() => {}
            9 => self.hold(self.held[at].0, self.held[at].1.clone()),
            10 => {
                let (number, handle) = &self.held[at];
                self.weak.push((*number, self.alive[number].life, handle.downgrade()));
            }
            // Seldom, and for good: the next program would meet what is immortal in a global interner.
            11 if op >> 4 == 0 && self.own => {
                let (number, handle) = &self.held[at];
                handle.immortalize();
                self.alive.get_mut(number).expect("held, so alive").immortal = true;
            }
            11 if op >> 4 == 1 && self.own => self.hold_immortal(number),
            _ => self.release(at),
        }
    }

    /// A look-up finds exactly what is alive.
    fn look(&self, number: u8) {
        let key = (self.key)(number);
        let found = self.interner.get(key.borrow());
        let alive = self.alive.get(&number);
        assert_eq!(found.as_ref().map(Interned::id), alive.map(|alive| alive.id), "{number}");
    }

    /// A weak handle upgrades exactly while its entry lives.
    fn look_weakly(&mut self, number: u8) {
        if self.weak.is_empty() {
            return;
        }
        let at = usize::from(number) * self.weak.len() / 256;
        let (number, life, weak) = self.weak.swap_remove(at);
        let alive = self.alive.get(&number).filter(|alive| alive.life == life);
        let found = weak.upgrade();
        assert_eq!(found.as_ref().map(Interned::id), alive.map(|alive| alive.id), "{number}");
        if number % 2 == 0 {
            self.weak.push((number, life, weak.clone()));
        }
    }

    fn insert(&mut self, number: u8) {
        let handle = (self.make)(&self.interner, &(self.key)(number));
        self.count(number, &handle);
        self.lives += 1;
        let before = self.mapped.insert(number, self.lives);
        assert_eq!(self.map.insert(handle, self.lives), before, "{number}");
        if before.is_some() {
            // The map keeps the handle that it had.
            self.uncount(number);
        }
        self.look_in_map(number);
    }

    fn remove(&mut self, number: u8) {
        let key = (self.key)(number);
        let removed = self.map.remove_by(key.borrow());
        let expected = self.mapped.remove(&number);
        assert_eq!(removed.as_ref().map(|(_, value)| *value), expected, "{number}");
        if let Some((handle, _)) = removed {
            assert_eq!(*handle, *key.borrow(), "another value");
            drop(handle);
            self.uncount(number);
        }
        self.look_in_map(number);
    }

    fn look_in_map(&self, number: u8) {
        let found = self.map.get_by((self.key)(number).borrow());
        assert_eq!(found, self.mapped.get(&number), "{number} in the map");
    }

    /// Iteration and numbers, the rules of the tables, and memory that can go.
    fn check_whole(&self) {
        if self.own {
            let mut ids: Vec<usize> = self.interner.iter().map(|handle| handle.id()).collect();
            let mut expected: Vec<usize> = self.alive.values().map(|alive| alive.id).collect();
            ids.sort_unstable();
            expected.sort_unstable();
            assert_eq!(ids, expected, "entries");
            let immortal = self.alive.values().filter(|alive| alive.immortal).count();
            let stats = self.interner.stats();
            assert_eq!((stats.entries, stats.immortal), (ids.len(), immortal));
            assert_eq!(self.interner.len(), ids.len() - immortal);
        }
        self.interner.shrink_to_fit();
        self.interner.check_invariants();
    }

    fn finish(mut self) {
        while self.held.len() > 3 {
            self.release(self.held.len() - 1);
        }
        (0..=u8::MAX).for_each(|number| self.remove(number));
        (0..=u8::MAX).for_each(|number| self.look(number));
        self.check_whole();
        let Self { interner, key, held, weak, mut alive, .. } = self;
        // Handles outlive an interner of one's own.
        drop(interner);
        for (number, handle) in held {
            assert_eq!(*handle, *key(number).borrow(), "another value");
            drop(handle);
            let left = alive.get_mut(&number).expect("held, so alive");
            left.handles -= 1;
        }
        for (number, life, weak) in weak {
            let alive = alive.get(&number).filter(|alive| alive.life == life && alive.immortal);
            assert_eq!(weak.upgrade().is_some(), alive.is_some(), "{number}");
        }
    }
}

/// Texts from nothing to boxed; `prefix` keeps the callers apart.
fn text(prefix: &str, number: u8) -> String {
    let mut text = String::from(prefix);
    let length = usize::from(number).pow(2) / 50;
    text.push_str(&"abcdefghijklmnopqrstuvwxyz".repeat(length / 26 + 1)[..length]);
    text.push_str(&number.to_string());
    text
}

/// Interns a borrowed key, as one that dies and as an immortal one.
fn borrowed<T: ?Sized + Internable, K>() -> [Make<T, K>; 2]
where
    for<'k> &'k K: Intern<T>,
{
    [|interner, key| interner.intern(key), |interner, key| interner.intern_immortal(key)]
}

/// Plays an operation list.
///
/// # Panics
/// If interning and the oracle differ.
pub fn run(data: &[u8]) {
    // The program's interner is shared with other threads, whose keys must not be ours.
    THREAD.set(std::format!("{:?} ", std::thread::current().id()));
    let mut texts = Player::<str, String>::new(
        Interner::new(),
        true,
        |number| text("text ", number),
        borrowed(),
    );
    let mut bytes = Player::<[u8], Vec<u8>>::new(
        Interner::global(),
        false,
        |number| THREAD.with_borrow(|thread| text(thread, number).into_bytes()),
        borrowed(),
    );
    let mut slices = Player::<[Clumsy], Vec<Clumsy>>::new(
        Interner::new(),
        true,
        |number| (0..=number % 50).map(|at| Clumsy(text("", number ^ at))).collect(),
        borrowed(),
    );
    let mut values = Player::<Clumsy, Clumsy>::new(
        Interner::new(),
        true,
        |number| Clumsy(text("", number)),
        [
            |interner, key| interner.intern(key.clone()),
            |interner, key| interner.intern_immortal(key.clone()),
        ],
    );
    for pair in data.chunks_exact(2) {
        let (op, number) = (pair[0], pair[1]);
        match number % 4 {
            0 => texts.step(op, number),
            1 => slices.step(op, number),
            2 => bytes.step(op, number),
            _ => values.step(op, number),
        }
    }
    texts.finish();
    slices.finish();
    bytes.finish();
    values.finish();
}

std::thread_local! {
    static THREAD: core::cell::RefCell<String> = const { core::cell::RefCell::new(String::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_operations() {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        for length in [50, 500, 5000, 20_000] {
            let data: Vec<u8> = core::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .take(length)
            .collect();
            run(&data);
        }
    }
}
