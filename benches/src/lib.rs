//! Workloads over hoopsnake and its peers, shared by the criterion benches and the command `compare`.
//!
//! Each layer's module holds its workloads, written once over a trait, and `rows`: each workload with
//! everything that runs it. [`program`] is a whole program, with interning and without. Features bring
//! the peers in: without them ours stand beside std's.

pub mod collect;
pub mod heap;
pub mod intern;
pub mod pauses;
pub mod pointers;
pub mod program;

mod random;
mod row;
mod text;

pub use random::Random;
pub use row::{Row, Subject, on_deep_stack};

/// A size of workload: as given where it is measured, a hundredth where tests only see it run.
const fn scaled(size: usize) -> usize {
    if cfg!(debug_assertions) { size / 100 } else { size }
}
