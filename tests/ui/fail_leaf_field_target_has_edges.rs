use std::cell::RefCell;

use hoopsnake::{Cc, Trace};

#[derive(Trace)]
struct Other(Vec<Cc<Other>>);

#[derive(Trace)]
struct Node {
    #[trace(leaf)]
    name: Cc<String>,
    #[trace(leaf)]
    other: Cc<Other>,
}

#[derive(Trace)]
struct Hidden {
    #[trace(leaf)]
    name: RefCell<Vec<Cc<String>>>,
}

fn main() {}
