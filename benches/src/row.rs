//! One question, and everything that answers it.

use core::fmt;
use core::time::Duration;
use std::time::Instant;

/// One workload and those that run it; ours is the first.
#[derive(Debug)]
pub struct Row {
    /// What is done.
    pub name: &'static str,
    /// How often one pass does it: a pass's time is divided by this.
    pub operations: u64,
    /// Who does it, in the order of the table's columns.
    pub subjects: Vec<Subject>,
}

impl Row {
    pub(crate) fn new(name: &'static str, operations: usize) -> Self {
        Self { name, operations: operations as u64, subjects: Vec::new() }
    }

    pub(crate) fn push(&mut self, name: &'static str, run: impl FnMut(u64) -> Duration + 'static) {
        self.subjects.push(Subject { name, run: Box::new(run) });
    }
}

/// One of those that run a workload.
pub struct Subject {
    /// The name of its column.
    pub name: &'static str,
    run: Box<dyn FnMut(u64) -> Duration>,
}

impl Subject {
    /// The time that so many passes take, without what prepares them.
    pub fn run(&mut self, passes: u64) -> Duration {
        (self.run)(passes)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The time that `work` takes. Never inlined, so that all subjects' loops begin alike.
#[inline(never)]
pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

/// Runs two threads that begin together; the time of the slower one.
pub(crate) fn timed_twice(work: impl Fn(usize) -> Duration + Sync) -> Duration {
    let (work, barrier) = (&work, &std::sync::Barrier::new(2));
    let spawned = |thread| {
        move || {
            barrier.wait();
            work(thread)
        }
    };
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|thread| scope.spawn(spawned(thread)));
        let times = threads.map(|thread| thread.join().expect("the workload does not panic"));
        times[0].max(times[1])
    })
}

/// Runs `work` on a stack of 1 GiB: peers follow a list of a million nodes by recursion.
///
/// # Panics
/// When `work` does.
pub fn on_deep_stack<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let thread = std::thread::Builder::new().stack_size(1 << 30).spawn(work);
    thread.expect("address space is free").join().expect("the workloads do not panic")
}

/// Runs each subject of each row, so that tests see all of them work.
#[cfg(test)]
pub(crate) fn run_all(rows: fn() -> Vec<Row>) {
    on_deep_stack(move || {
        for mut row in rows() {
            assert!(!row.subjects.is_empty(), "{}", row.name);
            for subject in &mut row.subjects {
                assert!(!subject.run(2).is_zero(), "{}: {}", row.name, subject.name);
            }
        }
    });
}
