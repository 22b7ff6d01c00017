//! What the runs of a thread have done: Python's `gc.get_stats()`.

use core::time::Duration;
use std::time::Instant;

use super::candidates::Counts;

/// What the runs of one generation have done: see [`gc::stats`](crate::gc::stats).
///
/// ```
/// use hoopsnake::gc;
/// gc::collect();
/// let full = gc::stats().old;
/// assert!(full.collections == 1 && full.longest <= full.duration);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GenerationStats {
    /// Runs; pieces of a walk between them are not counted.
    pub collections: u64,
    /// Objects that they freed.
    pub collected: u64,
    /// Garbage that they had to leave: always 0, for finalizers are no obstacle.
    pub uncollectable: u64,
    /// Objects that they decided about.
    pub candidates: u64,
    /// Old objects among them, which they found by a walk from dirty ones.
    pub visited: u64,
    /// Objects and edges that they looked at: their work, whatever the clock says.
    pub looked_at: u64,
    /// The time that they took, finalizers and drops included.
    pub duration: Duration,
    /// The longest of them: a pause of the program.
    pub longest: Duration,
}

impl GenerationStats {
    pub(super) const ZERO: GenerationStats = GenerationStats {
        collections: 0,
        collected: 0,
        uncollectable: 0,
        candidates: 0,
        visited: 0,
        looked_at: 0,
        duration: Duration::ZERO,
        longest: Duration::ZERO,
    };

    pub(super) fn add(&mut self, counts: Counts, took: Duration, whole: bool) {
        self.collections += u64::from(whole);
        self.collected += counts.freed as u64;
        self.candidates += counts.all as u64;
        self.visited += counts.visited as u64;
        self.looked_at += counts.looked_at as u64;
        self.duration += took;
        self.longest = self.longest.max(took);
    }
}

/// Measures a run, where there is a clock.
pub(super) struct Watch(Option<Instant>);

impl Watch {
    pub(super) fn start() -> Watch {
        Watch((!cfg!(all(target_family = "wasm", target_os = "unknown"))).then(Instant::now))
    }

    pub(super) fn took(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |start| start.elapsed())
    }
}
