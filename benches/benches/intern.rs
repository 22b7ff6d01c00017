//! What does it cost to find a word in an interner, and to bring one in?

mod common;

fn main() {
    common::bench(hoopsnake_benches::intern::rows);
}
