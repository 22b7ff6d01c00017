//! Deep structures on a stack of 64 KiB: C06, T01, T02, T04, and what a chain hangs on.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use hoopsnake::{Cc, Dying, Finalize, Trace, TraceInfo, Tracer, Untraced, gc};

use crate::support::{Node, on_small_stack, trace};

/// The million of the cases; 10 million where the tests run as users build.
const DEPTH: usize = match (cfg!(debug_assertions), cfg!(sanitized)) {
    (false, _) => 10_000_000,
    (true, false) => 1_000_000,
    (true, true) => 100_000,
};

struct Link {
    next: RefCell<Option<Cc<Link>>>,
}
trace!(Link { next });

/// The first and the last node of a list whose last node was made first.
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
        assert_eq!(gc::collect(), 0, "alive");
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
        for _ in 1..DEPTH {
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

/// Edges in all kinds of places.
enum Mixed {
    End(RefCell<Option<Cc<Mixed>>>),
    Vector(Vec<Cc<Mixed>>),
    Optional(Option<Cc<Mixed>>),
    Boxed(Box<Option<Cc<Mixed>>>),
    Deque(VecDeque<Option<Cc<Mixed>>>),
}
// SAFETY: the content of each variant, once.
unsafe impl Trace for Mixed {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        match self {
            Mixed::End(cell) => cell.trace(tracer),
            Mixed::Vector(items) => items.trace(tracer),
            Mixed::Optional(item) => item.trace(tracer),
            Mixed::Boxed(item) => item.trace(tracer),
            Mixed::Deque(items) => items.trace(tracer),
        }
    }
}
impl TraceInfo for Mixed {}

fn mixed(len: usize) -> (Cc<Mixed>, Cc<Mixed>) {
    let end = Cc::new(Mixed::End(RefCell::default()));
    let mut top = end.clone();
    for i in 1..len {
        top = Cc::new(match i % 4 {
            0 => Mixed::Vector(vec![top]),
            1 => Mixed::Boxed(Box::new(Some(top))),
            2 => Mixed::Optional(Some(top)),
            _ => Mixed::Deque(VecDeque::from([Some(top), None])),
        });
    }
    (top, end)
}

#[test]
fn t02_mixed_nesting() {
    on_small_stack(|| {
        let (top, end) = mixed(DEPTH);
        let weak = Cc::downgrade(&end);
        drop((end, top));
        assert!(weak.upgrade().is_none());
        gc::disable();
        let (top, end) = mixed(DEPTH);
        let Mixed::End(cell) = &*end else { unreachable!("made above") };
        *cell.borrow_mut() = Some(top);
        drop(end);
        assert_eq!(gc::collect(), DEPTH);
    });
}

/// Python's list, tuple, dict and instance in each other: a type for each, and no type knows the next one.
#[test]
fn t02_mixed_types() {
    struct Instance {
        attribute: RefCell<Box<dyn Trace>>,
    }
    trace!(Instance { attribute });
    fn nest(depth: usize, end: Cc<Node>) -> Box<dyn Trace> {
        let mut top: Box<dyn Trace> = Box::new(end);
        for i in 0..depth {
            top = match i % 4 {
                0 => Box::new(Cc::new(RefCell::new(vec![top]))),
                1 => Box::new(Cc::new((top, i))),
                2 => Box::new(Cc::new(HashMap::from([(i, top)]))),
                _ => Box::new(Cc::new(Instance { attribute: RefCell::new(top) })),
            };
        }
        top
    }
    on_small_stack(|| {
        let end = Node::new(0);
        let weak = Cc::downgrade(&end);
        drop(nest(200_000, end));
        assert!(weak.upgrade().is_none());
        // Once more as a cycle.
        gc::disable();
        let outer = Cc::new(Instance { attribute: RefCell::new(Box::new(())) });
        let end = Node::new(0);
        let weak = Cc::downgrade(&end);
        *outer.attribute.borrow_mut() = Box::new((outer.clone(), nest(200_000, end)));
        drop(outer);
        assert_eq!(gc::collect(), 200_002);
        assert!(weak.upgrade().is_none());
    });
}

struct Tree {
    parent: Option<Cc<Tree>>,
    children: RefCell<[Option<Cc<Tree>>; 2]>,
}
trace!(Tree { parent, children });

