//! The protocols that `loom-tests` may see.

pub use crate::intern::{entry as intern_entry, table as intern_table};
