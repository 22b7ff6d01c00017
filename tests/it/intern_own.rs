//! Interners of one's own, weak handles, what an interner holds.

use core::hash::{Hash, Hasher};
use hoopsnake::intern::{Interned, Interner, WeakInterned, intern};
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::alone;

#[test]
fn interners_keep_their_values_apart() {
    let _alone = alone();
    let (one, two) = (Interner::<str>::new(), Interner::<str>::new());
    let handles = [one.intern("apart"), two.intern("apart"), intern("apart")];
    assert_eq!(HashSet::from(handles.clone()).len(), 3);
    assert!(one.intern("apart").ptr_eq(&handles[0]) && two.get("apart").unwrap() == handles[1]);
    assert_eq!((one.len(), two.len()), (1, 1));
    assert_eq!(one.get("other"), None);
    assert!(Interner::<str>::global().get("apart").unwrap().ptr_eq(&handles[2]));
    let paths = Interner::<Path>::new();
    assert!(
        paths.intern(Path::new("a//b")).ptr_eq(&paths.intern(Path::new("a/b"))) && paths.is_empty()
    );
    let values = Interner::<String>::default();
    let value = values.intern_by("by");
    assert!(value.ptr_eq(&values.intern(String::from("by"))) && values.get("by") == Some(value));
}

#[test]
fn handles_outlive_their_interner() {
    let names = Interner::<str>::new();
    let numbers = Interner::<Vec<u32>>::new();
    let text: Vec<_> = (0..1000).map(|n| names.intern(format!("outlives {n}"))).collect();
    let lists: Vec<_> = (0..1000).map(|n| numbers.intern(vec![n; 5])).collect();
    let weak: Vec<_> = text.iter().map(Interned::downgrade).collect();
    drop((names, numbers));
    assert!(text.iter().enumerate().all(|(n, text)| **text == format!("outlives {n}")));
    assert!(lists.iter().enumerate().all(|(n, list)| **list == [n as u32; 5]));
    assert_eq!(weak[7].upgrade().as_ref(), Some(&text[7]));
    drop((text, lists));
    assert!(weak.iter().all(|weak| weak.upgrade().is_none()));
}

/// The address space that the process has, in KiB; nothing where the system does not say so.
fn address_space() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    line.and_then(|line| line.split_whitespace().next()).map_or(0, |kib| kib.parse().unwrap())
}

#[test]
fn interners_come_and_go() {
    let before = address_space();
    for round in 0..2000 {
        let names = Interner::<str>::new();
        // What the program's interner keeps for ever, this one does not.
        let held = [names.intern(format!("round {round}")), names.intern(""), names.intern("a")];
        assert!(!held[1].is_immortal() && names.len() == 3);
        if round % 2 == 0 {
            drop(names);
        }
        assert_eq!(held[0], *format!("round {round}"));
    }
    // One takes 8.5 MiB of addresses; other tests run meanwhile.
    let grown = address_space().saturating_sub(before);
    assert!(grown < 1000 * 8500, "{grown} KiB of {} left behind", 2000 * 8500);
}

#[test]
fn iteration_gives_everything_once() {
    let names = Interner::<str>::new();
    assert_eq!(names.iter().len(), 0);
    let mut held: Vec<_> = (0..3000).map(|n| names.intern(n.to_string())).collect();
    held.push(names.intern("immortal"));
    held[3000].immortalize();
    let all: HashSet<_> = names.iter().collect();
    assert!(all.len() == held.len() && held.iter().all(|handle| all.contains(handle)));
    drop(held);
    let mut left = all.into_iter();
    let kept = left.next().expect("3001 of them");
    drop(left);
    assert!((&names).into_iter().all(|handle| handle == kept || handle.is_immortal()));
}

#[test]
fn i08_what_an_interner_holds_is_counted() {
    let names = Interner::<str>::new();
    let empty = names.stats();
    assert_eq!((empty.entries, empty.entry_bytes, empty.page_bytes), (0, 0, 0));
    let held: Vec<_> = (0..50_000).map(|n| names.intern(format!("{n:08}"))).collect();
    names.intern("immortal").immortalize();
    let full = names.stats();
    assert_eq!((full.entries, full.immortal, full.keyed_tables), (50_001, 1, 0));
    assert_eq!(full.entry_bytes, 50_001 * 24, "a header and eight bytes, and nothing else");
    assert!(full.table_bytes <= 50_001 * 22, "{full}");
    assert!(full.to_string().contains("50001") && full.to_string().lines().count() == 7);
    drop(held);
    names.shrink_to_fit();
    let shrunk = names.stats();
    assert_eq!((shrunk.entries, shrunk.entry_bytes), (1, 24));
    assert_eq!(shrunk.table_bytes, empty.table_bytes);
    assert!(shrunk.page_bytes < full.page_bytes / 4 && shrunk.purged_bytes > 0, "{shrunk}");
    let again: Vec<_> = (0..50_000).map(|n| names.intern(format!("{n:08}"))).collect();
    assert_eq!(names.stats().entries, again.len() + 1);
}

