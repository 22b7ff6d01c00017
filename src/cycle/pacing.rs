//! When to run what: a pure function of counters.

use super::candidates::Counts;
use super::generation::{Generation, PerGeneration};
use super::run::Plan;
use crate::heap::object_pool::MAX_COUNTDOWN;

/// Net new objects from one automatic run to the next, at first and at least.
const YOUNG: usize = 10_000;
/// The same, at most.
const YOUNG_MAX: usize = 40_000;
// Deaths by count wind the countdown up to twice the longest interval.
const _: () = assert!(MAX_COUNTDOWN == 2 * YOUNG_MAX as i64);
/// After that many young runs one takes the middle generation along.
const MIDDLE_EVERY: usize = 10;
/// The same where older objects have lost handles since, at first: less if that finds much, more if it does not.
const MIDDLE_SOON: usize = 2;
/// Growth in percent of the old objects that makes the next run a full one: at first, and its bounds.
const GROWTH: usize = 100;
const GROWTH_MIN: usize = 50;
const GROWTH_MAX: usize = 400;
/// Full runs are not worth it for fewer objects than this.
const FULL_MIN: usize = 100_000;
/// Visits by the walk for each 64 new objects: at first, and its bounds.
const WALK: usize = 2;
const WALK_MIN: usize = 2;
const WALK_MAX: usize = 256;
/// Visits of one walk, about: longer ones are done in parts, between young runs.
const WALK_PART: usize = 2000;

/// What the choice of the next run depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pacing {
    /// Net new objects until the next run; young runs until a middle one; growth in percent.
    threshold: PerGeneration<usize>,
    /// Whether the thresholds follow what runs find.
    adaptive: bool,
    /// Young runs since the last one that took the middle generation.
    young_runs: usize,
    /// Young runs until the middle generation is taken along, if older objects have lost handles.
    middle_soon: usize,
    /// Middle runs since the last full one.
    middle_runs: usize,
    /// Objects that survived the last full run.
    old: usize,
    /// Objects that became old since then, at most.
    promoted: usize,
    /// Dirty objects that no walk has taken as seeds, at most.
    deferred: usize,
    /// Whether one of the young objects lost a handle since it may last have become garbage by that; the same
    /// for young and middle ones, and for those only that were older when they did.
    young_lost: bool,
    middle_lost: bool,
    aged_lost: bool,
    /// Growth below this need not be looked at again: it was counted, and found small.
    counted: usize,
    /// Visits for each 64 new objects.
    walk: usize,
    /// Parts of the walk that were done since the last young run.
    parts_done: usize,
}

/// What there is, counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Census {
    pub(super) old: usize,
    pub(super) dirty: usize,
}

impl Pacing {
    /// The state of a new thread.
    pub(super) const fn new() -> Pacing {
        Pacing {
            threshold: PerGeneration { young: YOUNG, middle: MIDDLE_EVERY, old: GROWTH },
            adaptive: true,
            young_runs: 0,
            middle_soon: MIDDLE_SOON,
            middle_runs: 0,
            old: 0,
            promoted: 0,
            deferred: 0,
            young_lost: false,
            middle_lost: false,
            aged_lost: false,
            counted: 0,
            walk: WALK,
            parts_done: 0,
        }
    }

    /// Net new objects from the last young run to the next run; `None` if none is to begin by itself.
    pub(super) fn interval(&self) -> Option<i64> {
        let young = self.threshold.young.min(MAX_COUNTDOWN as usize);
        (young > 0).then_some((young * (self.parts_done + 1)).div_ceil(self.parts()) as i64)
    }

    /// In how many parts the walk is done.
    fn parts(&self) -> usize {
        self.visits().div_ceil(WALK_PART).max(self.parts_done + 1)
    }

    /// The thresholds of now.
    pub(super) fn threshold(&self) -> PerGeneration<usize> {
        self.threshold
    }

    /// Sets the thresholds, for good.
    pub(super) fn set_threshold(&mut self, threshold: PerGeneration<usize>) {
        (self.threshold, self.adaptive) = (threshold, false);
    }

