//! This thread's collector: Python's `gc` module.
//!
//! Each thread has its own. Automatic runs begin inside [`Cc::new`](crate::Cc::new), after the new
//! object is complete.
//!
//! ```
//! use std::cell::RefCell;
//! use hoopsnake::{Cc, Trace, gc};
//!
//! #[derive(Trace)]
//! struct Node { next: RefCell<Option<Cc<Node>>> }
//!
//! for _ in 0..100_000 {
//!     let node = Cc::new(Node { next: RefCell::default() });
//!     *node.next.borrow_mut() = Some(node.clone());
//! }
//! assert!(gc::stats().young.collected > 50_000, "without being asked");
//! gc::collect();
//! assert!(gc::objects(None).is_empty());
//! ```

use core::marker::PhantomData;

pub use crate::cycle::{
    Generation, GenerationStats, Mode, NoSuchGeneration, ObjectInfo, PerGeneration,
};

use super::{Cc, RawCc};
use crate::cycle;

/// Collects all garbage; returns the number of objects freed, as `gc.collect()` does.
///
/// Objects that die by count on the way are not counted, nor those that a finalizer resurrects. Returns 0
/// where no run may begin: inside a run's callbacks, and while a value is being dropped or finalized.
/// Takes about 30 ns per live object with edges, plus what the drops take; 4 bytes per block meanwhile.
///
/// # Panics
/// With the first panic of the finalizers and drops that it ran, after it is complete.
///
/// ```
/// use std::cell::RefCell;
/// use hoopsnake::{Cc, gc};
///
/// # use hoopsnake::{Trace, TraceInfo, Tracer};
/// struct Node { next: RefCell<Option<Cc<Node>>> }
/// # unsafe impl Trace for Node { fn trace(&self, t: &mut Tracer<'_>) { self.next.trace(t) } }
/// # impl TraceInfo for Node {}
///
/// let node = Cc::new(Node { next: RefCell::new(None) });
/// *node.next.borrow_mut() = Some(node.clone());
/// drop(node);
/// assert_eq!(gc::collect(), 1);
/// ```
pub fn collect() -> usize {
    cycle::collect(Generation::Old)
}

/// Collects one generation and all younger ones: `gc.collect(generation)`. See [`collect`].
///
/// Survivors become one generation older, after [`Generation::Old`] old. The time grows with the
/// objects it takes, not with those that they point to.
///
/// ```
/// use hoopsnake::gc::{self, Generation};
/// assert_eq!(gc::collect_generation(Generation::Young), 0);
/// ```
pub fn collect_generation(generation: Generation) -> usize {
    cycle::collect(generation)
}

/// Lets runs begin by themselves, which is the default. `gc.enable()`. A store, as in all that sets something here.
///
/// ```
/// # use hoopsnake::gc;
/// gc::disable();
/// gc::enable();
/// assert!(gc::is_enabled());
/// ```
pub fn enable() {
    cycle::set_enabled(true);
}

/// Keeps runs from beginning by themselves; [`collect`] still works. `gc.disable()`.
///
/// ```
/// # use hoopsnake::gc;
/// gc::disable();
/// assert!(!gc::is_enabled());
/// ```
pub fn disable() {
    cycle::set_enabled(false);
}

/// Whether runs begin by themselves on this thread. `gc.isenabled()`.
///
/// ```
/// assert!(hoopsnake::gc::is_enabled());
/// ```
#[must_use]
pub fn is_enabled() -> bool {
    cycle::is_enabled()
}

/// Keeps runs from beginning by themselves while the guard is there; then it is as before. Free.
///
/// ```
/// # use hoopsnake::gc;
/// {
///     let _pause = gc::pause();
///     assert!(!gc::is_enabled());
/// }
/// assert!(gc::is_enabled());
/// ```
#[must_use = "runs begin again when the guard is dropped"]
pub fn pause() -> Pause {
    Pause { before: cycle::set_enabled(false), _of_this_thread: PhantomData }
}

/// What [`pause`] returns: a guard, for this thread.
///
/// ```
/// # use hoopsnake::gc;
/// let pause: gc::Pause = gc::pause();
/// drop(pause);
/// assert!(gc::is_enabled());
/// ```
#[derive(Debug)]
pub struct Pause {
    before: bool,
    _of_this_thread: PhantomData<*const ()>,
}

impl Drop for Pause {
    fn drop(&mut self) {
        cycle::set_enabled(self.before);
    }
}

/// Does a bounded piece of a collector's work; returns the number of objects freed.
///
/// For programs with a loop of their own, such as frames, that [`disable`] automatic runs or want them to be
/// short: young objects are taken first, then the old ones that lost handles, about `budget` in all, each
/// for some 100 ns. What is left waits for the next step. A step never looks at all old objects; now and
/// then [`collect`] does.
///
/// # Panics
/// As [`collect`].
///
/// ```
/// # use hoopsnake::gc;
/// gc::disable();
/// for _frame in 0..3 {
///     gc::step(1000);
/// }
/// # gc::enable();
/// ```
pub fn step(budget: usize) -> usize {
    cycle::step(budget)
}

