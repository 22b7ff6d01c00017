//! What needs a look inside: counts near their limits, drops on several stacks.

use core::cell::RefCell;

use super::*;
use crate::object::deferred::{Nested, is_dropping};
use crate::object::header::{self, TRACED};

/// Sets the strong count of an object.
fn set_strong<T: ?Sized>(cc: &Cc<T>, strong: u64, flags: u64) {
    let one = header::live(0);
    RawCc::object(cc).header().set_word((one * strong) | flags);
}

#[test]
fn x17_too_many_clones_make_an_object_immortal() {
    let leaf = Cc::new(7);
    set_strong(&leaf, (1 << 31) - 2, 0);
    let clones: Vec<_> = (0..4).map(|_| leaf.clone()).collect();
    assert_eq!(Cc::strong_count(&leaf), 1 << 31);
    drop(clones);
    assert_eq!(Cc::strong_count(&leaf), 1 << 31, "and it stays");
    assert_eq!(*leaf, 7);
}

#[test]
fn x17_an_immortal_object_survives_its_handles_and_the_collector() {
    gc::disable();
    let node = Cc::new(RefCell::new(None::<Cc<u8>>));
    *node.borrow_mut() = Some(Cc::new(1));
    set_strong(&node, (1 << 31) - 1, TRACED.into());
    let weak = Cc::downgrade(&node);
    drop(node.clone());
    drop(node);
    assert_eq!(gc::collect(), 0);
    let again = weak.upgrade().expect("immortal");
    assert_eq!(again.borrow().as_deref(), Some(&1));
    assert_eq!(Cc::strong_count(&again), 1 << 31);
}

#[test]
fn weak_counts_saturate() {
    let leaf = Cc::new(7u8);
    let weak = Cc::downgrade(&leaf);
    let full = header::live(0) | (header::unborn(0) * 0x3F_FFFF);
    RawCc::object(&leaf).header().set_word(full);
    let more = [weak.clone(), weak.clone()];
    assert_eq!(Cc::weak_count(&leaf), 0x3F_FFFF);
    drop((more, weak.clone()));
    assert_eq!(Cc::weak_count(&leaf), 0x3F_FFFF);
    drop(leaf);
    assert!(weak.upgrade().is_none(), "dead, and its block stays for ever");
}

/// Garbage whose weak count is full: dead, collected, and its block stays.
#[test]
fn x17_full_weak_counts_in_garbage() {
    gc::disable();
    for strong in [1, (1 << 31) - 1] {
        let node = Cc::new(RefCell::new(None::<Cc<RefCell<Option<Cc<u8>>>>>));
        *node.borrow_mut() = Some(Cc::new(RefCell::new(Some(Cc::new(1)))));
        let weak = Cc::downgrade(&node);
        set_strong(&node, strong, u64::from(TRACED) | (header::unborn(0) * 0x3F_FFFF));
        if strong > 1 {
            // So many handles are somewhere: nothing is garbage.
            core::mem::forget(node);
            assert_eq!(gc::collect(), 0);
            assert!(weak.upgrade().is_some());
        } else {
            drop(node);
            assert!(weak.upgrade().is_none());
        }
        let (place, others) =
            (weak.as_ptr(), [(); 100].map(|()| Cc::new(RefCell::new(None::<Cc<u8>>))));
        drop(weak);
        assert!(others.iter().all(|other| !core::ptr::addr_eq(Cc::as_ptr(other), place)));
    }
}

/// A cycle whose weak counts are full is dropped once, and its blocks stay.
#[test]
fn x17_full_weak_counts_in_a_cycle() {
    struct Ring(RefCell<Option<Cc<Ring>>>);
    // SAFETY: the edge, once.
    unsafe impl Trace for Ring {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            self.0.trace(tracer);
        }
    }
    impl TraceInfo for Ring {}
    gc::disable();
    let ring = Cc::new(Ring(RefCell::default()));
    *ring.0.borrow_mut() = Some(ring.clone());
    let weak = Cc::downgrade(&ring);
    set_strong(&ring, 2, u64::from(TRACED) | (header::unborn(0) * 0x3F_FFFF));
    drop(ring);
    assert_eq!(gc::collect(), 1);
    assert!(weak.upgrade().is_none());
    let others = [(); 100].map(|()| Cc::new(Ring(RefCell::default())));
    assert!(others.iter().all(|other| Cc::as_ptr(other) != weak.as_ptr()));
    assert_eq!(gc::collect(), 0);
}

