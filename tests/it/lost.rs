//! All ways for a cycle to lose its last handle from outside: automatic runs find it, without a full one.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use hoopsnake::gc::{self, PerGeneration};
use hoopsnake::{Cc, Trace, TraceInfo, Tracer};

use crate::support::{Drops, Node, ring, trace};

/// A leaf that hides a handle.
struct Hiding {
    _handle: Cc<Node>,
}
// SAFETY: what is not reported counts as held from outside.
unsafe impl Trace for Hiding {
    fn trace(&self, _: &mut Tracer<'_>) {}
}
impl TraceInfo for Hiding {
    const NEEDS_TRACE: bool = false;
}

/// A node in a cycle of its own, whose end drops a hidden handle.
struct Holder {
    me: RefCell<Option<Cc<Holder>>>,
    _hidden: Hiding,
}
trace!(Holder { me });

fn holding(handle: Cc<Node>) -> Cc<Node> {
    let holder = Node::new(0);
    holder.edges.borrow_mut().push(handle);
    holder
}

/// Loses a handle in one of many ways.
fn lose(handle: Cc<Node>, way: usize) {
    match way {
        0 => drop(handle),
        // SAFETY: from `into_raw`, once.
        1 => drop(unsafe { Cc::from_raw(Cc::into_raw(handle)) }),
        2 => drop(holding(handle)),
        3 => drop(Cc::new(Hiding { _handle: handle })),
        4 => drop(Cc::try_unwrap(holding(handle)).ok()),
        5 => {
            let mut holder = holding(handle);
            let edges = std::mem::take(&mut Cc::get_mut(&mut holder).expect("the only one").edges);
            busy(1);
            drop(edges);
        }
        6 => {
            let weak = Cc::downgrade(&handle);
            drop(handle);
            let handle = weak.upgrade();
            busy(1);
            drop(handle);
        }
        7 => {
            let hidden = Hiding { _handle: handle };
            let holder = Cc::new(Holder { me: RefCell::default(), _hidden: hidden });
            *holder.me.borrow_mut() = Some(holder.clone());
        }
        8 => drop((0..500).fold(handle, |handle, _| holding(handle))),
        9 => {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                let _handle = handle;
                resume_unwind(Box::new(1));
            }));
            assert!(unwound.is_err());
        }
        10 => {
            let holder = holding(handle);
            holder.link(&holder);
        }
        11 => {
            let holder = Cc::new_cyclic(|_| {
                busy(1);
                Cc::into_inner(holding(handle)).expect("the only one")
            });
            holder.link(&holder);
        }
        12 => {
            gc::disable();
            drop(handle);
            gc::enable();
        }
        _ => {
            let middle = holding(handle);
            let mut top = Node::new(0);
            Cc::get_mut(&mut top).expect("the only one").own.push(middle.clone());
            middle.edges.borrow_mut().push(top);
        }
    }
}

fn runs() -> u64 {
    gc::stats().young.collections + gc::stats().middle.collections
}

/// Makes garbage until `n` more automatic runs have begun.
fn busy(n: u64) {
    let end = runs() + n;
    while runs() < end {
        drop(ring(2));
    }
}

/// The same in a program that loses no handles but moves them: then nothing is traced without need.
fn quiet(n: u64) {
    let (end, mut list) = (runs() + n, Node::new(0));
    while runs() < end {
        list = holding(list);
    }
}

#[test]
fn cycles_are_found_however_the_last_handle_went() {
    let test = || {
        // After this no growth is large enough for a full run.
        let _old = Node::new(0);
        gc::collect();
        gc::set_threshold(PerGeneration { young: 100, middle: 3, old: usize::MAX / 1000 });
        for way in 0..14 {
            for (age, size) in [(0, 1), (1, 1), (0, 3), (1, 3)] {
                for grow in [quiet, busy] {
                    // Those that runs begin in the middle of must not be old by then.
                    let age = if [5, 6, 11].contains(&way) { 0 } else { age };
                    let drops = Drops::default();
                    let nodes: Vec<_> = (0..size).map(|i| Node::counted(i, &drops)).collect();
                    (0..size).for_each(|i| nodes[i].link(&nodes[(i + 1) % size]));
                    let handle = nodes[0].clone();
                    drop(nodes);
                    grow(age);
                    lose(handle, way);
                    grow(12);
                    assert_eq!(drops.count(), size, "way {way}, age {age}");
                }
            }
        }
        assert_eq!(gc::stats().old.collections, 1, "the one that was asked for");
    };
    std::thread::spawn(test).join().expect("the test");
}
