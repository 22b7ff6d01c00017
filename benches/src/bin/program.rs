//! Runs each workload of `program` once for each way to name words, each in a process of its own, and
//! prints tables. `ROUNDS` says how often (3).

use core::time::Duration;
use std::path::Path;
use std::process::Command;

use hoopsnake_benches::program::{Workload, workloads};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => compare(),
        [workload, subject, text] => run(workload, subject, text),
        _ => panic!("no arguments, or a workload's name, the number of who does it, and a file"),
    }
}

/// One run, in this process: prints time, answer and the most memory taken. The text is made elsewhere,
/// so that no memory is left over from that.
fn run(workload: &str, subject: &str, text: &str) {
    let workload = workloads().into_iter().find(|known| known.name == workload);
    let subjects = workload.expect("the name of a workload").subjects;
    let (_, run) = subjects[subject.parse::<usize>().expect("a number")];
    let text = std::fs::read_to_string(text).expect("a text");
    let before = peak();
    let outcome = run(&text);
    println!("{} {} {}", outcome.time.as_nanos(), outcome.answer, peak().saturating_sub(before));
}

/// The most memory that this process had, in KiB; nothing where the system does not say so.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.map_or(0, |number| number.parse().expect("a number of KiB"))
}

fn compare() {
    let rounds = std::env::var("ROUNDS").map_or(3, |rounds| rounds.parse().expect("a number"));
    let text = std::env::temp_dir().join(format!("hoopsnake-program-{}", std::process::id()));
    for workload in workloads() {
        std::fs::write(&text, (workload.text)()).expect("room for a text");
        let mut runs: Vec<Vec<Run>> = workload.subjects.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (subject, runs) in runs.iter_mut().enumerate() {
                runs.push(Run::of(&workload, subject, &text));
            }
        }
        print(&workload, &runs);
    }
    std::fs::remove_file(&text).expect("the text written above");
}

#[derive(Clone, Copy)]
struct Run {
    time: Duration,
    answer: u64,
    kib: u64,
}

impl Run {
    fn of(workload: &Workload, subject: usize, text: &Path) -> Self {
        let program = std::env::current_exe().expect("this program's path");
        let mut command = Command::new(program);
        let output = command.args([workload.name, &subject.to_string()]).arg(text).output();
        let output = output.expect("another process");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).expect("numbers");
        let numbers: Vec<u64> =
            printed.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        Self { time: Duration::from_nanos(numbers[0]), answer: numbers[1], kib: numbers[2] }
    }
}

fn print(workload: &Workload, runs: &[Vec<Run>]) {
    println!("### {}\n\n| | median | least | memory |\n|---|---|---|---|", workload.title);
    for ((name, _), runs) in workload.subjects.iter().zip(runs) {
        let mut runs = runs.clone();
        runs.sort_unstable_by_key(|run| run.time);
        assert!(runs.iter().all(|run| run.answer == runs[0].answer), "{name} differs with itself");
        let ms = |run: Run| format!("{:.0} ms", run.time.as_secs_f64() * 1e3);
        let median = runs[runs.len() / 2];
        println!("| {name} | {} | {} | {} MiB |", ms(median), ms(runs[0]), median.kib >> 10);
    }
    println!();
    let answers = runs.iter().flatten().map(|run| run.answer);
    assert!(answers.min() == runs.iter().flatten().map(|run| run.answer).max(), "answers differ");
}
