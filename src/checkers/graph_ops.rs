//! Random programs over a graph of `Cc`s against a model of the graph.
//!
//! The model knows every edge and every root, so it can say what is reachable and how many handles each
//! object has. After each operation: what is reachable is alive, and counts agree. After a full run: what
//! is alive is reachable. At the end nothing is alive. Any callback may panic, once in an operation; runs
//! begin by themselves, at polls, or only when the program asks.

mod objects;
mod world;

use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};
use std::rc::Rc;

use self::objects::{Any, AnyWeak, MAX_NODES};
use self::world::{Callback, Injected, World};
use super::Program;
use crate::cycle;
use crate::gc::{self, Generation, Mode, PerGeneration};

/// Runs the program in `data`; returns the number of its operations.
///
/// # Panics
/// When the graph and the model disagree.
pub fn run(data: &[u8]) -> usize {
    let (world, roots, weaks) = (Rc::default(), Vec::new(), Vec::new());
    let mut player = Player { program: Program::new(data), world, roots, weaks };
    player.choose_mode();
    let mut operations = 0;
    while !player.program.is_over() {
        player.play(Player::step);
        operations += 1;
    }
    player.finish();
    operations
}

/// A weak handle, to which object, and after how many moves of that one's value.
struct Watch {
    weak: AnyWeak,
    id: usize,
    moves: u32,
}

struct Player<'a> {
    program: Program<'a>,
    world: Rc<World>,
    roots: Vec<Any>,
    weaks: Vec<Watch>,
}

