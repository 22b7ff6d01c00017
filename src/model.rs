//! The protocols that `loom-tests` may see.
