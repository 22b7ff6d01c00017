//! The thread's collector: trial deletion on erased objects. No type of the user's is known here.
//!
//! # A run
//! 1. The objects of one age and all younger ones become *candidates*: bits in their pools. An automatic
//!    run adds old ones: what a bounded [`walk`] finds from objects that lost a handle.
//! 2. Trial deletion ([`trial`]) leaves the garbage among them.
//! 3. The finalizers of the garbage run, all before anything is dropped. If any did, step 2 is repeated:
//!    what a finalizer took a handle to lives, with all that it reaches.
//! 4. The garbage is condemned: weak handles do not upgrade, and the run holds a handle to each. Then the
//!    values are dropped, in the order of addresses; then the blocks go back, but for those that a handle
//!    or weak handle is left to.
//!
//! # What may be called when
//! No run begins while another is under way, or while a value is dropped or finalized on this thread:
//! it would return 0, as Python's does. Objects born during a run are not candidates of it. User code
//! runs in steps 3 and 4 only, and may do anything; its panics are held back until the run is complete.
//!
//! # Ages
//! Young, middle, old, as in Python: see [`Generation`]. [`pacing`] chooses.

mod candidates;
#[cfg(any(test, fuzzing))]
mod check;
mod found;
mod generation;
mod graph;
mod groups;
mod inspect;
mod pacing;
mod run;
mod stats;
mod trial;
mod walk;

use core::cell::Cell;

#[cfg(any(test, fuzzing))]
pub(crate) use check::check_invariants;
pub use generation::{Generation, NoSuchGeneration, PerGeneration};
pub use inspect::ObjectInfo;
pub use stats::GenerationStats;

use crate::heap::object_pool::{MAX_COUNTDOWN, ObjectHeap};
use crate::object::deferred::{self, contain, is_dropping};
use pacing::Pacing;
use run::Plan;

/// New objects until the collector asks again, where it could not run.
const RETRY: i64 = 1000;

/// Full runs at a thread's end: finalizers may leave new garbage, but not for ever.
const LAST_RUNS: usize = 10;

/// Where automatic runs begin: see [`gc::set_mode`](crate::gc::set_mode).
///
/// ```
/// use hoopsnake::gc::{self, Mode};
/// assert_eq!(gc::set_mode(Mode::AtPoll), Mode::Automatic);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Inside `Cc::new`, after the new object is complete.
    #[default]
    Automatic,
    /// Inside `gc::poll`, which the program calls where it is safe: a run drops and finalizes.
    AtPoll,
}

/// One thread's collector.
struct Collector {
    running: Cell<bool>,
    enabled: Cell<bool>,
    mode: Cell<Mode>,
    /// Whether the thread's end will be noticed.
    watched: Cell<bool>,
    pacing: Cell<Pacing>,
    stats: Cell<PerGeneration<GenerationStats>>,
}

thread_local! {
    // Without Drop, so that it is there in the destructors of all other thread-locals.
    static COLLECTOR: Collector = const {
        Collector {
            running: Cell::new(false),
            enabled: Cell::new(true),
            mode: Cell::new(Mode::Automatic),
            watched: Cell::new(false),
            pacing: Cell::new(Pacing::new()),
            stats: Cell::new(PerGeneration {
                young: GenerationStats::ZERO,
                middle: GenerationStats::ZERO,
                old: GenerationStats::ZERO,
            }),
        }
    };
    static LAST_RUN: LastRun = const { LastRun };
}

/// Collects what is garbage when the thread ends.
struct LastRun;

impl Drop for LastRun {
    fn drop(&mut self) {
        last_runs();
    }
}

/// Collects everything, and what that leaves behind. Does not unwind: a panic in a destructor of a
/// thread-local would abort the process.
fn last_runs() {
    for _ in 0..LAST_RUNS {
        let (mut freed, mut panic) = (0, None);
        contain(&mut panic, || freed = collect(Generation::Old));
        if freed == 0 && panic.is_none() {
            break;
        }
        if let Some(payload) = panic {
            deferred::discard(payload);
        }
    }
}