impl Player<'_> {
    /// When runs begin by themselves.
    fn choose_mode(&mut self) {
        let choice = usize::from(self.program.byte());
        gc::enable();
        match choice % 4 {
            0 => gc::disable(),
            1 => _ = gc::set_mode(Mode::AtPoll),
            _ => {}
        }
        let [young, middle, old] = [1 + choice / 4 % 16, 1 + choice / 4 % 3, choice];
        gc::set_threshold(PerGeneration { young, middle, old });
    }

    /// One operation, which a callback's panic may end early.
    fn play(&mut self, operation: fn(&mut Self)) {
        let outcome = catch_unwind(AssertUnwindSafe(|| operation(self)));
        self.world.disarm();
        if let Err(panic) = outcome
            && !panic.is::<Injected>()
        {
            resume_unwind(panic);
        }
        self.world.check_callbacks();
        self.roots.append(&mut self.world.kept.borrow_mut());
        self.world.check(&self.roots);
        cycle::check_invariants();
    }

    /// One of the roots, if there are any.
    fn pick(&mut self) -> Option<usize> {
        let choice = usize::from(self.program.byte());
        (!self.roots.is_empty()).then(|| choice % self.roots.len())
    }

    fn step(&mut self) {
        let mut op = self.program.byte();
        if op >= 208 {
            let kinds = [Callback::Trace, Callback::Finalize, Callback::Drop];
            self.world.arm(kinds[usize::from(op % 3)], u32::from(op / 3 % 5));
            op = self.program.byte();
        }
        match op % 28 {
            0..=2 => return self.make(),
            3 => return self.chain(),
            4 if self.has_room() => return self.roots.push(Any::new_cyclic(&self.world)),
            _ => {}
        }
        let Some(at) = self.pick() else { return };
        match op % 28 {
            5 => self.roots.push(self.roots[at].clone()),
            6 | 7 => drop(self.roots.swap_remove(at)),
            8 => drop(self.roots.split_off(at)),
            9..=11 => self.link(at),
            12 => self.unlink(at),
            13 | 14 => self.watch(at),
            15 => self.upgrade(),
            16 => self.edit(at),
            17 => self.make_mut(at),
            18 => drop(self.roots.swap_remove(at).into_body().map_err(|any| self.roots.push(any))),
            19 => self.collect_while_borrowed(at),
            20 => _ = gc::collect_generation(Generation::Young),
            21 => _ = gc::collect_generation(Generation::Middle),
            22 | 23 => _ = gc::poll(),
            24 | 25 => _ = gc::step(at * 2),
            _ => self.collect(),
        }
    }

    fn has_room(&self) -> bool {
        self.world.count_alive() < MAX_NODES
    }

    fn make(&mut self) {
        let choice = self.program.byte();
        if self.has_room() {
            self.roots.push(Any::new(&self.world, choice));
        }
    }

    /// A chain whose death is deep; each node has a weak handle, perhaps the only one, to another.
    fn chain(&mut self) {
        let (len, distance) = (self.program.below(20), self.program.below(20));
        let choice = self.program.byte();
        let mut chain: Vec<Any> = Vec::new();
        while chain.len() < len && self.has_room() {
            // No leaves, which hold nothing.
            let shape = choice.wrapping_mul(chain.len() as u8 | 1);
            let any = Any::new(&self.world, if shape % 8 == 6 { 0 } else { shape });
            if let Some(last) = chain.last() {
                last.link(any.clone());
            }
            chain.push(any);
        }
        if choice.is_multiple_of(2) {
            chain.reverse();
        }
        for (at, any) in chain.iter().enumerate() {
            let other = chain[(at + distance) % chain.len()].downgrade();
            *any.body().probe.neighbour.borrow_mut() = Some(other);
        }
        chain.truncate(1);
        self.roots.append(&mut chain);
    }

    /// A new edge; the handle is moved in or cloned.
    fn link(&mut self, at: usize) {
        let Some(to) = self.pick() else { return };
        let (from, target) = (self.roots[at].clone(), self.roots[to].clone());
        if self.program.byte().is_multiple_of(2) {
            drop(self.roots.swap_remove(to));
        }
        from.link(target);
    }

    /// Takes an edge out; it becomes a root or is dropped.
    fn unlink(&mut self, at: usize) {
        let from = self.roots[at].clone();
        if let Some(target) = from.body().take_edge()
            && self.program.byte().is_multiple_of(2)
        {
            self.roots.push(target);
        }
    }

    fn watch(&mut self, at: usize) {
        let Some(by) = self.pick() else { return };
        let node = &self.roots[at];
        *self.roots[by].body().probe.neighbour.borrow_mut() = Some(node.downgrade());
        if self.program.byte().is_multiple_of(2) {
            let (id, weak) = (node.id(), node.downgrade());
            let moves = self.world.with(id, |model| model.moves);
            self.weaks.push(Watch { weak, id, moves });
        }
    }

    fn upgrade(&mut self) {
        let choice = usize::from(self.program.byte());
        if self.weaks.is_empty() {
            return;
        }
        let Watch { weak, id, moves } = self.weaks.swap_remove(choice % self.weaks.len());
        let alive = self.world.with(id, |model| model.alive && model.moves == moves);
        let upgraded = weak.upgrade();
        assert_eq!(upgraded.is_some(), alive, "weak handle to {id}");
        self.roots.extend(upgraded);
    }

    /// Exclusive access, with births and runs while the `&mut` is alive.
    fn edit(&mut self, at: usize) {
        let mut node = self.roots.swap_remove(at);
        let (leaf, id) = (node.is_leaf(), node.id());
        let other = self.roots.last().filter(|_| !leaf).cloned();
        let (world, takes) = (self.world.clone(), self.program.byte().is_multiple_of(2));
        node.edit(|body| {
            if let Some(other) = other {
                world.with(id, |model| model.own.push(other.id()));
                body.own.push(other);
            }
            body.own.retain(|_| {
                drop(Any::new(&world, 0));
                gc::collect_generation(Generation::Young);
                true
            });
            if takes && body.own.len() > 1 {
                world.with(id, |model| model.own.remove(0));
                drop(body.own.remove(0));
            }
            gc::collect();
        });
        self.roots.push(node);
    }

    fn make_mut(&mut self, at: usize) {
        let mut node = self.roots.swap_remove(at);
        if node.strong_count() == 1 || self.has_room() {
            node.make_mut(|_| _ = gc::collect());
        }
        self.roots.push(node);
    }

    fn collect_while_borrowed(&mut self, at: usize) {
        let node = self.roots[at].clone();
        let _borrowed = node.body().cells.borrow_mut();
        gc::collect();
    }

    fn collect(&mut self) {
        // Until nothing happens: callbacks resurrect, and leave new garbage behind.
        loop {
            let before = self.world.progress();
            let freed = gc::collect();
            self.roots.append(&mut self.world.kept.borrow_mut());
            if freed == 0 && before == self.world.progress() {
                break;
            }
        }
        assert_eq!(gc::objects(None).len(), self.world.count_traced(), "objects that are told of");
        let reachable = self.world.reachable(&self.roots);
        for (id, model) in self.world.models.borrow().iter().enumerate() {
            assert!(!model.alive || reachable[id], "{id} is garbage and was not collected");
        }
    }

    fn finish(mut self) {
        gc::disable();
        gc::set_mode(Mode::Automatic);
        // Each round ends what the finalizers of the one before kept.
        for _ in 0..4 * MAX_NODES {
            if self.world.count_alive() == 0 {
                break;
            }
            self.play(|player| {
                player.roots.clear();
                gc::collect();
            });
        }
        assert_eq!(self.world.count_alive(), 0, "leaked");
        gc::enable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn programs_agree_with_the_model(data in proptest::collection::vec(any::<u8>(), 0..500)) {
            run(&data);
        }
    }

    /// Many operations: `HOOPSNAKE_GRAPH_OPS` says how many, for a run over the night.
    #[test]
    fn random_programs_agree_with_the_model() {
        let default = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
        let goal = std::env::var("HOOPSNAKE_GRAPH_OPS")
            .map_or(default, |goal| goal.parse().expect("a number of operations"));
        let (mut seed, mut operations, mut round) = (0x1234_5678_9ABC_DEF1u64, 0, 0);
        while operations < goal {
            round += 1;
            let data: Vec<u8> = (0..40 + round % 400)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    (seed >> 24) as u8
                })
                .collect();
            operations += run(&data);
        }
    }
}
