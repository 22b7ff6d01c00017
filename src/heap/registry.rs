//! Pools that nobody holds and that have free blocks: where a thread finds a pool before it asks an
//! arena for a new one.
//!
//! # Protocol
//! One list of LISTED pools per class behind a lock that never allocates. A pool is linked exactly
//! while its word says LISTED, or while a claimer is about to unlink it: the claimer changed the word
//! first, so an adopter that pops the pool in between finds it HELD and leaves it unlinked, and the
//! claimer's unlink then finds nothing to do.
//!
//! # Orderings
//! None of its own: links and, for pools that were listed, the pool's fields are handed over by the lock.
//! A claimer must therefore unlink before it touches the pool.

use super::word::PoolWord;
use crate::sync::{RawMutex, const_fn};

/// How the registry finds a pool's word and keeps its links.
///
/// # Safety
/// `word` and the links belong to the same pool for as long as it can be listed, and `set_links`
/// and `links` are used by the registry alone.
pub unsafe trait Listed: Copy + Eq {
    /// The word of the pool.
    fn word<'a>(self) -> &'a PoolWord
    where
        Self: 'a;
    /// What was set last; `None` when the pool is not linked.
    fn links(self) -> Option<Links<Self>>;
    /// Remembers the links of a pool.
    fn set_links(self, links: Option<Links<Self>>);
}

/// The neighbours of a linked pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links<P> {
    /// The pool before this one; `None` for the first.
    pub prev: Option<P>,
    /// The pool after this one; `None` for the last.
    pub next: Option<P>,
}

/// The listed pools of one class.
#[derive(Debug)]
pub struct Registry<P> {
    first: RawMutex<Option<P>>,
}

impl<P: Listed> Registry<P> {
    const_fn! {
        /// An empty registry.
        pub const fn new() -> Registry<P> {
            Registry { first: RawMutex::new(None) }
        }
    }

    /// The holder gives up a pool that has free blocks. False, and still held, when blocks came home
    /// in the meantime: the holder takes and decides again.
    pub fn unhold(&self, pool: P, need: u16) -> bool {
        let mut first = self.first.lock();
        link(&mut first, pool);
        let given_up = pool.word().unhold_listed(need);
        if !given_up {
            unlink(&mut first, pool);
        }
        given_up
    }

    /// Makes the caller the holder of some listed pool; it must take next.
    pub fn adopt(&self) -> Option<P> {
        let mut first = self.first.lock();
        while let Some(pool) = *first {
            unlink(&mut first, pool);
            if pool.word().adopt() {
                return Some(pool);
            }
        }
        None
    }

    /// The claimer of a pool that was listed takes it out.
    pub fn unlink_claimed(&self, pool: P) {
        let mut first = self.first.lock();
        if pool.links().is_some() {
            unlink(&mut first, pool);
        }
    }

    /// Whether no pool is listed; for the model.
    #[cfg(loom)]
    pub fn is_empty(&self) -> bool {
        self.first.lock().is_none()
    }
}

#[cfg(not(loom))]
impl<P> Registry<P> {
    /// Takes the lock for the time of a fork.
    pub(super) fn begin_fork(&self) {
        self.first.begin_fork();
    }

    /// Gives it back.
    pub(super) fn end_fork(&self) {
        self.first.end_fork();
    }
}

/// Links a pool as the first of a list.
pub(crate) fn link<P: Listed>(first: &mut Option<P>, pool: P) {
    let next = first.replace(pool);
    pool.set_links(Some(Links { prev: None, next }));
    if let Some(next) = next {
        set_prev(next, Some(pool));
    }
}

/// Unlinks a pool from the list that it is in; nothing happens to one that is in none.
pub(crate) fn unlink<P: Listed>(first: &mut Option<P>, pool: P) {
    let Some(Links { prev, next }) = pool.links() else { return };
    match prev {
        Some(prev) => set_next(prev, next),
        None => *first = next,
    }
    if let Some(next) = next {
        set_prev(next, prev);
    }
    pool.set_links(None);
}

fn set_prev<P: Listed>(pool: P, prev: Option<P>) {
    pool.set_links(pool.links().map(|links| Links { prev, ..links }));
}

fn set_next<P: Listed>(pool: P, next: Option<P>) {
    pool.set_links(pool.links().map(|links| Links { next, ..links }));
}
