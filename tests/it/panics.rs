//! What callbacks may do: `Finalize` and `Drop` panic, allocate, clone, drop and collect, wherever a death
//! calls them. Nothing is lost, nothing done twice, and the collector works on. Cases X03, X06. (What
//! `Trace` does: `panics_in_trace`.)

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hoopsnake::{Cc, Dying, Finalize, Trace, TraceInfo, Tracer, Untraced, Weak, gc};

use crate::support::{Actor, Drops, Node, fresh, ring, trace};

/// What a callback does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Panic,
    Allocate,
    Clone,
    Drop,
    Collect,
}
const ACTS: [Act; 5] = [Act::Panic, Act::Allocate, Act::Clone, Act::Drop, Act::Collect];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Callback {
    Finalize,
    Drop,
}

/// What calls it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// The death of the last handle.
    Count,
    /// The same, so deep that it waits for the outermost.
    Deep,
    /// A run, for a member of the garbage.
    Cycle,
    /// A run whose garbage holds the last handle to an old object.
    SideEffect,
    /// A run that begins by itself.
    Automatic,
    /// The last run of a thread.
    ThreadEnd,
}
const PLACES: [Place; 6] = [
    Place::Count,
    Place::Deep,
    Place::Cycle,
    Place::SideEffect,
    Place::Automatic,
    Place::ThreadEnd,
];

/// What all members of a scene share.
#[derive(Clone)]
struct Scene {
    act: Act,
    callback: Callback,
    /// Finalizers and drops that were called.
    counts: Arc<[AtomicUsize; 2]>,
    /// Objects outside of the scene, which its callbacks clone and drop.
    bystanders: Rc<RefCell<Vec<Cc<Node>>>>,
}

struct Member {
    edges: RefCell<Vec<Cc<Member>>>,
    leaf: Untraced<Leaf>,
}
trace!(Member { edges } finalize Self);

struct Leaf {
    scene: Scene,
    /// Whether this one's callbacks act.
    armed: Cell<bool>,
    owner: RefCell<Weak<Member>>,
}

impl Finalize for Member {
    fn finalize(&self, this: &Dying<'_, Self>) {
        let scene = &self.leaf.scene;
        scene.counts[0].fetch_add(1, Ordering::Relaxed);
        if scene.callback == Callback::Finalize && self.leaf.armed.get() {
            if scene.act == Act::Clone {
                let clones = (
                    Dying::to_cc(this),
                    self.leaf.owner.borrow().upgrade(),
                    self.edges.borrow().clone(),
                );
                assert!(clones.0.is_some() && clones.1.is_some());
            }
            scene.perform();
        }
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        self.scene.counts[1].fetch_add(1, Ordering::Relaxed);
        assert!(self.owner.borrow().upgrade().is_none(), "dead in its own drop");
        if self.scene.callback == Callback::Drop && self.armed.get() {
            self.scene.perform();
        }
    }
}

impl Scene {
    fn perform(&self) {
        match self.act {
            Act::Panic => panic!("expected"),
            Act::Allocate => {
                drop(ring(3));
                drop((0..30).map(Node::new).collect::<Vec<_>>());
            }
            Act::Clone => {
                let mut bystanders = self.bystanders.borrow_mut();
                let clones = bystanders.clone();
                bystanders.extend(clones.into_iter().take(5));
            }
            // The first is a chain whose death is deep itself.
            Act::Drop => drop(self.bystanders.take()),
            Act::Collect => {
                let young = gc::collect_generation(gc::Generation::Young);
                assert_eq!((gc::collect(), young, gc::step(1000), gc::poll()), (0, 0, 0, 0));
                assert!(gc::objects(None).iter().all(|object| object.strong > 0));
            }
        }
    }

    fn member(&self) -> Cc<Member> {
        let armed = Cell::new(true);
        let leaf = Untraced(Leaf { scene: self.clone(), armed, owner: RefCell::default() });
        let member = Cc::new(Member { edges: RefCell::default(), leaf });
        *member.leaf.owner.borrow_mut() = Cc::downgrade(&member);
        member
    }

