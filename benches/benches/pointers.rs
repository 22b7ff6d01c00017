//! What does a counted pointer cost while nothing is garbage?

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn pointers(criterion: &mut Criterion) {
    common::bench(criterion, hoopsnake_benches::pointers::rows());
}

criterion_group!(benches, pointers);
criterion_main!(benches);
