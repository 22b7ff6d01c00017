//! What a slot says of an entry, and a view of its table: one word each.
//!
//! ```text
//! slot   | tag 16 | address, but for its three low bits 45 | distance from home 3 |
//! table  | address of the slots, a multiple of 64 | keyed 1 | shift 5 |
//! ```
//!
//! The shift, 32 less log2 of the length, leaves the slot's number of the upper half of a place.

/// A slot without an entry.
pub(super) const EMPTY: u64 = 0;
/// The bits of a slot that are an address and a distance.
pub(super) const BELOW_TAG: u64 = (1 << 48) - 1;
/// The bits of a slot that say how far from home it is; all of them: so far or farther.
pub(super) const DISTANCE: u64 = 7;
/// The bits of a slot that are an address.
pub(super) const ADDRESS: u64 = BELOW_TAG & !DISTANCE;
/// The lowest tag bit is always set, so that an empty slot matches no tag.
const TAG_MARK: u64 = 1 << 48;

/// An odd number whose bits look random: 2^64 over the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The place of a hash: all its bits tell in the upper ones.
///
/// A hash that is quick lays like contents side by side with one seed of a hundred: numbers in
/// decimals then form runs of hundreds of slots. What leads to the shard is the hash as it is, so that
/// the view is on its way while this is reckoned.
#[inline(always)]
pub fn place_of_hash(hash: u64) -> u64 {
    hash.wrapping_mul(SPREAD)
}

/// The tag of a place, as a slot has it; never zero.
#[inline(always)]
pub(super) fn tag_of(place: u64) -> u64 {
    ((place << 32) & !BELOW_TAG) | TAG_MARK
}

/// A slot at a distance from its home.
pub(super) fn at_distance(slot: u64, distance: usize) -> u64 {
    (slot & !DISTANCE) | (distance as u64).min(DISTANCE)
}

/// One entry, as tables store it: its address, a multiple of 8 below 2^48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry(pub u64);

/// One table: where its slots are, how many, and whether it is keyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table(usize);

impl Table {
    /// What the base of a table is a multiple of.
    pub const ALIGN: usize = 64;
    const SHIFT: u32 = 31;
    const KEYED: usize = 32;

    /// The table of `1 << log2` slots at `base`.
    pub fn new(base: usize, log2: u32, keyed: bool) -> Self {
        debug_assert!(base.is_multiple_of(Self::ALIGN), "{base:#x}");
        debug_assert!(log2 > 0 && log2 < u32::BITS, "{log2}");
        Self(base | (u32::BITS - log2) as usize | if keyed { Self::KEYED } else { 0 })
    }

    /// As [`word`](Self::word) gave it.
    #[inline(always)]
    pub(super) fn from_word(word: usize) -> Self {
        Self(word)
    }

    /// The table in one word.
    pub(super) fn word(self) -> usize {
        self.0
    }

    /// Where its slots are.
    #[inline(always)]
    pub fn base(self) -> usize {
        self.0 & !(Self::ALIGN - 1)
    }

    /// log2 of its length.
    #[inline(always)]
    pub fn log2(self) -> u32 {
        u32::BITS - self.shift()
    }

    #[inline(always)]
    fn shift(self) -> u32 {
        self.0 as u32 & Self::SHIFT
    }

    /// The home slot of a place: below the length.
    #[inline(always)]
    pub(super) fn home(self, place: u64) -> usize {
        ((place >> 32) as u32 >> self.shift()) as usize
    }

    /// What masks the number of a slot: the length less one.
    #[inline(always)]
    pub(super) fn mask(self) -> usize {
        (u32::MAX >> self.shift()) as usize
    }

    /// How many slots it has.
    #[inline(always)]
    pub fn length(self) -> usize {
        self.mask() + 1
    }

    /// Whether home slots come from the keyed hash.
    #[inline(always)]
    pub fn is_keyed(self) -> bool {
        self.0 & Self::KEYED != 0
    }
}
