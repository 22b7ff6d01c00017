//! Layer object (being written).
