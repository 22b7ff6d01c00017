//! Every size of the heap in one place, with the relations between them.

/// What the operating system commits and purges in, at the least.
pub(crate) const PAGE: usize = 4096;

/// One granule: the unit of pools. A pointer finds its pool by its granule alone.
pub(crate) const GRANULE: usize = 64 << 10;

/// One arena: an aligned piece of the reservation; its first granules hold the pools' metadata.
pub(crate) const ARENA: usize = 4 << 20;

/// Granules in an arena.
pub(crate) const GRANULES: usize = ARENA / GRANULE;

/// Granules at the start of each arena that hold metadata.
pub(crate) const META_GRANULES: usize = 2;

/// Granules of an arena that can become pools.
pub(crate) const USABLE_GRANULES: usize = GRANULES - META_GRANULES;

/// Address space asked for at the start; halved while it is refused.
#[cfg(all(target_pointer_width = "64", not(sanitized)))]
pub(crate) const RESERVATION: usize = 1 << 40;
#[cfg(all(target_pointer_width = "64", sanitized))]
pub(crate) const RESERVATION: usize = 64 << 30;
#[cfg(not(target_pointer_width = "64"))]
pub(crate) const RESERVATION: usize = 1 << 30;

/// The smallest reservation worth having.
pub(crate) const MIN_RESERVATION: usize = 16 * ARENA;

const _: () = assert!(GRANULES == 64, "an arena's granules are the bits of one word");
const _: () = assert!(GRANULE.is_multiple_of(PAGE));
