//! What the models share.
#![cfg(loom)]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// Runs a model in all interleavings with at most `bound` preemptions (or as many as
/// `LOOM_MAX_PREEMPTIONS` says), and fails if there was only one: then loom was not at work.
///
/// # Panics
/// If the model does, or if only one schedule was explored.
pub fn explore(name: &str, bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let schedules = Arc::new(AtomicUsize::new(0));
    let counted = schedules.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound.or(builder.preemption_bound);
    builder.max_branches = 100_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let schedules = schedules.load(Ordering::Relaxed);
    println!("{name}: {schedules} schedules");
    assert!(schedules > 1, "{name} explored one schedule: are both cfgs set?");
}
