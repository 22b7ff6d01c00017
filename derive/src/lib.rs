//! `#[derive(Trace)]` for hoopsnake.
#![forbid(unsafe_code)]
