//! What does memory cost?

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn heap(criterion: &mut Criterion) {
    common::bench(criterion, hoopsnake_benches::heap::rows());
}

criterion_group!(benches, heap);
criterion_main!(benches);
