//! Interned values and resident memory, in a process that does nothing else: it goes back.
//!
//! `INTERN_WORDS` says how many words (a million in CI; ten million by hand).
#![cfg(all(target_os = "linux", not(sanitized)))]
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hoopsnake::intern::{Interned, Interner, intern};

fn words() -> usize {
    std::env::var("INTERN_WORDS").map_or(1_000_000, |text| text.parse().expect("a number"))
}

/// Tests that measure memory take turns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// A place for handles whose own memory is resident already.
fn places() -> Vec<Option<Interned<str>>> {
    let mut places: Vec<_> = (0..words()).map(|_| Some(intern("in place"))).collect();
    places.fill(None);
    places
}

/// Interns words of 8 to 31 bytes.
fn fill(places: &mut [Option<Interned<str>>]) {
    let mut text = String::new();
    for (number, place) in places.iter_mut().enumerate() {
        text.clear();
        write!(text, "{number:08}{:.*}", number % 24, "abcdefghijklmnopqrstuvwxyz").unwrap();
        *place = Some(intern(&text));
    }
}

/// A fixed permutation, so that neighbours die at different times.
fn shuffle<T>(items: &mut [T]) {
    let mut random = 1_u64;
    for at in (1..items.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        items.swap(at, (random >> 33) as usize % (at + 1));
    }
}

/// All words die, in their order or in none: memory is back within 5 MiB, and the table shrunk.
#[test]
fn all_die_and_all_goes_back() {
    let _alone = alone();
    let mut held = places();
    let (before, names) = (resident(), Interner::<str>::global());
    for in_order in [true, false, false] {
        fill(&mut held);
        let full = resident();
        assert_eq!(names.stats().entries, held.len());
        if !in_order {
            shuffle(&mut held);
        }
        held.fill(None);
        let (after, stats) = (resident(), names.stats());
        println!("{before:.1} MiB, {full:.1} full, {after:.1} after; {stats:?}");
        assert!(full > before + words() as f64 * 50.0 / (1 << 20) as f64, "{before} then {full}");
        assert!(after < before + 5.0, "{before} MiB, {full} full, {after} after");
        assert!(stats.entries == 0 && stats.table_bytes <= 64 * 128, "{stats:?}");
    }
}

/// One word in a thousand stays: each keeps the page that it lies on, since handles are addresses and
/// entries cannot move; the other pages go back.
#[test]
fn one_in_a_thousand_keeps_its_page() {
    let _alone = alone();
    let mut held = places();
    let before = resident();
    fill(&mut held);
    let full = resident() - before;
    for (number, place) in held.iter_mut().enumerate() {
        if number % 1000 != 0 {
            *place = None;
        }
    }
    let after = resident() - before;
    Interner::<str>::global().shrink_to_fit();
    let shrunk = resident() - before;
    let pages = held.len() as f64 / 1000.0 * 4.0 / 1024.0;
    println!("{full:.1} MiB; one in 1000: {after:.1}, shrunk {shrunk:.1}, its pages {pages:.1}");
    assert!(shrunk < pages + 3.0, "{shrunk} MiB for {pages} MiB of pages");
    assert!(after < 2.0 * pages + 5.0, "{after} MiB for {pages} MiB of pages");
    held.fill(None);
    assert!(resident() < before + 5.0, "{before} MiB, then {}", resident());
}