    /// Runs since the last of the next generation.
    pub(super) fn runs(&self) -> (usize, usize) {
        (self.young_runs, self.middle_runs)
    }

    /// What the next automatic run takes. `census` is asked when it seems to be time for a full one.
    pub(super) fn plan(&mut self, census: impl FnOnce() -> Census) -> Plan {
        let parts = self.parts();
        let walk = self.visits().div_ceil(parts);
        if self.parts_done + 1 < parts {
            return Plan { generation: Generation::Young, limit: 0, walk, grow: false };
        }
        let generation = if self.is_full_due(census) {
            Generation::Old
        } else if self.is_middle_due() {
            Generation::Middle
        } else {
            Generation::Young
        };
        let (walk, grow) = match generation {
            Generation::Young => (walk, !self.young_lost),
            Generation::Middle => (walk, !self.middle_lost),
            Generation::Old => (0, false),
        };
        Plan { generation, limit: usize::MAX, walk, grow }
    }

    /// Whether it is time for the middle generation.
    fn is_middle_due(&self) -> bool {
        let soon = self.adaptive && self.aged_lost && self.young_runs >= self.middle_soon;
        soon || self.young_runs >= self.threshold.middle
    }

    /// So many young objects, and older ones, lost a handle since the last run.
    pub(super) fn note_lost(&mut self, young: usize, aged: usize) {
        self.young_lost |= young > 0;
        self.aged_lost |= aged > 0;
        self.middle_lost |= young > 0 || aged > 0;
        self.deferred += aged;
    }

    /// Visits of the walk from one young run to the next.
    fn visits(&self) -> usize {
        (self.threshold.young.min(YOUNG_MAX) * self.walk / 64).max(1)
    }

    /// Whether the old objects have grown enough. What only seems so is counted, once for each eighth of it.
    fn is_full_due(&mut self, census: impl FnOnce() -> Census) -> bool {
        let least = if self.adaptive { FULL_MIN } else { self.threshold.young };
        let limit = least.max(self.old.saturating_mul(self.threshold.old) / 100);
        if self.growth() <= limit.max(self.counted) {
            return false;
        }
        let Census { old, dirty } = census();
        (self.promoted, self.deferred) = (old.saturating_sub(self.old), dirty);
        self.counted = self.growth() + limit / 8;
        self.growth() > limit
    }

    /// Half of what is dirty counts as growth: however much is dirty, without growth no run is full.
    fn growth(&self) -> usize {
        self.promoted + self.deferred / 2
    }

