//! The model: what is known of each object, and what follows from it.

use core::cell::{Cell, RefCell};
use std::panic::resume_unwind;

use super::objects::Any;

/// What the model knows of an object.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) alive: bool,
    /// It has a place among the collector's objects.
    pub(super) traced: bool,
    pub(super) finalizable: bool,
    pub(super) finalized: u32,
    /// The value was moved out: its drop is not that of an object.
    pub(super) unwrapped: bool,
    /// How often the value has moved to another object, away from its weak handles.
    pub(super) moves: u32,
    /// Targets of the edges in `Body::cells` and `Body::own`.
    pub(super) cells: Vec<usize>,
    pub(super) own: Vec<usize>,
}

/// Which callback panics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Callback {
    Trace,
    Finalize,
    Drop,
}

/// What an injected panic carries.
pub(super) struct Injected;

/// Shared by the program and all objects.
#[derive(Default)]
pub(super) struct World {
    pub(super) models: RefCell<Vec<Model>>,
    /// Where callbacks put the handles that they keep.
    pub(super) kept: RefCell<Vec<Any>>,
    /// The object that somebody has `&mut` to.
    edited: Cell<Option<usize>>,
    /// The callback that panics, after so many that do not.
    fuse: Cell<Option<(Callback, u32)>>,
    /// A callback found something wrong. Its panic might be taken for an injected one.
    failure: RefCell<Option<String>>,
}

impl World {
    /// Changes or asks the model of an object.
    pub(super) fn with<R>(&self, id: usize, f: impl FnOnce(&mut Model) -> R) -> R {
        f(&mut self.models.borrow_mut()[id])
    }

    /// A new object; its id.
    pub(super) fn add(&self, model: Model) -> usize {
        self.models.borrow_mut().push(model);
        self.models.borrow().len() - 1
    }

    pub(super) fn is_alive(&self, id: usize) -> bool {
        self.models.borrow()[id].alive
    }

    pub(super) fn count_traced(&self) -> usize {
        self.models.borrow().iter().filter(|model| model.alive && model.traced).count()
    }

    pub(super) fn count_alive(&self) -> usize {
        self.models.borrow().iter().filter(|model| model.alive).count()
    }

    /// Births and finalizers so far.
    pub(super) fn progress(&self) -> (usize, u32) {
        let models = self.models.borrow();
        (models.len(), models.iter().map(|model| model.finalized).sum())
    }

    /// For callbacks: `assert!`, but the program stops when it is back.
    pub(super) fn expect(&self, condition: bool, message: impl FnOnce() -> String) {
        if !condition {
            self.failure.borrow_mut().get_or_insert_with(message);
        }
    }

    /// # Panics
    /// If a callback found something wrong.
    pub(super) fn check_callbacks(&self) {
        if let Some(failure) = self.failure.take() {
            panic!("{failure}");
        }
    }

    /// One of the callbacks of that kind will panic, if so many are called.
    pub(super) fn arm(&self, callback: Callback, after: u32) {
        self.fuse.set(Some((callback, after)));
    }

    pub(super) fn disarm(&self) {
        self.fuse.set(None);
    }

    /// The end of each callback: its panic, if it is its turn.
    pub(super) fn may_panic(&self, callback: Callback) {
        match self.fuse.get() {
            // Never two at once: a second panic on the way of the first one aborts.
            Some((kind, left)) if kind == callback && !std::thread::panicking() => {
                self.fuse.set((left > 0).then(|| (kind, left - 1)));
                if left == 0 {
                    resume_unwind(Box::new(Injected));
                }
            }
            _ => {}
        }
    }

    pub(super) fn is_edited(&self, id: usize) -> bool {
        self.edited.get() == Some(id)
    }

    /// Somebody has `&mut` to an object while `f` runs.
    pub(super) fn edit<R>(&self, id: usize, f: impl FnOnce() -> R) -> R {
        struct Edited<'a>(&'a World, Option<usize>);
        impl Drop for Edited<'_> {
            fn drop(&mut self) {
                self.0.edited.set(self.1);
            }
        }
        let _edited = Edited(self, self.edited.replace(Some(id)));
        f()
    }

    /// What the roots reach.
    pub(super) fn reachable(&self, roots: &[Any]) -> Vec<bool> {
        let models = self.models.borrow();
        let mut seen = vec![false; models.len()];
        let mut stack: Vec<usize> = roots.iter().map(Any::id).collect();
        while let Some(id) = stack.pop() {
            if !core::mem::replace(&mut seen[id], true) {
                stack.extend(models[id].cells.iter().chain(&models[id].own));
            }
        }
        seen
    }

    /// # Panics
    /// When the objects do not agree with the model.
    pub(super) fn check(&self, roots: &[Any]) {
        let reachable = self.reachable(roots);
        let models = self.models.borrow();
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
        roots.iter().for_each(|root| counts[root.id()] += 1);
        for root in roots {
            assert_eq!(root.strong_count(), counts[root.id()], "handles of {}", root.id());
        }
    }
}
