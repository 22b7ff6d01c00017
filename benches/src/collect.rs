//! What garbage costs: from the drop of the last handle until its memory is free.
//!
//! Some crates do part of the work when a handle is dropped, others leave it all to the run, so both
//! are in the time. Under std's `Rc` the program knows its cycles and cuts them itself.

use core::hint::black_box;
use core::time::Duration;

use crate::pointers::{Family, Workload, row};
use crate::random::Random;
use crate::row::{Row, timed};
use crate::scaled;

/// All rows of this module.
pub fn rows() -> Vec<Row> {
    let garbage = |shape| Garbage { count: scaled(1_000_000), shape };
    vec![
        row("1M garbage nodes: pairs", garbage(Shape::Pairs)),
        row("1M garbage nodes: doubly linked", garbage(Shape::DoublyLinked)),
        row("1M garbage nodes: three random edges", garbage(Shape::Random)),
    ]
}

/// Nodes are linked and forgotten, then the collector runs. What the building costs is not in the time.
#[derive(Clone, Copy)]
struct Garbage {
    count: usize,
    shape: Shape,
}

impl Workload for Garbage {
    fn operations(&self) -> usize {
        self.count
    }

    fn run<F: Family>(&self, passes: u64) -> Duration {
        F::set_automatic(false);
        let time = (0..passes).map(|_| {
            let nodes: Vec<F::Node> = build::<F>(self.shape, self.count);
            timed(|| {
                if !F::COLLECTS {
                    cut::<F>(&nodes);
                }
                drop(black_box(nodes));
                F::collect();
            })
        });
        let time = time.sum();
        F::set_automatic(true);
        time
    }
}

/// How nodes are linked.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// Each with one other, mutually.
    Pairs,
    /// In one list, with links to the next and the one before.
    DoublyLinked,
    /// Three edges from each, to any.
    Random,
}

pub(crate) fn build<F: Family>(shape: Shape, count: usize) -> Vec<F::Node> {
    let nodes: Vec<F::Node> = (0..count).map(|_| F::node()).collect();
    let mutual = |one, other| {
        F::link(one, 0, Some(other));
        F::link(other, 1, Some(one));
    };
    match shape {
        Shape::Pairs => nodes.chunks_exact(2).for_each(|pair| mutual(&pair[0], &pair[1])),
        Shape::DoublyLinked => nodes.windows(2).for_each(|pair| mutual(&pair[0], &pair[1])),
        Shape::Random => {
            let mut random = Random::new(4);
            for from in &nodes {
                (0..3).for_each(|slot| F::link(from, slot, Some(&nodes[random.below(count)])));
            }
        }
    }
    nodes
}

/// Empties all slots, so that nothing is left that only a collector could free.
fn cut<F: Family>(nodes: &[F::Node]) {
    for node in nodes {
        (0..3).for_each(|slot| F::link(node, slot, None));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_family_frees_its_garbage() {
        crate::row::run_all(super::rows);
    }
}