/// A run is under way; pools that become empty stay until its end.
struct Running<'a> {
    collector: &'a Collector,
    heap: &'a ObjectHeap,
    /// The count of new objects to go on with.
    count: i64,
}

impl<'a> Running<'a> {
    fn enter(collector: &'a Collector, heap: &'a ObjectHeap) -> Running<'a> {
        collector.running.set(true);
        heap.hold_pools();
        Running { collector, heap, count: 0 }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.heap.release_pools();
        self.collector.arm(self.heap, self.count);
        self.collector.running.set(false);
    }
}

impl Collector {
    /// Has the thread's end noticed. False: it was already.
    ///
    /// Twice: where the destructors of thread-locals may still be used, and after the last of them, for
    /// the cycles whose handles were in those that are destroyed after ours.
    fn watch(&self, heap: &ObjectHeap) -> bool {
        let first = !self.watched.replace(true);
        if first {
            let _ = LAST_RUN.try_with(|_| ());
            heap.at_end(last_runs);
        }
        first
    }

    /// Whether a run may begin.
    fn is_free(&self) -> bool {
        !self.running.get() && !is_dropping()
    }

    /// Net new objects since the last run.
    fn count(&self, heap: &ObjectHeap) -> i64 {
        (heap.armed().get() - heap.countdown().get()).max(0)
    }

    /// Sets the count of new objects, and the countdown to what is left of the interval.
    fn arm(&self, heap: &ObjectHeap, count: i64) {
        self.arm_for(heap, count, (self.interval() - count).max(1));
    }

    /// New objects from one run to the next, or until it is asked again whether there are to be runs.
    fn interval(&self) -> i64 {
        self.pacing.get().interval().unwrap_or(MAX_COUNTDOWN)
    }

    fn arm_for(&self, heap: &ObjectHeap, count: i64, countdown: i64) {
        heap.countdown().set(countdown);
        heap.armed().set(count + countdown);
    }

    /// One run, of what `plan` says. Returns the number of objects freed; 0 where none may begin.
    fn collect(&self, plan: impl FnOnce(&ObjectHeap) -> Plan) -> usize {
        if !self.is_free() {
            return 0;
        }
        let Some(heap) = ObjectHeap::own() else { return 0 };
        self.watch(heap);
        let watch = stats::Watch::start();
        let mut panic = None;
        let mut running = Running::enter(self, heap);
        let [young, aged] = heap.take_lost();
        let mut pacing = self.pacing.get();
        pacing.note_lost(young, aged);
        self.pacing.set(pacing);
        let (plan, count) = (plan(heap), self.count(heap));
        let counts = run::run(heap, plan, &mut panic);
        let mut pacing = self.pacing.get();
        pacing.ran(plan, counts);
        self.pacing.set(pacing);
        if plan.limit == 0 {
            running.count = count;
        }
        drop(running);
        let mut stats = self.stats.get();
        stats[plan.generation].add(counts, watch.took(), plan.limit > 0);
        self.stats.set(stats);
        if let Some(panic) = panic {
            deferred::resume(panic);
        }
        counts.freed
    }

    /// What an automatic run takes.
    fn plan(&self, heap: &ObjectHeap) -> Plan {
        let mut pacing = self.pacing.get();
        let plan = pacing.plan(|| inspect::census(heap));
        self.pacing.set(pacing);
        plan
    }

    /// What a run of about `budget` visits takes: never all.
    fn step(&self, heap: &ObjectHeap, budget: usize) -> Plan {
        let young = usize::try_from(self.count(heap)).unwrap_or(0);
        let generation = self.plan(heap).generation.min(Generation::Middle);
        Plan { generation, limit: budget, walk: budget.saturating_sub(young), grow: false }
    }
}

