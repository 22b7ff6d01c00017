//! X19: the edges of a derived type are exactly its fields.
//!
//! A hub owns a value that holds handles to the hub. With one handle outside it must stay: then no edge
//! is reported twice. Without it the hub must go: then none is missing.

#![expect(dead_code, reason = "fields that are there to be dropped")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::marker::PhantomData;
use std::rc::Rc;

use hoopsnake::{Cc, Dying, Finalize, Trace, Tracer, Weak, gc};

#[derive(Trace, Default)]
struct Hub {
    held: RefCell<Option<Box<dyn Trace>>>,
}

type Edge = Cc<Hub>;

/// A hub that owns what `build` makes of it and has lived through a collection with one handle outside,
/// which is dropped at the end.
fn hub_with<T: Trace>(build: impl FnOnce(&Edge) -> T) -> Weak<Hub> {
    let hub = Cc::new(Hub::default());
    let weak = Cc::downgrade(&hub);
    let held = build(&hub);
    *hub.held.borrow_mut() = Some(Box::new(held));
    assert_eq!(gc::collect(), 0, "an edge was reported more than once");
    assert!(weak.upgrade().is_some(), "the hub died while a handle was held");
    weak
}

/// Asserts that all handles in what `build` makes are reported.
#[track_caller]
fn assert_traced<T: Trace>(build: impl FnOnce(&Edge) -> T) {
    let weak = hub_with(build);
    assert_eq!(gc::collect(), 1, "an edge was not reported");
    assert!(weak.upgrade().is_none());
}

/// Asserts that some handle in what `build` makes is not reported: it counts as held from outside.
#[track_caller]
fn assert_hidden<T: Trace>(build: impl FnOnce(&Edge) -> T) {
    let weak = hub_with(build);
    assert_eq!(gc::collect(), 0, "an edge was reported that should be hidden");
    let hub = weak.upgrade().expect("a hidden edge keeps its target alive");
    let held = hub.held.take();
    drop((hub, held));
    assert!(weak.upgrade().is_none(), "the hidden edges were the only ones left");
}

#[test]
fn x19_structs() {
    #[derive(Trace)]
    struct Unit;
    #[derive(Trace)]
    struct Tuple(u8, Edge, Unit, Edge);
    #[derive(Trace)]
    struct Named {
        id: u64,
        first: Edge,
        name: String,
        second: Tuple,
    }
    assert_traced(|hub| Tuple(1, hub.clone(), Unit, hub.clone()));
    assert_traced(|hub| Named {
        id: 1,
        first: hub.clone(),
        name: String::from("named"),
        second: Tuple(1, hub.clone(), Unit, hub.clone()),
    });
}

#[test]
fn x19_containers() {
    #[derive(Trace)]
    struct Containers {
        boxed: Box<Edge>,
        vec: Vec<Edge>,
        deque: VecDeque<Option<Edge>>,
        hash: HashMap<String, Edge>,
        tree: BTreeMap<u8, Vec<Edge>>,
        option: Option<Edge>,
        result: Result<Edge, String>,
        tuple: (u8, Edge, (Edge, char)),
        array: [Edge; 3],
        slice: Box<[Edge]>,
        cell: RefCell<Vec<Edge>>,
        object: Box<dyn Trace>,
    }
    assert_traced(|hub| Containers {
        boxed: Box::new(hub.clone()),
        vec: vec![hub.clone(); 2],
        deque: VecDeque::from([None, Some(hub.clone())]),
        hash: HashMap::from([("a".into(), hub.clone()), ("b".into(), hub.clone())]),
        tree: BTreeMap::from([(1, Vec::new()), (2, vec![hub.clone()])]),
        option: Some(hub.clone()),
        result: Ok(hub.clone()),
        tuple: (1, hub.clone(), (hub.clone(), 'x')),
        array: [hub.clone(), hub.clone(), hub.clone()],
        slice: Box::new([hub.clone()]),
        cell: RefCell::new(vec![hub.clone()]),
        object: Box::new(hub.clone()),
    });
}

