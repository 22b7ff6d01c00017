//! Trial deletion over any set of candidates.
//!
//! Subtract from each candidate's count one for each edge from a candidate: what stays above zero is held
//! from outside. What those reach inside the set lives too. The rest is garbage: only garbage holds it.
//! Sound for *every* candidate set (an edge from outside of it counts as held from outside), so that the
//! ages may choose any.
//!
//! The trial counters start at 0 and wrap: an edge may be subtracted before the count is added, so that
//! each candidate's header is read once.
//!
//! Bacon and Rajan, "Concurrent Cycle Collection in Reference Counted Systems" (2001), in the form of
//! CPython's `update_refs`, `subtract_refs`, `move_unreachable`.

use core::cell::Cell;

use crate::object::ObjectRef;
use crate::object::header;
use crate::object::trace::Tracer;

/// Added for edges that cannot be seen: with it no count of edges brings a counter to zero.
const UNKNOWN: u32 = 1 << 29;

/// Some candidate has more edges than handles: its `Trace`, or a neighbour's, reported too much.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overcounted;

/// A graph of counted objects with a set of candidates.
pub(crate) trait Graph {
    /// Visits all candidates with their trial counters, in the order of addresses. Returns how many they are.
    fn for_each_candidate(&self, visit: impl FnMut(ObjectRef, &Cell<u32>)) -> usize;

    /// Takes the candidates that `is_held`, by their trial counter, out of the set and notes them. May ask
    /// about those only whose counter is not 0, unless `all` are wanted. Whether candidates are left.
    fn keep_held(&self, all: bool, is_held: impl FnMut(ObjectRef, u32) -> bool) -> bool;

    /// Visits what was noted, in the order of addresses, and forgets it.
    fn for_each_held(&self, visit: impl FnMut(ObjectRef));

    /// The trial counter of a candidate.
    fn trial(&self, candidate: ObjectRef) -> &Cell<u32>;

    /// Reports the edges of a candidate that is not hidden.
    fn trace(&self, candidate: ObjectRef, tracer: &mut Tracer<'_>);

    /// Subtracts edges to these targets, from those that are candidates or may become some. Calls
    /// `found_skipped` with those that had been skipped, which they no longer are.
    fn explain(&self, targets: &[ObjectRef], found_skipped: impl FnMut(ObjectRef));

    /// Notes that a candidate was not traced.
    fn skip(&self, candidate: ObjectRef);

    /// A candidate was taken out of the set, and will be traced for what it holds if candidates are left.
    fn survive(&self, object: ObjectRef);

    /// Takes all that are still skipped out of the candidates.
    fn keep_skipped(&self);

    /// Takes those that are candidates out of the set, and remembers them.
    fn keep(&self, targets: &[ObjectRef]);

    /// Remembers a candidate, at most once each.
    fn push(&self, candidate: ObjectRef);

    /// One of the remembered candidates.
    fn pop(&self) -> Option<ObjectRef>;
}

/// What was seen on the way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    /// The union of the candidates' count words.
    pub(crate) words: u64,
    /// How many objects and edges were looked at.
    pub(crate) looked_at: usize,
}

/// Takes all candidates that live out of the set; what is left is garbage.
pub(crate) fn keep_the_living<G: Graph>(graph: &G) -> Result<Tried, Overcounted> {
    let mut tried = Tried { words: 0, looked_at: 0 };
    subtract(graph, &mut tried);
    graph.keep_skipped();
    restore(graph, &mut tried)?;
    Ok(tried)
}

/// Adds each candidate's count to its trial counter and subtracts the edges between candidates.
fn subtract<G: Graph>(graph: &G, tried: &mut Tried) {
    let mut words = 0;
    let mut visit = |edges: &[ObjectRef]| {
        graph.explain(edges, |target| {
            target.header().reveal();
            graph.push(target);
        });
    };
    let mut tracer = Tracer::new(&mut visit);
    let objects = graph.for_each_candidate(|object, trial| {
        let header = object.header();
        let word = header.word();
        words |= word;
        let reached = trial.get() != 0;
        add(trial, header::count(word));
        if !header.enter_run_plainly(word) {
            if header.is_hidden() {
                if !reached {
                    header.set_aged();
                    return graph.skip(object);
                }
                header.reveal();
            }
            header.enter_run();
        }
        trace_counted(graph, object, trial, &mut tracer);
    });
    loop {
        tracer.flush();
        let Some(object) = graph.pop() else { break };
        object.header().enter_run();
        trace_counted(graph, object, graph.trial(object), &mut tracer);
    }
    tried.words |= words;
    tried.looked_at += objects + tracer.reported();
}

#[inline(always)]
fn add(trial: &Cell<u32>, count: u32) {
    trial.set(trial.get().wrapping_add(count));
}

/// Traces a candidate; when it does not know its edges it is held.
#[inline(always)]
fn trace_counted<G: Graph>(
    graph: &G,
    object: ObjectRef,
    trial: &Cell<u32>,
    tracer: &mut Tracer<'_>,
) {
    graph.trace(object, tracer);
    if tracer.take_unknown() {
        add(trial, UNKNOWN);
    }
}

/// Takes out what is held from outside, and what that reaches. What is held is found before the first of it
/// is traced: mostly that is nearly all that lives, and then memory is read in its order, or not at all.
fn restore<G: Graph>(graph: &G, tried: &mut Tried) -> Result<(), Overcounted> {
    let mut overcounted = false;
    let immortals = header::is_immortal(tried.words);
    let any_left = graph.keep_held(immortals, |object, trial| {
        // More edges than a count can have are no mistake.
        let immortal = immortals && header::is_immortal(object.header().word());
        overcounted |= !immortal && (trial as i32) < 0;
        immortal || trial != 0
    });
    if overcounted {
        return Err(Overcounted);
    }
    let mut visit = |edges: &[ObjectRef]| graph.keep(edges);
    let mut tracer = Tracer::new(&mut visit);
    graph.for_each_held(|object| {
        graph.survive(object);
        if any_left {
            graph.trace(object, &mut tracer);
        }
    });
    propagate(graph, &mut tracer);
    tried.looked_at += tracer.reported();
    Ok(())
}

/// Objects that are fetched into the cache before their turn to be traced.
const WINDOW: usize = 16;

/// Traces all remembered objects, and what they make remembered.
fn propagate<G: Graph>(graph: &G, tracer: &mut Tracer<'_>) {
    // A short queue before the stack: an object's lines arrive while those before it are traced.
    let mut window = [ObjectRef::DANGLING; WINDOW];
    let (mut first, mut len) = (0, 0);
    loop {
        while len < WINDOW {
            let Some(object) = graph.pop() else { break };
            object.prefetch();
            window[(first + len) % WINDOW] = object;
            len += 1;
        }
        if len > 0 {
            graph.survive(window[first % WINDOW]);
            graph.trace(window[first % WINDOW], tracer);
            first += 1;
            len -= 1;
        }
        if len == 0 {
            tracer.flush();
            let Some(object) = graph.pop() else { return };
            graph.push(object);
        }
    }
}

#[cfg(test)]
mod tests;
