//! What needs a look inside: counts near their limits, sizes.
use super::*;
