//! `Trace` is the user's, too: it panics, asks for a collection, makes objects, and reports too much. Cases
//! X03, X06, X07.

use std::cell::{Cell, RefCell};
use std::panic::catch_unwind;
use std::rc::Rc;

use hoopsnake::{Cc, Dying, Finalize, Trace, TraceInfo, Tracer, Untraced, Weak, gc};

use crate::support::{Node, fresh, ring};

/// A node whose `trace` is told at which call to panic.
struct Touchy {
    edges: RefCell<Vec<Cc<Touchy>>>,
    calls: Rc<Cell<usize>>,
    panics_at: Rc<Cell<usize>>,
    id: usize,
}
// SAFETY: the edges, once; what else it does is what this file is about: it takes and drops no handles.
unsafe impl Trace for Touchy {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.calls.set(self.calls.get() + 1);
        assert_eq!(gc::collect(), 0, "X06: no run inside a run");
        assert_ne!(self.calls.get(), self.panics_at.get(), "expected");
        self.edges.trace(tracer);
    }
}
impl TraceInfo for Touchy {
    const FINALIZE: Option<hoopsnake::FinalizeFn<Self>> = Some(hoopsnake::finalizer::<Self>());
}
impl Finalize for Touchy {
    fn finalize(&self, _: &Dying<'_, Self>) {}
}

/// A panic in each call of `trace` in turn. In both passes of both trials (there are finalizers) the run
/// is given up, everything lives, and the next one does the work; after that, when values are dropped, the
/// run is completed.
#[test]
fn x03_a_panic_in_trace() {
    use gc::Generation::{Middle, Old, Young};
    const TRIALS: usize = 7 + 3 + 4;
    for (generation, next) in [(Young, Middle), (Middle, Old), (Old, Old)] {
        for panics_at in 1.. {
            fresh();
            let (calls, at) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let touchy = |id| {
                let (calls, panics_at) = (calls.clone(), at.clone());
                Cc::new(Touchy { edges: RefCell::default(), calls, panics_at, id })
            };
            let nodes: Vec<_> = (0..7).map(touchy).collect();
            for (from, to) in [(0, 1), (1, 2), (2, 0), (2, 3), (4, 5), (5, 4), (4, 6), (0, 6)] {
                nodes[from].edges.borrow_mut().push(nodes[to].clone());
            }
            let weaks: Vec<_> = nodes.iter().map(Cc::downgrade).collect();
            let live = nodes[4].clone();
            drop(nodes);
            at.set(panics_at);
            let first = catch_unwind(|| gc::collect_generation(generation));
            let panicked = calls.get() >= panics_at;
            at.set(0);
            assert_eq!(first.is_err(), panicked);
            if panics_at <= TRIALS {
                assert!(panicked, "call {panics_at}");
                assert!(weaks.iter().all(|weak| weak.upgrade().is_some()), "call {panics_at}");
                assert_eq!(gc::collect_generation(next), 4, "call {panics_at}");
            }
            let alive = weaks.iter().filter_map(Weak::upgrade).map(|node| node.id);
            assert_eq!(alive.collect::<Vec<_>>(), [4, 5, 6]);
            assert_eq!(live.edges.borrow()[0].edges.borrow()[0].id, 4);
            drop(live);
            assert_eq!(gc::collect(), 3);
            if !panicked {
                break;
            }
        }
    }
}

/// A panic in a walk from dirty objects costs the one it began at its turn, until the next full run, and the
/// others nothing: what lives is watched as before, what is dead is found.
#[test]
fn x03_a_panic_in_a_walk() {
    fresh();
    gc::disable();
    let (calls, at) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let pair = |id| {
        let [a, b] = [id, id].map(|id| {
            let (calls, panics_at) = (calls.clone(), at.clone());
            Cc::new(Touchy { edges: RefCell::default(), calls, panics_at, id })
        });
        a.edges.borrow_mut().push(b.clone());
        b.edges.borrow_mut().push(a.clone());
        a
    };
    let (dead, live): (Vec<_>, Vec<_>) = (0..10).map(|id| (pair(id), pair(id))).unzip();
    assert_eq!(gc::collect(), 0);
    drop(dead);
    at.set(calls.get() + 1);
    assert!(catch_unwind(|| gc::step(1000)).is_err());
    at.set(0);
    let steps = || (0..10).map(|_| gc::step(1000)).sum::<usize>();
    assert_eq!(steps(), 18);
    // Given up while it decides, with all that the walk had found.
    at.set(calls.get() + 3);
    drop(live[0].clone());
    assert!(catch_unwind(|| gc::step(1000)).is_err());
    at.set(0);
    drop(live);
    assert_eq!(steps(), 20);
    assert_eq!(gc::collect(), 2);
    gc::enable();
}

/// X07: an object that is born inside a `trace` is not looked at in the same run, and lives.
#[test]
fn x07_objects_born_in_a_trace() {
    struct Bearing(RefCell<Option<Cc<Bearing>>>, Untraced<Rc<RefCell<Vec<Cc<Node>>>>>);
    // SAFETY: the edge, once; new objects are no business of the run.
    unsafe impl Trace for Bearing {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            self.1.borrow_mut().extend(ring(3));
            self.0.trace(tracer);
        }
    }
    impl TraceInfo for Bearing {}
    fresh();
    let born = Rc::new(RefCell::new(Vec::new()));
    let one = Cc::new(Bearing(RefCell::default(), Untraced(born.clone())));
    *one.0.borrow_mut() = Some(one.clone());
    drop(one);
    assert_eq!(gc::collect(), 1);
    let born = born.take();
    assert!(!born.is_empty() && born.iter().all(|node| node.edges.borrow().len() == 1));
    let n = born.len();
    drop(born);
    assert_eq!(gc::collect(), n);
}

/// The probe of `anchors.md`: a `Trace` that reports too much. What it does to counts that agree by
/// chance is its author's fault; a count below zero is noticed, and nothing is collected.
#[test]
fn a_trace_that_reports_too_much_is_noticed() {
    struct Twice(RefCell<Vec<Cc<Twice>>>, Cell<bool>);
    // SAFETY: none: it may report each edge twice, which is what is tested.
    unsafe impl Trace for Twice {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            self.0.trace(tracer);
            if self.1.get() {
                self.0.trace(tracer);
            }
        }
    }
    impl TraceInfo for Twice {}
    fresh();
    let nodes: Vec<_> =
        (0..3).map(|_| Cc::new(Twice(RefCell::default(), Cell::new(false)))).collect();
    (0..3).for_each(|i| nodes[i].0.borrow_mut().push(nodes[(i + 1) % 3].clone()));
    nodes[1].1.set(true);
    let weaks: Vec<_> = nodes.iter().map(Cc::downgrade).collect();
    drop(nodes);
    let others = ring(4);
    drop(others);
    assert_eq!(gc::collect(), 0, "noticed: nothing is collected, also of what is right");
    assert!(weaks.iter().all(|weak| weak.upgrade().is_some()));
    weaks[1].upgrade().expect("alive").1.set(false);
    assert_eq!(gc::collect(), 7);
}
