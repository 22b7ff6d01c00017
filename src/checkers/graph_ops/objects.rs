//! The objects of the graph, of all shapes, and what their callbacks do.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use super::world::{Callback, Model, World};
use crate::{Cc, Dying, Finalize, FinalizeFn, Trace, TraceInfo, Tracer, Weak, gc, heap};

/// More objects than this are not made: the model is checked after every operation.
pub(super) const MAX_NODES: usize = 64;

/// A leaf field with `Drop`: it may look around through a weak handle, but finds only what lives on.
pub(super) struct Probe {
    pub(super) id: usize,
    world: Rc<World>,
    pub(super) neighbour: RefCell<Option<AnyWeak>>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        let (id, world) = (self.id, &self.world);
        let (was_alive, unwrapped) =
            world.with(id, |model| (core::mem::take(&mut model.alive), model.unwrapped));
        world.expect(was_alive, || format!("{id} was dropped twice"));
        if let Some(neighbour) = self.neighbour.take().and_then(|weak| weak.upgrade()) {
            let near = neighbour.id();
            world.expect(world.is_alive(near), || format!("{id} sees the dead {near}"));
        }
        if !unwrapped {
            world.expect(gc::collect() == 0, || "a run began inside a drop".into());
        }
        match id % 8 {
            3 => {
                let objects = gc::objects(None);
                let alive = objects.iter().all(|object| object.strong > 0);
                world.expect(alive, || "told of a dead object".into());
            }
            5 => drop(Any::cycle(world)),
            _ if id % 64 == 7 => _ = heap::trim(),
            _ => {}
        }
        world.may_panic(Callback::Drop);
    }
}

/// What an object holds.
pub(super) struct Body {
    /// Changed through shared handles.
    pub(super) cells: RefCell<Vec<Any>>,
    /// Changed through `get_mut`.
    pub(super) own: Vec<Any>,
    /// What the finalizer does.
    pub(super) finale: Cell<u8>,
    /// The last field: the edges are dropped before it.
    pub(super) probe: Probe,
}

impl Body {
    fn new(world: &Rc<World>, traced: bool, finalizable: bool) -> Body {
        let (cells, own) = (Vec::new(), Vec::new());
        let (finalized, moves, alive, unwrapped) = (0, 0, true, false);
        let id = world.add(Model {
            alive,
            traced,
            finalizable,
            finalized,
            unwrapped,
            moves,
            cells,
            own,
        });
        let probe = Probe { id, world: world.clone(), neighbour: RefCell::new(None) };
        Body { cells: RefCell::default(), own: Vec::new(), finale: Cell::new(0), probe }
    }
}

impl Clone for Body {
    fn clone(&self) -> Body {
        let world = &self.probe.world;
        let model = world.with(self.probe.id, |model| model.clone());
        let mut body = Body::new(world, model.traced, model.finalizable);
        world.with(body.probe.id, |new| (new.cells, new.own) = (model.cells, model.own));
        (body.cells, body.own) = (self.cells.clone(), self.own.clone());
        body.finale.set(self.finale.get());
        body
    }
}

/// An object with edges, of one block in a pool.
#[derive(Clone)]
pub(super) struct Plain(Body);
/// With a finalizer.
#[derive(Clone)]
pub(super) struct Final(Body);
/// Aligned to more than any size class: in a pool of its own.
#[repr(align(64))]
#[derive(Clone)]
pub(super) struct Wide(Body);
/// Never linked to another: without edges, and so without a finalizer. Aligned to more than other leaves: in a
/// pool like those of objects with edges.
#[repr(align(16))]
#[derive(Clone)]
pub(super) struct Leaf(Body);
/// A slice whose second element is another type of nothing.
type Slice = [Option<Plain>];

/// Where an object's body is.
pub(super) trait Embodied {
    fn body(&self) -> &Body;
    fn body_mut(&mut self) -> &mut Body;
}

macro_rules! embodied {
    ($($ty:ident)*) => {$(
        impl Embodied for $ty {
            fn body(&self) -> &Body {
                &self.0
            }
            fn body_mut(&mut self) -> &mut Body {
                &mut self.0
            }
        }
        // SAFETY: the edges of the one field; no `Drop`.
        unsafe impl Trace for $ty {
            fn trace(&self, tracer: &mut Tracer<'_>) {
                self.0.trace(tracer);
            }
        }
    )*};
}
embodied! { Plain Final Wide Leaf }

impl Embodied for Slice {
    fn body(&self) -> &Body {
        &self[0].as_ref().expect("the first element").0
    }
    fn body_mut(&mut self) -> &mut Body {
        &mut self[0].as_mut().expect("the first element").0
    }
}

impl TraceInfo for Plain {}
impl TraceInfo for Wide {}
impl TraceInfo for Final {
    const FINALIZE: Option<FinalizeFn<Self>> = Some(crate::finalizer::<Self>());
}
impl TraceInfo for Leaf {
    const NEEDS_TRACE: bool = false;
}

