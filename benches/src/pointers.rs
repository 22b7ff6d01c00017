//! What a counted pointer costs while nothing is garbage, and the families of pointers that are compared.

use core::hint::black_box;
use core::time::Duration;

use crate::row::{Row, timed};

mod families;

/// All rows of this module.
pub fn rows() -> Vec<Row> {
    vec![
        row("leaf: new and drop", LeafNew),
        row("leaf: clone and drop", LeafClone),
        row("node: new and drop", NodeNew),
        row("node: clone and drop", NodeClone),
        row("100 000 nodes: new, then drop all", NodeBatch),
    ]
}

/// A crate's pointer, and how its collector is called.
pub(crate) trait Family: 'static {
    const NAME: &'static str;
    /// Whether cycles are ever freed; where not, programs cut them.
    const COLLECTS: bool = true;
    /// Whether the collector also runs by itself.
    const AUTOMATIC: bool = Self::COLLECTS;

    /// A pointer to a number: nothing that the collector need look at.
    type Leaf: Clone;
    /// A pointer to three slots, each of them empty or a pointer to a node.
    type Node: Clone;

    fn leaf(value: u64) -> Self::Leaf;
    fn node() -> Self::Node;
    fn link(from: &Self::Node, slot: usize, to: Option<&Self::Node>);

    /// Finds all garbage.
    fn collect() {}
    /// Finds the garbage among what is new, if the collector tells new from old.
    fn collect_young() {
        Self::collect();
    }
    /// Switches automatic collection, where it can be switched.
    fn set_automatic(_on: bool) {}
}

/// Something that pointers of any family can be asked to do.
pub(crate) trait Workload: Copy + 'static {
    /// How much of what is measured one pass does.
    fn operations(&self) -> usize;

    /// Whether this family can do it.
    fn suits<F: Family>() -> bool {
        true
    }

    /// The time of so many passes.
    fn run<F: Family>(&self, passes: u64) -> Duration;
}

/// One workload over all families that can do it.
pub(crate) fn row<W: Workload>(name: &'static str, workload: W) -> Row {
    let mut row = Row::new(name, workload.operations());
    push::<families::Hoopsnake, W>(&mut row, workload);
    #[cfg(feature = "peers")]
    {
        push::<families::Dumpster, W>(&mut row, workload);
        push::<families::Gcmodule, W>(&mut row, workload);
        push::<families::Boa, W>(&mut row, workload);
    }
    push::<families::StdRc, W>(&mut row, workload);
    row
}

fn push<F: Family, W: Workload>(row: &mut Row, workload: W) {
    if W::suits::<F>() {
        row.push(F::NAME, move |passes| workload.run::<F>(passes));
    }
}

// Workloads ---------------------------------------------------------------------------------------

const OPERATIONS: usize = 1000;

/// Declares a workload that does one thing again and again.
macro_rules! repeated {
    ($(#[$doc:meta])* $name:ident, $family:ident, $given:expr, $work:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        struct $name;

        impl Workload for $name {
            fn operations(&self) -> usize {
                OPERATIONS
            }

            fn run<$family: Family>(&self, passes: u64) -> Duration {
                let given = $given;
                let time = timed(|| {
                    for number in 0..passes * OPERATIONS as u64 {
                        $work(&given, number);
                    }
                });
                F::collect();
                time
            }
        }
    };
}

repeated! {
    /// An object that holds a number is made, and dropped at once.
    LeafNew, F, (), |_, number| drop(black_box(F::leaf(black_box(number))))
}
repeated! {
    /// A pointer to a number is copied, and the copy dropped at once.
    LeafClone, F, F::leaf(7), |leaf, _| drop(black_box(F::Leaf::clone(black_box(leaf))))
}
repeated! {
    /// An object that may be part of a cycle is made, and dropped at once.
    NodeNew, F, (), |_, _| drop(black_box(F::node()))
}
repeated! {
    /// A pointer to an object that may be part of a cycle is copied, and the copy dropped at once.
    NodeClone, F, F::node(), |node, _| drop(black_box(F::Node::clone(black_box(node))))
}

/// Nodes are made, all are alive together, and are dropped in the order they were made.
#[derive(Clone, Copy)]
struct NodeBatch;

impl Workload for NodeBatch {
    fn operations(&self) -> usize {
        100 * OPERATIONS
    }

    fn run<F: Family>(&self, passes: u64) -> Duration {
        let mut nodes = Vec::with_capacity(self.operations());
        let time = timed(|| {
            for _ in 0..passes {
                nodes.extend((0..self.operations()).map(|_| F::node()));
                black_box(&mut nodes).clear();
            }
        });
        F::collect();
        time
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_workload_runs_over_every_family() {
        crate::row::run_all(super::rows);
    }
}
