//! Random programs over a graph of `Cc`s against a model of the graph.
//!
//! The model knows every edge and every root, so it can say what is reachable and how many handles each
//! object has. After each operation: what is reachable is alive, and counts agree. After a full run: what
//! is alive is reachable. At the end nothing is alive.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Program;
use crate::gc::{self, Generation};
use crate::{Cc, Dying, Finalize, FinalizeFn, Trace, TraceInfo, Tracer, Weak};

/// More objects than this are not made: the model is checked after every operation.
const MAX_NODES: usize = 48;

/// Runs the program in `data`.
///
/// # Panics
/// When the graph and the model disagree.
pub fn run(data: &[u8]) {
    gc::disable();
    let (world, roots, weaks) = (Rc::default(), Vec::new(), Vec::new());
    let mut player = Player { program: Program::new(data), world, roots, weaks };
    while !player.program.is_over() {
        player.step();
        player.adopt_resurrected();
        player.check();
    }
    player.finish();
}

/// What the model knows of an object.
struct Model {
    alive: bool,
    finalizable: bool,
    finalized: u32,
    /// The value was moved out: its drop is not that of an object.
    unwrapped: bool,
    /// Targets of the edges in `Body::cells` and `Body::own`.
    cells: Vec<usize>,
    own: Vec<usize>,
}

/// Shared by the program and all objects.
#[derive(Default)]
struct World {
    models: RefCell<Vec<Model>>,
    /// Where finalizers put what they resurrect.
    resurrected: RefCell<Vec<Any>>,
}

impl World {
    fn with<R>(&self, id: usize, f: impl FnOnce(&mut Model) -> R) -> R {
        f(&mut self.models.borrow_mut()[id])
    }
}

/// A leaf field with `Drop`: it may look around through weak handles, but finds only what lives on.
struct Probe {
    id: usize,
    world: Rc<World>,
    neighbour: RefCell<Option<AnyWeak>>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        let was_alive = self.world.with(self.id, |model| core::mem::take(&mut model.alive));
        assert!(was_alive, "{} was dropped twice", self.id);
        if let Some(neighbour) = self.neighbour.take().and_then(|weak| weak.upgrade()) {
            let id = neighbour.body().probe.id;
            assert!(self.world.with(id, |model| model.alive), "{} sees the dead {id}", self.id);
        }
        if !self.world.with(self.id, |model| model.unwrapped) {
            assert_eq!(gc::collect(), 0, "no run begins inside a drop");
        }
    }
}

/// What an object holds.
struct Body {
    /// Changed through shared handles.
    cells: RefCell<Vec<Any>>,
    /// Changed through `get_mut`.
    own: Vec<Any>,
    /// What the finalizer does.
    finale: Cell<u8>,
    /// Somebody has `&mut`.
    edited: bool,
    probe: Probe,
}

/// Without a finalizer.
struct Plain(Body);
/// With one.
struct Final(Body);

enum Any {
    Plain(Cc<Plain>),
    Final(Cc<Final>),
}

enum AnyWeak {
    Plain(Weak<Plain>),
    Final(Weak<Final>),
}

// SAFETY: both fields with edges, once each; no `Drop`.
unsafe impl Trace for Body {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        assert!(!self.edited, "{} is looked at while somebody edits it", self.probe.id);
        self.cells.trace(tracer);
        self.own.trace(tracer);
    }
}
// SAFETY: as its field.
unsafe impl Trace for Plain {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.0.trace(tracer);
    }
}
// SAFETY: as its field.
unsafe impl Trace for Final {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.0.trace(tracer);
    }
}
// SAFETY: the one handle it holds.
unsafe impl Trace for Any {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        match self {
            Any::Plain(cc) => cc.trace(tracer),
            Any::Final(cc) => cc.trace(tracer),
        }
    }
}
impl TraceInfo for Plain {}
impl TraceInfo for Final {
    const FINALIZE: Option<FinalizeFn<Self>> = Some(crate::finalizer::<Self>());
}

impl Finalize for Final {
    fn finalize(&self, this: &Dying<'_, Self>) {
        let (id, world) = (self.0.probe.id, &self.0.probe.world);
        world.with(id, |model| {
            assert!(model.alive, "{id} is finalized after its death");
            model.finalized += 1;
        });
        for neighbour in self.0.cells.borrow().iter().chain(&self.0.own) {
            let near = neighbour.body().probe.id;
            assert!(world.with(near, |model| model.alive), "{id} has the dead neighbour {near}");
        }
        assert_eq!(gc::collect(), 0, "no run begins inside a finalizer");
        match self.0.finale.get() % 4 {
            0 => {
                let cc = Dying::to_cc(this).expect("it is a `Cc`");
                world.resurrected.borrow_mut().push(Any::Final(cc));
            }
            1 => {
                world.with(id, |model| model.cells.clear());
                let cells = self.0.cells.take();
                drop(cells);
            }
            2 => {
                let weak = self.0.probe.neighbour.borrow().as_ref().and_then(AnyWeak::upgrade);
                world.resurrected.borrow_mut().extend(weak);
            }
            _ => {}
        }
    }
}