#[test]
fn shrinking_while_others_intern() {
    let names = Interner::<str>::new();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let names = &names;
            scope.spawn(move || {
                for round in 0..30 {
                    let text = |n: usize| format!("{} shrinking {n}", seed % 2);
                    let held: Vec<_> = (0..300).map(|n| names.intern(text(n))).collect();
                    assert!(held.iter().enumerate().all(|(n, held)| **held == *text(n)));
                    if round % 3 == seed % 3 {
                        names.shrink_to_fit();
                    }
                }
            });
        }
    });
    assert_eq!(names.len(), 0);
}

#[test]
fn weak_handles_die_with_the_entry() {
    let _alone = alone();
    let text = intern("weakly held");
    let weak = text.downgrade();
    assert_eq!(text.strong_count(), 1, "weak handles do not count");
    assert!(weak.ptr_eq(&WeakInterned::from(&text)) && weak.clone().ptr_eq(&weak));
    assert!(!weak.ptr_eq(&intern("other").downgrade()));
    assert!(weak.upgrade().expect("alive").ptr_eq(&text));
    drop(text);
    assert!(weak.upgrade().is_none());
    // The block is used again at once, for the same text.
    let again = intern("weakly held");
    assert!(weak.upgrade().is_none() && !weak.ptr_eq(&again.downgrade()));
    let late = again.downgrade();
    drop((weak, again));
    assert!(late.upgrade().is_none());
    assert!(WeakInterned::<str>::default().upgrade().is_none());
    let empty = intern("").downgrade();
    assert_eq!(empty.upgrade().expect("immortal"), "");
    assert_eq!(size_of::<WeakInterned<str>>(), size_of::<usize>());
}

#[test]
fn weak_handles_by_the_thousand() {
    let values = Interner::<u64>::new();
    let held: Vec<_> = (0..5000).map(|n| values.intern(n)).collect();
    let weak: Vec<_> = held.iter().map(|value| [value.downgrade(), value.downgrade()]).collect();
    assert!(weak.iter().zip(&held).all(|(weak, held)| {
        weak[0].ptr_eq(&weak[1]) && weak[1].upgrade().as_ref() == Some(held)
    }));
    let mut rest = weak.into_iter();
    drop(rest.by_ref().take(2500).collect::<Vec<_>>());
    drop(held);
    assert!(rest.flatten().all(|weak| weak.upgrade().is_none()));
}

/// A weak handle to itself that looks while its value is dropped.
#[derive(Default)]
struct Looking(u32, std::sync::Mutex<WeakInterned<Looking>>);

static ALIVE_IN_DROP: AtomicUsize = AtomicUsize::new(0);

impl PartialEq for Looking {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Looking {}

impl Hash for Looking {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        let weak = self.1.get_mut().expect("no panic");
        ALIVE_IN_DROP.fetch_add(weak.upgrade().is_some().into(), Ordering::Relaxed);
    }
}

#[test]
fn weak_handles_are_dead_in_drop() {
    let values = Interner::<Looking>::new();
    let value = values.intern(Looking(1, Default::default()));
    *value.1.lock().expect("no panic") = value.downgrade();
    assert!(value.1.lock().expect("no panic").upgrade().expect("alive").ptr_eq(&value));
    drop(value);
    assert_eq!(ALIVE_IN_DROP.load(Ordering::Relaxed), 0);
    assert_eq!(values.len(), 0);
}

#[test]
fn weak_handles_on_eight_threads() {
    let names = Interner::<str>::new();
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let names = &names;
            scope.spawn(move || {
                let mut weak: Vec<(usize, WeakInterned<str>)> = Vec::new();
                for round in 0..5000 {
                    let number = (round * 7 + seed) % 13;
                    let text = format!("weak and raced {number}");
                    let handle = names.intern(&text);
                    weak.push((number, handle.downgrade()));
                    drop(handle);
                    if weak.len() > 20 {
                        for (number, weak) in weak.drain(..15) {
                            let text = format!("weak and raced {number}");
                            assert!(weak.upgrade().is_none_or(|found| found == *text));
                        }
                    }
                }
            });
        }
    });
    assert_eq!(names.len(), 0);
}
