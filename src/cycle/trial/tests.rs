//! Trial deletion against reachability: all small graphs, and random ones.

use core::cell::RefCell;
use core::ptr::NonNull;

use super::*;
use crate::object::header::Header;

/// Nodes are headers in a slice; an `ObjectRef` is a header's address.
struct Model {
    headers: Box<[Header]>,
    edges: Vec<Vec<usize>>,
    /// Nodes whose edges are not all seen.
    unknown: u64,
    candidates: Cell<u64>,
    skipped: Cell<u64>,
    trials: Vec<Cell<u32>>,
    stack: RefCell<Vec<ObjectRef>>,
}

impl Model {
    /// `outside[i]` handles to node `i` lie in no node.
    fn new(edges: Vec<Vec<usize>>, outside: &[u32], candidates: u64) -> Model {
        let count = |i: usize| edges.iter().flatten().filter(|&&to| to == i).count() as u32;
        let headers = (0..edges.len()).map(|i| Header::new(outside[i] + count(i), 0)).collect();
        let trials = vec![Cell::new(0); edges.len()];
        let stack = RefCell::new(Vec::new());
        let (candidates, skipped) = (Cell::new(candidates), Cell::new(0));
        Model { headers, edges, unknown: 0, candidates, skipped, trials, stack }
    }

    fn node(&self, i: usize) -> ObjectRef {
        // SAFETY: nothing but the header is used of it, and the header is one.
        unsafe { ObjectRef::from_header(NonNull::from(&self.headers[i]).cast()) }
    }

    fn index(&self, node: ObjectRef) -> usize {
        (node.address().addr().get() - self.node(0).address().addr().get()) / size_of::<Header>()
    }
}

impl Graph for Model {
    fn for_each_candidate(&self, mut visit: impl FnMut(ObjectRef, &Cell<u32>)) -> usize {
        let snapshot = self.candidates.get();
        for i in (0..self.edges.len()).filter(|i| snapshot >> i & 1 == 1) {
            visit(self.node(i), &self.trials[i]);
        }
        snapshot.count_ones() as usize
    }
    fn trial(&self, candidate: ObjectRef) -> &Cell<u32> {
        &self.trials[self.index(candidate)]
    }
    fn trace(&self, candidate: ObjectRef, tracer: &mut Tracer<'_>) {
        let i = self.index(candidate);
        assert!(!self.headers[i].is_hidden(), "a hidden object was looked at");
        if self.unknown >> i & 1 == 1 {
            tracer.edges_unknown();
        } else {
            self.edges[i].iter().for_each(|&to| tracer.edge(self.node(to)));
        }
    }
    fn explain(&self, targets: &[ObjectRef], mut found_skipped: impl FnMut(ObjectRef)) {
        for &target in targets {
            let i = self.index(target);
            self.trials[i].set(self.trials[i].get().wrapping_sub(1));
            let skipped = self.skipped.get();
            self.skipped.set(skipped & !(1 << i));
            if skipped >> i & 1 == 1 {
                found_skipped(target);
            }
        }
    }
    fn skip(&self, candidate: ObjectRef) {
        self.skipped.set(self.skipped.get() | 1 << self.index(candidate));
    }
    fn survive(&self, object: ObjectRef) {
        let kept = self.candidates.get() >> self.index(object) & 1 == 0;
        assert!(kept && !self.headers[self.index(object)].is_hidden());
    }
    fn keep_skipped(&self) {
        self.candidates.set(self.candidates.get() & !self.skipped.take());
    }
    fn keep(&self, targets: &[ObjectRef]) {
        for &target in targets {
            let (old, bit) = (self.candidates.get(), 1 << self.index(target));
            self.candidates.set(old & !bit);
            if old & bit != 0 {
                self.push(target);
            }
        }
    }
    fn keep_held(&self, _: bool, mut is_held: impl FnMut(ObjectRef, u32) -> bool) -> bool {
        self.for_each_candidate(|object, trial| {
            if is_held(object, trial.get()) {
                let bit = 1 << self.index(object);
                self.candidates.set(self.candidates.get() & !bit);
                self.skipped.set(self.skipped.get() | bit);
            }
        });
        self.candidates.get() != 0
    }
    fn for_each_held(&self, mut visit: impl FnMut(ObjectRef)) {
        let held = self.skipped.take();
        (0..self.edges.len()).filter(|i| held >> i & 1 == 1).for_each(|i| visit(self.node(i)));
    }
    fn push(&self, candidate: ObjectRef) {
        self.stack.borrow_mut().push(candidate);
    }
    fn pop(&self) -> Option<ObjectRef> {
        self.stack.borrow_mut().pop()
    }
}

