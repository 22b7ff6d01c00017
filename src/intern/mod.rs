//! Layer intern (being written).