#[test]
fn x19_enums() {
    #[derive(Trace)]
    enum Value {
        Nothing,
        One(Edge),
        Two {
            first: Edge,
            number: u8,
            second: Edge,
        },
        List(Vec<Value>),
        #[trace(skip)]
        Secret(Edge),
    }
    assert_traced(|hub| Value::One(hub.clone()));
    assert_traced(|hub| Value::Two { first: hub.clone(), number: 1, second: hub.clone() });
    assert_traced(|hub| {
        let two = Value::Two { first: hub.clone(), number: 1, second: hub.clone() };
        Value::List(vec![Value::Nothing, two, Value::List(vec![Value::One(hub.clone())])])
    });
    assert_hidden(|hub| Value::Secret(hub.clone()));
    assert_hidden(|hub| Value::List(vec![Value::One(hub.clone()), Value::Secret(hub.clone())]));
}

#[test]
fn x19_generics() {
    #[derive(Trace)]
    struct Pair<A, B: Iterator, const N: usize>
    where
        B::Item: Clone,
    {
        array: [A; N],
        item: Option<B::Item>,
        marker: PhantomData<(A, B)>,
        #[trace(skip)]
        rest: RefCell<B>,
    }
    type Edges = std::vec::IntoIter<Edge>;

    assert_traced(|hub| Pair::<Edge, Edges, 2> {
        array: [hub.clone(), hub.clone()],
        item: Some(hub.clone()),
        marker: PhantomData,
        rest: RefCell::new(Vec::new().into_iter()),
    });
    assert_traced(|hub| Pair::<u8, Edges, 2> {
        array: [1, 2],
        item: Some(hub.clone()),
        marker: PhantomData,
        rest: RefCell::new(Vec::new().into_iter()),
    });
    assert_hidden(|hub| Pair::<Edge, Edges, 1> {
        array: [hub.clone()],
        item: None,
        marker: PhantomData,
        rest: RefCell::new(vec![hub.clone()].into_iter()),
    });
}

#[test]
fn x19_a_marker_has_no_edges() {
    #[derive(Trace)]
    struct Marked<T>(PhantomData<T>, Edge);
    assert_traced(|hub| Marked::<Rc<Edge>>(PhantomData, hub.clone()));
}