/// Runs over a generation and all younger ones; returns the number of objects freed.
pub(crate) fn collect(generation: Generation) -> usize {
    COLLECTOR.with(|collector| collector.collect(|_| Plan::of(generation)))
}

/// A run of about `budget` visits; returns the number of objects freed.
pub(crate) fn step(budget: usize) -> usize {
    COLLECTOR.with(|collector| collector.collect(|heap| collector.step(heap, budget)))
}

/// An automatic run, if it is time; returns the number of objects freed.
pub(crate) fn poll() -> usize {
    COLLECTOR.with(|collector| {
        let interval = collector.pacing.get().interval();
        let Some((heap, interval)) = ObjectHeap::own().zip(interval) else { return 0 };
        if !collector.enabled.get() || collector.count(heap) < interval {
            return 0;
        }
        collector.collect(|heap| collector.plan(heap))
    })
}

/// Whether a heap's countdown asks for [`due`].
#[inline(always)]
pub(crate) fn is_due(countdown: i64) -> bool {
    countdown <= 0
}

/// Called by the birth of an object when its heap's countdown [`is_due`]: the thread's first object, many deaths by
/// count, or time for an automatic run.
#[cold]
#[inline(never)]
pub(crate) fn due() {
    let Some(heap) = ObjectHeap::own() else { return };
    COLLECTOR.with(|collector| {
        if collector.watch(heap) || collector.count(heap) < collector.interval() {
            // As in Python, deaths count against births only down to zero.
            collector.arm(heap, collector.count(heap));
            return;
        }
        let automatic = collector.enabled.get() && collector.mode.get() == Mode::Automatic;
        if automatic && collector.is_free() && collector.pacing.get().interval().is_some() {
            collector.collect(|heap| collector.plan(heap));
        } else {
            collector.arm_for(heap, collector.count(heap), RETRY);
        }
    });
}

/// Switches automatic runs on or off; returns what it was before.
pub(crate) fn set_enabled(enabled: bool) -> bool {
    COLLECTOR.with(|collector| collector.enabled.replace(enabled))
}

/// Whether automatic runs are on.
pub(crate) fn is_enabled() -> bool {
    COLLECTOR.with(|collector| collector.enabled.get())
}

/// Chooses where automatic runs begin; returns what it was before.
pub(crate) fn set_mode(mode: Mode) -> Mode {
    COLLECTOR.with(|collector| collector.mode.replace(mode))
}

/// Where automatic runs begin.
pub(crate) fn mode() -> Mode {
    COLLECTOR.with(|collector| collector.mode.get())
}

/// Net new objects since the last run, and runs since the last of the next generation.
pub(crate) fn count() -> PerGeneration<usize> {
    COLLECTOR.with(|collector| {
        let (middle, old) = collector.pacing.get().runs();
        let young = ObjectHeap::own().map_or(0, |heap| collector.count(heap));
        PerGeneration { young: usize::try_from(young).unwrap_or(0), middle, old }
    })
}

/// The thresholds of now.
pub(crate) fn threshold() -> PerGeneration<usize> {
    COLLECTOR.with(|collector| collector.pacing.get().threshold())
}

/// Fixes the thresholds.
pub(crate) fn set_threshold(threshold: PerGeneration<usize>) {
    COLLECTOR.with(|collector| {
        let mut pacing = collector.pacing.get();
        pacing.set_threshold(threshold);
        collector.pacing.set(pacing);
        if let Some(heap) = ObjectHeap::own() {
            collector.watch(heap);
            collector.arm(heap, collector.count(heap));
        }
    });
}

/// What this thread's runs have done.
pub(crate) fn stats() -> PerGeneration<GenerationStats> {
    COLLECTOR.with(|collector| collector.stats.get())
}

/// This thread's objects with edges.
pub(crate) fn objects(generation: Option<Generation>) -> Vec<ObjectInfo> {
    ObjectHeap::own().map_or_else(Vec::new, |heap| inspect::objects(heap, generation))
}
