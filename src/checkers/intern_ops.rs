//! Interning against a `HashMap` of what must be alive.
//!
//! A byte pair is an operation: what to do, and with which key. Keys are texts of all sizes (the
//! boxed ones too), bytes, and values whose hash is the same for all.

use crate::intern::{self, Interned, intern, intern_bytes};
use alloc::string::String;
use alloc::vec::Vec;
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

/// One kind of interned value under test.
struct Kind<T: ?Sized, K> {
    key: fn(u8) -> K,
    intern: fn(&K) -> Interned<T>,
    get: fn(&K) -> Option<Interned<T>>,
    same: fn(&Interned<T>, &K) -> bool,
}

/// Handles that are held, and the oracle: how many of each key, and where its entry must be.
struct Player<T: ?Sized, K> {
    kind: Kind<T, K>,
    held: Vec<(u8, Interned<T>)>,
    alive: HashMap<u8, (usize, usize)>,
}

impl<T: ?Sized, K: Debug> Player<T, K> {
    fn new(kind: Kind<T, K>) -> Self {
        Self { kind, held: Vec::new(), alive: HashMap::new() }
    }

    fn hold(&mut self, number: u8, handle: Interned<T>) {
        let key = (self.kind.key)(number);
        assert!((self.kind.same)(&handle, &key), "another text under {key:?}");
        let (count, id) = self.alive.entry(number).or_insert((0, handle.id()));
        assert_eq!(*id, handle.id(), "two entries for {key:?}");
        *count += 1;
        if !handle.is_immortal() {
            assert_eq!(handle.strong_count(), *count, "handles of {key:?}");
        }
        self.held.push((number, handle));
    }

    fn release(&mut self, at: usize) {
        let (number, handle) = self.held.swap_remove(at);
        drop(handle);
        let (count, _) = self.alive.get_mut(&number).expect("held, so alive");
        *count -= 1;
        if *count == 0 {
            self.alive.remove(&number);
        }
    }

    fn step(&mut self, op: u8, number: u8) {
        let at = usize::from(op >> 3) * self.held.len() / 32;
        match op % 8 {
            0..=2 => self.hold(number, (self.kind.intern)(&(self.kind.key)(number))),
            3 if !self.held.is_empty() => {
                let (number, handle) = (self.held[at].0, self.held[at].1.clone());
                self.hold(number, handle);
            }
            4 => self.look(number),
            _ if !self.held.is_empty() => self.release(at),
            _ => {}
        }
    }

    /// `get` finds exactly what is alive (immortals are found always, once interned).
    fn look(&self, number: u8) {
        let key = (self.kind.key)(number);
        match ((self.kind.get)(&key), self.alive.get(&number)) {
            (Some(found), Some(&(_, id))) => assert_eq!(found.id(), id, "{key:?}"),
            (Some(found), None) => assert!(found.is_immortal(), "{key:?} is dead"),
            (None, alive) => assert_eq!(alive, None, "{key:?} is lost"),
        }
    }

    fn finish(mut self) {
        while !self.held.is_empty() {
            self.release(self.held.len() - 1);
        }
        (0..=u8::MAX).for_each(|number| self.look(number));
    }
}

/// Texts from nothing to boxed; `prefix` keeps the kinds and the callers apart.
fn text(prefix: &str, number: u8) -> String {
    let mut text = String::from(prefix);
    let long = usize::from(number);
    (0..long * long / 50).for_each(|at| text.push((b'a' + (at % 26) as u8) as char));
    text.push_str(&number.to_string());
    text
}

/// Plays an operation list.
///
/// # Panics
/// If interning and the oracle differ.
pub fn run(data: &[u8]) {
    // The global interners are shared with other threads, whose keys must not be ours.
    let thread = std::format!("{:?} ", std::thread::current().id());
    THREAD.set(thread);
    let mut texts = Player::new(Kind {
        key: |number| THREAD.with_borrow(|thread| text(thread, number)),
        intern: |key: &String| intern(key),
        get: |key| intern::get(key),
        same: |handle, key| **handle == **key,
    });
    let mut bytes = Player::new(Kind {
        key: |number| THREAD.with_borrow(|thread| text(thread, number).into_bytes()),
        intern: |key: &Vec<u8>| intern_bytes(key),
        get: |key| intern::get_bytes(key),
        same: |handle, key| **handle == **key,
    });
    let mut values = Player::new(Kind {
        key: |number| THREAD.with_borrow(|thread| Clumsy(text(thread, number))),
        intern: |key: &Clumsy| Interned::new(key.clone()),
        get: |key| Interned::get(key),
        same: |handle, key| **handle == *key,
    });
    for pair in data.chunks_exact(2) {
        let (op, number) = (pair[0], pair[1]);
        match number % 4 {
            0 | 1 => texts.step(op, number),
            2 => bytes.step(op, number),
            _ => values.step(op, number),
        }
    }
    texts.finish();
    bytes.finish();
    values.finish();
    intern::check_invariants();
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
