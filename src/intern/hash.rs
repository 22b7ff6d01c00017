//! The hash of contents, the same in every interner: seeded once for the whole program.
//!
//! Entries store it. It chooses shard, tag and slot; [`InternMap`](super::InternMap) finds keys by it.

use crate::sync::OnceLock;
use core::hash::{BuildHasher, Hash, Hasher};
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use std::hash::RandomState;

/// What hashes depend on.
#[derive(Debug, Clone)]
pub struct Seed {
    seed: u64,
    shared: SharedSeed,
}

impl Seed {
    /// The program's seed; interners keep a copy.
    #[inline]
    pub(super) fn of_program() -> &'static Self {
        static SEED: OnceLock<Seed> = OnceLock::new();
        SEED.get_or_init(|| {
            let random = RandomState::new();
            Self::new(random.hash_one(0), random.hash_one(1))
        })
    }

    /// The seed that two random numbers make.
    pub(super) fn new(seed: u64, shared: u64) -> Self {
        Self { seed, shared: SharedSeed::from_u64(shared) }
    }

    /// The hash of bytes.
    #[inline(always)]
    pub(super) fn hash_bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(bytes);
        hasher.finish()
    }

    /// The hash of a value. User code.
    #[inline]
    pub(super) fn hash_value<Q: Hash + ?Sized>(&self, value: &Q) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        value.hash(&mut hasher);
        hasher.finish()
    }
}