/// A handle to an object of any shape.
pub(super) enum Any {
    Plain(Cc<Plain>),
    Final(Cc<Final>),
    Wide(Cc<Wide>),
    Leaf(Cc<Leaf>),
    Slice(Cc<Slice>),
}

pub(super) enum AnyWeak {
    Plain(Weak<Plain>),
    Final(Weak<Final>),
    Wide(Weak<Wide>),
    Leaf(Weak<Leaf>),
    Slice(Weak<Slice>),
}

/// Does the same with a handle of each shape: `with!(any: Any => AnyWeak, |cc, wrap| wrap(…))`.
macro_rules! with {
    ($any:expr, $from:ident => $to:ident, |$cc:ident, $wrap:pat_param| $do:expr) => {
        match $any {
            $from::Plain($cc) => {
                let $wrap = $to::Plain;
                $do
            }
            $from::Final($cc) => {
                let $wrap = $to::Final;
                $do
            }
            $from::Wide($cc) => {
                let $wrap = $to::Wide;
                $do
            }
            $from::Leaf($cc) => {
                let $wrap = $to::Leaf;
                $do
            }
            $from::Slice($cc) => {
                let $wrap = $to::Slice;
                $do
            }
        }
    };
}

// SAFETY: both fields with edges, once each; no `Drop`.
unsafe impl Trace for Body {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        let (id, world) = (self.probe.id, &self.probe.world);
        world.expect(!world.is_edited(id), || format!("{id} is looked at in an edit"));
        world.expect(gc::collect() == 0, || "a run began inside a trace".into());
        world.may_panic(Callback::Trace);
        self.cells.trace(tracer);
        self.own.trace(tracer);
    }
}

// SAFETY: the one handle it holds.
unsafe impl Trace for Any {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        with!(self, Any => Any, |cc, _| cc.trace(tracer));
    }
}
impl TraceInfo for Any {}

impl Finalize for Final {
    fn finalize(&self, this: &Dying<'_, Self>) {
        let (id, world) = (self.0.probe.id, &self.0.probe.world);
        world.expect(world.is_alive(id), || format!("{id} is finalized after its death"));
        world.with(id, |model| model.finalized += 1);
        for neighbour in self.0.cells.borrow().iter().chain(&self.0.own) {
            let near = neighbour.id();
            world.expect(world.is_alive(near), || format!("{id} has the dead neighbour {near}"));
        }
        world.expect(gc::collect() == 0, || "a run began inside a finalizer".into());
        self.0.play_finale(|| Dying::to_cc(this).map(Any::Final));
        world.may_panic(Callback::Finalize);
    }
}

impl Body {
    /// What a finalizer may do to itself and its neighbours.
    fn play_finale(&self, this: impl FnOnce() -> Option<Any>) {
        let (id, world) = (self.probe.id, &self.probe.world);
        let keep = |any: Option<Any>| world.kept.borrow_mut().extend(any);
        match self.finale.get() % 10 {
            0 => keep(this()),
            1 => {
                world.with(id, |model| model.cells.clear());
                drop(self.cells.take());
            }
            2 => keep(self.probe.neighbour.borrow().as_ref().and_then(AnyWeak::upgrade)),
            3 => keep(self.cells.borrow().first().cloned()),
            4 => drop(this().and_then(|me| {
                // Garbage that holds this object, and so what it reaches.
                let cycle = Any::cycle(world)?;
                cycle.link(me);
                Some(cycle)
            })),
            5 => {
                if let Some(Ok(body)) = self.take_edge().map(Any::into_body) {
                    drop(body);
                }
            }
            6 => {
                let edge = self.take_edge().map(|mut edge| {
                    edge.edit(|_| _ = gc::collect());
                    edge
                });
                keep(edge);
            }
            _ => {}
        }
    }

    /// Takes an edge out, with the model's.
    pub(super) fn take_edge(&self) -> Option<Any> {
        let edge = self.cells.borrow_mut().pop()?;
        self.probe.world.with(self.probe.id, |model| model.cells.pop());
        Some(edge)
    }
}

impl Any {
    /// An object of the shape that `choice` says.
    pub(super) fn new(world: &Rc<World>, choice: u8) -> Any {
        let body = |traced, finalizable| {
            let body = Body::new(world, traced, finalizable);
            body.finale.set(choice / 8);
            body
        };
        match choice % 8 {
            0..=2 => Any::Plain(Cc::new(Plain(body(true, false)))),
            3..=4 => Any::Final(Cc::new(Final(body(true, true)))),
            5 => Any::Wide(Cc::new(Wide(body(true, false)))),
            6 => Any::Leaf(Cc::new(Leaf(body(false, false)))),
            _ => Any::Slice([Some(Plain(body(true, false))), None].into()),
        }
    }