/// `n` nodes with links to their parents: as broad as can be, or without any branch.
fn tree(n: usize, broad: bool) -> Cc<Tree> {
    let root = Cc::new(Tree { parent: None, children: RefCell::default() });
    let mut parents = VecDeque::from([root.clone()]);
    let mut made = 1;
    while made < n {
        let parent = parents.pop_front().expect("as many as are needed");
        for side in 0..if broad { 2 } else { 1 } {
            let child =
                Cc::new(Tree { parent: Some(parent.clone()), children: RefCell::default() });
            parent.children.borrow_mut()[side] = Some(child.clone());
            parents.push_back(child);
            made += 1;
        }
    }
    root
}

#[test]
fn trees_with_parent_links_on_a_small_stack() {
    for broad in [true, false] {
        on_small_stack(move || {
            gc::disable();
            let root = tree(DEPTH - 1, broad);
            assert_eq!(gc::collect(), 0, "alive");
            drop(root);
            assert_eq!(gc::collect(), DEPTH - 1, "broad: {broad}");
        });
    }
}

/// A tail of old objects that only garbage holds dies by count inside the run.
#[test]
fn a_long_tail_of_garbage_on_a_small_stack() {
    on_small_stack(|| {
        gc::disable();
        let (tail, _) = list(DEPTH);
        gc::collect();
        struct Pair {
            me: RefCell<Option<Cc<Pair>>>,
            tail: Cc<Link>,
        }
        trace!(Pair { me, tail });
        let pair = Cc::new(Pair { me: RefCell::new(None), tail });
        *pair.me.borrow_mut() = Some(pair.clone());
        let weak = Cc::downgrade(&pair.tail);
        drop(pair);
        assert_eq!(gc::collect_generation(gc::Generation::Young), 1);
        assert!(weak.upgrade().is_none(), "all of the tail died by count");
    });
}

/// Drops that take much stack nest less deep than others do.
#[test]
fn t01_drops_with_large_frames_on_a_small_stack() {
    /// A sanitizer makes all frames several times larger.
    const FRAME: usize = if cfg!(sanitized) { 2 << 10 } else { 8 << 10 };
    struct Large(#[expect(dead_code, reason = "to be dropped")] Hidden, Option<Cc<Large>>);
    trace!(Large { 1 });
    /// A leaf, with a handle that is no edge.
    struct Hidden(Untraced<Option<Cc<Large>>>);
    impl Drop for Hidden {
        fn drop(&mut self) {
            let frame = std::hint::black_box([0_u8; FRAME]);
            self.0.take();
            std::hint::black_box(frame);
        }
    }
    struct Finalized(RefCell<Option<Cc<Finalized>>>);
    trace!(Finalized { 0 } finalize Self);
    impl Finalize for Finalized {
        fn finalize(&self, _: &Dying<'_, Self>) {
            let frame = std::hint::black_box([0_u8; FRAME]);
            self.0.take();
            std::hint::black_box(frame);
        }
    }
    fn chain<T: TraceInfo>(new: impl Fn(Option<Cc<T>>) -> T) {
        let last = Cc::new(new(None));
        let weak = Cc::downgrade(&last);
        drop((0..10_000).fold(last, |next, _| Cc::new(new(Some(next)))));
        assert!(weak.upgrade().is_none());
    }
    on_small_stack(|| {
        chain(|next| Large(Hidden(Untraced(next)), None));
        chain(|next| Finalized(RefCell::new(next)));
    });
}

/// Python's test_trashcan_threads: threads drop deep structures at the same time, with finalizers that
/// let the others run.
#[test]
fn t04_deep_drops_on_many_threads() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static FINALIZED: AtomicUsize = AtomicUsize::new(0);
    struct Nested(Option<Cc<Nested>>);
    trace!(Nested { 0 } finalize Self);
    impl Finalize for Nested {
        fn finalize(&self, _: &Dying<'_, Self>) {
            if FINALIZED.fetch_add(1, Ordering::Relaxed).is_multiple_of(64) {
                std::thread::yield_now();
            }
        }
    }
    fn nest(depth: usize) {
        let mut top = None;
        for _ in 0..depth {
            MADE.fetch_add(1, Ordering::Relaxed);
            top = Some(Cc::new(Nested(top)));
        }
    }
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                on_small_stack(|| {
                    (0..200).for_each(|_| nest(60));
                    nest(20_000);
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no overflow"));
    assert_eq!(MADE.load(Ordering::Relaxed), 4 * (200 * 60 + 20_000));
    assert_eq!(FINALIZED.load(Ordering::Relaxed), MADE.load(Ordering::Relaxed));
}
