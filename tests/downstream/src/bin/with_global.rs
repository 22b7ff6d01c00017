//! Everything, with hoopsnake as the allocator of the whole program.

use hoopsnake::{PoolAlloc, heap};

#[global_allocator]
static GLOBAL: PoolAlloc = PoolAlloc;

fn main() {
    let before = heap::allocated_blocks();
    let boxes: Vec<Box<usize>> = (0..1000).map(Box::new).collect();
    assert!(heap::allocated_blocks() >= before + 1000, "the boxes are the allocator's blocks");
    drop(boxes);
    downstream::use_everything();
    println!("ok: with PoolAlloc as the global allocator");
}
