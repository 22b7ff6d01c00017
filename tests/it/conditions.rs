//! The conditions under which a handle is a plain pointer (see the documentation of `rc`), each broken
//! once by a program before it was a rule. Each test fails without its rule.
//!
//! The second condition (`Trace: 'static`) and the ban on `Drop` are tests of what does not compile.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hoopsnake::{Cc, Trace, TraceInfo, Tracer, Untraced, Weak, gc};

use crate::support::{Actor, Drops, Node, fresh, trace};

/// Condition 1 and X04: no drop sees a member that is gone. A leaf of one member looks at another through a weak handle while both are dropped, in
/// either order of addresses.
#[test]
fn x04_all_members_are_dead_before_the_first_is_dropped() {
    fresh();
    struct Watcher {
        other: RefCell<Weak<Member>>,
        seen: Rc<Cell<usize>>,
    }
    impl Drop for Watcher {
        fn drop(&mut self) {
            if self.other.borrow().upgrade().is_some() {
                self.seen.set(self.seen.get() + 1);
            }
        }
    }
    struct Member {
        edges: RefCell<Vec<Cc<Member>>>,
        watcher: Untraced<Watcher>,
    }
    trace!(Member { edges });
    let seen = Rc::new(Cell::new(0));
    let watcher = || Untraced(Watcher { other: RefCell::default(), seen: seen.clone() });
    let members: Vec<_> = (0..10)
        .map(|_| Cc::new(Member { edges: RefCell::default(), watcher: watcher() }))
        .collect();
    for i in 0..10 {
        members[i].edges.borrow_mut().push(members[(i + 1) % 10].clone());
        *members[i].watcher.other.borrow_mut() = Cc::downgrade(&members[(i + 5) % 10]);
    }
    drop(members);
    assert_eq!((gc::collect(), seen.get()), (10, 0));
}

/// Condition 3, as it broke: the closure allocates, and a run looks at a vector in the middle of an edit.
#[test]
fn get_mut_against_a_run() {
    for generation in [gc::Generation::Young, gc::Generation::Middle, gc::Generation::Old] {
        fresh();
        let drops = Drops::default();
        let kids = (0..6).map(|id| Node::counted(id, &drops)).collect();
        let mut a = Cc::new(Node { id: 99, edges: RefCell::default(), own: kids, _probe: None });
        let node = Cc::get_mut(&mut a).expect("alone");
        node.own.dedup_by(|x, y| {
            drop(Node::new(0));
            gc::collect_generation(generation);
            x.id / 3 == y.id / 3
        });
        assert_eq!(a.own.iter().map(|kid| kid.id).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(drops.count(), 4);
        assert_eq!(gc::collect(), 0);
    }
}

/// Condition 3 itself: nobody looks at what somebody edits, however the access was gained.
#[test]
fn nobody_looks_at_what_is_edited() {
    #[derive(Clone)]
    struct Edited {
        now: bool,
        edges: Vec<Cc<Node>>,
    }
    // SAFETY: the edges, once each.
    unsafe impl Trace for Edited {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            assert!(!self.now, "looked at in the middle of an edit");
            self.edges.trace(tracer);
        }
    }
    impl TraceInfo for Edited {}
    fresh();
    let mut edited = Cc::new(Edited { now: false, edges: vec![Node::new(0)] });
    let edit = |value: &mut Edited| {
        value.now = true;
        gc::collect_generation(gc::Generation::Young);
        gc::collect();
        value.now = false;
    };
    edit(Cc::get_mut(&mut edited).expect("alone"));
    edit(Cc::make_mut(&mut edited));
    let shared = edited.clone();
    edit(Cc::make_mut(&mut edited));
    drop(shared);
    let weak = Cc::downgrade(&edited);
    edit(Cc::make_mut(&mut edited));
    assert!(weak.upgrade().is_none());
    edit(Cc::get_mut(&mut edited).expect("alone"));
    assert_eq!(edited.edges.len(), 1);
}

/// The same with the runs that begin by themselves.
#[test]
fn get_mut_against_automatic_runs() {
    fresh();
    gc::enable();
    let kids = (0..60_000).map(Node::new).collect();
    let mut a = Cc::new(Node { id: 0, edges: RefCell::default(), own: kids, _probe: None });
    let mut kept = Vec::new();
    Cc::get_mut(&mut a).expect("alone").own.retain(|kid| {
        kept.push(Node::new(kid.id));
        kid.id % 2 == 0
    });
    drop(kept);
    assert!(a.own.iter().enumerate().all(|(i, kid)| kid.id == 2 * i));
}

