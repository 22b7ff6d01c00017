//! X09: the ends of threads. Handles in thread-locals that are made before and after anything of ours, and
//! so destroyed after and before it; destructors that use the collector; cycles that are left. Everything
//! is finalized and dropped once.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hoopsnake::{Cc, Dying, Finalize, Untraced, Weak, gc};

use crate::support::{Drops, Node, Probe, on_small_stack, ring as ring_of_nodes, trace};

/// How often something was made, finalized, dropped.
#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    finalized: AtomicUsize,
    dropped: AtomicUsize,
}

impl Counts {
    fn assert_nothing_is_lost(&self, name: impl Fn() -> String) {
        let [made, finalized, dropped] =
            [&self.made, &self.finalized, &self.dropped].map(|count| count.load(Ordering::SeqCst));
        assert!(made > 0, "{}", name());
        assert_eq!((finalized, dropped), (made, made), "{}", name());
    }
}

struct Sign(Arc<Counts>);

impl Drop for Sign {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

struct Counted {
    edges: RefCell<Vec<Cc<Counted>>>,
    finalized: Cell<bool>,
    sign: Untraced<Sign>,
    /// Makes some of the objects as large as a pool.
    _room: Box<[u8]>,
}
trace!(Counted { edges } finalize Self);

impl Finalize for Counted {
    fn finalize(&self, _: &Dying<'_, Self>) {
        assert!(!self.finalized.replace(true), "finalized twice");
        self.sign.0.0.finalized.fetch_add(1, Ordering::SeqCst);
    }
}

fn counted(counts: &Arc<Counts>) -> Cc<Counted> {
    counts.made.fetch_add(1, Ordering::SeqCst);
    let (edges, sign) = (RefCell::default(), Untraced(Sign(counts.clone())));
    Cc::new(Counted { edges, finalized: Cell::new(false), sign, _room: Box::new([0; 24]) })
}

fn chain(counts: &Arc<Counts>, n: usize) -> Vec<Cc<Counted>> {
    let chain: Vec<_> = (0..n).map(|_| counted(counts)).collect();
    chain.windows(2).for_each(|pair| pair[0].edges.borrow_mut().push(pair[1].clone()));
    chain
}

fn ring(counts: &Arc<Counts>, n: usize) -> Vec<Cc<Counted>> {
    let ring = chain(counts, n);
    ring[n - 1].edges.borrow_mut().push(ring[0].clone());
    ring
}

/// What a thread-local holds.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Ring,
    Chain,
    WeakToRing,
}

/// What its destructor does first.
#[derive(Debug, Clone, Copy)]
enum Act {
    Nothing,
    Collect,
    Clone,
    Make,
}

/// Of a thread-local: its destructor works with what it holds.
struct Late {
    counts: RefCell<Option<Arc<Counts>>>,
    act: Cell<Act>,
    held: RefCell<Vec<Cc<Counted>>>,
    weak: RefCell<Weak<Counted>>,
    leaves: RefCell<Vec<Cc<Leaf>>>,
}

struct Leaf(Sign);
trace!(Leaf {} finalize Self);

impl Finalize for Leaf {
    fn finalize(&self, _: &Dying<'_, Self>) {
        self.0.0.finalized.fetch_add(1, Ordering::SeqCst);
    }
}

impl Late {
    const fn new() -> Late {
        Late {
            counts: RefCell::new(None),
            act: Cell::new(Act::Nothing),
            held: RefCell::new(Vec::new()),
            weak: RefCell::new(Weak::new()),
            leaves: RefCell::new(Vec::new()),
        }
    }

    fn hold(&self, counts: &Arc<Counts>, hold: Hold, act: Act) {
        self.act.set(act);
        *self.counts.borrow_mut() = Some(counts.clone());
        counts.made.fetch_add(3, Ordering::SeqCst);
        self.leaves.borrow_mut().extend((0..3).map(|_| Cc::new(Leaf(Sign(counts.clone())))));
        match hold {
            Hold::Ring => self.held.borrow_mut().extend(ring(counts, 20)),
            Hold::Chain => self.held.borrow_mut().extend(chain(counts, 1000).into_iter().take(1)),
            Hold::WeakToRing => *self.weak.borrow_mut() = Cc::downgrade(&ring(counts, 20)[0]),
        }
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        let Some(counts) = self.counts.take() else { return };
        match self.act.get() {
            Act::Nothing => {}
            Act::Collect => {
                self.held.borrow_mut().truncate(1);
                gc::collect();
                assert!(self.held.borrow().iter().all(|counted| !counted.finalized.get()));
            }
            Act::Clone => {
                let clones = self.held.borrow().clone();
                self.held.borrow_mut().extend(clones);
                self.leaves.borrow_mut().extend_from_within(..2);
                self.held.borrow_mut().extend(self.weak.borrow().upgrade());
            }
            Act::Make => {
                self.held.borrow_mut().extend(chain(&counts, 50));
                drop(ring(&counts, 5));
                let old = self.held.borrow()[0].clone();
                ring(&counts, 5)[0].edges.borrow_mut().push(old);
            }
        }
    }
}

thread_local! {
    static FIRST: Late = const { Late::new() };
    static SECOND: Late = const { Late::new() };
}

/// Which of the two thread-locals is touched before there is any object.
#[derive(Debug, Clone, Copy)]
enum Order {
    Before,
    After,
    Around,
}

