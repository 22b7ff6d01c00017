//! Everything, beside the system's allocator.

fn main() {
    downstream::use_everything();
    println!("ok: beside another allocator");
}
