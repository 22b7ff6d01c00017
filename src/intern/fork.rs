//! All interners' locks are whole in a forked child.
//!
//! Every interner is in one list while it is mapped. For a fork all locks are taken, in the order in
//! which everybody takes them who needs two: those of the weak handles, of the wide ints, of the globals
//! and of the list, then for each interner its shards' and that of its regions (`os::fork` says the
//! rest: how a lock lets the thread pass that forks). What other threads were about to drop leaks in
//! the child.

use super::hash::Seed;
use super::store::Store;
use super::{global, int, weak};
use crate::os::fork::ForkLocks;
use crate::sync::RawMutex;
use core::cell::Cell;
use core::ptr::NonNull;

/// The neighbours of an interner in the list.
#[derive(Debug, Default)]
pub(super) struct Links {
    next: Cell<Option<NonNull<Store>>>,
    before: Cell<Option<NonNull<Store>>>,
}

/// The first interner.
struct List(Option<NonNull<Store>>);

// SAFETY: the list is of interners, which are shared between threads.
unsafe impl Send for List {}

static ALL: RawMutex<List> = RawMutex::new(List(None));
static LOCKS: ForkLocks = ForkLocks::new(20, begin, end);

/// To be called under no lock, before an interner is mapped or another of these locks is taken.
pub(super) fn register() {
    LOCKS.register();
}

/// A new interner joins the list.
///
/// # Safety
/// It is filled, joins once, and leaves before it is unmapped.
pub(super) unsafe fn join(interner: NonNull<Store>) {
    let mut all = ALL.lock();
    let first = all.0.replace(interner);
    links(&interner).next.set(first);
    if let Some(first) = &first {
        links(first).before.set(Some(interner));
    }
    if all.is_for_fork() {
        // Made in another library's handler: it is in the list, so the end of the fork gives its locks back.
        // SAFETY: the caller's: it is filled.
        unsafe { interner.as_ref() }.begin_fork();
    }
}

/// An interner leaves the list.
///
/// # Safety
/// It joined, and nobody else uses it any more.
pub(super) unsafe fn leave(interner: NonNull<Store>) {
    let mut all = ALL.lock();
    let (before, next) = (links(&interner).before.take(), links(&interner).next.take());
    match &before {
        Some(before) => links(before).next.set(next),
        None => all.0 = next,
    }
    if let Some(next) = &next {
        links(next).before.set(before);
    }
}

/// The links of an interner in the list; the caller holds the list's lock.
fn links(interner: &NonNull<Store>) -> &Links {
    // SAFETY: interners are mapped while they are in the list.
    unsafe { &interner.as_ref().links }
}

fn begin() {
    // Nobody is in the middle of making it.
    let _ = Seed::of_program();
    weak::begin_fork();
    int::GROW.begin_fork();
    global::GROW.begin_fork();
    ALL.begin_fork();
    for_each(Store::begin_fork);
}

fn end() {
    for_each(Store::end_fork);
    ALL.end_fork();
    global::GROW.end_fork();
    int::GROW.end_fork();
    weak::end_fork();
}

fn for_each(f: fn(&Store)) {
    // The thread that forks passes.
    let mut next = ALL.lock().0;
    while let Some(interner) = next {
        // SAFETY: as in `links`; while forks hold the list's lock nobody else changes the list.
        f(unsafe { interner.as_ref() });
        next = links(&interner).next.get();
    }
}
