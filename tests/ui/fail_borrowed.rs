// A cycle lives until it is collected: it must not hold what it only borrowed.
use std::cell::{Cell, RefCell};

use hoopsnake::{Cc, Trace};

#[derive(Trace)]
struct Node<'a> {
    text: &'a str,
    next: RefCell<Option<Cc<Node<'a>>>>,
}

#[derive(Trace)]
struct Borrows<'a>(&'a Cell<u8>);

fn main() {
    let text = String::from("short-lived");
    let node = Cc::new(Node { text: &text, next: RefCell::default() });
    *node.next.borrow_mut() = Some(node.clone());
}
