//! Python's `gc` module: cases G01–G13, and the paces of the collector.

use std::cell::RefCell;

use hoopsnake::gc::{self, Generation, Mode, PerGeneration};
use hoopsnake::{Cc, Dying, Weak};

use crate::support::{Actor, Drops, Node, fresh, ring, trace};

/// Runs a test with a collector of its own, as a new thread has it.
fn anew(test: impl FnOnce() + Send + 'static) {
    std::thread::spawn(test).join().expect("the test");
}

fn set_young(young: usize) {
    gc::set_threshold(PerGeneration { young, ..gc::threshold() });
}

/// A dead ring, and a handle that says whether it is still there.
fn dead_ring(n: usize) -> Weak<Node> {
    Cc::downgrade(&ring(n)[0])
}

fn is_there(weak: &Weak<Node>) -> bool {
    weak.strong_count() > 0
}

#[test]
fn g01_enable_and_disable() {
    anew(|| {
        assert!(gc::is_enabled());
        gc::disable();
        assert!(!gc::is_enabled());
        {
            let _pause = gc::pause();
            gc::enable();
            assert!(gc::is_enabled());
        }
        assert!(!gc::is_enabled(), "as before the pause");
    });
}

#[test]
fn g02_no_run_while_disabled() {
    anew(|| {
        gc::disable();
        let dead = dead_ring(3);
        let nodes: Vec<_> = (0..100_000).map(Node::new).collect();
        assert!(is_there(&dead));
        assert!(gc::stats() == PerGeneration::default(), "no run at all");
        drop(nodes);
        assert_eq!(gc::collect(), 3);
    });
}

#[test]
fn g03_a_run_after_the_threshold() {
    anew(|| {
        set_young(100);
        gc::collect();
        let dead = dead_ring(2);
        let _nodes: Vec<_> = (0..101 - 2).map(Node::new).collect();
        assert!(!is_there(&dead));
        assert_eq!(gc::stats().young.collections, 1);
    });
}

/// Births are counted up to that, as `set_threshold` says.
#[test]
fn g03_a_threshold_above_what_is_counted() {
    anew(|| {
        set_young(1_000_000);
        gc::collect();
        let dead = dead_ring(2);
        let nodes: Vec<_> = (0..80_000 - 3).map(Node::new).collect();
        assert!(is_there(&dead) && gc::threshold().young == 1_000_000);
        let more: Vec<_> = (0..2).map(Node::new).collect();
        assert!(!is_there(&dead));
        drop((nodes, more));
    });
}

#[test]
fn g04_a_threshold_of_zero() {
    anew(|| {
        set_young(0);
        let dead = dead_ring(2);
        let _nodes: Vec<_> = (0..200_000).map(Node::new).collect();
        assert!(is_there(&dead) && gc::is_enabled());
        assert_eq!(gc::poll(), 0);
        set_young(1000);
        assert_eq!(gc::poll(), 2);
    });
}

#[test]
fn g05_the_defaults() {
    anew(|| {
        assert_eq!(gc::threshold(), PerGeneration { young: 10_000, middle: 10, old: 100 });
    });
}

#[test]
fn g06_the_count_follows_births_and_deaths() {
    anew(|| {
        gc::collect();
        assert_eq!(gc::count(), PerGeneration::default());
        let nodes: Vec<_> = (0..1000).map(Node::new).collect();
        assert_eq!(gc::count().young, 1000);
        let leaves: Vec<_> = (0..1000).map(Cc::new).collect();
        assert_eq!(gc::count().young, 1000, "leaves are not tracked");
        drop(nodes);
        drop(leaves);
        assert_eq!(gc::count().young, 0);
        let nodes: Vec<_> = (0..500).map(Node::new).collect();
        set_young(5000);
        assert_eq!(gc::count().young, 500, "also across a new threshold");
        drop(nodes);
    });
}

#[test]
fn g07_runs_move_the_counters() {
    anew(|| {
        let runs = || (gc::count().middle, gc::count().old);
        gc::collect();
        gc::collect_generation(Generation::Young);
        assert_eq!(runs(), (1, 0));
        gc::collect_generation(Generation::Middle);
        assert_eq!(runs(), (0, 1));
        gc::collect_generation(Generation::Old);
        assert_eq!(runs(), (0, 0));
    });
}

#[test]
fn g08_objects_age() {
    anew(|| {
        gc::disable();
        let node = Node::new(1);
        let age = || {
            let all = [Generation::Young, Generation::Middle, Generation::Old];
            let found = |&age: &Generation| {
                gc::objects(Some(age)).iter().filter(|object| object.id == Cc::id(&node)).count()
            };
            let counts = all.each_ref().map(found);
            assert_eq!(counts.iter().sum::<usize>(), 1, "one age: {counts:?}");
            assert_eq!(gc::objects(None).len(), 1);
            counts.iter().position(|&count| count == 1).unwrap()
        };
        let mut seen = vec![age()];
        for generation in [Generation::Young, Generation::Middle, Generation::Old] {
            gc::collect_generation(generation);
            seen.push(age());
        }
        assert_eq!(seen, [0, 1, 2, 2]);
    });
}

