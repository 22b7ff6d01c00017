//! What a slot says of an entry, and a view of its table: one word each.
//!
//! ```text
//! slot   | address, but for its three low bits 45 | distance 2 | passed 1 | tag 16 |
//! table  | address of the slots, a multiple of 64 | keyed 1 | shift 5 |
//! ```
//!
//! Slots come in pairs. The distance is how many pairs behind its home an entry lies, or 3 for more. The first
//! slot of a pair says whether the pair is *passed*: whether entries that found it full may lie behind it.
//!
//! The shift, 32 less log2 of the length, leaves the slot's number of the lower half of a place: one
//! instruction, which a look-up waits for.

/// A slot without an entry.
pub(super) const EMPTY: u64 = 0;
/// Slots of a pair.
pub(super) const PAIR: usize = 2;
/// What a slot notes of distances from here up.
pub(super) const FAR: usize = 3;
/// The bits of a slot that are a tag: the lowest, so that they are compared without more ado.
const TAG_BITS: u32 = 16;
/// The bit of a pair's first slot that says whether it is passed.
const PASSED: u64 = 1 << TAG_BITS;
const DISTANCE_SHIFT: u32 = TAG_BITS + 1;
/// The bits of a slot that an address does not need.
const LOW_BITS: u64 = 7;
/// The lowest tag bit is always set, so that an empty slot matches no tag.
const TAG_MARK: u16 = 1;

/// The tag of a place; never zero.
#[inline(always)]
pub(super) fn tag_of(place: u64) -> u16 {
    place as u16 | TAG_MARK
}

/// Whether a slot has this tag.
#[inline(always)]
pub(super) fn has_tag(slot: u64, tag: u16) -> bool {
    slot as u16 == tag
}

/// The slot of an entry so many pairs from its home.
pub(super) fn slot_of(entry: Entry, place: u64, distance: usize) -> u64 {
    at_distance(entry.0 << TAG_BITS | u64::from(tag_of(place)), distance)
}

/// The same entry's slot at another distance, of a pair that is not passed.
pub(super) fn at_distance(slot: u64, distance: usize) -> u64 {
    slot & !(LOW_BITS << TAG_BITS) | (distance.min(FAR) as u64) << DISTANCE_SHIFT
}

/// The distance that a slot notes; that of an empty one is zero.
pub(super) fn noted_distance(slot: u64) -> usize {
    (slot >> DISTANCE_SHIFT) as usize & FAR
}

/// Whether the pair is passed that this slot is the first of.
#[inline(always)]
pub(super) fn is_passed(first: u64) -> bool {
    first & PASSED != 0
}

/// A slot that says whether its pair is passed.
pub(super) fn with_passed(slot: u64, passed: bool) -> u64 {
    if passed { slot | PASSED } else { slot & !PASSED }
}

/// One entry, as tables store it: its address, a multiple of 8 below 2^48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry(pub u64);

impl Entry {
    /// That of a slot; address zero in an empty one.
    #[inline(always)]
    pub(super) fn in_slot(slot: u64) -> Self {
        Self(slot >> TAG_BITS & !LOW_BITS)
    }

    /// Whether a slot can say where it is.
    pub(super) fn fits(self) -> bool {
        self.0 != 0 && Self::in_slot(self.0 << TAG_BITS) == self
    }
}

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

    /// The home of a place, the first slot of a pair: even, and below the length.
    #[inline(always)]
    pub(super) fn home(self, place: u64) -> usize {
        (place as u32 >> self.shift() & !1) as usize
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
