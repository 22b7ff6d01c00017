//! All graphs of up to four nodes, made of real objects, against reachability: what dies by count, what a
//! run frees, what is left. (The algorithm alone goes through them in `cycle::trial`.)

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hoopsnake::gc::{self, Generation};
use hoopsnake::{Cc, Untraced};

use crate::support::{fresh, trace};

const GENERATIONS: [Generation; 3] = [Generation::Young, Generation::Middle, Generation::Old];

/// Notes when it is dropped, by a bit.
struct Grave {
    bit: u32,
    gone: Rc<Cell<u32>>,
}

impl Drop for Grave {
    fn drop(&mut self) {
        assert_eq!(self.gone.get() & self.bit, 0, "dropped twice");
        self.gone.set(self.gone.get() | self.bit);
    }
}

struct Vertex {
    edges: RefCell<Vec<Cc<Vertex>>>,
    _grave: Untraced<Grave>,
}
trace!(Vertex { edges });

/// One graph of `n` nodes, in the bits of each field.
#[derive(Debug, Clone, Copy)]
struct Case {
    n: usize,
    /// Bit `from * n + to`.
    edges: u32,
    /// Nodes that a handle outside of the graph leads to.
    roots: u32,
    /// Two bits a node: young, middle, old.
    ages: u32,
    generation: Generation,
}

impl Case {
    fn age(self, node: usize) -> usize {
        (self.ages >> (2 * node) & 3).min(2) as usize
    }

    /// The targets of a node's edges.
    fn targets(self, node: usize) -> u32 {
        self.edges >> (node * self.n) & ((1 << self.n) - 1)
    }

    fn nodes(self, set: u32) -> impl Iterator<Item = usize> {
        (0..self.n).filter(move |&node| set >> node & 1 == 1)
    }

    /// What edges out of `set` lead to.
    fn step(self, set: u32) -> u32 {
        self.nodes(set).fold(0, |found, node| found | self.targets(node))
    }

    fn reach(self, mut set: u32) -> u32 {
        while set | self.step(set) != set {
            set |= self.step(set);
        }
        set
    }

    /// What is left of `alive` when all that has no handle is gone.
    fn counted(self, mut alive: u32, roots: u32) -> u32 {
        while alive & (roots | self.step(alive)) != alive {
            alive &= roots | self.step(alive);
        }
        alive
    }

    /// The nodes, of their ages.
    fn make(self, gone: &Rc<Cell<u32>>) -> Vec<Cc<Vertex>> {
        let mut nodes: [Option<Cc<Vertex>>; 4] = [const { None }; 4];
        for age in [2, 1, 0] {
            for node in (0..self.n).filter(|&node| self.age(node) == age) {
                let grave = Untraced(Grave { bit: 1 << node, gone: gone.clone() });
                nodes[node] = Some(Cc::new(Vertex { edges: RefCell::default(), _grave: grave }));
            }
            if age > 0 && self.ages != 0 {
                gc::collect_generation([Generation::Young, Generation::Old][age - 1]);
            }
        }
        nodes.into_iter().flatten().collect()
    }

    fn check(self) {
        let gone = Rc::new(Cell::new(0));
        let all = (1 << self.n) - 1;
        let mut nodes = self.make(&gone);
        for from in 0..self.n {
            let targets = self.nodes(self.targets(from)).map(|to| nodes[to].clone());
            nodes[from].edges.borrow_mut().extend(targets);
        }
        let mut index = 0;
        nodes.retain(|_| {
            index += 1;
            self.roots >> (index - 1) & 1 == 1
        });
        let mut alive = self.counted(all, self.roots);
        assert_eq!(all & !gone.get(), alive, "by count: {self:?}");

        let taken = |node: &usize| GENERATIONS[self.age(*node)] <= self.generation;
        let candidates = (0..self.n).filter(taken).fold(0, |set, node| set | 1 << node) & alive;
        let garbage = candidates & !self.reach(self.roots | alive & !candidates);
        let freed = gc::collect_generation(self.generation);
        assert_eq!(freed, garbage.count_ones() as usize, "freed: {self:?}");
        alive = self.counted(alive & !garbage, self.roots);
        assert_eq!(all & !gone.get(), alive, "after a run: {self:?}");

        gc::collect();
        alive &= self.reach(self.roots);
        assert_eq!(all & !gone.get(), alive, "after a full run: {self:?}");
        nodes.clear();
        gc::collect();
        assert_eq!(gone.get(), all, "left: {self:?}");
    }
}

/// Goes through all of `0..end`, or every few where the tests are slow.
fn sample(end: u32, step: usize) -> impl Iterator<Item = u32> {
    (0..end).step_by(if cfg!(debug_assertions) { step } else { 1 })
}

#[test]
fn all_graphs_of_three_nodes_of_all_ages() {
    fresh();
    for n in 1..=3u32 {
        for choice in sample(1 << (n * n + 3 * n), 29) {
            let (edges, rest) = (choice & ((1 << (n * n)) - 1), choice >> (n * n));
            let (roots, ages) = (rest & ((1 << n) - 1), rest >> n);
            for generation in GENERATIONS {
                Case { n: n as usize, edges, roots, ages, generation }.check();
            }
        }
    }
}

#[test]
fn all_graphs_of_four_nodes() {
    fresh();
    for choice in sample(1 << 20, 61) {
        let (edges, roots) = (choice & 0xFFFF, choice >> 16);
        Case { n: 4, edges, roots, ages: 0, generation: Generation::Old }.check();
        if choice.is_multiple_of(8) {
            let mix = choice.wrapping_mul(0x9E37_79B9);
            let generation = GENERATIONS[(mix >> 28) as usize % 3];
            Case { n: 4, edges: edges | mix & 7, roots, ages: mix >> 16 & 0xFF, generation }
                .check();
        }
    }
}
