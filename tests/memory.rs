//! Resident memory: cases H09 and H11 of `python.md`, in a process that does nothing else.
#![cfg(all(target_os = "linux", not(sanitized)))]

use std::sync::Mutex;

use hoopsnake::{PoolAlloc, heap};

#[global_allocator]
static GLOBAL: PoolAlloc = PoolAlloc;

/// Tests that measure memory take turns.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[test]
fn h09_memory_goes_back() {
    let _alone = alone();
    heap::trim();
    let before = resident();
    let blocks: Vec<_> = (0..1_000_000u64).map(|n| Box::new([n; 6])).collect();
    let full = resident();
    assert!(full > before + 40.0, "{before} then {full}");
    drop(blocks);
    heap::trim();
    let after = resident();
    assert!(after < before + 3.0, "{before} MiB, {full} full, {after} after");
}

#[test]
fn h11_an_empty_pool_changes_its_class() {
    let _alone = alone();
    heap::trim();
    let before = resident();
    for round in 0..4 {
        let small: Vec<_> = (0..300_000u64).map(|n| Box::new([n; 4])).collect();
        drop(small);
        let large: Vec<_> = (0..100_000u64).map(|n| Box::new([n; 12])).collect();
        drop(large);
        if round == 0 {
            assert!(resident() < before + 30.0);
        }
    }
    assert!(resident() < before + 20.0, "{before} MiB, then {}", resident());
}
