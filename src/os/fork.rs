//! Locks that are whole in a forked child.
//!
//! A child has only the thread that forked: a lock that another thread held would stay held for ever,
//! and what it guards stay torn. So every layer with locks that outlive a call registers them here,
//! and handlers of `pthread_atfork` take them all before the fork and give them back after it, in
//! the parent and in the child.
//!
//! ```text
//! static FORK: ForkLocks = ForkLocks::new(20, || LOCK.begin_fork(), || LOCK.end_fork());
//! FORK.register(); // cheap; before LOCK is taken for the first time, and under no lock
//! LOCK.lock();
//! ```
//!
//! The handlers of others run between ours, since ours cannot always be registered first, and may call
//! any layer: a lock lets the thread pass that holds it for a fork (`sync::RawMutex`). Locks are taken
//! in descending order of their number, as everybody takes them who needs two: `heap` has 10, what
//! allocates under its own locks has more. What no order helps: a handler that was registered before ours
//! runs while we hold the locks; if it waits for a lock of its own, under which another thread allocates,
//! both wait for ever. Locks that such a handler makes or registers are taken for the fork then and there. What
//! is not under a lock, like the pools that other threads hold, may be torn in the child and must not be touched
//! there.
//!
//! # Orderings
//! Relaxed: the list is behind its lock. Who finds `known` set in the middle of a fork finds the locks taken for it:
//! they were taken before, and nobody had taken them until then.

use core::cell::Cell;

use crate::sync::RawMutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The locks of a layer.
#[derive(Debug)]
pub(crate) struct ForkLocks {
    order: u8,
    begin: fn(),
    #[cfg_attr(any(not(unix), miri), expect(dead_code, reason = "no forks there"))]
    end: fn(),
    known: AtomicBool,
    /// The next of those registered; under the lock of the list.
    next: Cell<Option<&'static ForkLocks>>,
}

// SAFETY: `next` is touched under the lock of the list only.
unsafe impl Sync for ForkLocks {}

/// All that are registered, highest order first.
#[derive(Debug)]
struct List {
    first: Option<&'static ForkLocks>,
    /// Whether the handlers were handed to the C library.
    armed: bool,
}

static LIST: RawMutex<List> = RawMutex::new(List { first: None, armed: false });

impl ForkLocks {
    /// Locks that `begin` takes (by `RawMutex::begin_fork`) and `end` gives back. Neither may allocate.
    pub(crate) const fn new(order: u8, begin: fn(), end: fn()) -> ForkLocks {
        ForkLocks { order, begin, end, known: AtomicBool::new(false), next: Cell::new(None) }
    }

    /// From here on forks wait for the locks. One load if they are registered already.
    #[inline]
    pub(crate) fn register(&'static self) {
        if !self.known.load(Ordering::Relaxed) {
            self.register_slow();
        }
    }

    #[cold]
    fn register_slow(&'static self) {
        let mut list = LIST.lock();
        if self.known.load(Ordering::Relaxed) {
            return;
        }
        if list.is_for_fork() {
            // In another's handler: the end of the fork gives these locks back with the others.
            (self.begin)();
        }
        self.known.store(true, Ordering::Relaxed);
        self.insert(&mut list.first);
        let armed = core::mem::replace(&mut list.armed, true);
        drop(list);
        if !armed {
            // The C library may allocate here: under no lock.
            arm();
        }
    }

    fn insert(&'static self, first: &mut Option<&'static ForkLocks>) {
        let mut before = None;
        let mut next = *first;
        while let Some(other) = next
            && other.order > self.order
        {
            before = next;
            next = other.next.get();
        }
        self.next.set(next);
        match before {
            Some(before) => before.next.set(Some(self)),
            None => *first = Some(self),
        }
    }
}

impl List {
    #[cfg_attr(all(any(not(unix), miri), not(test)), expect(dead_code, reason = "no forks there"))]
    fn for_each(&self, f: impl Fn(&ForkLocks)) {
        let mut next = self.first;
        while let Some(locks) = next {
            f(locks);
            next = locks.next.get();
        }
    }
}

/// Hands the handlers to the C library. They run for every fork from now on that is not `vfork` or
/// a bare system call.
#[cfg(all(unix, not(miri)))]
fn arm() {
    /// Takes every lock.
    extern "C" fn before() {
        LIST.begin_fork();
        LIST.lock().for_each(|locks| (locks.begin)());
    }

    /// Gives them back, in the parent and in the child.
    extern "C" fn after() {
        LIST.lock().for_each(|locks| (locks.end)());
        LIST.end_fork();
    }

    // SAFETY: the handlers are functions of this library, which takes them back when it is unloaded.
    // A failure (no memory) leaves forks as unsafe as without handlers.
    let _ = unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
}

/// No forks here.
#[cfg(not(all(unix, not(miri))))]
fn arm() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_order_comes_first() {
        const fn of(order: u8) -> ForkLocks {
            ForkLocks::new(order, || (), || ())
        }
        static LOCKS: [ForkLocks; 4] = [of(5), of(250), of(7), of(250)];
        let mut first = None;
        LOCKS.iter().for_each(|locks| locks.insert(&mut first));
        let seen = core::cell::RefCell::new(Vec::new());
        List { first, armed: true }.for_each(|locks| seen.borrow_mut().push(locks.order));
        assert_eq!(*seen.borrow(), [250, 250, 7, 5]);
    }
}
