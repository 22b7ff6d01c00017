//! Layer cycle (being written).
