//! That the statistics add up, which holds by construction: also while other threads run.

use hoopsnake::heap::Stats;

/// Asserts that all bytes of the arenas are counted once.
#[track_caller]
pub fn assert_adds_up(stats: &Stats) {
    let parts = stats.allocated
        + stats.available
        + stats.unused_pools
        + stats.headers
        + stats.quantization
        + stats.alignment;
    assert_eq!(parts, stats.total(), "{stats}");
}
