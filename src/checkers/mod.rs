//! Operation lists played against an oracle: shared by unit tests and fuzz targets.

pub mod intern_ops;
