//! What the collector costs as the live heap grows from 10^4 to 10^7 objects: four plots, as SVG files.
//!
//! `cargo run --release -p hoopsnake-benches --bin growth -- DIR` writes them into `DIR`, and prints the
//! numbers; a second argument is the largest power of ten.

use core::cell::RefCell;
use core::fmt::Write;
use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use hoopsnake::gc::{self, Generation, GenerationStats};
use hoopsnake::{Cc, Trace, TraceInfo, Tracer};
use hoopsnake_benches::Random;

/// Three slots for edges.
struct Node(RefCell<[Option<Cc<Node>>; 3]>);

// SAFETY: reports all slots, once each; `Node` does not implement `Drop`.
unsafe impl Trace for Node {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.0.trace(tracer);
    }
}
impl TraceInfo for Node {}

fn node() -> Cc<Node> {
    Cc::new(Node(RefCell::default()))
}

fn link(from: &Cc<Node>, slot: usize, to: &Cc<Node>) {
    let old = from.0.borrow_mut()[slot].replace(to.clone());
    drop(old);
}

fn dead_pair() -> Cc<Node> {
    let (a, b) = (node(), node());
    link(&a, 0, &b);
    link(&b, 0, &a);
    a
}

/// The measurements of one size.
struct Point {
    live: usize,
    young_ms: f64,
    pause_ms: f64,
    full_ns: f64,
    per_allocation_ns: f64,
}

/// Young runs that are measured, and pairs that are made for each.
const RUNS: usize = 20;
const PAIRS: usize = 5000;
/// Operations beside the live heap with automatic collection.
const OPERATIONS: usize = 1_000_000;

fn measure(live: usize) -> Point {
    gc::disable();
    let mut random = Random::new(live as u64);
    let nodes: Vec<_> = (0..live).map(|_| node()).collect();
    for node in &nodes {
        (0..3).for_each(|slot| link(node, slot, &nodes[random.below(live)]));
    }
    gc::collect();
    let full = (0..3).map(|_| time(gc::collect)).min().unwrap_or_default();
    let mut young: Vec<_> = (0..RUNS)
        .map(|_| {
            (0..PAIRS).for_each(|_| link(&dead_pair(), 1, &nodes[random.below(live)]));
            time(|| gc::collect_generation(Generation::Young))
        })
        .collect();
    young.sort_unstable();
    gc::enable();
    let before = gc::stats();
    for _ in 0..OPERATIONS {
        drop(dead_pair());
        link(&nodes[random.below(live)], random.below(3), &nodes[random.below(live)]);
    }
    let after = gc::stats();
    let spent = |stats: GenerationStats| stats.duration;
    let all = [Generation::Young, Generation::Middle, Generation::Old];
    let duration: Duration = all.iter().map(|&age| spent(after[age]) - spent(before[age])).sum();
    Point {
        live,
        young_ms: millis(young[RUNS / 2]),
        pause_ms: millis(after.young.longest.max(after.middle.longest)),
        full_ns: full.as_nanos() as f64 / live as f64,
        per_allocation_ns: duration.as_nanos() as f64 / (2 * OPERATIONS) as f64,
    }
}

fn time(collect: impl FnOnce() -> usize) -> Duration {
    let start = Instant::now();
    collect();
    start.elapsed()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const MARGIN: f64 = 50.0;

/// A line over the decades of live objects.
fn svg(title: &str, points: &[(usize, f64)]) -> String {
    let top = points.iter().map(|point| point.1).fold(0.0, f64::max) * 1.25;
    let first = (points[0].0 as f64).log10();
    let decades = (points[points.len() - 1].0 as f64).log10() - first;
    let x = |live: usize| {
        MARGIN + ((live as f64).log10() - first) / decades.max(1.0) * (WIDTH - 2.0 * MARGIN)
    };
    let y = |value: f64| HEIGHT - MARGIN - value / top * (HEIGHT - 2.0 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"14\">{title}</text>\n\
         <path d=\"M{MARGIN} {MARGIN}V{bottom}H{right}\" stroke=\"black\" fill=\"none\"/>\n",
        bottom = HEIGHT - MARGIN,
        right = WIDTH - MARGIN,
    );
    let line: Vec<_> =
        points.iter().map(|&(live, value)| format!("{:.1} {:.1}", x(live), y(value))).collect();
    let _ = writeln!(
        text,
        "<polyline points=\"{}\" stroke=\"#1f77b4\" stroke-width=\"2\" fill=\"none\"/>",
        line.join(",")
    );
    for &(live, value) in points {
        let (x, y) = (x(live), y(value));
        let exponent = (live as f64).log10().round();
        let _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#1f77b4\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.2}</text>",
            y - 8.0
        );
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">10<tspan dy=\"-4\" font-size=\"9\">{exponent}</tspan></text>",
            HEIGHT - MARGIN + 18.0
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">live objects</text>\n</svg>",
        WIDTH / 2.0,
        HEIGHT - 12.0
    );
    text
}

/// A plot: its file, its title, and what it shows.
type Plot = (&'static str, &'static str, fn(&Point) -> f64);

const PLOTS: [Plot; 4] = [
    ("young-run.svg", "a young run that finds 10,000 dead objects, ms", |point| point.young_ms),
    ("pause.svg", "the longest pause outside of full runs, ms", |point| point.pause_ms),
    ("full-run.svg", "a full run, ns for each live object", |point| point.full_ns),
    ("allocation.svg", "time of automatic runs, ns for each allocation", |point| {
        point.per_allocation_ns
    }),
];

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "benches".into());
    let last = arguments.next().map_or(7, |last| last.parse().expect("a power of ten"));
    println!(
        "| live objects | young run, ms | longest pause, ms | full run, ns per live object | ns per allocation |"
    );
    println!("|--:|--:|--:|--:|--:|");
    let mut points = Vec::new();
    for exponent in 4..=last {
        // A thread of its own has a collector of its own.
        let point = std::thread::spawn(move || measure(10usize.pow(exponent)))
            .join()
            .expect("a measurement");
        let Point { live, young_ms, pause_ms, full_ns, per_allocation_ns } = point;
        println!(
            "| {live} | {young_ms:.3} | {pause_ms:.3} | {full_ns:.1} | {per_allocation_ns:.1} |"
        );
        points.push(point);
    }
    for (file, title, value) in PLOTS {
        let line: Vec<_> = points.iter().map(|point| (point.live, value(point))).collect();
        std::fs::write(Path::new(&folder).join(file), svg(title, &line))?;
    }
    Ok(())
}
