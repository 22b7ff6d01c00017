//! An `unsafe` in an attribute is the user's own, and allowed where the user allows it.
#![deny(unsafe_code)]

use hoopsnake::{Cc, Trace};

#[derive(Trace)]
#[trace(unsafe(drop))]
#[allow(unsafe_code)]
struct Drops(Option<Cc<u8>>);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0 = None;
    }
}

fn main() {}