#[test]
fn g08_records_tell_what_is_known() {
    anew(|| {
        let node = Node::new(1);
        let weak = Cc::downgrade(&node);
        let slice: Cc<[Cc<Node>]> = vec![node.clone(), node.clone()].into();
        let objects = gc::objects(None);
        let of = |id| *objects.iter().find(|object| object.id == id).expect("a record");
        let record = of(Cc::id(&node));
        assert_eq!((record.strong, record.weak), (3, 1));
        assert_eq!((record.size, record.generation), (size_of::<Node>(), Generation::Young));
        assert!(record.type_name.ends_with("Node"), "{}", record.type_name);
        assert_eq!(of(Cc::id(&slice)).size, size_of::<[Cc<Node>; 2]>());
        drop(weak);
    });
}

#[test]
fn g09_young_and_middle_runs_leave_old_garbage() {
    anew(|| {
        gc::disable();
        let nodes = ring(10);
        gc::collect();
        drop(nodes);
        assert_eq!(gc::collect_generation(Generation::Young), 0);
        assert_eq!(gc::collect_generation(Generation::Middle), 0);
        assert_eq!(gc::collect(), 10);
    });
}

#[test]
fn g11_generations_have_numbers() {
    let numbers = [0, 1, 2].map(Generation::try_from);
    assert_eq!(numbers, [Ok(Generation::Young), Ok(Generation::Middle), Ok(Generation::Old)]);
    let error = Generation::try_from(3).unwrap_err();
    assert_eq!(error.to_string(), "there is no generation 3: they are 0, 1 and 2");
}

#[test]
fn g12_only_the_generation_that_ran_counts() {
    anew(|| {
        gc::disable();
        for (runs, generation) in
            [Generation::Young, Generation::Middle, Generation::Old].into_iter().enumerate()
        {
            let before = gc::stats();
            for _ in 0..=runs {
                gc::collect_generation(generation);
            }
            let after = gc::stats();
            for other in [Generation::Young, Generation::Middle, Generation::Old] {
                let expected = if other == generation { runs as u64 + 1 } else { 0 };
                assert_eq!(after[other].collections - before[other].collections, expected);
            }
        }
    });
}

#[test]
fn g13_stats_count_what_was_collected() {
    anew(|| {
        gc::disable();
        let _live: Vec<_> = (0..50).map(Node::new).collect();
        let dead: Vec<_> = (0..100).map(|_| dead_ring(1)).collect();
        gc::collect();
        let old = gc::stats().old;
        assert_eq!((old.collected, old.uncollectable, old.candidates), (100, 0, 150));
        assert!(old.longest <= old.duration && old.looked_at >= 250, "{old:?}");
        drop(dead);
    });
}

#[test]
fn g20_leaves_are_not_tracked() {
    assert!(gc::is_tracked(&Node::new(1)));
    assert!(gc::is_tracked(&Actor::new(1)));
    assert!(!gc::is_tracked(&Cc::new(1)));
    let text: Cc<str> = "leaf".into();
    assert!(!gc::is_tracked(&text));
}

#[test]
fn runs_wait_for_the_poll() {
    anew(|| {
        set_young(1000);
        assert_eq!(gc::set_mode(Mode::AtPoll), Mode::Automatic);
        let dead = dead_ring(3);
        assert_eq!(gc::poll(), 0, "it is not time");
        let nodes: Vec<_> = (0..10_000).map(Node::new).collect();
        assert!(is_there(&dead) && gc::count().young == 10_003);
        assert_eq!(gc::poll(), 3);
        assert_eq!(gc::count().young, 0);
        drop(nodes);
        gc::disable();
        dead_ring(2000);
        assert_eq!(gc::poll(), 0, "disabled");
    });
}

/// Deaths by count that wound the countdown up are forgotten at a birth, whichever it is: not to run at once.
#[test]
fn g03_many_deaths_and_a_birth_that_does_not_ask() {
    anew(|| {
        gc::collect();
        drop((0..200_000).map(Node::new).collect::<Vec<_>>());
        let runs = || gc::stats().young.collections + gc::stats().middle.collections;
        let before = runs();
        // Its block is taken first, from a list that has to be filled, and asks last.
        struct Holder(Weak<Holder>, Cc<Node>, [u8; 300]);
        trace!(Holder { 1 });
        let holder = Cc::new_cyclic(|me| Holder(me.clone(), Node::new(1), [0; 300]));
        assert_eq!(runs(), before);
        assert!(gc::count().young <= 2, "{:?}", gc::count());
        assert_eq!(holder.1.id + holder.2.len() + holder.0.strong_count(), 302);
    });
}