    /// `n` members, each with an edge to the next.
    fn chain(&self, n: usize) -> Vec<Cc<Member>> {
        let chain: Vec<_> = (0..n).map(|_| self.member()).collect();
        chain.windows(2).for_each(|pair| pair[0].edges.borrow_mut().push(pair[1].clone()));
        chain
    }

    fn ring(&self, n: usize) -> Vec<Cc<Member>> {
        let ring = self.chain(n);
        ring[n - 1].edges.borrow_mut().push(ring[0].clone());
        ring
    }

    /// Builds the garbage of a place and lets it die; returns its size.
    fn play(&self, place: Place) -> usize {
        match place {
            Place::Count | Place::Deep => {
                // One of them acts: two panics in nested drops would be an abort, as in all of Rust.
                let (len, at) = if place == Place::Count { (3, 1) } else { (100, 60) };
                let mut chain = self.chain(len);
                (0..len).for_each(|i| chain[i].leaf.armed.set(i == at));
                chain.truncate(1);
                drop(chain);
                len
            }
            Place::Cycle => {
                drop(self.ring(5));
                assert_eq!(gc::collect(), 5);
                5
            }
            Place::SideEffect => {
                let mut old = self.chain(4);
                (0..4).for_each(|i| old[i].leaf.armed.set(i == 2));
                gc::collect();
                old.truncate(1);
                let young = self.ring(3);
                young.iter().for_each(|member| member.leaf.armed.set(false));
                young[1].edges.borrow_mut().append(&mut old);
                drop(young);
                assert_eq!(gc::collect_generation(gc::Generation::Young), 3);
                7
            }
            Place::Automatic => {
                gc::enable();
                drop(self.ring(5));
                let (kept, all) =
                    (RefCell::new(Vec::new()), self.counts[1].load(Ordering::Relaxed) + 5);
                while self.counts[1].load(Ordering::Relaxed) < all && kept.borrow().len() < 200_000
                {
                    kept.borrow_mut().push(Node::new(0));
                }
                5
            }
            Place::ThreadEnd => unreachable!("has no time to do anything in"),
        }
    }
}

/// Plays a scene, and asserts that everything was finalized and dropped once, and that a panic came out.
fn play(act: Act, callback: Callback, place: Place) {
    fresh();
    let chain: Vec<_> = (0..200).map(Node::new).collect();
    chain.windows(2).for_each(|pair| pair[0].link(&pair[1]));
    let bystanders = Rc::new(RefCell::new(vec![chain[0].clone(), Node::new(1)]));
    drop(chain);
    let scene = Scene { act, callback, counts: Arc::default(), bystanders };
    let size = catch_unwind(AssertUnwindSafe(|| scene.play(place)));
    let expected = match place {
        Place::Count => 3,
        Place::Deep => 100,
        Place::SideEffect => 7,
        _ => 5,
    };
    let name = format!("{act:?} in {callback:?}, {place:?}");
    assert_eq!(size.ok(), (act != Act::Panic).then_some(expected), "{name}");
    let counts = scene.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [expected; 2], "finalized and dropped once: {name}");
    // The collector works on, and nothing is left.
    gc::disable();
    while gc::collect() > 0 {}
    drop(ring(5));
    assert_eq!(gc::collect(), 5, "{name}");
    let clones = scene.bystanders.take();
    assert!(clones.first().is_none_or(|first| first.edges.borrow()[0].id == 1), "{name}");
}

#[test]
fn callbacks_do_what_they_like() {
    for place in PLACES.into_iter().filter(|&place| place != Place::ThreadEnd) {
        for act in ACTS {
            for callback in [Callback::Finalize, Callback::Drop] {
                play(act, callback, place);
            }
        }
    }
}

