// Found when the parameter is known.
use hoopsnake::{Cc, Trace, TraceInfo};

#[derive(Trace)]
struct Other(Vec<Cc<Other>>);

#[derive(Trace)]
#[trace(drop)]
struct Guard<T>(T);

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {}
}

const _: bool = Guard::<u8>::NEEDS_TRACE;
const _: bool = Guard::<Other>::NEEDS_TRACE;

fn main() {}