/// A `Trace` that reports too much is noticed, and no object is left in the run: not those either that were
/// found to be held.
#[test]
fn a_run_that_is_given_up_leaves_nothing_behind() {
    struct Twice(RefCell<Vec<Cc<Twice>>>);
    // SAFETY: none: it reports each edge twice, which is what is tested.
    unsafe impl Trace for Twice {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            self.0.trace(tracer);
            self.0.trace(tracer);
        }
    }
    impl TraceInfo for Twice {}
    std::thread::spawn(|| {
        gc::disable();
        let new = || Cc::new(Twice(RefCell::default()));
        let (root, child) = (new(), new());
        root.0.borrow_mut().push(child);
        assert_eq!(gc::collect(), 0);
        crate::cycle::check_invariants();
        assert_eq!(Cc::strong_count(&root.0.borrow()[0]), 1);
    })
    .join()
    .expect("nothing is left");
}

/// A drop that another stack than ours has begun, and that is not done: as of a coroutine that is suspended in it.
#[inline(never)]
fn suspended(below: usize) -> core::mem::ManuallyDrop<Nested> {
    if below > 0 {
        return core::hint::black_box(suspended(below - 1));
    }
    core::mem::ManuallyDrop::new(Nested::enter_outermost())
}

struct Link(Option<Cc<Link>>);
// SAFETY: the one edge.
unsafe impl Trace for Link {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.0.trace(tracer);
    }
}
impl TraceInfo for Link {}

/// A chain, and its end.
fn chain(len: usize) -> (Cc<Link>, Weak<Link>) {
    let end = Cc::new(Link(None));
    let weak = Cc::downgrade(&end);
    ((1..len).fold(end, |next, _| Cc::new(Link(Some(next)))), weak)
}

#[test]
fn t01_deaths_do_not_wait_for_a_drop_that_a_coroutine_is_suspended_in() {
    let mut other = suspended(1000);
    for len in [1, 100_000] {
        let (first, end) = chain(len);
        drop(first);
        assert_eq!(end.strong_count(), 0, "{len}");
        assert!(is_dropping(), "the other is not done");
        assert_eq!(gc::collect(), 0);
    }
    // Nor for one that begins on a third stack.
    let mut third = suspended(100);
    let (first, end) = chain(100_000);
    drop(first);
    assert_eq!(end.strong_count(), 0);
    // In any order.
    // SAFETY: neither is used again.
    unsafe { core::mem::ManuallyDrop::drop(&mut other) };
    assert!(!is_dropping());
    let (first, end) = chain(100_000);
    drop(first);
    assert_eq!(end.strong_count(), 0);
    // SAFETY: as above.
    unsafe { core::mem::ManuallyDrop::drop(&mut third) };
    assert!(!is_dropping());
}

/// A coroutine is resumed in a drop that began meanwhile elsewhere, and ends its own first.
#[test]
fn t01_a_drop_on_another_stack_ends_inside_of_one_on_ours() {
    struct Resumes(core::mem::ManuallyDrop<Nested>);
    impl Drop for Resumes {
        fn drop(&mut self) {
            // SAFETY: not used again.
            unsafe { core::mem::ManuallyDrop::drop(&mut self.0) };
        }
    }
    struct Holder(#[expect(dead_code, reason = "to be dropped")] Resumes, Option<Cc<Link>>);
    // SAFETY: the one edge.
    unsafe impl Trace for Holder {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            self.1.trace(tracer);
        }
    }
    impl TraceInfo for Holder {}
    let (first, end) = chain(100_000);
    drop(Cc::new(Holder(Resumes(suspended(1000)), Some(first))));
    assert_eq!(end.strong_count(), 0);
    assert!(!is_dropping(), "nobody is left");
}
