//! What does garbage cost, from the drop of the last handle until its memory is free?

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn collect(criterion: &mut Criterion) {
    common::bench(criterion, hoopsnake_benches::collect::rows());
}

criterion_group!(benches, collect);
criterion_main!(benches);
