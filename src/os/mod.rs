//! Layer os (being written).
