//! The protocols that `loom-tests` may see; exists under `--cfg loom` only.

pub use crate::heap::registry::{Links, Listed, Registry};
pub use crate::heap::word::{PoolWord, Pushed, Taken};
pub use crate::intern::{entry as intern_entry, lifetime::Lifetime, table as intern_table};
pub use crate::sync::Published;
pub use crate::sync::raw_lock::RawMutex;
