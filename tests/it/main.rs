//! The public interface of the pointers and the collector, by the cases of CPython's tests.
//!
//! | cases | where |
//! |---|---|
//! | C01–C22 but C06 | `cycle` |
//! | C06, T01, T02, T04 | `deep` |
//! | F01–F21, W06, W22–W24 | `finalize` |
//! | G | `gc`; G03, G09 also in `cycle` |
//! | I01–I17 | `intern`; I10–I13 and more of I01, I03 in `intern_map`, of I06, I07 in `intern_types`, of I08 in `intern_own` |
//! | R, S, W01, W02, X08, X18 | `rc` |
//! | X01, X02, X05, X07 | `cycle` |
//! | X03, X06, X07 | `panics`, `panics_in_trace` |
//! | X04 | `conditions` |
//! | X09 | `threads`; of the main thread in `tests/exit.rs` |
//! | X17 | in the crate: `object::header`, `rc::tests`, `cycle::trial` |
//! | X20 | `intern`; at length in `intern_race` |
//! | X18, X19 | `derive`, and what must not compile in `tests/ui` |
//!
//! All graphs of up to four nodes are in `graphs`, random programs in the crate's `checkers::graph_ops`.
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
mod lost;
mod old;
mod panics;
mod panics_in_trace;
#[path = "../random/mod.rs"]
mod random;
mod rc;
mod support;
mod threads;
#[path = "../watched/mod.rs"]
mod watched;

#[global_allocator]
static GLOBAL: watched::Watched = watched::Watched;