/// What is reachable from nodes in `roots`.
fn reach(edges: &[Vec<usize>], roots: u64) -> u64 {
    let mut seen = roots;
    loop {
        let found = (0..edges.len()).filter(|i| seen >> i & 1 == 1).flat_map(|i| &edges[i]);
        let next = found.fold(seen, |seen, &to| seen | 1 << to);
        if next == seen {
            return seen;
        }
        seen = next;
    }
}

/// Garbage within the candidates, from the definition: what neither a handle outside nor a node that is
/// no candidate, nor one of unknown edges, reaches.
fn garbage(edges: &[Vec<usize>], outside: &[u32], candidates: u64, unknown: u64) -> u64 {
    let all = (1u64 << edges.len()) - 1;
    let held = (0..edges.len()).filter(|&i| outside[i] > 0).fold(0, |held, i| held | 1 << i);
    candidates & !reach(edges, held | (all & !candidates) | (unknown & candidates))
}

fn graph_of_bits(n: usize, bits: u64) -> Vec<Vec<usize>> {
    (0..n).map(|i| (0..n).filter(|j| bits >> (i * n + j) & 1 == 1).collect()).collect()
}

fn outside_of_bits(n: usize, bits: u64) -> Vec<u32> {
    (0..n).map(|i| (bits >> i & 1) as u32).collect()
}

fn check(edges: Vec<Vec<usize>>, outside: &[u32], candidates: u64, unknown: u64) {
    let expected = garbage(&edges, outside, candidates, unknown);
    let mut model = Model::new(edges, outside, candidates);
    model.unknown = unknown;
    keep_the_living(&model).expect("the edges are right");
    assert_eq!(
        model.candidates.get(),
        expected,
        "edges {:?} outside {outside:?} candidates {candidates:b} unknown {unknown:b}",
        model.edges
    );
}

#[test]
fn all_graphs_of_three_nodes_with_all_candidate_sets() {
    for n in 1..=3 {
        for edges in 0..1u64 << (n * n) {
            for choice in 0..1u64 << (3 * n) {
                let part = |k: usize| choice >> (k * n) & ((1 << n) - 1);
                check(graph_of_bits(n, edges), &outside_of_bits(n, part(0)), part(1), part(2));
            }
        }
    }
}

#[test]
fn all_graphs_of_four_nodes() {
    for edges in 0..1u64 << 16 {
        // The other choices vary with the graph; all of them occur with each pattern of edges nearby.
        let mix = edges.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let candidates = if mix & 3 == 0 { mix >> 2 & 15 } else { 15 };
        for outside in [0, mix >> 6 & 15, mix >> 10 & mix >> 14 & 15] {
            check(graph_of_bits(4, edges), &outside_of_bits(4, outside), candidates, 0);
        }
    }
}

fn random(seed: &mut u64, below: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    (*seed >> 16) % below
}

#[test]
fn random_graphs_with_repeated_edges() {
    let seed = &mut 0x1234_5678_9ABC_DEF1;
    for _ in 0..3000 {
        let n = 1 + random(seed, 40) as usize;
        let mut edges = vec![Vec::new(); n];
        for _ in 0..random(seed, 3 * n as u64) {
            let from = random(seed, n as u64) as usize;
            edges[from].push(random(seed, n as u64) as usize);
        }
        let outside: Vec<u32> =
            (0..n).map(|_| u32::from(random(seed, 6) == 0) * random(seed, 4) as u32).collect();
        let candidates = if random(seed, 2) == 0 { (1 << n) - 1 } else { random(seed, 1 << n) };
        check(
            edges,
            &outside,
            candidates,
            if random(seed, 2) == 0 { random(seed, 1 << n) } else { 0 },
        );
    }
}

