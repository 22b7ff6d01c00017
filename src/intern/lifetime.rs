//! When the memory of an interner goes: with its last entry, once it is closed.
//!
//! # Protocol
//! The interners of the whole program are never closed. One of the program's own is closed when
//! nobody can look anything up in it any more; handles of its entries may still be about, and their
//! last drops need tables and blocks. So its parts leave one by one, each once, in whatever order:
//! each shard when it is closed and its last block is freed (`table.rs` says when, under the shard's
//! lock), and the closer when it has closed all shards. Each leaves after its last access, the unlocking
//! of the shard's lock included; the last to leave unmaps everything. (Who unlocked before the one that leaves may
//! still be about to wake a sleeper by the word's address: that touches no memory.)
//!
//! # Orderings
//! Leaving is a Release, and an Acquire load follows the last: all accesses came before the end.

use crate::sync::atomic::{AtomicUsize, Ordering};

/// Who has not left yet.
#[derive(Debug)]
pub struct Lifetime(AtomicUsize);

impl Lifetime {
    /// That of an interner of so many shards.
    pub fn new(shards: usize) -> Self {
        Self(AtomicUsize::new(shards + 1))
    }

    /// One part leaves; true for the last, which unmaps.
    #[must_use = "the last one closes the door"]
    pub fn leave(&self) -> bool {
        if self.0.fetch_sub(1, Ordering::Release) != 1 {
            return false;
        }
        let none = self.0.load(Ordering::Acquire);
        debug_assert_eq!(none, 0, "somebody left twice");
        true
    }
}
