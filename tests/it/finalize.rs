//! Finalizers and weak handles: cases F, W06 and W22–W24 of python.md.
//!
//! The order is that of Python 3.15: weak handles without a callback work inside finalizers, and are dead
//! before the first value is dropped.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hoopsnake::{Cc, Dying, Untraced, Weak, gc};

use crate::support::{Actor, Drops, Node, Probe, fresh, ring, trace};

#[test]
fn f01_once_and_then_the_weak_handle_is_dead() {
    fresh();
    let actor = Actor::new(0);
    let (weak, finalized) = (Cc::downgrade(&actor), actor.finalized.0.clone());
    drop(actor);
    assert_eq!((finalized.get(), weak.upgrade().is_none()), (1, true));
}

thread_local!(static SAVED: RefCell<Vec<Cc<Actor>>> = RefCell::default());

fn save(this: &Dying<'_, Actor>) {
    SAVED.with_borrow_mut(|saved| saved.extend(Dying::to_cc(this)));
}

fn saved() -> Cc<Actor> {
    SAVED.with_borrow_mut(Vec::pop).expect("resurrected")
}

#[test]
fn f02_resurrection_from_count_zero() {
    fresh();
    let actor = Actor::acting(0, save);
    let (weak, finalized) = (Cc::downgrade(&actor), actor.finalized.0.clone());
    drop(actor);
    assert!(weak.upgrade().is_some());
    let again = saved();
    assert_eq!((Cc::strong_count(&again), Cc::is_finalized(&again)), (1, true));
    drop(again);
    assert!(weak.upgrade().is_none());
    assert_eq!(finalized.get(), 1, "not finalized a second time");
}

/// A resurrected object is a candidate again: its cycle is found later.
#[test]
fn f02_a_resurrected_object_can_be_collected() {
    fresh();
    drop(Actor::acting(0, save));
    let again = saved();
    again.link(&again);
    drop(again);
    assert_eq!(gc::collect(), 1);
}

#[test]
fn f03_the_finalizer_sees_its_cycle_intact() {
    fresh();
    let seen = Rc::new(Cell::new(false));
    let report = seen.clone();
    let actor = Actor::acting(0, move |this| {
        let me = this.edges.borrow()[0].clone();
        report.set(core::ptr::eq(&raw const *me, &raw const **this) && me.id == 0);
    });
    actor.link(&actor);
    drop(actor);
    assert_eq!(gc::collect(), 1);
    assert!(seen.get());
}

#[test]
fn f04_resurrection_from_a_cycle() {
    fresh();
    let actor = Actor::acting(0, save);
    actor.link(&actor);
    let finalized = actor.finalized.0.clone();
    drop(actor);
    assert_eq!(gc::collect(), 0, "a survivor is not counted");
    drop(saved());
    assert_eq!((gc::collect(), finalized.get()), (1, 1));
}

#[test]
fn f06_a_finalizer_breaks_its_own_cycle() {
    fresh();
    let actor = Actor::acting(0, |this| drop(this.edges.take()));
    actor.link(&actor);
    let (weak, finalized) = (Cc::downgrade(&actor), actor.finalized.0.clone());
    drop(actor);
    gc::collect();
    assert_eq!((weak.upgrade().is_none(), finalized.get()), (true, 1));
}

#[test]
fn f07_all_finalizers_run_before_anything_is_dropped() {
    fresh();
    const N: usize = 50;
    let seen = Rc::new(Cell::new(0));
    let actors: Vec<_> = (0..N)
        .map(|i| {
            let seen = seen.clone();
            Actor::acting(i, move |this| {
                let ids: Vec<_> = this.edges.borrow().iter().map(|near| near.id).collect();
                assert_eq!(ids, [(i + 1) % N, (i + N - 1) % N]);
                // By the rule of Python 3.15 weak handles still work here.
                assert!(this.weak.borrow().upgrade().is_some_and(|me| me.id == i));
                seen.set(seen.get() + 1);
            })
        })
        .collect();
    for i in 0..N {
        actors[i].link(&actors[(i + 1) % N]);
        actors[i].link(&actors[(i + N - 1) % N]);
        *actors[i].weak.borrow_mut() = Cc::downgrade(&actors[i]);
    }
    drop(actors);
    assert_eq!((gc::collect(), seen.get()), (N, N));
}