#[test]
fn x19_skipped_fields_are_hidden() {
    #[derive(Trace)]
    struct Shares {
        #[trace(skip)]
        shared: Rc<Edge>,
    }
    #[derive(Trace)]
    struct Skips(#[trace(skip)] Option<Edge>, Edge);

    assert_hidden(|hub| Shares { shared: Rc::new(hub.clone()) });
    assert_hidden(|hub| Skips(Some(hub.clone()), hub.clone()));
    assert_traced(|hub| Skips(None, hub.clone()));
}

#[test]
fn x19_leaf_fields_do_not_hold_their_owner() {
    #[derive(Trace)]
    struct Named {
        #[trace(leaf)]
        name: Cc<String>,
        edge: Edge,
    }
    let name = Cc::new(String::from("name"));
    assert_traced(|hub| Named { name: name.clone(), edge: hub.clone() });
    assert_eq!(Cc::strong_count(&name), 1, "the field was dropped with its owner");
}

#[test]
fn x19_weak_fields_hold_nothing() {
    #[derive(Trace)]
    struct Child(Weak<Hub>, RefCell<Weak<Hub>>, Edge);
    assert_traced(|hub| Child(Cc::downgrade(hub), RefCell::new(Cc::downgrade(hub)), hub.clone()));
}

#[test]
fn x19_unsafe_with_traces_what_the_function_traces() {
    struct Foreign(Edge, Edge);

    fn both(foreign: &Foreign, tracer: &mut Tracer<'_>) {
        foreign.0.trace(tracer);
        foreign.1.trace(tracer);
    }
    fn one(foreign: &Foreign, tracer: &mut Tracer<'_>) {
        foreign.0.trace(tracer);
    }
    #[derive(Trace)]
    struct Both(
        // SAFETY: `both` reports each of the two edges once.
        #[trace(unsafe(with = both))] Foreign,
    );
    #[derive(Trace)]
    struct One(
        // SAFETY: `one` reports too little, always: that leaks.
        #[trace(unsafe(with = one))] Foreign,
    );

    assert_traced(|hub| Both(Foreign(hub.clone(), hub.clone())));
    assert_hidden(|hub| One(Foreign(hub.clone(), hub.clone())));
}

#[test]
fn x19_edges_may_change_between_runs() {
    #[derive(Trace)]
    enum State {
        Empty,
        Full(Edge),
    }
    #[derive(Trace)]
    struct Owner(RefCell<State>);

    let owner = Cc::new(Owner(RefCell::new(State::Empty)));
    assert_traced(|hub| {
        *owner.0.borrow_mut() = State::Full(hub.clone());
        assert_eq!(gc::collect(), 0);
        *owner.0.borrow_mut() = State::Empty;
        (hub.clone(), owner.clone())
    });
    assert_eq!(Cc::strong_count(&owner), 1, "the edge to what lives on was dropped");
}

#[test]
fn x19_rings_and_trees_of_nodes() {
    #[derive(Trace)]
    struct Node {
        id: u64,
        next: RefCell<Option<Cc<Node>>>,
        children: RefCell<Vec<Cc<Node>>>,
        parent: RefCell<Weak<Node>>,
    }
    fn node(id: u64) -> Cc<Node> {
        let (next, children) = (RefCell::default(), RefCell::default());
        Cc::new(Node { id, next, children, parent: RefCell::new(Weak::new()) })
    }

    let ring: Vec<_> = (0..5).map(node).collect();
    for (at, member) in ring.iter().enumerate() {
        *member.next.borrow_mut() = Some(ring[(at + 1) % ring.len()].clone());
        let child = node(member.id + 10);
        *child.parent.borrow_mut() = Cc::downgrade(member);
        member.children.borrow_mut().push(child);
    }
    let last = Cc::downgrade(&ring[4].children.borrow()[0]);
    assert_eq!(last.upgrade().map(|child| child.id), Some(14));
    assert_eq!(gc::collect(), 0);
    drop(ring);
    assert_eq!(gc::collect(), 10);
    assert!(last.upgrade().is_none());
}

thread_local!(static FINALIZED: Cell<usize> = const { Cell::new(0) });

#[test]
fn finalize_runs_once_with_the_neighbours_intact() {
    #[derive(Trace)]
    #[trace(finalize)]
    struct Finalized {
        other: RefCell<Option<Cc<Finalized>>>,
        id: usize,
    }
    impl Finalize for Finalized {
        fn finalize(&self, _: &Dying<'_, Self>) {
            let other = self.other.borrow().as_ref().map_or(0, |other| other.id);
            FINALIZED.set(FINALIZED.get() + other);
        }
    }
    #[derive(Trace)]
    #[trace(finalize)]
    struct Leaf(usize);
    impl Finalize for Leaf {
        fn finalize(&self, _: &Dying<'_, Self>) {
            FINALIZED.set(FINALIZED.get() + self.0);
        }
    }

    let a = Cc::new(Finalized { other: RefCell::default(), id: 1 });
    let b = Cc::new(Finalized { other: RefCell::new(Some(a.clone())), id: 10 });
    *a.other.borrow_mut() = Some(b);
    drop(a);
    assert_eq!((gc::collect(), FINALIZED.get()), (2, 11));
    drop(Cc::new(Leaf(100)));
    assert_eq!((gc::collect(), FINALIZED.get()), (0, 111));
}

#[test]
fn drop_is_allowed_where_there_are_no_edges() {
    #[derive(Trace)]
    #[trace(drop)]
    struct Guard<T>(T, Counter);
    #[derive(Trace)]
    struct Counter(#[trace(skip)] Rc<Cell<usize>>);
    impl<T> Drop for Guard<T> {
        fn drop(&mut self) {
            self.1.0.set(self.1.0.get() + 1);
        }
    }
    #[derive(Trace)]
    struct Guarded(Guard<u8>, Edge);

    let dropped = Rc::new(Cell::new(0));
    assert_traced(|hub| Guarded(Guard(1, Counter(dropped.clone())), hub.clone()));
    assert_eq!(dropped.get(), 1);
}