impl Any {
    fn new(world: &Rc<World>, finalizable: bool) -> Any {
        let id = world.models.borrow().len();
        let (cells, own) = (Vec::new(), Vec::new());
        let model = Model { alive: true, finalizable, finalized: 0, unwrapped: false, cells, own };
        world.models.borrow_mut().push(model);
        let probe = Probe { id, world: world.clone(), neighbour: RefCell::new(None) };
        let (cells, own, finale) = (RefCell::default(), Vec::new(), Cell::new(3));
        let body = Body { cells, own, finale, edited: false, probe };
        if finalizable {
            Any::Final(Cc::new(Final(body)))
        } else {
            Any::Plain(Cc::new(Plain(body)))
        }
    }
    fn body(&self) -> &Body {
        match self {
            Any::Plain(cc) => &cc.0,
            Any::Final(cc) => &cc.0,
        }
    }
    fn id(&self) -> usize {
        self.body().probe.id
    }
    fn get_mut(&mut self) -> Option<&mut Body> {
        match self {
            Any::Plain(cc) => Cc::get_mut(cc).map(|node| &mut node.0),
            Any::Final(cc) => Cc::get_mut(cc).map(|node| &mut node.0),
        }
    }
    fn into_body(self) -> Result<Body, Any> {
        match self {
            Any::Plain(cc) => Cc::try_unwrap(cc).map(|node| node.0).map_err(Any::Plain),
            Any::Final(cc) => Cc::try_unwrap(cc).map(|node| node.0).map_err(Any::Final),
        }
    }
    fn strong_count(&self) -> usize {
        match self {
            Any::Plain(cc) => Cc::strong_count(cc),
            Any::Final(cc) => Cc::strong_count(cc),
        }
    }
    fn downgrade(&self) -> AnyWeak {
        match self {
            Any::Plain(cc) => AnyWeak::Plain(Cc::downgrade(cc)),
            Any::Final(cc) => AnyWeak::Final(Cc::downgrade(cc)),
        }
    }
}

impl Clone for Any {
    fn clone(&self) -> Any {
        match self {
            Any::Plain(cc) => Any::Plain(cc.clone()),
            Any::Final(cc) => Any::Final(cc.clone()),
        }
    }
}

impl AnyWeak {
    fn upgrade(&self) -> Option<Any> {
        match self {
            AnyWeak::Plain(weak) => weak.upgrade().map(Any::Plain),
            AnyWeak::Final(weak) => weak.upgrade().map(Any::Final),
        }
    }
}

struct Player<'a> {
    program: Program<'a>,
    world: Rc<World>,
    roots: Vec<Any>,
    weaks: Vec<(usize, AnyWeak)>,
}

