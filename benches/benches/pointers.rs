//! What does a counted pointer cost while nothing is garbage?

mod common;

fn main() {
    common::bench(hoopsnake_benches::pointers::rows);
}