#[test]
fn f10_resurrection_is_transitive() {
    fresh();
    let keeper = Actor::acting(0, save);
    let cargo = Actor::new(1);
    keeper.link(&keeper);
    keeper.link(&cargo);
    let id = Cc::id(&cargo);
    drop((keeper, cargo));
    assert_eq!(gc::collect(), 0);
    let keeper = saved();
    assert_eq!(Cc::id(&keeper.edges.borrow()[1]), id);
    assert_eq!(keeper.edges.borrow()[1].finalized.get(), 1, "but finalized, with the rest");
}

#[test]
fn f09_resurrection_happens_once() {
    fresh();
    // By count.
    let actor = Actor::acting(0, save);
    let finalized = actor.finalized.0.clone();
    drop(actor);
    drop(saved());
    assert_eq!(finalized.get(), 1);
    // By the collector, and then by count.
    let actor = Actor::acting(1, save);
    actor.link(&actor);
    let (weak, finalized) = (Cc::downgrade(&actor), actor.finalized.0.clone());
    drop(actor);
    assert_eq!(gc::collect(), 0);
    saved().edges.borrow_mut().clear();
    assert_eq!((finalized.get(), weak.upgrade().is_none()), (1, true));
    assert!(SAVED.with_borrow(Vec::is_empty), "nobody saved it again");
}

#[test]
fn f13_a_finalizer_makes_new_garbage() {
    fresh();
    let drops = Drops::default();
    let made = drops.clone();
    let actor = Actor::acting(0, move |_| {
        for id in 0..100 {
            let node = Node::counted(id, &made);
            node.link(&node);
        }
    });
    actor.link(&actor);
    drop(actor);
    assert_eq!((gc::collect(), drops.count()), (1, 0), "none of it in this run");
    assert_eq!((gc::collect(), drops.count()), (100, 100));
}

/// Python's test_trashcan: 600 nested objects, of which every 17th asks for a collection.
#[test]
fn f14_finalizers_that_collect() {
    for (cyclic, old) in [(false, false), (false, true), (true, false), (true, true)] {
        fresh();
        let finalized = Rc::new(Cell::new(0));
        let mut actors: Vec<_> = (0..600)
            .map(|id| {
                let finalized = finalized.clone();
                Actor::acting(id, move |_| {
                    finalized.set(finalized.get() + 1);
                    if id % 17 == 0 {
                        drop(ring(2));
                        assert_eq!(gc::collect(), 0, "not inside a death");
                    }
                })
            })
            .collect();
        actors.windows(2).for_each(|pair| pair[0].link(&pair[1]));
        if cyclic {
            actors[599].link(&actors[0]);
        }
        if old {
            gc::collect();
        }
        actors.truncate(1);
        drop(actors);
        assert_eq!(gc::collect(), if cyclic { 600 } else { 72 });
        assert_eq!(finalized.get(), 600);
        assert_eq!(gc::collect(), if cyclic { 72 } else { 0 }, "the rings of the finalizers");
    }
}

/// A tail that garbage holds is finalized with it, while its neighbours are intact.
#[test]
fn f15_a_tail_is_finalized_with_the_cycle() {
    fresh();
    let log = Rc::new(RefCell::new(Vec::new()));
    let actor = |id| {
        let log = log.clone();
        Actor::acting(id, move |this| {
            let near = this.weak.borrow().upgrade().expect("finalizers run before any drop");
            log.borrow_mut().push((this.id, near.id));
        })
    };
    let (ring, tail) = (actor(0), actor(1));
    ring.link(&ring);
    ring.link(&tail);
    *ring.weak.borrow_mut() = Cc::downgrade(&tail);
    *tail.weak.borrow_mut() = Cc::downgrade(&ring);
    let finalized = [ring.finalized.0.clone(), tail.finalized.0.clone()];
    drop((ring, tail));
    assert_eq!(gc::collect(), 2);
    log.borrow_mut().sort_unstable();
    assert_eq!(*log.borrow(), [(0, 1), (1, 0)]);
    assert!(finalized.iter().all(|count| count.get() == 1));
}

#[test]
fn f17_weak_handles_made_by_finalizers_die_too() {
    fresh();
    thread_local!(static MADE: RefCell<Vec<Weak<Actor>>> = RefCell::default());
    fn look_around(this: &Dying<'_, Actor>) {
        let me = this.edges.borrow().first().cloned().or_else(|| Dying::to_cc(this));
        MADE.with_borrow_mut(|made| made.extend(me.as_ref().map(Cc::downgrade)));
    }
    let cyclic = Actor::acting(0, look_around);
    cyclic.link(&cyclic);
    drop(cyclic);
    assert_eq!(gc::collect(), 1);
    drop(Actor::acting(1, look_around));
    let made = MADE.take();
    assert_eq!(made.len(), 2);
    assert!(made.iter().all(|weak| weak.upgrade().is_none()));
}

