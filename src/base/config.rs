//! Every size of the heap in one place, with the relations between them.

/// What the operating system commits and purges in, at the least.
pub(crate) const PAGE: usize = 4096;

/// One granule: the unit of pools. A pointer finds its pool by its granule alone.
pub(crate) const GRANULE: usize = 64 << 10;

/// One arena: an aligned piece of the reservation, cut into granules.
pub(crate) const ARENA: usize = 4 << 20;

/// Granules in an arena.
pub(crate) const GRANULES: usize = ARENA / GRANULE;

/// Bytes of a huge page, where there are such: what the system maps at once, and translates at once.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// Bytes of a granule's record.
pub(crate) const RECORD: usize = 128;

/// Groups of side metadata of a granule: 64 blocks each.
pub(crate) const GROUPS: usize = 24;

/// Bytes of a group of side metadata.
pub(crate) const GROUP: usize = 64;

/// Bytes of a granule's trial counters: one `u32` for each block that has side metadata; whole pages, so that
/// they go back to the system granule by granule.
pub(crate) const COUNTERS: usize = (GROUPS * 64 * 4).next_multiple_of(PAGE);

/// Bytes of an arena's record.
pub(crate) const ARENA_RECORD: usize = 128;

/// Bytes of metadata for each arena: records of it and its granules, and side metadata.
pub(crate) const ARENA_META: usize = ARENA_RECORD + GRANULES * (RECORD + GROUPS * GROUP + COUNTERS);

/// Address space asked for at the start; halved while it is refused. The metadata of all of it lie in
/// its first arenas.
#[cfg(all(target_pointer_width = "64", any(unix, windows), not(miri), not(sanitized)))]
pub(crate) const RESERVATION: usize = 1 << 40;
#[cfg(all(target_pointer_width = "64", any(unix, windows), not(miri), sanitized))]
pub(crate) const RESERVATION: usize = 64 << 30;
#[cfg(all(target_pointer_width = "32", any(unix, windows), not(miri)))]
pub(crate) const RESERVATION: usize = 1 << 30;
#[cfg(any(not(any(unix, windows)), miri))]
pub(crate) const RESERVATION: usize = 128 << 20;

/// Granules of all the addresses that programs can have: those outside of the reservation have records
/// that read as zero, so that a pointer which is not ours is looked up like any other. 0 where that costs
/// memory.
pub(crate) const ADDRESSES: usize = {
    let bits = match () {
        () if cfg!(any(not(unix), miri, sanitized)) => 0,
        () if cfg!(target_arch = "x86_64") => 47,
        () if cfg!(target_arch = "aarch64") => 48,
        () if cfg!(target_pointer_width = "32") => 32,
        () => 0,
    };
    ((1u64 << bits) / GRANULE as u64) as usize
};

/// The smallest reservation worth having.
pub(crate) const MIN_RESERVATION: usize = 16 * ARENA;

const _: () = assert!(GRANULES == 64, "an arena's granules are the bits of one word");
const _: () = assert!(GRANULE.is_multiple_of(PAGE));
const _: () = assert!(ARENA.is_multiple_of(HUGE_PAGE) && HUGE_PAGE.is_multiple_of(GRANULE));
const _: () = assert!((GRANULES * RECORD).is_multiple_of(PAGE), "an arena's records are pages");
const _: () = assert!((GRANULES * GROUPS * GROUP).is_multiple_of(PAGE));
const _: () = assert!((GRANULES * COUNTERS).is_multiple_of(PAGE));
