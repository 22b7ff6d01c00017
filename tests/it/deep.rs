//! Deep structures on a small stack: C06, T01, and what a chain hangs on.

use std::cell::RefCell;
use std::collections::VecDeque;

use hoopsnake::{Cc, Trace, TraceInfo, Tracer, gc};

use crate::support::{on_small_stack, trace};

const DEPTH: usize = if cfg!(debug_assertions) { 300_000 } else { 10_000_000 };

struct Link {
    next: RefCell<Option<Cc<Link>>>,
}
trace!(Link { next });

fn list(len: usize) -> (Cc<Link>, Cc<Link>) {
    let last = Cc::new(Link { next: RefCell::new(None) });
    let mut first = last.clone();
    for _ in 1..len {
        first = Cc::new(Link { next: RefCell::new(Some(first)) });
    }
    (first, last)
}

#[test]
fn c06_long_lists_and_rings_on_a_small_stack() {
    on_small_stack(|| {
        drop(list(DEPTH));
        gc::disable();
        let (first, last) = list(DEPTH);
        *last.next.borrow_mut() = Some(first);
        drop(last);
        assert_eq!(gc::collect(), DEPTH);
    });
}

#[test]
fn t01_lists_from_either_end() {
    on_small_stack(|| {
        // The other direction: each node is younger than the one that holds it.
        let first = Cc::new(Link { next: RefCell::new(None) });
        let mut last = first.clone();
        for _ in 1..DEPTH / 10 {
            let next = Cc::new(Link { next: RefCell::new(None) });
            *last.next.borrow_mut() = Some(next.clone());
            last = next;
        }
        let weak = Cc::downgrade(&last);
        drop(last);
        drop(first);
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn t02_mixed_nesting() {
    enum Mixed {
        End,
        Vector(Vec<Cc<Mixed>>),
        Boxed(Box<Cc<Mixed>>),
        Deque(VecDeque<Option<Cc<Mixed>>>),
    }
    // SAFETY: the content of each variant, once.
    unsafe impl Trace for Mixed {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            match self {
                Mixed::End => {}
                Mixed::Vector(items) => items.trace(tracer),
                Mixed::Boxed(item) => item.trace(tracer),
                Mixed::Deque(items) => items.trace(tracer),
            }
        }
    }
    impl TraceInfo for Mixed {}
    on_small_stack(|| {
        let mut top = Cc::new(Mixed::End);
        for i in 0..200_000 {
            top = Cc::new(match i % 3 {
                0 => Mixed::Vector(vec![top]),
                1 => Mixed::Boxed(Box::new(top)),
                _ => Mixed::Deque(VecDeque::from([Some(top), None])),
            });
        }
    });
}

/// A tail of old objects that only garbage holds dies by count inside the run.
#[test]
fn a_long_tail_of_garbage_on_a_small_stack() {
    on_small_stack(|| {
        gc::disable();
        let (tail, _) = list(DEPTH / 10);
        gc::collect();
        let head = Cc::new(Link { next: RefCell::new(None) });
        struct Pair {
            me: RefCell<Option<Cc<Pair>>>,
            tail: Cc<Link>,
        }
        trace!(Pair { me, tail });
        let pair = Cc::new(Pair { me: RefCell::new(None), tail });
        *pair.me.borrow_mut() = Some(pair.clone());
        let weak = Cc::downgrade(&pair.tail);
        drop((pair, head));
        assert_eq!(gc::collect_generation(gc::Generation::Young), 1);
        assert!(weak.upgrade().is_none(), "all of the tail died by count");
    });
}
