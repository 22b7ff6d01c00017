use hoopsnake::{Cc, Trace};

#[derive(Trace)]
struct Other(Vec<Cc<Other>>);

#[derive(Trace)]
#[trace(leaf)]
enum Leaf {
    Itself(Vec<Leaf>),
    Other { other: Option<Other> },
}

fn main() {}
