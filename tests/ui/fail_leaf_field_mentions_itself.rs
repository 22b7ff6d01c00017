use hoopsnake::{Cc, Trace};

#[derive(Trace)]
struct Node {
    #[trace(leaf)]
    next: Option<Cc<Node>>,
}

fn main() {}