    /// An object with a weak handle to itself: with a finalizer, or in a pool of its own.
    pub(super) fn new_cyclic(world: &Rc<World>) -> Any {
        let finalizable = world.progress().0.is_multiple_of(2);
        let body = |me: AnyWeak| {
            gc::collect();
            world.expect(me.upgrade().is_none(), || "an unborn object was upgraded".into());
            let body = Body::new(world, true, finalizable);
            *body.probe.neighbour.borrow_mut() = Some(me);
            body.finale.set(2);
            body
        };
        if finalizable {
            Any::Final(Cc::new_cyclic(|me| Final(body(AnyWeak::Final(me.clone())))))
        } else {
            Any::Wide(Cc::new_cyclic(|me| Wide(body(AnyWeak::Wide(me.clone())))))
        }
    }

    /// One that holds itself, if there may be more.
    fn cycle(world: &Rc<World>) -> Option<Any> {
        (world.count_alive() < MAX_NODES).then(|| {
            let any = Any::new(world, 0);
            any.link(any.clone());
            any
        })
    }

    /// A new edge, if the object may have any; else the handle is dropped.
    pub(super) fn link(&self, target: Any) {
        if !matches!(self, Any::Leaf(_)) {
            let (id, world) = (self.id(), &self.body().probe.world);
            world.with(id, |model| model.cells.push(target.id()));
            self.body().cells.borrow_mut().push(target);
        }
    }

    pub(super) fn body(&self) -> &Body {
        with!(self, Any => Any, |cc, _| cc.body())
    }
    pub(super) fn id(&self) -> usize {
        self.body().probe.id
    }
    fn get_mut(&mut self) -> Option<&mut Body> {
        with!(self, Any => Any, |cc, _| Cc::get_mut(cc).map(Embodied::body_mut))
    }
    pub(super) fn strong_count(&self) -> usize {
        with!(self, Any => Any, |cc, _| Cc::strong_count(cc))
    }
    pub(super) fn weak_count(&self) -> usize {
        with!(self, Any => Any, |cc, _| Cc::weak_count(cc))
    }
    pub(super) fn downgrade(&self) -> AnyWeak {
        with!(self, Any => AnyWeak, |cc, wrap| wrap(Cc::downgrade(cc)))
    }
    /// Whether edges may be added.
    pub(super) fn is_leaf(&self) -> bool {
        matches!(self, Any::Leaf(_))
    }

    /// Exclusive access, if it can be had.
    pub(super) fn edit(&mut self, f: impl FnOnce(&mut Body)) {
        let (id, world) = (self.id(), self.body().probe.world.clone());
        if let Some(body) = self.get_mut() {
            world.edit(id, || f(body));
        }
    }

    /// Exclusive access to the value or a clone of it; slices have none.
    pub(super) fn make_mut(&mut self, f: impl FnOnce(&mut Body)) {
        let moves = self.strong_count() == 1 && self.weak_count() > 0;
        let world = self.body().probe.world.clone();
        let body = match self {
            Any::Plain(cc) => Cc::make_mut(cc).body_mut(),
            Any::Final(cc) => Cc::make_mut(cc).body_mut(),
            Any::Wide(cc) => Cc::make_mut(cc).body_mut(),
            Any::Leaf(cc) => Cc::make_mut(cc).body_mut(),
            Any::Slice(_) => return,
        };
        if moves {
            // In a new object, which has not been finalized.
            world
                .with(body.probe.id, |model| (model.moves, model.finalized) = (model.moves + 1, 0));
        }
        world.edit(body.probe.id, || f(body));
    }

    /// The value, if this is the only handle: it is no object any more.
    pub(super) fn into_body(self) -> Result<Body, Any> {
        let body = match self {
            Any::Plain(cc) => Cc::try_unwrap(cc).map(|node| node.0).map_err(Any::Plain),
            Any::Final(cc) => Cc::try_unwrap(cc).map(|node| node.0).map_err(Any::Final),
            Any::Wide(cc) => Cc::try_unwrap(cc).map(|node| node.0).map_err(Any::Wide),
            Any::Leaf(cc) => Cc::try_unwrap(cc).map(|node| node.0).map_err(Any::Leaf),
            Any::Slice(cc) => Err(Any::Slice(cc)),
        }?;
        let world = &body.probe.world;
        world.with(body.probe.id, |model| (model.unwrapped, model.finalizable) = (true, false));
        Ok(body)
    }
}

impl Clone for Any {
    fn clone(&self) -> Any {
        with!(self, Any => Any, |cc, wrap| wrap(cc.clone()))
    }
}

impl AnyWeak {
    pub(super) fn upgrade(&self) -> Option<Any> {
        with!(self, AnyWeak => Any, |weak, wrap| weak.upgrade().map(wrap))
    }
}
