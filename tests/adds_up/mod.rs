//! That the statistics add up, which every test of the allocator asserts when nothing moves.

use hoopsnake::heap::Stats;

/// Asserts that all bytes of the arenas are counted once, and each class's twice the same.
#[track_caller]
pub fn assert_adds_up(stats: &Stats) {
    let parts = stats.allocated
        + stats.available
        + stats.unused_pools
        + stats.headers
        + stats.quantization
        + stats.alignment;
    assert_eq!(parts, stats.total(), "{stats}");
    let classes = || stats.classes.iter().chain([&stats.objects, &stats.runs, &stats.huge]);
    assert_eq!(classes().map(|class| class.bytes).sum::<usize>(), stats.allocated, "{stats}");
    let elsewhere: usize = classes().map(|class| class.pools_elsewhere).sum();
    assert_eq!(elsewhere, stats.pools_elsewhere, "{stats}");
    for class in &stats.classes {
        assert_eq!(class.bytes, class.in_use * class.block_size, "{stats}");
        assert!(class.available_elsewhere <= class.available, "{stats}");
    }
}
