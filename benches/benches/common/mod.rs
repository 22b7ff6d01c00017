//! Hands rows to criterion.

use criterion::{Criterion, Throughput};
use hoopsnake_benches::Row;

/// One group for each row, and in it one bench for each subject.
pub fn bench(criterion: &mut Criterion, rows: Vec<Row>) {
    for row in rows {
        let mut group = criterion.benchmark_group(row.name);
        group.throughput(Throughput::Elements(row.operations)).sample_size(10);
        for mut subject in row.subjects {
            group.bench_function(subject.name, |bencher| bencher.iter_custom(|passes| subject.run(passes)));
        }
        group.finish();
    }
}
