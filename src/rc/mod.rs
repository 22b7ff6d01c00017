//! Layer rc (being written).
