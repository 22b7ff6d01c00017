//! What does it cost to find a word in an interner, and to bring one in?

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn intern(criterion: &mut Criterion) {
    common::bench(criterion, hoopsnake_benches::intern::rows());
}

criterion_group!(benches, intern);
criterion_main!(benches);
