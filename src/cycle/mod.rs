//! The thread's collector: trial deletion on erased objects. No type of the user's is known here.
//!
//! # A run
//! 1. The objects of one age and all younger ones become *candidates*: bits in their pools.
//! 2. Trial deletion ([`trial`]) leaves the garbage among them.
//! 3. The finalizers of the garbage run, all before anything is dropped. If any did, step 2 is repeated:
//!    what a finalizer took a handle to lives, with all that it reaches.
//! 4. The garbage is condemned: weak handles do not upgrade. Then the values are dropped, in the order of
//!    addresses; a block goes back when its value is dropped and no handle to it is left in another.
//!
//! # What may be called when
//! No run begins while another is under way, or while a value is dropped or finalized on this thread:
//! it would return 0, as Python's does. Objects born during a run are not candidates of it. User code
//! runs in steps 3 and 4 only, and may do anything; its panics are held back until the run is complete.
//!
//! # Ages
//! Young, middle, old, as in Python: see [`Generation`]. [`pacing`] chooses.

mod candidates;
mod counters;
mod pacing;
mod run;
mod trial;

use core::cell::Cell;
use core::mem::ManuallyDrop;

pub use candidates::Generation;

use crate::heap::object_pool::ObjectHeap;
use crate::object::deferred::{self, contain, is_dropping};
use counters::Counters;
use pacing::Pacing;

/// New objects until the collector asks again, where it could not run.
const RETRY: i64 = 1000;

/// Full runs at a thread's end: finalizers may leave new garbage, but not for ever.
const LAST_RUNS: usize = 10;

/// One thread's collector.
struct Collector {
    running: Cell<bool>,
    enabled: Cell<bool>,
    /// Whether the thread's end will be noticed.
    watched: Cell<bool>,
    pacing: Cell<Pacing>,
    /// Taken while a run uses them; released by the last run.
    counters: Cell<ManuallyDrop<Counters>>,
}

thread_local! {
    // Without Drop, so that it is there in the destructors of all other thread-locals.
    static COLLECTOR: Collector = const {
        Collector {
            running: Cell::new(false),
            enabled: Cell::new(true),
            watched: Cell::new(false),
            pacing: Cell::new(Pacing::new()),
            counters: Cell::new(ManuallyDrop::new(Counters::new())),
        }
    };
    static LAST_RUN: LastRun = const { LastRun };
}

/// Collects what is garbage when the thread ends.
struct LastRun;

impl Drop for LastRun {
    fn drop(&mut self) {
        COLLECTOR.with(|collector| {
            for _ in 0..LAST_RUNS {
                let (mut freed, mut panic) = (0, None);
                // A panic in a destructor of a thread-local would abort the process.
                contain(&mut panic, || freed = collector.collect(Generation::Old));
                if freed == 0 && panic.is_none() {
                    break;
                }
            }
            drop(ManuallyDrop::into_inner(collector.take_counters()));
        });
    }
}

/// A run is under way; pools that become empty stay until its end.
struct Running<'a> {
    collector: &'a Collector,
    heap: &'a ObjectHeap,
}

impl<'a> Running<'a> {
    fn enter(collector: &'a Collector, heap: &'a ObjectHeap) -> Running<'a> {
        collector.running.set(true);
        heap.hold_pools();
        Running { collector, heap }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.heap.release_pools();
        self.heap.countdown().set(self.collector.pacing.get().interval());
        self.collector.running.set(false);
    }
}

impl Collector {
    fn take_counters(&self) -> ManuallyDrop<Counters> {
        self.counters.replace(ManuallyDrop::new(Counters::new()))
    }

    /// Has the thread's end noticed. False: it was already.
    fn watch(&self) -> bool {
        let first = !self.watched.replace(true);
        if first {
            // Too late for that in the thread's last destructors: what they leave in cycles is leaked.
            let _ = LAST_RUN.try_with(|_| ());
        }
        first
    }

    /// Whether a run may begin.
    fn is_free(&self) -> bool {
        !self.running.get() && !is_dropping()
    }

    /// One run. Returns the number of objects freed; 0 where none may begin.
    fn collect(&self, generation: Generation) -> usize {
        if !self.is_free() {
            return 0;
        }
        let Some(heap) = ObjectHeap::own() else { return 0 };
        self.watch();
        let mut panic = None;
        let running = Running::enter(self, heap);
        let mut counters = ManuallyDrop::into_inner(self.take_counters());
        let outcome = run::run(heap, generation, &mut counters, &mut panic);
        counters.trim();
        self.counters.set(ManuallyDrop::new(counters));
        let mut pacing = self.pacing.get();
        match outcome {
            Some(outcome) => pacing.ran(generation, outcome),
            None => pacing.lost_recent(),
        }
        self.pacing.set(pacing);
        drop(running);
        if let Some(panic) = panic {
            deferred::resume(panic);
        }
        outcome.map_or(0, |outcome| outcome.freed)
    }
}

/// Runs over a generation and all younger ones; returns the number of objects freed.
pub(crate) fn collect(generation: Generation) -> usize {
    COLLECTOR.with(|collector| collector.collect(generation))
}

/// Whether a heap's countdown asks for [`due`]: it has run out, or many deaths by count have wound it up so
/// far that new garbage would wait for long. One comparison finds both.
#[inline(always)]
pub(crate) fn is_due(countdown: i64) -> bool {
    (countdown - 1).cast_unsigned() >= pacing::MAX_COUNTDOWN
}

/// Called by the birth of an object when its heap's countdown [`is_due`]: the thread's first object, or
/// time for an automatic run.
#[cold]
#[inline(never)]
pub(crate) fn due() {
    let Some(heap) = ObjectHeap::own() else { return };
    COLLECTOR.with(|collector| {
        let interval = collector.pacing.get().interval();
        if collector.watch() || heap.countdown().get() > interval {
            // As in Python, deaths count against births only down to zero.
            heap.countdown().set(interval);
        } else if !collector.is_free() || !collector.enabled.get() {
            heap.countdown().set(RETRY);
        } else {
            collector.collect(collector.pacing.get().choose());
        }
    });
}

/// Switches automatic runs on or off.
pub(crate) fn set_enabled(enabled: bool) {
    COLLECTOR.with(|collector| collector.enabled.set(enabled));
}

/// Whether automatic runs are on.
pub(crate) fn is_enabled() -> bool {
    COLLECTOR.with(|collector| collector.enabled.get())
}
