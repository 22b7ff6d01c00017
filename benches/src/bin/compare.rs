//! Compares all layers with their peers in one run, and prints what it finds as Markdown.
//!
//! `compare interning` compares one layer only. Everything runs in turn, A B C A B C, so that what disturbs the machine disturbs all alike.

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use hoopsnake_benches::{Row, collect, heap, intern, on_deep_stack, pauses, pointers};

/// How long one measurement should take: long beside a clock's tick, short beside the machine's moods.
const MEASUREMENT: Duration = Duration::from_millis(20);
/// A row's rounds go on for this long, but never for fewer or more than these.
const ROW: Duration = Duration::from_secs(3);
const MIN_ROUNDS: usize = 5;
const MAX_ROUNDS: usize = 25;

/// Measures a layer.
type Layer = fn() -> Vec<Row>;

fn main() {
    on_deep_stack(compare);
}

fn compare() {
    let begin = Instant::now();
    let layers: [(&str, Layer); 5] = [
        ("Heap", heap::rows),
        ("Pointers", pointers::rows),
        ("Collection", collect::rows),
        ("Pauses", pauses::rows),
        ("Interning", intern::rows),
    ];
    let only = std::env::args().nth(1);
    for (title, rows) in layers {
        if only.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(title)) {
            print_table(title, rows());
        }
    }
    println!("\nMeasured in {} s.", begin.elapsed().as_secs());
}

/// One subject's times for one operation.
struct Times {
    median: f64,
    min: f64,
}

fn measure(row: &mut Row) -> Vec<Times> {
    let passes: Vec<u64> =
        row.subjects.iter_mut().map(|subject| calibrate(|n| subject.run(n))).collect();
    let mut times = vec![Vec::new(); passes.len()];
    let begin = Instant::now();
    for round in 0..MAX_ROUNDS {
        if round >= MIN_ROUNDS && begin.elapsed() > ROW {
            break;
        }
        for ((subject, &passes), times) in row.subjects.iter_mut().zip(&passes).zip(&mut times) {
            let operations = passes * row.operations;
            times.push(subject.run(passes).as_nanos() as f64 / operations as f64);
        }
    }
    times.into_iter().map(summarize).collect()
}

/// The number of passes that makes a measurement long enough. It also warms the subject up.
fn calibrate(mut run: impl FnMut(u64) -> Duration) -> u64 {
    let mut passes = 1;
    loop {
        let begin = Instant::now();
        run(passes);
        // With what prepares it: where that takes long, one pass must do.
        let time = begin.elapsed();
        if time * 2 >= MEASUREMENT {
            return passes;
        }
        let missing = MEASUREMENT.as_secs_f64() / time.as_secs_f64().max(1e-9);
        passes = (passes as f64 * missing.clamp(2.0, 10.0)) as u64;
    }
}

fn summarize(mut times: Vec<f64>) -> Times {
    times.sort_unstable_by(f64::total_cmp);
    Times { median: times[times.len() / 2], min: times[0] }
}

// Tables ------------------------------------------------------------------------------------------

fn print_table(title: &str, rows: Vec<Row>) {
    println!("\n### {title}");
    let mut columns = Vec::new();
    for mut row in rows {
        let names: Vec<&str> = row.subjects.iter().map(|subject| subject.name).collect();
        let times = measure(&mut row);
        let (ours, peers) = times.split_first().expect("ours runs everything");
        if columns != names {
            println!("\n| | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
            columns = names;
        }
        let ratios: String = peers.iter().map(|peer| ratio(peer, ours)).collect();
        println!("| {} | {} |{ratios}", row.name, ours);
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", in_unit(self.median), in_unit(self.min))
    }
}

/// A peer's cell: how many times ours its times are, and the times.
fn ratio(peer: &Times, ours: &Times) -> String {
    let (median, min) = (peer.median / ours.median, peer.min / ours.min);
    format!(" **×{median:.2}** (×{min:.2}); {peer} |")
}

fn in_unit(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e4 => format!("{nanoseconds:.1} ns"),
        ..1e6 => format!("{:.1} µs", nanoseconds / 1e3),
        _ => format!("{:.2} ms", nanoseconds / 1e6),
    }
}
