//! What does memory cost?

mod common;

fn main() {
    common::bench(hoopsnake_benches::heap::rows);
}