/// Chooses where automatic runs begin: inside [`Cc::new`](crate::Cc::new), or only in [`poll`]. Returns what
/// was chosen before.
///
/// A run finalizes and drops: a finalizer that runs in the middle of the caller's `borrow_mut` is the
/// classic surprise. Interpreters have a place where nothing is borrowed, and poll there.
///
/// ```
/// use hoopsnake::gc::{self, Mode};
/// gc::set_mode(Mode::AtPoll);
/// assert_eq!(gc::mode(), Mode::AtPoll);
/// gc::poll();
/// # gc::set_mode(Mode::Automatic);
/// ```
pub fn set_mode(mode: Mode) -> Mode {
    cycle::set_mode(mode)
}

/// Where automatic runs begin.
///
/// ```
/// use hoopsnake::gc::{self, Mode};
/// assert_eq!(gc::mode(), Mode::Automatic);
/// ```
#[must_use]
pub fn mode() -> Mode {
    cycle::mode()
}

/// Runs if it is time for an automatic run; returns the number of objects freed. A few instructions if not.
///
/// In the mode [`Automatic`](Mode::Automatic) there is seldom something left for it to do. Does nothing
/// while runs are [`disable`]d.
///
/// # Panics
/// As [`collect`].
///
/// ```
/// assert_eq!(hoopsnake::gc::poll(), 0);
/// ```
pub fn poll() -> usize {
    cycle::poll()
}

/// What has happened since: new objects with edges less those that died, since the last run; young runs
/// since the last that took the middle generation; such runs since the last full one. `gc.get_count()`. A few loads,
/// as in all that asks for numbers here.
///
/// ```
/// use hoopsnake::gc;
/// gc::collect();
/// assert_eq!(gc::count().young, 0);
/// ```
#[must_use]
pub fn count() -> PerGeneration<usize> {
    cycle::count()
}

/// When automatic runs begin: after `young` net new objects a young run; after `middle` of those one that
/// takes the middle generation; when the old objects have grown by `old` percent a full run.
/// `gc.get_threshold()`.
///
/// At first 10,000, 10 and 100. The first and the last follow what runs find, until
/// [`set_threshold`] fixes them: a young run that frees little is worth less, and so is a full one.
///
/// ```
/// use hoopsnake::gc::{self, PerGeneration};
/// assert_eq!(gc::threshold(), PerGeneration { young: 10_000, middle: 10, old: 100 });
/// ```
#[must_use]
pub fn threshold() -> PerGeneration<usize> {
    cycle::threshold()
}

/// Fixes the [`threshold`]s. `gc.set_threshold()`, but for `old`, which is a percentage of growth here.
///
/// With `young: 0` no run begins by itself. More than 80,000 is remembered, but counts as that: births are not counted
/// further.
///
/// ```
/// use hoopsnake::gc::{self, PerGeneration};
/// gc::set_threshold(PerGeneration { young: 700, ..gc::threshold() });
/// assert_eq!(gc::threshold().young, 700);
/// ```
pub fn set_threshold(threshold: PerGeneration<usize>) {
    cycle::set_threshold(threshold);
}

/// What the runs of each generation have done on this thread. `gc.get_stats()`.
///
/// ```
/// use hoopsnake::gc::{self, Generation};
/// gc::collect();
/// assert_eq!(gc::stats()[Generation::Old].collections, 1);
/// println!("the longest pause was {:?}", gc::stats().young.longest);
/// ```
#[must_use]
pub fn stats() -> PerGeneration<GenerationStats> {
    cycle::stats()
}

/// The objects with edges on this thread, of one generation or of all: records, not handles.
/// `gc.get_objects()`. Takes some 20 ns and 56 bytes an object.
///
/// ```
/// use hoopsnake::{Cc, gc};
/// # use hoopsnake::{Trace, TraceInfo, Tracer};
/// struct Node(Option<Cc<Node>>);
/// # unsafe impl Trace for Node { fn trace(&self, t: &mut Tracer<'_>) { self.0.trace(t) } }
/// # impl TraceInfo for Node {}
///
/// let node = Cc::new(Node(None));
/// let objects = gc::objects(None);
/// assert_eq!(objects[0].id, Cc::id(&node));
/// assert!(objects[0].type_name.ends_with("Node"));
/// ```
#[must_use]
pub fn objects(generation: Option<Generation>) -> Vec<ObjectInfo> {
    cycle::objects(generation)
}

/// Whether the collector knows the object: whether its type may hold edges, or has a finalizer.
/// `gc.is_tracked()`. One load.
///
/// ```
/// use hoopsnake::{Cc, gc};
/// assert!(!gc::is_tracked(&Cc::new(7)));
/// ```
#[must_use]
pub fn is_tracked<T: ?Sized>(object: &Cc<T>) -> bool {
    RawCc::object(object).header().is_traced()
}
