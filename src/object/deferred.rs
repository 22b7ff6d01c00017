//! Drops nest to a bounded depth, as in Python's trashcan.
//!
//! A dead object's value holds handles, whose drops kill further objects, and so on: a list would take
//! a stack as deep as it is long. So a death below a certain depth only sets the object's *zombie* bit
//! and puts the pool on a list; the outermost drop kills the zombies, in address order. Nothing is
//! allocated, and shallow structures are dropped in the order of `Rc`.
//!
//! The depth is not counted, but seen by the stack pointer: the outermost drop notes how far down others may
//! nest. So a death inside another one changes nothing here; it has few enough stores without.
//!
//! Coroutines: what dies on another stack while a drop is under way waits too, if that stack lies below. Above the
//! outermost drop it cannot be one inside it, which would not be done before: that may be a drop that was suspended,
//! for long or for ever. So it is the outermost of its stack, and kills all zombies at its end.

use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

use crate::heap::object_pool::ObjectPool;

use super::ObjectRef;
use super::death;
use super::side::{Side, Word, word};
use crate::base::stack;

/// Bytes of stack below the outermost drop in which deaths nest: about as many as processors predict the returns of.
/// Frames without optimisation are several times larger.
const ROOM: usize = if cfg!(debug_assertions) { 20 << 10 } else { 4 << 10 };

/// The mark of a pool that is on the list of zombies.
const LISTED: u8 = 1 << 2;

struct Deferred {
    /// While values are being dropped or finalizers run: where the stack begins on which deaths may nest. Else 0.
    floor: Cell<usize>,
    /// The pools with zombies, through their links.
    pools: Cell<Option<ObjectPool>>,
    /// While a run drops its garbage: how many of its members have lost their last handle.
    lost: Cell<Option<usize>>,
}

thread_local! {
    // Without Drop, so that handles in other thread-locals can be dropped after everything else.
    static DEFERRED: Deferred = const {
        Deferred { floor: Cell::new(0), pools: Cell::new(None), lost: Cell::new(None) }
    };
}

/// While it exists, a run drops its garbage: a member that loses its last handle is only counted.
#[must_use]
pub(crate) struct Sweeping(());

impl Sweeping {
    /// None was lost yet.
    pub(crate) fn begin() -> Sweeping {
        DEFERRED.with(|d| d.lost.set(Some(0)));
        Sweeping(())
    }

    /// How many members have lost their last handle.
    pub(crate) fn lost(&self) -> usize {
        DEFERRED.with(|d| d.lost.get().unwrap_or(0))
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        DEFERRED.with(|d| d.lost.set(None));
    }
}

/// The last handle of an object in a run is gone. True, and counted, if it is garbage that is being dropped.
#[inline(always)]
pub(crate) fn count_lost() -> bool {
    DEFERRED.with(|d| {
        let lost = d.lost.get();
        d.lost.set(lost.map(|lost| lost + 1));
        lost.is_some()
    })
}

/// Whether a value is being dropped or finalized on this thread.
#[inline(always)]
pub(crate) fn is_dropping() -> bool {
    DEFERRED.with(|d| d.floor.get()) != 0
}

/// While it exists, a value is being dropped. The end of the outermost one kills the zombies.
#[must_use]
pub(crate) struct Nested {
    outermost: bool,
}

impl Nested {
    /// A value is being dropped, however deep that is.
    #[inline(always)]
    pub(crate) fn enter() -> Nested {
        if is_dropping() { Nested { outermost: false } } else { Nested::enter_outermost() }
    }

    /// The same where none is being dropped.
    #[inline(always)]
    pub(crate) fn enter_outermost() -> Nested {
        set_floor();
        Nested { outermost: true }
    }

    /// Whether a value is being dropped, and another may be now: there is room on the stack, and it is the same one.
    #[inline(always)]
    pub(crate) fn is_shallow() -> bool {
        stack::here().wrapping_sub(DEFERRED.with(|d| d.floor.get())) < ROOM
    }

    /// Begins a death that could wait: `None` where it should, below the outermost drop by more than there is
    /// room for, or on another stack.
    #[inline(always)]
    pub(crate) fn enter_shallow() -> Option<Nested> {
        if is_dropping() && !Nested::is_shallow() {
            return None;
        }
        Some(Nested::enter())
    }
}

impl Drop for Nested {
    #[inline(always)]
    fn drop(&mut self) {
        if self.outermost {
            if DEFERRED.with(|d| d.pools.get()).is_some() {
                return end_with_zombies();
            }
            DEFERRED.with(|d| d.floor.set(0));
        }
    }
}

