//! The public interface of the pointers and the collector, by the cases of CPython's tests.
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]

mod conditions;
mod cycle;
mod deep;
#[cfg(feature = "derive")]
mod derive;
mod finalize;
mod gc;
mod graphs;
mod intern;
mod intern_map;
mod intern_own;
mod intern_race;
mod intern_types;
mod panics;
mod rc;
mod support;
mod threads;
#[path = "../watched/mod.rs"]
mod watched;

#[global_allocator]
static GLOBAL: watched::Watched = watched::Watched;
