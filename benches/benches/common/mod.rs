//! Hands rows to criterion.

use criterion::{Criterion, Throughput};
use hoopsnake_benches::{Row, on_deep_stack};

/// One group for each row, and in it one bench for each subject.
pub fn bench(rows: fn() -> Vec<Row>) {
    on_deep_stack(move || {
        let mut criterion = Criterion::default().configure_from_args();
        rows().into_iter().for_each(|row| bench_row(&mut criterion, row));
        criterion.final_summary();
    });
}

fn bench_row(criterion: &mut Criterion, row: Row) {
    let mut group = criterion.benchmark_group(row.name);
    group.throughput(Throughput::Elements(row.operations)).sample_size(10);
    for mut subject in row.subjects {
        group.bench_function(subject.name, |bencher| {
            bencher.iter_custom(|passes| subject.run(passes))
        });
    }
    group.finish();
}