/// The classic surprise: a finalizer in the middle of a borrow.
#[test]
fn no_finalizer_interrupts_a_borrow_at_poll() {
    anew(|| {
        set_young(10);
        gc::set_mode(Mode::AtPoll);
        let book = std::rc::Rc::new(RefCell::new(0));
        for _ in 0..3 {
            let writes = book.clone();
            let actor = Actor::acting(0, move |_: &Dying<'_, Actor>| *writes.borrow_mut() += 1);
            actor.link(&actor);
        }
        let guard = book.borrow_mut();
        let _nodes: Vec<_> = (0..100).map(Node::new).collect();
        drop(guard);
        assert_eq!(gc::poll(), 3);
        assert_eq!(*book.borrow(), 3);
    });
}

#[test]
fn steps_are_bounded_and_finish() {
    anew(|| {
        gc::disable();
        let live: Vec<_> = (0..20_000).map(Node::new).collect();
        (0..20_000).for_each(|_| drop(dead_ring(1)));
        let mut freed = 0;
        for _ in 0..200 {
            let before = gc::stats();
            freed += gc::step(1000);
            let after = gc::stats();
            let candidates =
                |s: PerGeneration<gc::GenerationStats>| s.young.candidates + s.middle.candidates;
            assert!(candidates(after) - candidates(before) < 4000);
        }
        assert_eq!(freed, 20_000);
        assert_eq!(gc::stats().old.collections, 0);
        drop(live);
    });
}

/// Steps find old garbage too.
#[test]
fn steps_walk_from_dirty_objects() {
    anew(|| {
        gc::disable();
        let hub = Node::new(0);
        let dead: Vec<_> = (0..100).map(|_| ring(20)).collect();
        dead.iter().for_each(|ring| ring[7].link(&hub));
        gc::collect();
        let drops = Drops::default();
        drop(dead);
        let freed: usize = (0..20).map(|_| gc::step(1000)).sum();
        assert_eq!(freed, 2000);
        drop(drops);
    });
}

#[test]
fn an_old_object_is_looked_at_again_after_each_loss() {
    anew(|| {
        fresh();
        gc::collect();
        let (a, b) = (Node::new(1), Node::new(2));
        a.link(&b);
        b.link(&a);
        gc::collect();
        for _ in 0..5 {
            drop(a.clone());
            assert_eq!(gc::step(100), 0);
        }
        drop(b);
        assert_eq!(gc::step(100), 0);
        drop(a);
        assert_eq!(gc::step(100), 2, "the textbook cycle");
    });
}

/// Leaves that are large, or of more alignment, lie in pools like those of objects with edges.
#[test]
fn walks_do_not_look_into_leaves() {
    struct Holder {
        _aligned: Cc<u128>,
        _large: Cc<[u8]>,
    }
    trace!(Holder { _aligned, _large });
    anew(|| {
        gc::disable();
        let (aligned, large): (_, Cc<[u8]>) = (Cc::new(u128::MAX), vec![7; 20_000].into());
        let holder = Cc::new(Holder { _aligned: aligned.clone(), _large: large.clone() });
        gc::collect();
        drop(holder.clone());
        assert_eq!(gc::step(1000), 0);
        drop(holder);
        assert_eq!((*aligned, large[0], Cc::strong_count(&large)), (u128::MAX, 7, 1));
    });
}

/// The birth of a leaf does not count, so its death must not either.
#[test]
fn g06_the_deaths_of_leaves_do_not_count() {
    anew(|| {
        gc::collect();
        let nodes: Vec<_> = (0..10).map(Node::new).collect();
        for _ in 0..10 {
            assert_eq!(Cc::try_unwrap(Cc::new(5_u128)), Ok(5));
            drop(Cc::downgrade(&Cc::new([0_u8; 20_000])));
        }
        assert_eq!(gc::count().young, 10);
        drop(nodes);
    });
}

/// What was old and is resurrected may end in a cycle like others.
#[test]
fn a_resurrected_old_object_is_looked_at_again() {
    std::thread_local!(static SAVED: RefCell<Option<Cc<Actor>>> = const { RefCell::new(None) });
    anew(|| {
        gc::disable();
        let actor = Actor::acting(1, |this| SAVED.set(Dying::to_cc(this)));
        gc::collect();
        drop(actor);
        let actor = SAVED.take().expect("resurrected");
        actor.link(&actor);
        drop(actor);
        assert_eq!(gc::step(100), 1);
    });
}

/// Old objects among young ones, many of which one holds.
#[test]
fn walks_find_more_than_what_is_young() {
    anew(|| {
        gc::disable();
        let hub = Node::new(0);
        for n in 1..50 {
            let child = Node::new(n);
            child.link(&hub);
            hub.link(&child);
        }
        gc::collect();
        let young = Node::new(50);
        drop(hub.clone());
        assert_eq!(gc::step(1000), 0);
        drop((hub, young));
        assert_eq!(gc::step(1000), 50);
    });
}

/// What a step has no time for is not forgotten, also where the first of it took all of the time.
#[test]
fn seeds_that_were_not_tried_stay_dirty() {
    anew(|| {
        gc::disable();
        let small: Vec<_> = (0..10).map(|_| ring(2).swap_remove(0)).collect();
        let large = ring(2000).swap_remove(1500);
        gc::collect();
        drop(small);
        drop(large);
        let freed: usize = (0..10).map(|_| gc::step(100)).sum();
        assert_eq!(freed, 20);
    });
}
