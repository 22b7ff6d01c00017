//! What the models share: `explore`, which fails a model that explored a single schedule.
//!
//! A model lives in `tests/<name>.rs` under the name of the file whose protocol it runs, and its
//! comment says which orderings were weakened and that the model then failed. Without `--cfg loom`
//! everything here is empty; `.ci/loom` runs it.
#![cfg(loom)]

pub mod pool;

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Instant;

/// Thread switches that one schedule may have; loom's own 1000 are too few for loops over a CAS.
const MAX_BRANCHES: usize = 20_000;

/// Runs `model` under every schedule with at most `preemption_bound` preemptions.
///
/// The variable `LOOM_MAX_PREEMPTIONS` lowers the bound but never raises it; `None` is no bound.
/// Prints how many schedules there were and how long they took.
///
/// # Panics
/// Panics where the model does, and when there was only one schedule: such a model has no
/// concurrency in it (a cfg is missing, or its threads share nothing) and would pass whatever the
/// code does.
pub fn explore(
    name: &str,
    preemption_bound: Option<usize>,
    model: impl Fn() + Send + Sync + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = MAX_BRANCHES;
    builder.preemption_bound = lower(builder.preemption_bound, preemption_bound);

    let schedules = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&schedules);
    let begin = Instant::now();
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        model();
    });

    let schedules = schedules.load(Relaxed);
    println!("{name}: {schedules} schedules, {:.1} s", begin.elapsed().as_secs_f64());
    assert!(schedules > 1, "{name}: one schedule only, so nothing was explored");
}

/// The lower of two bounds, where `None` bounds nothing.
fn lower(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::atomic::AtomicBool;
    use loom::thread;

    #[test]
    fn the_lower_bound_counts() {
        assert_eq!(lower(None, None), None);
        assert_eq!(lower(Some(2), None), Some(2));
        assert_eq!(lower(Some(3), Some(2)), Some(2));
    }

    #[test]
    fn two_threads_have_more_than_one_schedule() {
        explore("two threads", None, || {
            let flag = loom::sync::Arc::new(AtomicBool::new(false));
            let theirs = flag.clone();
            let thread = thread::spawn(move || theirs.store(true, Relaxed));
            flag.load(Relaxed);
            thread.join().unwrap();
        });
    }

    #[test]
    #[should_panic(expected = "one schedule only")]
    fn one_thread_is_no_model() {
        explore("one thread", None, || {});
    }
}
