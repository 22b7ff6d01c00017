//! Objects to build graphs of.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard};

use hoopsnake::{Cc, Dying, Finalize, Trace, TraceInfo, Tracer, Untraced, Weak, gc};

/// Implements `Trace` for a struct: the listed fields have edges.
macro_rules! trace {
    ($ty:ty { $($field:tt),* } $(finalize $fin:ty)?) => {
        // SAFETY: the fields with edges, once each; the type has no `Drop`.
        unsafe impl hoopsnake::Trace for $ty {
            fn trace(&self, _tracer: &mut hoopsnake::Tracer<'_>) {
                $(hoopsnake::Trace::trace(&self.$field, _tracer);)*
            }
        }
        impl hoopsnake::TraceInfo for $ty {
            $(const FINALIZE: Option<hoopsnake::FinalizeFn<Self>> = Some(hoopsnake::finalizer::<$fin>());)?
        }
    };
}
pub(crate) use trace;

/// Starts a test: nothing left from others on this thread, no automatic runs.
pub fn fresh() {
    gc::disable();
    while gc::collect() > 0 {}
}

/// The global interner is one: tests that intern text take turns, so that entries can be counted.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Counts drops: a leaf.
#[derive(Clone, Default)]
pub struct Drops(Rc<Cell<usize>>);

/// Counted by [`Drops`].
pub struct Probe(Untraced<Drops>);

impl Drops {
    pub fn probe(&self) -> Probe {
        Probe(Untraced(self.clone()))
    }
    pub fn count(&self) -> usize {
        self.0.get()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let count = &self.0.0.0;
        count.set(count.get() + 1);
    }
}

// SAFETY: a leaf.
unsafe impl Trace for Probe {
    fn trace(&self, _: &mut Tracer<'_>) {}
}
impl TraceInfo for Probe {
    const NEEDS_TRACE: bool = false;
}

/// A node with any number of edges.
pub struct Node {
    pub id: usize,
    pub edges: RefCell<Vec<Cc<Node>>>,
    pub own: Vec<Cc<Node>>,
    pub _probe: Option<Probe>,
}
trace!(Node { edges, own });

impl Node {
    pub fn new(id: usize) -> Cc<Node> {
        Node::with(id, None)
    }
    pub fn counted(id: usize, drops: &Drops) -> Cc<Node> {
        Node::with(id, Some(drops.probe()))
    }
    fn with(id: usize, probe: Option<Probe>) -> Cc<Node> {
        Cc::new(Node { id, edges: RefCell::default(), own: Vec::new(), _probe: probe })
    }
    pub fn link(&self, to: &Cc<Node>) {
        self.edges.borrow_mut().push(to.clone());
    }
}

/// `n` nodes, each with an edge to the next, the last one to the first.
pub fn ring(n: usize) -> Vec<Cc<Node>> {
    let nodes: Vec<_> = (0..n).map(Node::new).collect();
    for i in 0..n {
        nodes[i].link(&nodes[(i + 1) % n]);
    }
    nodes
}

type Callback = Box<dyn Fn(&Dying<'_, Actor>)>;

/// A node with a finalizer that does what the test says.
pub struct Actor {
    pub id: usize,
    pub edges: RefCell<Vec<Cc<Actor>>>,
    pub weak: RefCell<Weak<Actor>>,
    pub finalized: Untraced<Rc<Cell<usize>>>,
    pub act: Untraced<RefCell<Option<Callback>>>,
}
trace!(Actor { edges } finalize Self);

impl Finalize for Actor {
    fn finalize(&self, this: &Dying<'_, Self>) {
        self.finalized.set(self.finalized.get() + 1);
        let act = self.act.borrow();
        if let Some(act) = &*act {
            act(this);
        }
    }
}

impl Actor {
    pub fn new(id: usize) -> Cc<Actor> {
        Cc::new(Actor {
            id,
            edges: RefCell::default(),
            weak: RefCell::default(),
            finalized: Untraced::default(),
            act: Untraced(RefCell::default()),
        })
    }
    pub fn acting(id: usize, act: impl Fn(&Dying<'_, Actor>) + 'static) -> Cc<Actor> {
        let actor = Actor::new(id);
        *actor.act.borrow_mut() = Some(Box::new(act));
        actor
    }
    pub fn link(&self, to: &Cc<Actor>) {
        self.edges.borrow_mut().push(to.clone());
    }
}

/// Runs `f` on a thread with a stack of 64 KiB.
pub fn on_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(f).expect("a thread");
    thread.join().expect("no overflow");
}