/// `make_mut` gives the same access.
#[test]
fn make_mut_against_a_run() {
    fresh();
    #[derive(Clone)]
    struct List(Vec<Cc<Node>>);
    trace!(List { 0 });
    let mut list = Cc::new(List((0..6).map(Node::new).collect()));
    let shared = list.clone();
    Cc::make_mut(&mut list).0.retain(|node| {
        gc::collect();
        node.id % 2 == 0
    });
    assert_eq!((list.0.len(), shared.0.len()), (3, 6));
    Cc::make_mut(&mut list).0.retain(|node| {
        gc::collect();
        node.id == 4
    });
    assert_eq!(list.0[0].id, 4);
}

/// The other half of condition 3: an object that was exclusive once is collected all the same.
#[test]
fn what_was_exclusive_once_is_collected() {
    fresh();
    let drops = Drops::default();
    for _ in 0..3 {
        // The natural way to build a child: set its parent by `get_mut`, then move it in.
        let parent = Node::counted(0, &drops);
        let mut child = Node::counted(1, &drops);
        Cc::get_mut(&mut child).expect("alone").own.push(parent.clone());
        parent.edges.borrow_mut().push(child);
    }
    assert_eq!((gc::collect(), drops.count()), (6, 6));
    let mut node = Node::new(0);
    Cc::get_mut(&mut node).expect("alone").id = 1;
    node.link(&node);
    drop(node);
    assert_eq!(gc::collect(), 1);
}

/// Condition 4: a finalizer drops the last handle of another member, whose block is used again at once.
#[test]
fn a_member_that_dies_in_a_finalizer_leaves_the_run() {
    for n in [3, 10, 500] {
        fresh();
        thread_local!(static NEW: RefCell<Vec<Cc<Actor>>> = RefCell::default());
        let finalized = Rc::new(Cell::new(0));
        let actors: Vec<_> = (0..n)
            .map(|i| {
                let finalized = finalized.clone();
                Actor::acting(i, move |this| {
                    finalized.set(finalized.get() + 1);
                    // Cuts its own edges; the next member may die by that, with its finalizer.
                    drop(this.edges.take());
                    NEW.with_borrow_mut(|new| new.push(Actor::new(1000)));
                })
            })
            .collect();
        (0..n).for_each(|i| actors[i].link(&actors[(i + 1) % n]));
        drop(actors);
        gc::collect();
        assert_eq!(finalized.get(), n);
        let new = NEW.take();
        assert!(new.len() == n && new.iter().all(|actor| actor.id == 1000));
        assert!(new.iter().all(|actor| Cc::strong_count(actor) == 1 && actor.finalized.get() == 0));
        drop(new);
        assert_eq!(gc::collect(), 0);
    }
}

/// Condition 4: `try_unwrap` of another member, out of a finalizer.
#[test]
fn a_member_that_is_unwrapped_leaves_the_run() {
    fresh();
    thread_local!(static TAKEN: RefCell<Vec<Actor>> = const { RefCell::new(Vec::new()) });
    let (a, b) = (Actor::new(0), Actor::new(1));
    for (from, to) in [(&a, &b), (&b, &a)] {
        *from.act.borrow_mut() = Some(Box::new(|this| {
            let other = this.edges.borrow_mut().pop();
            if let Some(Ok(value)) = other.map(Cc::try_unwrap) {
                TAKEN.with_borrow_mut(|taken| taken.push(value));
            }
        }));
        from.link(to);
    }
    drop((a, b));
    gc::collect();
    let taken = TAKEN.take();
    assert!(taken.iter().all(|actor| actor.id < 2));
    drop(taken);
    assert_eq!(gc::collect(), 0);
}

/// Condition 4: blocks with weak handles are not free while a run drops the rest.
#[test]
fn a_dead_members_block_waits_for_its_weak_handles() {
    fresh();
    let drops = Drops::default();
    let nodes: Vec<_> = (0..100).map(|i| Node::counted(i, &drops)).collect();
    (0..100).for_each(|i| nodes[i].link(&nodes[(i + 1) % 100]));
    let weaks: Vec<_> = nodes.iter().map(Cc::downgrade).collect();
    drop(nodes);
    assert_eq!((gc::collect(), drops.count()), (100, 100));
    let others: Vec<_> = (0..300).map(Node::new).collect();
    for weak in &weaks {
        assert!(weak.upgrade().is_none());
        assert!(others.iter().all(|other| Cc::as_ptr(other) != weak.as_ptr()));
    }
}

/// A member holds the last weak handle to itself or its neighbour; both go with the values.
#[test]
fn weak_handles_inside_the_garbage() {
    fresh();
    let actors: Vec<_> = (0..50).map(Actor::new).collect();
    for i in 0..50 {
        actors[i].link(&actors[(i + 1) % 50]);
        *actors[i].weak.borrow_mut() = Cc::downgrade(&actors[(i * 7) % 50]);
    }
    drop(actors);
    assert_eq!(gc::collect(), 50);
    // By count.
    let actor = Actor::new(0);
    *actor.weak.borrow_mut() = Cc::downgrade(&actor);
    drop(actor);
    assert_eq!(gc::collect(), 0);
}