impl Player<'_> {
    /// One of the roots, if there are any.
    fn pick(&mut self) -> Option<usize> {
        let choice = usize::from(self.program.byte());
        (!self.roots.is_empty()).then(|| choice % self.roots.len())
    }

    fn step(&mut self) {
        let op = self.program.byte();
        if op % 16 < 3 {
            return self.make();
        }
        let Some(at) = self.pick() else { return };
        match op % 16 {
            3 => self.roots.push(self.roots[at].clone()),
            4 | 5 => drop(self.roots.swap_remove(at)),
            6 | 7 => self.link(at),
            8 => self.unlink(at),
            9 => self.watch(at),
            10 => self.upgrade(),
            11 => self.edit(at),
            12 => self.unwrap(at),
            13 => self.collect_while_borrowed(at),
            14 => drop(gc::collect_generation([Generation::Young, Generation::Middle][at % 2])),
            _ => self.collect(),
        }
    }

    fn make(&mut self) {
        let choice = self.program.byte();
        if self.world.models.borrow().iter().filter(|model| model.alive).count() < MAX_NODES {
            let node = Any::new(&self.world, choice.is_multiple_of(4));
            node.body().finale.set(choice / 4);
            self.roots.push(node);
        }
    }

    /// A new edge; the handle is moved in or cloned.
    fn link(&mut self, at: usize) {
        let Some(to) = self.pick() else { return };
        let (from, target) = (self.roots[at].clone(), self.roots[to].clone());
        if self.program.byte().is_multiple_of(2) {
            drop(self.roots.swap_remove(to));
        }
        self.world.with(from.id(), |model| model.cells.push(target.id()));
        from.body().cells.borrow_mut().push(target);
    }

    /// Takes an edge out; it becomes a root or is dropped.
    fn unlink(&mut self, at: usize) {
        let from = self.roots[at].clone();
        let Some(target) = from.body().cells.borrow_mut().pop() else { return };
        self.world.with(from.id(), |model| model.cells.pop());
        if self.program.byte().is_multiple_of(2) {
            self.roots.push(target);
        }
    }

    fn watch(&mut self, at: usize) {
        let node = self.roots[at].clone();
        let Some(by) = self.pick() else { return };
        *self.roots[by].body().probe.neighbour.borrow_mut() = Some(node.downgrade());
        self.weaks.push((node.id(), node.downgrade()));
    }

    fn upgrade(&mut self) {
        let choice = usize::from(self.program.byte());
        if self.weaks.is_empty() {
            return;
        }
        let (id, weak) = self.weaks.swap_remove(choice % self.weaks.len());
        let alive = self.world.with(id, |model| model.alive);
        let upgraded = weak.upgrade();
        assert_eq!(upgraded.is_some(), alive, "weak handle to {id}");
        self.roots.extend(upgraded);
    }

    /// Exclusive access, with births and runs while the `&mut` is alive.
    fn edit(&mut self, at: usize) {
        let mut node = self.roots.swap_remove(at);
        let (id, other) = (node.id(), self.roots.last().cloned());
        let world = self.world.clone();
        if let Some(body) = node.get_mut() {
            body.edited = true;
            if let Some(other) = other {
                world.with(id, |model| model.own.push(other.id()));
                body.own.push(other);
            }
            body.own.retain(|_| {
                drop(Any::new(&world, false));
                gc::collect_generation(Generation::Young);
                true
            });
            if self.program.byte().is_multiple_of(2) && body.own.len() > 1 {
                world.with(id, |model| model.own.remove(0));
                drop(body.own.remove(0));
            }
            gc::collect();
            body.edited = false;
        }
        self.roots.push(node);
    }

    fn unwrap(&mut self, at: usize) {
        let node = self.roots.swap_remove(at);
        let id = node.id();
        match node.into_body() {
            Ok(body) => {
                // Its edges are those of a value on the stack now.
                self.world.with(id, |model| (model.unwrapped, model.finalizable) = (true, false));
                drop(body);
            }
            Err(node) => self.roots.push(node),
        }
    }

    fn collect_while_borrowed(&mut self, at: usize) {
        let node = self.roots[at].clone();
        let borrowed = node.body().cells.borrow_mut();
        gc::collect();
        drop(borrowed);
        self.adopt_resurrected();
    }

    fn collect(&mut self) {
        gc::collect();
        self.adopt_resurrected();
        let reachable = self.reachable();
        for (id, model) in self.world.models.borrow().iter().enumerate() {
            // One that an exclusive object holds may need a run in which that one can be looked at.
            assert!(!model.alive || reachable[id], "{id} is garbage and was not collected");
        }
    }

    fn adopt_resurrected(&mut self) {
        self.roots.append(&mut self.world.resurrected.borrow_mut());
    }

    fn reachable(&self) -> Vec<bool> {
        let models = self.world.models.borrow();
        let mut seen = vec![false; models.len()];
        let mut stack: Vec<usize> = self.roots.iter().map(Any::id).collect();
        while let Some(id) = stack.pop() {
            if !core::mem::replace(&mut seen[id], true) {
                stack.extend(models[id].cells.iter().chain(&models[id].own));
            }
        }
        seen
    }

    fn check(&self) {
        let reachable = self.reachable();
        let models = self.world.models.borrow();
        let mut counts = vec![0; models.len()];
        for (id, model) in models.iter().enumerate() {
            assert!(model.alive || !reachable[id], "{id} is reachable and dead");
            assert!(model.finalized <= 1, "{id} was finalized {} times", model.finalized);
            let dies_unfinalized = model.finalizable && model.finalized == 0;
            assert!(model.alive || !dies_unfinalized, "{id} died without its finalizer");
            if model.alive {
                model.cells.iter().chain(&model.own).for_each(|&to| counts[to] += 1);
            }
        }
        self.roots.iter().for_each(|root| counts[root.id()] += 1);
        for root in &self.roots {
            assert_eq!(root.strong_count(), counts[root.id()], "handles of {}", root.id());
        }
    }

    fn finish(mut self) {
        // Each round ends what the finalizers of the one before kept.
        for _ in 0..2 * MAX_NODES {
            self.roots.clear();
            gc::collect();
            self.adopt_resurrected();
        }
        assert!(self.roots.is_empty(), "finalizers resurrect once");
        let alive = self.world.models.borrow().iter().filter(|model| model.alive).count();
        assert_eq!(alive, 0, "leaked");
        gc::enable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_programs_agree_with_the_model() {
        let mut seed = 0x1234_5678_9ABC_DEF1u64;
        let rounds = if cfg!(debug_assertions) { 1500 } else { 15_000 };
        for round in 0..rounds {
            let len = 40 + round % 400;
            let data: Vec<u8> = (0..len)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    (seed >> 24) as u8
                })
                .collect();
            run(&data);
        }
    }
}