/// Condition 3: what is exclusive is looked at only when an edge leads to it.
#[test]
fn hidden_nodes_are_traced_only_when_reached() {
    // 0 and 1 are a cycle; 2 has its only handle on somebody's stack, and an edge to 0.
    let cycle = || vec![vec![1], vec![0], vec![0]];
    let hidden = |edges, outside: &[u32], exclusive: &[usize]| {
        let model = Model::new(edges, outside, 0b111);
        exclusive.iter().for_each(|&i| model.headers[i].make_exclusive());
        keep_the_living(&model).expect("the edges are right");
        model
    };
    let model = hidden(cycle(), &[0, 0, 1], &[2]);
    assert_eq!(
        model.candidates.get(),
        0,
        "2 may be in the middle of a change: its edges count as held"
    );
    assert!(model.headers[2].is_hidden());

    // Garbage that was once exclusive is reached by its own members, from lower and higher addresses.
    for exclusive in 0..3 {
        let model = hidden(vec![vec![1], vec![2], vec![0]], &[0; 3], &[exclusive]);
        assert_eq!(model.candidates.get(), 0b111, "exclusive {exclusive}");
        assert!(!model.headers[exclusive].is_hidden());
    }
    // If all of them are, nobody leads to any: kept, for this run.
    let model = hidden(vec![vec![1], vec![2], vec![0]], &[0; 3], &[0, 1, 2]);
    assert_eq!(model.candidates.get(), 0);
}

/// A `Trace` that reports an edge twice is noticed when it makes a count negative.
#[test]
fn too_many_edges_are_noticed() {
    let model = Model::new(vec![vec![1], vec![0]], &[0, 0], 0b11);
    let twice = Model { edges: vec![vec![1, 1], vec![0]], ..model };
    assert_eq!(keep_the_living(&twice), Err(Overcounted));
}

#[test]
fn immortal_nodes_hold_what_they_reach() {
    let model = Model::new(vec![vec![1], vec![0]], &[0, 0], 0b11);
    model.headers[1].immortalize();
    keep_the_living(&model).expect("the edges are right");
    assert_eq!(model.candidates.get(), 0);
}

/// An immortal object may have more edges than its count tells: as many as there is memory for.
#[test]
fn x17_immortal_nodes_with_more_edges_than_counts() {
    for edges_too_many in [0, 1, 7] {
        // 1 and 2 are garbage beside it.
        let model = Model::new(vec![vec![], vec![2], vec![1]], &[0; 3], 0b111);
        model.headers[0].immortalize();
        model.trials[0].set(0_u32.wrapping_sub((1 << 30) + edges_too_many));
        keep_the_living(&model).expect("the edges are right");
        assert_eq!(model.candidates.get(), 0b110);
    }
}

#[test]
fn more_edges_than_a_batch() {
    let n = 60;
    let edges = vec![(0..n).collect::<Vec<_>>(); n];
    check(edges.clone(), &vec![0; n], (1 << n) - 1, 0);
    let mut outside = vec![0; n];
    outside[31] = 1;
    check(edges, &outside, (1 << n) - 1, 0);
}

/// A hidden node that edges of an earlier batch lead to is not skipped when its turn comes.
#[test]
fn hidden_nodes_that_were_reached_before_their_turn() {
    let last = 59;
    let mut edges: Vec<_> = (0..last).map(|_| (0..last).collect::<Vec<_>>()).collect();
    edges[0].insert(0, last);
    edges.push(vec![0]);
    let model = Model::new(edges, &[0; 60], (1 << 60) - 1);
    model.headers[last].make_exclusive();
    keep_the_living(&model).expect("the edges are right");
    assert_eq!(model.candidates.get(), (1 << 60) - 1, "all garbage");
}