/// The end of the outermost drop, if others wait for it.
#[cold]
#[inline(never)]
fn end_with_zombies() {
    let panic = DEFERRED.with(kill_zombies);
    DEFERRED.with(|d| d.floor.set(0));
    if let Some(panic) = panic {
        resume(panic);
    }
}

/// Notes how far down the stack deaths may nest from here.
#[inline(always)]
fn set_floor() -> usize {
    // Where stacks are aligned this is odd, and nowhere do they lie so near to address 0 that it would be 0.
    let floor = stack::here().wrapping_sub(ROOM - 1);
    DEFERRED.with(|d| d.floor.set(floor));
    floor
}

/// While it exists, a value is being dropped, in no other drop of its stack; one on another stack is not done. Its
/// end kills the zombies, too.
#[must_use]
pub(crate) struct Elsewhere {
    floor: usize,
    other: usize,
}

impl Elsewhere {
    /// Begins a death above the outermost drop.
    pub(crate) fn enter() -> Option<Elsewhere> {
        let other = DEFERRED.with(|d| d.floor.get());
        (stack::here() > other).then(|| Elsewhere { floor: set_floor(), other })
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let panic = DEFERRED.with(kill_zombies);
        DEFERRED.with(|d| {
            // Unless the other has ended meanwhile.
            if d.floor.get() == self.floor {
                d.floor.set(self.other);
            }
        });
        if let Some(panic) = panic {
            resume(panic);
        }
    }
}

/// What a panic carries.
pub(crate) type Payload = Box<dyn core::any::Any + Send>;

/// Goes on with a panic that was held back, unless another one is under way already.
#[cold]
pub(crate) fn resume(panic: Payload) {
    if std::thread::panicking() {
        discard(panic);
    } else {
        resume_unwind(panic);
    }
}

/// Runs a callback of the user's; its panic becomes `panic`, unless that holds an earlier one.
pub(crate) fn contain(panic: &mut Option<Payload>, callback: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(callback)) {
        keep_first(panic, payload);
    }
}

/// Keeps a panic, unless there was an earlier one.
pub(crate) fn keep_first(panic: &mut Option<Payload>, payload: Payload) {
    if panic.is_some() {
        discard(payload);
    } else {
        *panic = Some(payload);
    }
}

/// Drops what a panic carries: the user's code once more, which must not unwind out of the middle of a
/// run. What that panics with is leaked.
#[cold]
pub(crate) fn discard(payload: Payload) {
    if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(worse);
    }
}

/// Leaves a dead object (`strong` is 0) to the outermost drop. It is buried meanwhile: the drop of its
/// last weak handle must not give the block back.
pub(crate) fn defer(object: ObjectRef) {
    debug_assert_eq!(object.header().strong(), 0, "only the dead wait here");
    object.header().bury();
    // SAFETY: by its invariant an `ObjectRef` points into a pool of counted objects.
    let pool = unsafe { ObjectPool::of(object.address()) };
    Side::in_pool(pool, object).set(Word::Zombie);
    if pool.marks().get() & LISTED == 0 {
        pool.marks().set(pool.marks().get() | LISTED);
        DEFERRED.with(|d| pool.set_link(d.pools.replace(Some(pool))));
    }
}

/// Kills all zombies, also those that appear meanwhile. Returns the first panic.
fn kill_zombies(deferred: &Deferred) -> Option<Payload> {
    let mut panic = None;
    while let Some(pool) = deferred.pools.get() {
        let (zombie, more) = take_zombie(pool);
        if !more {
            // Off the list before the last of them dies: the pool may go with it.
            deferred.pools.set(pool.link());
            pool.set_link(None);
            pool.marks().set(pool.marks().get() & !LISTED);
        }
        if let Some(zombie) = zombie {
            // Whether weak handles are left no longer matters: its death asks again.
            let _ = zombie.header().unbury();
            // SAFETY: dead, and its bit was just taken: nobody else kills it.
            contain(&mut panic, || unsafe { death::die_now(zombie) });
        }
    }
    panic
}

/// Takes the first zombie of `pool`; whether others are left in it.
fn take_zombie(pool: ObjectPool) -> (Option<ObjectRef>, bool) {
    let groups = pool.groups();
    let zombies = |group| word(group, Word::Zombie);
    let Some(first) = groups.iter().position(|group| zombies(group).get() != 0) else {
        return (None, false);
    };
    let bits = zombies(&groups[first]);
    let index = first * 64 + bits.get().trailing_zeros() as usize;
    bits.set(bits.get() & (bits.get() - 1));
    let more = groups[first..].iter().any(|group| zombies(group).get() != 0);
    // SAFETY: a bit is only set for a block that was handed out.
    (Some(unsafe { ObjectRef::from_header(pool.header_at(index)) }), more)
}
