//! How long does the program stand still while most of what it has is alive?

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn pauses(criterion: &mut Criterion) {
    common::bench(criterion, hoopsnake_benches::pauses::rows());
}

criterion_group!(benches, pauses);
criterion_main!(benches);