fn play(order: Order, hold: Hold, act: Act, collects: bool, counts: &Arc<Counts>) {
    if matches!(order, Order::Before | Order::Around) {
        FIRST.with(|_| ());
    }
    if matches!(order, Order::Before) {
        SECOND.with(|_| ());
    }
    drop(counted(counts));
    drop(ring(counts, 7));
    if collects {
        gc::collect();
    }
    FIRST.with(|late| late.hold(counts, hold, act));
    SECOND.with(|late| late.hold(counts, hold, Act::Nothing));
    // They hold each other's objects.
    let borrowed = FIRST.with(|late| late.held.borrow().first().cloned());
    SECOND.with(|late| {
        if let Some((one, other)) = borrowed.zip(late.held.borrow().first()) {
            other.edges.borrow_mut().push(one);
        }
    });
    // Left to the last run.
    drop(ring(counts, 9));
}

#[test]
fn x09_thread_locals_before_and_after_the_collector() {
    for order in [Order::Before, Order::After, Order::Around] {
        for hold in [Hold::Ring, Hold::Chain, Hold::WeakToRing] {
            for act in [Act::Nothing, Act::Collect, Act::Clone, Act::Make] {
                for collects in [false, true] {
                    let counts = Arc::<Counts>::default();
                    let ours = counts.clone();
                    on_small_stack(move || play(order, hold, act, collects, &ours));
                    counts.assert_nothing_is_lost(|| {
                        format!("{order:?} {hold:?} {act:?} {collects}")
                    });
                }
            }
        }
    }
}

/// X09: a thread-local that is destroyed after everything of ours still holds handles.
#[test]
fn x09_late_drops_of_thread_locals() {
    struct Late {
        nodes: RefCell<Vec<Cc<Node>>>,
        leaves: RefCell<Vec<Cc<String>>>,
        weaks: RefCell<Vec<Weak<Node>>>,
    }
    impl Drop for Late {
        fn drop(&mut self) {
            // All of it works, whoever was destroyed before.
            let new = Node::new(7);
            new.link(&new);
            drop(ring_of_nodes(5));
            gc::collect();
            assert_eq!(self.nodes.borrow()[0].id, 0);
            self.weaks.borrow_mut().push(Cc::downgrade(&new));
            let clone = self.nodes.borrow()[0].clone();
            self.nodes.borrow_mut().push(clone);
            assert!(self.leaves.borrow().iter().all(|leaf| leaf.len() == 5));
            drop(Cc::new(String::from("late")));
        }
    }
    thread_local! {
        // Without an initialiser that runs: registered before anything of ours exists.
        static EARLY: Late = const {
            Late {
                nodes: RefCell::new(Vec::new()),
                leaves: RefCell::new(Vec::new()),
                weaks: RefCell::new(Vec::new()),
            }
        };
        static LATER: RefCell<Vec<Cc<Node>>> = const { RefCell::new(Vec::new()) };
    }
    for collect in [false, true] {
        std::thread::spawn(move || {
            EARLY.with(|early| {
                let nodes = ring_of_nodes(1000);
                early.leaves.borrow_mut().extend((0..1000).map(|_| Cc::new("leave".to_string())));
                LATER.with_borrow_mut(|later| later.extend(nodes.iter().take(10).cloned()));
                *early.nodes.borrow_mut() = nodes;
                if collect {
                    gc::collect();
                }
            });
        })
        .join()
        .expect("ends in peace");
    }
}

/// Many threads that die with cycles, at the same time.
#[test]
fn x09_threads_that_die_with_cycles() {
    let counts = Arc::<Counts>::default();
    for _ in 0..10 {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let counts = counts.clone();
                std::thread::spawn(move || {
                    drop(ring(&counts, 100));
                    FIRST.with(|late| late.hold(&counts, Hold::Ring, Act::Make));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("ends"));
    }
    counts.assert_nothing_is_lost(String::new);
}

/// Also when the collector was called before there was anything to collect.
#[test]
fn x09_a_collection_before_the_first_object() {
    let counts = Arc::<Counts>::default();
    let ours = counts.clone();
    on_small_stack(move || {
        gc::collect();
        drop(ring(&ours, 3));
    });
    counts.assert_nothing_is_lost(String::new);
}

/// Finalizers of the last runs that resurrect into thread-locals, which are gone or are still there.
#[test]
fn x09_resurrection_at_the_end() {
    struct Phoenix {
        me: RefCell<Option<Cc<Phoenix>>>,
        _sign: Untraced<Sign>,
    }
    trace!(Phoenix { me } finalize Self);
    thread_local!(static NEST: RefCell<Vec<Cc<Phoenix>>> = const { RefCell::new(Vec::new()) });
    impl Finalize for Phoenix {
        fn finalize(&self, this: &Dying<'_, Self>) {
            self._sign.0.0.finalized.fetch_add(1, Ordering::SeqCst);
            let _ = NEST.try_with(|nest| nest.borrow_mut().extend(Dying::to_cc(this)));
        }
    }
    for early in [true, false] {
        let counts = Arc::<Counts>::default();
        let ours = counts.clone();
        on_small_stack(move || {
            if early {
                NEST.with(|_| ());
            }
            for _ in 0..5 {
                ours.made.fetch_add(1, Ordering::SeqCst);
                let sign = Untraced(Sign(ours.clone()));
                let phoenix = Cc::new(Phoenix { me: RefCell::default(), _sign: sign });
                *phoenix.me.borrow_mut() = Some(phoenix.clone());
            }
            if !early {
                NEST.with(|_| ());
            }
        });
        counts.assert_nothing_is_lost(|| format!("early: {early}"));
    }
}

/// Handles of a thread that never had an object of its own with edges.
#[test]
fn x09_a_thread_with_leaves_only() {
    thread_local!(static LEAF: RefCell<Option<Cc<Probe>>> = const { RefCell::new(None) });
    std::thread::spawn(|| LEAF.set(Some(Cc::new(Drops::default().probe())))).join().expect("ends");
}