#[test]
fn callbacks_do_what_they_like_when_a_thread_ends() {
    for act in ACTS {
        for callback in [Callback::Finalize, Callback::Drop] {
            let counts = Arc::<[AtomicUsize; 2]>::default();
            let ours = counts.clone();
            let thread = std::thread::spawn(move || {
                let bystanders = Rc::new(RefCell::new(ring(3)));
                drop(Scene { act, callback, counts: ours, bystanders }.ring(5));
            });
            thread.join().expect("a panic in the last run is nobody's");
            let counts = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
            assert_eq!(counts, [5; 2], "{act:?} in {callback:?}");
        }
    }
}

/// A leaf whose drop panics.
struct Bomb(Untraced<Drops>);
impl Drop for Bomb {
    fn drop(&mut self) {
        drop(self.0.probe());
        panic!("expected");
    }
}
// SAFETY: a leaf.
unsafe impl Trace for Bomb {
    fn trace(&self, _: &mut Tracer<'_>) {}
}
impl TraceInfo for Bomb {
    const NEEDS_TRACE: bool = false;
}

#[test]
fn x03_a_panic_in_a_drop() {
    fresh();
    struct Armed {
        edges: RefCell<Vec<Cc<Armed>>>,
        _bomb: Bomb,
    }
    trace!(Armed { edges });
    let drops = Drops::default();
    let armed: Vec<_> = (0..10)
        .map(|_| Cc::new(Armed { edges: RefCell::default(), _bomb: Bomb(Untraced(drops.clone())) }))
        .collect();
    for i in 0..10 {
        armed[i].edges.borrow_mut().push(armed[(i + 1) % 10].clone());
    }
    let quiet = ring(5);
    drop((armed, quiet));
    assert!(catch_unwind(gc::collect).is_err(), "the panic goes on");
    assert_eq!(drops.count(), 10, "each was dropped once");
    assert_eq!(gc::collect(), 0, "and the collector still works");
    drop(ring(3));
    assert_eq!(gc::collect(), 3);

    // The same for deaths by count, at depth 0 and deeper, and for a leaf.
    for depth in [0, 5, 100] {
        let bomb = Armed { edges: RefCell::default(), _bomb: Bomb(Untraced(drops.clone())) };
        let mut top = RefCell::new(Some(Cc::new(bomb)));
        let before = drops.count();
        struct Shell(Box<dyn Trace>);
        trace!(Shell { 0 });
        let mut shell = Cc::new(Shell(Box::new(top.take())));
        for _ in 0..depth {
            shell = Cc::new(Shell(Box::new(shell)));
        }
        top.get_mut().take();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(shell))).is_err(), "depth {depth}");
        assert_eq!(drops.count(), before + 1);
    }
    assert!(catch_unwind(|| drop(Cc::new(Bomb(Untraced(Drops::default()))))).is_err());
    assert_eq!(gc::collect(), 0);
}

#[test]
fn x03_a_panic_in_a_finalizer() {
    fresh();
    let actors: Vec<_> = (0..4).map(|i| Actor::acting(i, |_| panic!("expected"))).collect();
    (0..4).for_each(|i| actors[i].link(&actors[(i + 1) % 4]));
    let (weak, finalized) = (Cc::downgrade(&actors[0]), actors[3].finalized.0.clone());
    drop(actors);
    assert!(catch_unwind(gc::collect).is_err());
    assert_eq!((weak.upgrade().is_none(), finalized.get()), (true, 1), "the run was completed");

    let actor = Actor::acting(0, |_| panic!("expected"));
    let weak = Cc::downgrade(&actor);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(actor))).is_err());
    assert!(weak.upgrade().is_none());
}