    /// Learns from a run.
    pub(super) fn ran(&mut self, plan: Plan, counts: Counts) {
        debug_assert!(counts.freed <= counts.all, "freed more than there was: {counts:?}");
        self.deferred = self.deferred.saturating_sub(counts.seeds);
        if plan.limit == usize::MAX {
            self.young_lost = false;
            let left = plan.generation == Generation::Young;
            (self.middle_lost, self.aged_lost) = (self.middle_lost && left, self.aged_lost && left);
        }
        self.parts_done = if plan.limit == 0 { self.parts_done + 1 } else { 0 };
        match plan.generation {
            Generation::Young if plan.limit == 0 => {}
            Generation::Young => self.young_runs += 1,
            Generation::Middle => {
                (self.young_runs, self.middle_runs) = (0, self.middle_runs + 1);
                if !plan.grow {
                    let taken = counts.promoted + counts.visited;
                    let soon = adapt(self.middle_soon, counts.freed_old, taken, 1, MIDDLE_EVERY);
                    self.middle_soon = soon;
                }
            }
            Generation::Old => {
                (self.young_runs, self.middle_runs) = (0, 0);
                (self.promoted, self.deferred, self.counted) = (0, 0, 0);
                self.old = counts.all - counts.freed;
                if self.adaptive {
                    let growth = &mut self.threshold.old;
                    *growth = adapt(*growth, counts.freed, counts.all, GROWTH_MIN, GROWTH_MAX);
                }
                return;
            }
        }
        let young_freed = counts.freed - counts.freed_old;
        // Young garbage was not promoted; middle garbage was, and counts as old.
        self.promoted = (self.promoted + counts.promoted).saturating_sub(counts.freed_old);
        if self.adaptive && plan.limit > 0 {
            let taken = counts.all - counts.visited.min(counts.all);
            self.threshold.young =
                adapt(self.threshold.young, young_freed, taken, YOUNG, YOUNG_MAX);
        }
        if counts.visited > 0 {
            // The other way round: a walk that finds much is worth more, and at once.
            self.walk = if counts.freed_old * 4 > counts.visited {
                self.walk * 4
            } else if counts.freed_old * 20 < counts.visited {
                self.walk / 2
            } else {
                self.walk
            };
            self.walk = self.walk.clamp(WALK_MIN, WALK_MAX);
        }
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

    fn outcome(all: usize, freed: usize) -> Counts {
        Counts { all, promoted: all - freed, freed, ..Counts::default() }
    }

    /// The plan of the next young run, or a higher one.
    fn next(pacing: &mut Pacing, census: impl Fn() -> Census) -> Plan {
        loop {
            let plan = pacing.plan(&census);
            if plan.limit > 0 {
                return plan;
            }
            pacing.ran(plan, Counts::default());
        }
    }

    fn run(pacing: &mut Pacing, generation: Generation, counts: Counts) {
        pacing.ran(Plan { generation, limit: usize::MAX, walk: 0, grow: false }, counts);
    }

    fn grown(old: usize) -> impl Fn() -> Census {
        move || Census { old, dirty: 0 }
    }

    fn not_asked() -> Census {
        panic!("it was not time to count")
    }

    #[test]
    fn every_tenth_run_takes_the_middle() {
        let mut pacing = Pacing::new();
        for round in 0..33 {
            let choice = next(&mut pacing, not_asked).generation;
            let expected = if round % 11 == 10 { Generation::Middle } else { Generation::Young };
            assert_eq!(choice, expected, "round {round}");
            run(&mut pacing, choice, outcome(10_000, 10_000));
        }
    }

    #[test]
    fn the_middle_is_taken_sooner_where_that_pays() {
        let mut pacing = Pacing::new();
        let mut young_runs = |lost, freed_old| {
            for runs in 0.. {
                pacing.note_lost(0, lost);
                let plan = next(&mut pacing, not_asked);
                if plan.generation == Generation::Middle {
                    pacing
                        .ran(plan, Counts { promoted: 100, freed_old, ..outcome(200, freed_old) });
                    return runs;
                }
                pacing.ran(plan, outcome(100, 50));
            }
            unreachable!("the middle generation is not taken")
        };
        assert_eq!((young_runs(0, 0), young_runs(1, 90)), (10, 2));
        assert_eq!([90, 0, 0, 0, 0, 0].map(|freed| young_runs(1, freed)), [1, 1, 2, 4, 8, 10]);
        assert_eq!(young_runs(1, 90), 10);
        assert_eq!((young_runs(1, 10), young_runs(1, 90)), (5, 5));
    }

    #[test]
    fn full_runs_wait_for_growth() {
        let mut pacing = Pacing::new();
        run(&mut pacing, Generation::Old, outcome(1_000_000, 0));
        assert_eq!(pacing.threshold().old, 200);
        for _ in 0..190 {
            run(&mut pacing, Generation::Middle, outcome(10_000, 0));
            assert_eq!(next(&mut pacing, not_asked).generation, Generation::Young);
        }
        for _ in 0..11 {
            run(&mut pacing, Generation::Middle, outcome(10_000, 0));
        }
        assert_eq!(next(&mut pacing, grown(3_010_000)).generation, Generation::Old);
        run(&mut pacing, Generation::Old, outcome(3_000_000, 1_000_000));
        assert_eq!((pacing.old, pacing.threshold().old), (2_000_000, 100));
        assert_eq!(next(&mut pacing, not_asked).generation, Generation::Young);
    }

    /// However much garbage the young leave, what becomes old is growth.
    #[test]
    fn young_garbage_hides_no_growth() {
        let mut pacing = Pacing::new();
        let census = || Census { old: 10 * FULL_MIN, dirty: 0 };
        let full_after = (0..1000).find(|_| {
            let plan = next(&mut pacing, census);
            let promoted = if plan.generation == Generation::Middle { 9000 } else { 0 };
            pacing.ran(plan, Counts { promoted, ..outcome(20_000, 10_000) });
            plan.generation == Generation::Old
        });
        assert!(full_after.is_some_and(|runs| runs < 200), "{full_after:?}");
    }

    /// What dies by count after it was promoted is no growth, and is counted rarely.
    #[test]
    fn no_full_run_without_growth() {
        let mut pacing = Pacing::new();
        run(&mut pacing, Generation::Old, outcome(1_000_000, 60_000));
        let censuses = core::cell::Cell::new(0);
        for _ in 0..1000 {
            run(&mut pacing, Generation::Middle, outcome(10_000, 0));
            let plan = next(&mut pacing, || {
                censuses.set(censuses.get() + 1);
                Census { old: 940_000, dirty: 940_000 }
            });
            assert_eq!(plan.generation, Generation::Young);
        }
        assert!(censuses.get() < 20, "{} counts in 1000 runs", censuses.get());
    }

    #[test]
    fn what_lost_no_handle_only_grows() {
        let mut pacing = Pacing::new();
        let mut grows = |young, aged, generation| {
            pacing.note_lost(young, aged);
            pacing.young_runs = if generation == Generation::Middle { MIDDLE_EVERY } else { 0 };
            let plan = next(&mut pacing, not_asked);
            assert_eq!(plan.generation, generation);
            pacing.ran(plan, outcome(10, 0));
            plan.grow
        };
        let (young, middle) = (Generation::Young, Generation::Middle);
        assert!(grows(0, 0, young) && grows(0, 0, middle));
        assert!(!grows(1, 0, young) && grows(0, 0, young));
        assert!(!grows(0, 0, middle), "one of them lost a handle when it was young");
        assert!(grows(0, 1, young) && !grows(0, 0, middle) && grows(0, 0, middle));
    }

    #[test]
    fn intervals_follow_the_yield() {
        let mut pacing = Pacing::new();
        for _ in 0..9 {
            run(&mut pacing, Generation::Young, outcome(10_000, 0));
        }
        let plan = next(&mut pacing, not_asked);
        assert!(plan.walk <= WALK_PART && pacing.threshold().young == YOUNG_MAX);
        assert_eq!(pacing.interval(), Some(YOUNG_MAX as i64), "after the last part of the walk");
        for _ in 0..9 {
            run(&mut pacing, Generation::Young, outcome(10_000, 10_000));
        }
        assert_eq!(pacing.interval(), Some(YOUNG as i64));
    }

    #[test]
    fn walks_follow_the_yield() {
        let mut pacing = Pacing::new();
        let mut walk = |visited, freed_old| {
            let counts =
                Counts { all: visited, visited, freed: freed_old, freed_old, ..Counts::default() };
            run(&mut pacing, Generation::Young, counts);
            pacing.visits()
        };
        assert_eq!(walk(1000, 100), YOUNG / 32);
        assert_eq!(walk(1000, 300), YOUNG / 8);
        assert_eq!((0..9).map(|_| walk(1000, 0)).last(), Some(YOUNG / 32));
    }

    #[test]
    fn thresholds_stay_as_they_were_set() {
        let mut pacing = Pacing::new();
        let threshold = PerGeneration { young: 100, middle: 2, old: 25 };
        pacing.set_threshold(threshold);
        for _ in 0..9 {
            run(&mut pacing, Generation::Young, outcome(100, 0));
            run(&mut pacing, Generation::Old, outcome(100, 0));
        }
        assert_eq!((pacing.threshold(), pacing.interval()), (threshold, Some(100)));
        pacing.set_threshold(PerGeneration { young: 0, ..threshold });
        assert_eq!(pacing.interval(), None);
    }
}
