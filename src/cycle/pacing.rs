//! When to run what: a pure function of counters.

use super::candidates::Generation;

/// Net new objects from one automatic run to the next, at first and at least.
const YOUNG: u32 = 10_000;
/// The same, at most.
const YOUNG_MAX: u32 = 40_000;
/// Deaths by count wind the countdown up to this, twice the longest interval.
pub(super) const MAX_COUNTDOWN: u64 = 2 * YOUNG_MAX as u64;
/// Each that many young runs take the middle generation along.
const MIDDLE_EVERY: u32 = 10;
/// Full runs are not worth it for fewer objects than this.
const FULL_MIN: usize = 100_000;

/// What the choice of the next run depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pacing {
    /// Net new objects until the next run.
    interval: u32,
    /// Young runs since the last one that took the middle generation.
    young_runs: u32,
    /// Objects that survived the last full run.
    old: usize,
    /// Objects that became old since then, at most.
    promoted: usize,
    /// Promoted objects in percent of the old ones that make the next run a full one.
    growth: usize,
    /// The list of recent pools is incomplete: only a full run sees all young objects.
    incomplete: bool,
}

/// What a run did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// Objects that were looked at.
    pub(super) candidates: usize,
    /// Those of them that were middle-aged.
    pub(super) middle: usize,
    /// Those of them that were freed.
    pub(super) freed: usize,
}

impl Pacing {
    /// The state of a new thread.
    pub(super) const fn new() -> Pacing {
        Pacing {
            interval: YOUNG,
            young_runs: 0,
            old: 0,
            promoted: 0,
            growth: 100,
            incomplete: false,
        }
    }

    /// Net new objects until the next run.
    pub(super) fn interval(&self) -> i64 {
        i64::from(self.interval)
    }

    /// What the next automatic run takes.
    pub(super) fn choose(&self) -> Generation {
        if self.incomplete || self.promoted > FULL_MIN.max(self.old / 100 * self.growth) {
            Generation::Old
        } else if self.young_runs >= MIDDLE_EVERY {
            Generation::Middle
        } else {
            Generation::Young
        }
    }

    /// A run could not begin, and has forgotten which pools are recent.
    pub(super) fn lost_recent(&mut self) {
        self.incomplete = true;
    }

    /// Learns from a run.
    pub(super) fn ran(&mut self, generation: Generation, outcome: Outcome) {
        let Outcome { candidates, middle, freed } = outcome;
        debug_assert!(freed <= candidates, "freed {freed} of {candidates}");
        match generation {
            Generation::Young => self.young_runs += 1,
            Generation::Middle => {
                self.young_runs = 0;
                self.promoted += middle.saturating_sub(freed);
            }
            Generation::Old => {
                (self.young_runs, self.promoted, self.incomplete) = (0, 0, false);
                self.old = candidates - freed;
                self.growth = adapt(self.growth, freed, candidates, 100, 400);
                return;
            }
        }
        self.interval =
            adapt(self.interval as usize, freed, candidates, YOUNG as usize, YOUNG_MAX as usize)
                as u32;
    }
}

/// Doubles after a run that freed less than 5%, halves after one that freed more than 25%.
fn adapt(value: usize, freed: usize, candidates: usize, least: usize, most: usize) -> usize {
    let next = if freed * 20 < candidates {
        value * 2
    } else if freed * 4 > candidates {
        value / 2
    } else {
        value
    };
    next.clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(candidates: usize, freed: usize) -> Outcome {
        Outcome { candidates, middle: candidates, freed }
    }

    #[test]
    fn every_tenth_run_takes_the_middle() {
        let mut pacing = Pacing::new();
        for round in 0..33 {
            let choice = pacing.choose();
            let expected = if round % 11 == 10 { Generation::Middle } else { Generation::Young };
            assert_eq!(choice, expected, "round {round}");
            pacing.ran(choice, outcome(10_000, 9_000));
        }
    }

    #[test]
    fn full_runs_wait_for_growth() {
        let mut pacing = Pacing::new();
        pacing.ran(Generation::Old, outcome(1_000_000, 0));
        assert_eq!(pacing.growth, 200);
        for _ in 0..190 {
            pacing.ran(Generation::Middle, outcome(10_000, 0));
            assert_eq!(pacing.choose(), Generation::Young);
        }
        for _ in 0..11 {
            pacing.ran(Generation::Middle, outcome(10_000, 0));
        }
        assert_eq!(pacing.choose(), Generation::Old);
        pacing.ran(Generation::Old, outcome(3_000_000, 1_000_000));
        assert_eq!((pacing.old, pacing.growth), (2_000_000, 100));
        assert_eq!(pacing.choose(), Generation::Young);
    }

    #[test]
    fn intervals_follow_the_yield() {
        let mut pacing = Pacing::new();
        for _ in 0..9 {
            pacing.ran(Generation::Young, outcome(10_000, 0));
        }
        assert_eq!(pacing.interval(), i64::from(YOUNG_MAX));
        for _ in 0..9 {
            pacing.ran(Generation::Young, outcome(10_000, 10_000));
        }
        assert_eq!(pacing.interval(), i64::from(YOUNG));
    }

    #[test]
    fn a_lost_list_asks_for_a_full_run() {
        let mut pacing = Pacing::new();
        pacing.lost_recent();
        assert_eq!(pacing.choose(), Generation::Old);
        pacing.ran(Generation::Old, outcome(10, 0));
        assert_eq!(pacing.choose(), Generation::Young);
    }
}
