//! The global interners: one for each kind of text and bytes, one for each type of values.
//!
//! Statics cannot be generic on stable Rust, so the interner of a type is found by its `TypeId` in
//! a small table of lists that only grows: two or three loads once the compiler has folded the
//! constant hash.
//!
//! Lists are changed under one lock and read without (`sync::Published`): an interner is filled before it
//! is published, links to the one before it, and never goes away.

use super::fork;
use super::store::{Contents, Store};
use crate::sync::{Published, RawMutex};
use core::any::TypeId;
use core::hash::{Hash, Hasher};

const LISTS: usize = 64;

/// The interner of `str`.
pub(super) static STRINGS: Global = Global(Published::new());
/// The interner of `[u8]`.
pub(super) static BYTES: Global = Global(Published::new());
/// The interner of `OsStr`.
pub(super) static OS_STRINGS: Global = Global(Published::new());
/// The interner of `CStr`.
pub(super) static C_STRINGS: Global = Global(Published::new());
/// The interner of `Path`.
pub(super) static PATHS: Global = Global(Published::new());
static TYPES: [Published<Store>; LISTS] = [const { Published::new() }; LISTS];
/// Held while an interner is made, and while an atom is published.
pub(super) static GROW: RawMutex<()> = RawMutex::new(());

/// An interner of plain contents that is mapped when it is first needed, and never unmapped.
#[derive(Debug)]
pub(super) struct Global(Published<Store>);

impl Global {
    /// The interner, if it exists by now.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<&'static Store> {
        self.0.get()
    }

    /// The interner, which is of this kind. `None` when memory is refused.
    #[cold]
    pub(super) fn get_or_map(&self, kind: Contents) -> Option<&'static Store> {
        fork::register();
        let _lock = GROW.lock();
        if let Some(interner) = self.get() {
            return Some(interner);
        }
        let interner = Store::map(kind, false, None)?;
        // SAFETY: a new interner is filled, and never unmapped.
        unsafe { self.0.publish(interner) };
        self.get()
    }
}

/// The interner of a type, if it exists by now.
#[inline(always)]
pub(super) fn of(wanted: TypeId) -> Option<&'static Store> {
    let mut next = TYPES[list_of(wanted)].get();
    while let Some(interner) = next {
        match interner.contents {
            Contents::Values { of, .. } if of == wanted => return Some(interner),
            _ => next = interner.next,
        }
    }
    None
}

/// The interner of a type of values. `None` when memory is refused.
#[cold]
pub(super) fn of_or_map(kind: Contents) -> Option<&'static Store> {
    let Contents::Values { of: wanted, .. } = kind else { return None };
    fork::register();
    let _lock = GROW.lock();
    if let Some(interner) = of(wanted) {
        return Some(interner);
    }
    let list = &TYPES[list_of(wanted)];
    let interner = Store::map(kind, false, list.get())?;
    // SAFETY: a new interner is filled, and never unmapped.
    unsafe { list.publish(interner) };
    of(wanted)
}

/// A `TypeId` is a hash already: the list is chosen by what it feeds a hasher.
#[inline(always)]
fn list_of(id: TypeId) -> usize {
    let mut fed = Fed(0);
    id.hash(&mut fed);
    (fed.0 % LISTS as u64) as usize
}

struct Fed(u64);

impl Hasher for Fed {
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }
}
