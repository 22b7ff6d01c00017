// An `unsafe` in an attribute is the user's own.
#![forbid(unsafe_code)]

use hoopsnake::{Cc, Trace, Tracer};

#[derive(Trace)]
#[trace(unsafe(drop))]
struct Drops(Option<Cc<u8>>);

fn trace(cc: &Cc<u8>, tracer: &mut Tracer<'_>) {
    cc.trace(tracer);
}

#[derive(Trace)]
struct With {
    #[trace(unsafe(with = trace))]
    cc: Cc<u8>,
}

fn main() {}
