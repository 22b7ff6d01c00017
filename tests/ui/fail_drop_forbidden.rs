use hoopsnake::{Cc, Trace};

#[derive(Trace)]
struct Node(Option<Cc<Node>>);

impl Drop for Node {
    fn drop(&mut self) {}
}

#[derive(Trace)]
struct Generic<T>(T);

impl<T> Drop for Generic<T> {
    fn drop(&mut self) {}
}

fn main() {}