/// Python's bug1055820d: an old object dies as a side effect of a young run, and looks at what the run
/// drops, in its finalizer and in the drop of a leaf.
#[test]
fn f19_a_side_effect_cannot_see_the_garbage() {
    struct Looking(RefCell<Weak<Actor>>, Rc<Cell<usize>>);
    impl Drop for Looking {
        fn drop(&mut self) {
            assert!(self.0.borrow().upgrade().is_none(), "seen by a leaf");
            self.1.set(self.1.get() + 1);
        }
    }
    struct Young {
        edges: RefCell<Vec<Cc<Actor>>>,
        me: RefCell<Option<Cc<Young>>>,
        _leaf: Untraced<Looking>,
    }
    trace!(Young { edges, me });
    fresh();
    let seen = Rc::new(Cell::new(0));
    let report = seen.clone();
    let old = Actor::acting(0, move |this| {
        assert!(this.weak.borrow().upgrade().is_none(), "seen by a finalizer");
        report.set(report.get() + 10);
    });
    assert_eq!(gc::collect(), 0);
    let trash = Actor::new(1);
    trash.link(&trash);
    trash.link(&old);
    *old.weak.borrow_mut() = Cc::downgrade(&trash);
    let looking = Looking(RefCell::new(Cc::downgrade(&trash)), seen.clone());
    let young = Cc::new(Young {
        edges: RefCell::new(vec![trash]),
        me: RefCell::default(),
        _leaf: Untraced(looking),
    });
    *young.me.borrow_mut() = Some(young.clone());
    drop((young, old));
    assert_eq!(gc::collect_generation(gc::Generation::Young), 2);
    assert_eq!(seen.get(), 11);
}

/// Python's test_bug21435: a finalizer replaces the links of the cycle that is being collected.
#[test]
fn f20_a_finalizer_mutates_the_cycle() {
    fresh();
    let drops = Drops::default();
    let made = drops.clone();
    struct Half {
        edges: RefCell<Vec<Cc<Half>>>,
        _probe: Probe,
    }
    trace!(Half { edges });
    let half = Cc::new(Half { edges: RefCell::default(), _probe: drops.probe() });
    let actor = Actor::acting(0, move |this| {
        let other = this.edges.take();
        let replaced = Actor::new(2);
        replaced.link(&other[0]);
        other[0].edges.borrow_mut().clear();
        other[0].link(&replaced);
        this.edges.borrow_mut().push(replaced);
        drop(made.probe());
    });
    let other = Actor::new(1);
    actor.link(&other);
    other.link(&actor);
    half.edges.borrow_mut().push(half.clone());
    let weaks = [Cc::downgrade(&actor), Cc::downgrade(&other)];
    drop((actor, other, half));
    let first = gc::collect();
    let rest = gc::collect();
    // The actor died by count: nobody links to it any more.
    assert_eq!((first, rest, drops.count()), (1, 2, 2));
    assert!(weaks.iter().all(|weak| weak.upgrade().is_none()));
}

#[test]
fn f21_is_finalized() {
    fresh();
    let actor = Actor::acting(0, save);
    assert!(!Cc::is_finalized(&actor));
    drop(actor);
    let again = saved();
    assert!(Cc::is_finalized(&again));
    assert!(!Cc::is_finalized(&Node::new(0)), "without a finalizer there is nothing to run");
}

#[test]
fn w06_weak_handles_to_one_object_are_equal() {
    let (a, b) = (Cc::new(1), Cc::new(1));
    let weaks = [Cc::downgrade(&a), Cc::downgrade(&a)];
    assert!(weaks[0].ptr_eq(&weaks[1]) && !weaks[0].ptr_eq(&Cc::downgrade(&b)));
    assert_eq!(Cc::weak_count(&a), 2, "each counts, as with `Rc`");
    drop(a);
    assert!(weaks[0].ptr_eq(&weaks[1]), "also when it is dead");
}