#[test]
fn x06_collect_inside_callbacks_returns_zero() {
    fresh();
    struct Collecting(Rc<Cell<usize>>);
    impl Drop for Collecting {
        fn drop(&mut self) {
            self.0.set(self.0.get() + gc::collect() + 1000);
        }
    }
    struct Holder {
        edges: RefCell<Vec<Cc<Holder>>>,
        _leaf: Untraced<Collecting>,
    }
    // SAFETY: the edges, once; `collect` in a `trace` begins no run.
    unsafe impl Trace for Holder {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            assert_eq!(gc::collect(), 0);
            self.edges.trace(tracer);
        }
    }
    impl TraceInfo for Holder {}
    let sum = Rc::new(Cell::new(0));
    let holder =
        || Cc::new(Holder { edges: RefCell::default(), _leaf: Untraced(Collecting(sum.clone())) });
    let one = holder();
    one.edges.borrow_mut().push(one.clone());
    drop((one, ring(4)));
    let by_finalizer = sum.clone();
    let actor =
        Actor::acting(0, move |_| by_finalizer.set(by_finalizer.get() + gc::collect() + 1000));
    actor.link(&actor);
    drop(actor);
    assert_eq!(gc::collect(), 6);
    assert_eq!(sum.get(), 2000);
    // By count.
    drop(ring(4));
    drop(holder());
    assert_eq!(sum.get(), 3000);
    assert_eq!(gc::collect(), 4);
}

/// What a panic carries, and panics once more when it is dropped.
struct Nasty;
impl Drop for Nasty {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// Only the first panic goes on; the others are dropped in the middle of the run, which is user code too.
#[test]
fn x03_what_panics_carry() {
    struct Armed {
        edges: RefCell<Vec<Cc<Armed>>>,
        _bomb: Untraced<Bomb>,
    }
    trace!(Armed { edges });
    struct Bomb(Drops);
    impl Drop for Bomb {
        fn drop(&mut self) {
            drop(self.0.probe());
            panic_any(Nasty);
        }
    }
    fn outcome<R>(f: impl FnOnce() -> R) -> bool {
        let result = catch_unwind(AssertUnwindSafe(f));
        let failed = result.is_err();
        core::mem::forget(result);
        failed
    }
    fresh();
    let drops = Drops::default();
    let new = || Cc::new(Armed { edges: RefCell::default(), _bomb: Untraced(Bomb(drops.clone())) });
    let armed: Vec<_> = (0..10).map(|_| new()).collect();
    (0..10).for_each(|i| armed[i].edges.borrow_mut().push(armed[(i + 1) % 10].clone()));
    drop(armed);
    assert!(outcome(gc::collect));
    assert_eq!((drops.count(), gc::collect()), (10, 0));

    let actors: Vec<_> = (0..10).map(|i| Actor::acting(i, |_| panic_any(Nasty))).collect();
    (0..10).for_each(|i| actors[i].link(&actors[(i + 1) % 10]));
    let last = actors[9].finalized.0.clone();
    drop(actors);
    assert!(outcome(gc::collect));
    assert_eq!((last.get(), gc::collect()), (1, 0));

    // Two that wait for their deaths.
    let mut chain: Vec<_> = (0..60).map(Actor::new).collect();
    chain.windows(2).for_each(|pair| pair[0].link(&pair[1]));
    for id in 0..3 {
        chain[59].link(&Actor::acting(id, |_| panic_any(Nasty)));
    }
    chain.truncate(1);
    assert!(outcome(|| drop(chain)));
    drop(ring(3));
    assert_eq!(gc::collect(), 3);
}

/// A panic that is under way is not replaced by those of the drops on its way.
#[test]
fn x03_a_panic_in_a_drop_while_another_is_under_way() {
    fresh();
    let drops = Drops::default();
    let result = catch_unwind(AssertUnwindSafe(|| {
        // Its panic is held back until its death is complete, and then there is another.
        let probe = drops.probe();
        let _dies = Actor::acting(0, move |_| {
            let _kept = &probe;
            panic!("of the finalizer")
        });
        panic!("the first");
    }));
    let payload = result.expect_err("it goes on");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the first"));
    assert_eq!(drops.count(), 1);
    drop(ring(2));
    assert_eq!(gc::collect(), 2);
}
