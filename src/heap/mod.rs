//! Layer heap (being written).