/// Python's test_trashcan_16602: objects in a chain of deaths look at each other, and find only whole ones.
#[test]
fn w22_weak_handles_in_a_deep_chain() {
    struct Looking {
        id: usize,
        weak: RefCell<Weak<Chain>>,
        gone: Rc<RefCell<Vec<bool>>>,
    }
    impl Drop for Looking {
        fn drop(&mut self) {
            if let Some(other) = self.weak.borrow().upgrade() {
                assert!(!self.gone.borrow()[other.leaf.id], "{} sees a dying object", self.id);
            }
            assert!(!self.gone.borrow()[self.id], "{} is dropped twice", self.id);
            self.gone.borrow_mut()[self.id] = true;
        }
    }
    struct Chain {
        next: RefCell<Option<Cc<Chain>>>,
        leaf: Untraced<Looking>,
    }
    trace!(Chain { next });
    fresh();
    const N: usize = 300;
    // Each holds the only weak handle to one before or behind it: also the last to one that waits.
    for (at, distance) in (0..36).map(|at| (at, [1, 2, 3, 5, 9, 17, 50, 150, 299][at % 9])) {
        let gone = Rc::new(RefCell::new(vec![false; N]));
        let looking = |id| Untraced(Looking { id, weak: RefCell::default(), gone: gone.clone() });
        let new = |id| Cc::new(Chain { next: RefCell::default(), leaf: looking(id) });
        let mut chain: Vec<_> = (0..N).map(new).collect();
        if at / 9 % 2 == 1 {
            chain.reverse();
        }
        if at / 18 == 1 {
            gc::collect();
        }
        for i in 0..N {
            *chain[i].next.borrow_mut() = chain.get(i + 1).cloned();
            *chain[i].leaf.weak.borrow_mut() = Cc::downgrade(&chain[(i + distance) % N]);
        }
        chain.truncate(1);
        drop(chain);
        assert!(gone.borrow().iter().all(|&gone| gone), "distance {distance}");
    }
    assert_eq!(gc::collect(), 0);
}

/// What waits for its death keeps its block though its last weak handle is dropped meanwhile.
#[test]
fn w22_the_last_weak_handle_to_what_waits() {
    struct Fan {
        edges: RefCell<Vec<Cc<Fan>>>,
        weak: RefCell<Weak<Fan>>,
        _probe: Probe,
    }
    trace!(Fan { edges });
    fresh();
    let drops = Drops::default();
    let new = || {
        let (edges, weak) = (RefCell::default(), RefCell::default());
        Cc::new(Fan { edges, weak, _probe: drops.probe() })
    };
    for round in 0..4 {
        let mut chain: Vec<_> = (0..40).map(|_| new()).collect();
        chain.windows(2).for_each(|pair| pair[0].edges.borrow_mut().push(pair[1].clone()));
        // Both wait below the chain; the one that dies first holds the weak handle to the other.
        let waiting = [new(), new()];
        *waiting[round % 2].weak.borrow_mut() = Cc::downgrade(&waiting[1 - round % 2]);
        chain[39].edges.borrow_mut().extend(waiting);
        if round / 2 == 1 {
            chain[39].edges.borrow_mut().swap(0, 1);
        }
        chain.truncate(1);
        drop(chain);
        assert_eq!(drops.count(), 42 * (round + 1), "round {round}");
    }
    assert_eq!(gc::collect(), 0);
}

/// W23: weak handles work in finalizers and not in drops; W24: also in a death by count.
#[test]
fn w23_w24_weak_handles_in_finalizers_and_drops() {
    for cyclic in [true, false] {
        fresh();
        let seen = Rc::new(Cell::new(0));
        let report = seen.clone();
        let actor = Actor::acting(7, move |this| {
            let me = this.weak.borrow().upgrade().expect("alive in its finalizer");
            report.set(report.get() + me.id);
        });
        *actor.weak.borrow_mut() = Cc::downgrade(&actor);
        struct Looking(Weak<Actor>, Rc<Cell<usize>>);
        impl Drop for Looking {
            fn drop(&mut self) {
                self.1.set(self.1.get() + 100 + usize::from(self.0.upgrade().is_some()));
            }
        }
        // Dropped with the actor: a leaf of its callback.
        let act = actor.act.take().expect("set above");
        let looking = Looking(Cc::downgrade(&actor), seen.clone());
        *actor.act.borrow_mut() = Some(Box::new(move |this| {
            let _kept = &looking;
            act(this);
        }));
        if cyclic {
            actor.link(&actor);
        }
        drop(actor);
        assert_eq!(gc::collect(), usize::from(cyclic));
        assert_eq!(seen.get(), 107, "cyclic: {cyclic}");
    }
}
