//! The public interface, used from outside the crate.

mod intern;
