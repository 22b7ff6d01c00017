//! Sizes, bit arithmetic, copying and aborting: what every layer needs and that needs none of them.

pub(crate) mod bits;
pub(crate) mod cold;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod stack;
