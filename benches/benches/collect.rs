//! What does garbage cost, from the drop of the last handle until its memory is free?

mod common;

fn main() {
    common::bench(hoopsnake_benches::collect::rows);
}
