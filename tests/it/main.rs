//! The public interface of the pointers and the collector, by the cases of CPython's tests.
#![expect(missing_docs, reason = "a test")]

mod conditions;
mod cycle;
mod deep;
#[cfg(feature = "derive")]
mod derive;
mod intern;
mod rc;
mod support;
