use std::rc::Rc;

use hoopsnake::{Cc, Trace};

struct Foreign;

#[derive(Trace)]
struct Node {
    foreign: Vec<Foreign>,
    next: Option<Cc<Node>>,
}

#[derive(Trace)]
struct Shares {
    shared: Rc<Node>,
}

#[derive(Trace)]
enum Either<T> {
    Generic { field: Vec<T> },
    Shared(u8, Option<Rc<T>>),
}

fn main() {}
