//! How long does the program stand still while most of what it has is alive?

mod common;

fn main() {
    common::bench(hoopsnake_benches::pauses::rows);
}
