//! How long the program stands still while most of what it has is alive.

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use crate::collect::{Shape, build};
use crate::pointers::{Family, Workload, row};
use crate::random::Random;
use crate::row::{Row, on_deep_stack, timed};
use crate::scaled;

/// All rows of this module: each operation is one stop.
pub fn rows() -> Vec<Row> {
    vec![
        row("a run over what is new", Run { all: false }),
        row("a run over everything", Run { all: true }),
        row("the longest stop of automatic collection", Longest),
    ]
}

/// The nodes that are alive throughout, linked at random.
const LIVE: usize = scaled(1_000_000);

/// 10 000 new nodes of garbage beside the old live ones: one run, over the new ones only if it need not be
/// over all and the collector can.
#[derive(Clone, Copy)]
struct Run {
    all: bool,
}

const RUNS: usize = 5;

impl Workload for Run {
    fn operations(&self) -> usize {
        RUNS
    }

    fn suits<F: Family>() -> bool {
        F::COLLECTS
    }

    fn run<F: Family>(&self, passes: u64) -> Duration {
        let collect = if self.all { F::collect } else { F::collect_young };
        beside_live_nodes::<F>(false, move |_| {
            let stops = (0..passes * RUNS as u64).map(|_| {
                drop(build::<F>(Shape::Pairs, scaled(10_000)));
                timed(collect)
            });
            stops.sum()
        })
    }
}

/// The collector decides when: a program reads live nodes while it makes garbage, and its longest step
/// counts. (The reading matters to those that set the handles dropped against the handles there are.)
#[derive(Clone, Copy)]
struct Longest;

/// Enough for all of them to run by themselves, the laziest too.
const STEPS: usize = scaled(1_000_000);
const READS: usize = 8;

impl Workload for Longest {
    fn operations(&self) -> usize {
        1
    }

    fn suits<F: Family>() -> bool {
        F::AUTOMATIC
    }

    fn run<F: Family>(&self, passes: u64) -> Duration {
        beside_live_nodes::<F>(true, move |live| {
            let mut random = Random::new(6);
            let longest_of_pass = |_| {
                longest(STEPS, || {
                    (0..READS).for_each(|_| drop(black_box(live[random.below(LIVE)].clone())));
                    forget_pair::<F>();
                })
            };
            (0..passes).map(longest_of_pass).sum()
        })
    }
}

fn forget_pair<F: Family>() {
    let (one, other) = (F::node(), F::node());
    F::link(&one, 0, Some(&other));
    F::link(&other, 0, Some(&one));
}

/// The longest time that `work` takes in so many calls.
fn longest(calls: usize, mut work: impl FnMut()) -> Duration {
    let mut before = Instant::now();
    let times = (0..calls).map(|_| {
        work();
        let now = Instant::now();
        now - core::mem::replace(&mut before, now)
    });
    times.max().unwrap_or_default()
}

/// Runs `measure` while many nodes are alive that have outlived two runs.
///
/// On a thread of its own, where each collector is as new: what dumpster takes for the number of handles
/// there are never sinks by what it collects, so an old one hardly runs by itself any more.
fn beside_live_nodes<F: Family>(
    automatic: bool,
    measure: impl FnOnce(&[F::Node]) -> Duration + Send + 'static,
) -> Duration {
    on_deep_stack(move || {
        F::set_automatic(false);
        let live = build::<F>(Shape::Random, LIVE);
        F::collect();
        F::collect();
        F::set_automatic(automatic);
        let time = measure(&live);
        F::set_automatic(false);
        drop(black_box(live));
        F::collect();
        time
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_family_that_collects_is_measured() {
        crate::row::run_all(super::rows);
    }
}
