//! The layer as a whole, on interners of its own where numbers must be exact.

use super::hash::Seed;
use super::interned::Interned;
use super::slice::{BYTES_KIND, bytes};
use super::slot::{Table, place_of_hash};
use super::store::Store;
use super::value::EntryPtr;
use super::{intern, release};
use crate::base::config::PAGE;
use crate::os::failing::refusing;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash, Hasher};
use core::panic::AssertUnwindSafe;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::HashSet;
use std::hash::RandomState;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::Instant;

/// An interner of bytes that nobody else uses; it goes with its last handle.
struct Own(&'static Store);

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and tests look nothing up after this.
        unsafe { Store::close(NonNull::from(self.0)) };
    }
}

impl Own {
    fn new() -> Self {
        super::fork::register();
        let interner = Store::map(BYTES_KIND, true, None).expect("memory");
        // SAFETY: mapped and filled; used while `self` lives.
        Self(unsafe { interner.as_ref() })
    }

    fn try_intern(&self, text: &str) -> Option<Interned<[u8]>> {
        let (text, hash) = (text.as_bytes(), self.0.hash_plain(text.as_bytes()));
        let found = self.0.look_up_plain(text, hash);
        let entry = found.or_else(|| self.0.insert_plain(text, hash, false))?;
        // SAFETY: an entry of bytes, with its count.
        Some(unsafe { Interned::from_entry(entry) })
    }

    /// Interns under the hash that belongs to the text, or under one that a foe chose.
    fn intern_as(&self, text: &str, hash: u64) -> Interned<[u8]> {
        let found = self.0.look_up_plain(text.as_bytes(), hash);
        let entry = found.or_else(|| self.0.insert_plain(text.as_bytes(), hash, false));
        // SAFETY: an entry of bytes, with its count.
        unsafe { Interned::from_entry(entry.expect("memory")) }
    }

    fn purged_pages(&self) -> usize {
        self.0.tally().1.purged / PAGE
    }

    fn intern(&self, text: &str) -> Interned<[u8]> {
        self.intern_as(text, self.0.hash_plain(text.as_bytes()))
    }
}

#[test]
fn an_interner_goes_with_its_last_handle() {
    let own = Own::new();
    let mut held: Vec<_> = (0..20_000).map(|number| own.intern(&number.to_string())).collect();
    let odd: Vec<_> = held.iter().skip(1).step_by(2).cloned().collect();
    held.truncate(10_000);
    drop(own);
    for (number, handle) in held.iter().enumerate() {
        assert_eq!(&**handle, number.to_string().as_bytes());
    }
    let pieces: Vec<_> = [held, odd].into_iter().flatten().collect();
    let mut pieces = pieces.into_iter();
    // All threads drop; the last of all handles unmaps.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let mine: Vec<_> = pieces.by_ref().take(6_000).collect();
            scope.spawn(move || drop(mine));
        }
    });
    let last: Vec<_> = pieces.collect();
    assert!(last.len() == 2_000 && &*last[1999] == b"19999", "{:?}", last.last());
    drop(last);
}

#[test]
fn all_entries_can_be_had() {
    let own = Own::new();
    assert!(own.0.entries().is_empty());
    let held: Vec<_> = (0..3000).map(|number| own.intern(&number.to_string())).collect();
    // SAFETY: entries of bytes, each with the count that was taken for it.
    let all =
        own.0.entries().into_iter().map(|entry| unsafe { Interned::<[u8]>::from_entry(entry) });
    let all: HashSet<_> = all.collect();
    assert!(all.len() == held.len() && held.iter().all(|handle| all.contains(handle)));
    assert_eq!(held[7].strong_count(), 2);
}

#[test]
fn tables_grow_and_shrink() {
    let own = Own::new();
    let mut held = Vec::new();
    for number in 0..60_000 {
        held.push(own.intern(&number.to_string()));
        if number % 10_000 == 0 {
            own.0.check_invariants();
        }
    }
    assert_eq!(own.0.len(), held.len());
    own.0.check_invariants();
    for (number, handle) in held.iter().enumerate() {
        assert_eq!(&**handle, number.to_string().as_bytes());
        assert!(own.intern(&number.to_string()).ptr_eq(handle));
    }
    // One in a thousand survives the pages that go back.
    let mut number = 0;
    held.retain(|_| {
        number += 1;
        number % 1000 == 1
    });
    own.0.check_invariants();
    assert_eq!(own.0.len(), held.len());
    for (number, handle) in held.iter().enumerate() {
        assert_eq!(&**handle, (number * 1000).to_string().as_bytes());
    }
    let again: Vec<_> = (0..60_000).map(|number| own.intern(&number.to_string())).collect();
    for (number, handle) in again.iter().enumerate() {
        assert_eq!(&**handle, number.to_string().as_bytes());
    }
    drop((held, again));
    own.0.check_invariants();
    assert_eq!(own.0.len(), 0);
}

#[test]
fn pages_go_back_and_come_again() {
    let own = Own::new();
    let text = |number: usize| "x".repeat(number % 2 * 40) + &number.to_string();
    let fill = |count| (0..count).map(|number| own.intern(&text(number))).collect::<Vec<_>>();
    let held = fill(100_000);
    assert_eq!(own.purged_pages(), 0);
    // In another order than they were made, so that pages empty slowly.
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    for (number, handle) in held.into_iter().enumerate() {
        if number % 2 == 0 { even.push(handle) } else { odd.push(handle) }
    }
    drop(even);
    own.0.check_invariants();
    for (at, handle) in odd.iter().enumerate() {
        assert_eq!(&**handle, text(2 * at + 1).as_bytes());
    }
    drop(odd);
    own.0.check_invariants();
    // 100,000 entries of 24 and 64 bytes make 1070 pages; a class keeps a few in each shard.
    let purged = own.purged_pages();
    assert!(purged > 700, "{purged} pages went back");
    // More than the runs have left: purged pages are carved again before there are new runs.
    let again = fill(400_000);
    own.0.check_invariants();
    for (number, handle) in again.iter().enumerate() {
        assert_eq!(&**handle, text(number).as_bytes());
    }
    assert_eq!(own.purged_pages(), 0, "of {purged} purged pages");
}

#[test]
fn what_is_left_fits() {
    let own = Own::new();
    let mut number = 0;
    let mut held: Vec<_> = (0..100_000).map(|number| own.intern(&number.to_string())).collect();
    held.retain(|_| {
        number += 1;
        number % 1000 == 0
    });
    own.0.shrink_to_fit();
    own.0.check_invariants();
    let (tables, blocks) = own.0.tally();
    assert_eq!((tables.live, tables.immortal, tables.keyed), (100, 0, 0));
    // Longer than the shortest is only a table whose half would be three quarters full.
    assert!(tables.slots <= 64 * 16 + 100 * 8 / 3, "{tables:?}");
    // At most a page for each survivor; 24 bytes are its block.
    assert!(blocks.live == 2400 && blocks.pages <= 100 * PAGE && blocks.purged > 0, "{blocks:?}");
    for handle in &held {
        assert!(own.intern(core::str::from_utf8(handle).expect("digits")).ptr_eq(handle));
    }
    drop(held);
    own.0.check_invariants();
    let (tables, blocks) = own.0.tally();
    assert_eq!((tables.live, blocks.live, blocks.pages), (0, 0, 0));
}

/// With each seed, texts that differ in a few digits find their slots as soon as random ones. (Hashes as they
/// are fail this with one seed of a hundred.)
#[test]
fn no_seed_clusters() {
    const LOG2: u32 = 10;
    let mut slots = std::vec![false; 1 << LOG2];
    let table = Table::new(0, LOG2, false);
    for round in 0..300 {
        let random = RandomState::new();
        let seed = Seed::new(random.hash_one(0), random.hash_one(1));
        for (prefix, factor) in [("", 1), ("key", 1), ("user_name_", 1), ("", 1000), ("0x", 16)] {
            slots.fill(false);
            let mut steps = 0;
            for number in 0..slots.len() * 2 / 3 {
                let text = prefix.to_string() + &(number * factor).to_string();
                let mut at = table.home(place_of_hash(seed.hash_bytes(text.as_bytes())));
                while core::mem::replace(&mut slots[at], true) {
                    at = (at + 1) % slots.len();
                    steps += 1;
                }
            }
            // One for each text, by chance.
            assert!(
                steps < slots.len() * 3,
                "{round}: {steps} steps to {prefix:?} {factor} {seed:?}"
            );
        }
    }
}

/// Each request for memory is refused once, or from then on: some texts are not interned, nothing is lost.
#[test]
fn refused_memory_loses_nothing() {
    assert!(refusing(0, 1, || Store::map(BYTES_KIND, true, None)).0.is_none());
    for (first, count) in [(0, 1), (1, 1), (2, 1), (9, 1), (0, 9999), (40, 9999)] {
        let own = Own::new();
        // Long ones need a run for each few; many need large tables.
        let texts = || (0..26_000).map(|number| "x".repeat(number % 7 * 40) + &number.to_string());
        let intern_all = || texts().map(|text| own.try_intern(&text)).collect::<Vec<_>>();
        let (held, requests) = refusing(first, count, intern_all);
        assert!(requests > first, "{requests} requests");
        own.0.check_invariants();
        let (there, refused): (Vec<_>, Vec<_>) =
            texts().zip(held).partition(|(_, handle)| handle.is_some());
        assert_eq!(own.0.len(), there.len());
        assert!(count == 1 || !refused.is_empty(), "nothing was refused");
        assert!(count > 1 || refused.len() <= 1, "{} texts for one refusal", refused.len());
        for (text, handle) in &there {
            assert!(handle.as_ref() == Some(&own.intern(text)), "{text} is lost");
        }
        let again: Vec<_> = refused.iter().map(|(text, _)| own.intern(text)).collect();
        assert_eq!(own.0.len(), there.len() + again.len());
        own.0.check_invariants();
        drop((there, again));
        own.0.check_invariants();
        assert_eq!(own.0.len(), 0);
    }
}

/// Interns texts, then finds each of them, and says how long that took.
fn timed(own: &Own, held: &mut Vec<Interned<[u8]>>, hash: impl Fn(&str) -> u64) -> Duration {
    let texts: Vec<_> = (0..20_000).map(|number| number.to_string()).collect();
    let begin = Instant::now();
    held.extend(texts.iter().map(|text| own.intern_as(text, hash(text))));
    for (text, handle) in texts.iter().zip(&*held) {
        assert!(own.intern_as(text, hash(text)).ptr_eq(handle));
    }
    begin.elapsed()
}

/// All texts have one hash, as if a foe knew the seed. Without the keyed table each look-up would
/// compare half of all entries: 200 million comparisons for each pass, a thousand times the work.
#[test]
fn chosen_hashes_meet_a_keyed_table() {
    let (own, random) = (Own::new(), Own::new());
    let (mut held, mut others) = (Vec::new(), Vec::new());
    let usual = timed(&random, &mut others, |text| random.0.hash_plain(text.as_bytes()));
    let chosen = timed(&own, &mut held, |_| 0x1234_5678);
    std::println!("20,000 texts: {usual:?}, of one hash {chosen:?}");
    assert!(chosen < 10 * usual, "{usual:?} for random texts, {chosen:?} for chosen ones");
    own.0.check_invariants();
    assert_eq!((own.0.tally().0.keyed, random.0.tally().0.keyed), (1, 0));
    drop(held);
    own.0.check_invariants();
    assert_eq!(own.0.len(), 0);
}

/// Paths are compared by components, and hashed by them in a keyed table too.
#[test]
fn chosen_paths_meet_a_keyed_table() {
    let interner = crate::intern::Interner::<Path>::new();
    let store = interner.store();
    let find = |path: &str| store.look_up_plain(Path::new(path), 77);
    for number in 0..200 {
        let entry = store.insert_plain(Path::new(&std::format!("a//{number}/b")), 77, true);
        assert_eq!(
            entry.map(|entry| entry.0),
            find(&std::format!("a/{number}/./b")).map(|entry| entry.0)
        );
        assert!(entry.is_some() && find(&std::format!("a{number}/b")).is_none());
    }
    interner.check_invariants();
    assert_eq!(interner.stats().keyed_tables, 1);
}

#[test]
fn sizes_and_alignments_of_all_kinds() {
    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    #[repr(align(64))]
    struct Aligned(u8);
    let (a, b) = (Interned::new(Aligned(1)), Interned::new(Aligned(1)));
    assert!(a.ptr_eq(&b) && (&raw const *a).addr() % 64 == 0);
    let wide = Interned::new(u128::MAX);
    assert!((&raw const *wide).addr() % align_of::<u128>() == 0 && *wide == u128::MAX);
    assert!(Interned::new(()).ptr_eq(&Interned::new(())));
    let nothing = [Interned::new([[0u128; 0]; 1]), Interned::new([[0u128; 0]; 1])];
    assert!((&raw const *nothing[0]).addr() % align_of::<u128>() == 0);
    let large = Interned::new([7u64; 200]);
    assert!(large.ptr_eq(&Interned::new([7u64; 200])));
    for len in [0, 1, 8, 9, 1007, 1008, 1009, 5000] {
        let text = "x".repeat(len);
        let handle = intern(&text);
        assert_eq!(handle, text.as_str());
        assert!(handle.ptr_eq(&intern(&text)));
    }
}

#[test]
fn a_stale_count_keeps_the_entry() {
    let own = Own::new();
    let hash = own.0.hash_plain(&b"stale"[..]);
    let first = own.intern("stale");
    let entry = own.0.look_up_plain(&b"stale"[..], hash).expect("alive");
    drop(first);
    // SAFETY: the look-up took a count.
    assert_eq!(unsafe { bytes(EntryPtr(entry.0)) }, b"stale");
    // SAFETY: as above.
    unsafe { release::give_back(entry.0) };
    assert_eq!(own.0.len(), 0);
}

/// A value that interns, drops and panics where it can.
#[derive(Debug)]
struct Wild {
    number: u32,
    panics: bool,
}

impl PartialEq for Wild {
    fn eq(&self, other: &Self) -> bool {
        let held = Interned::new(self.number.to_string());
        drop(intern(&held));
        assert!(!self.panics && !other.panics, "Eq panics");
        self.number == other.number
    }
}

impl Eq for Wild {}

impl Hash for Wild {
    fn hash<H: Hasher>(&self, state: &mut H) {
        drop(Interned::new((self.number, "in Hash")));
        assert!(self.number != 13, "Hash panics");
        state.write_u32(self.number % 3);
    }
}

impl Drop for Wild {
    fn drop(&mut self) {
        drop(intern("in Drop"));
        if !self.number.is_multiple_of(7) {
            drop(Interned::new(Wild { number: self.number - self.number % 7, panics: false }));
        }
        assert!(std::thread::panicking() || self.number != 70, "Drop panics");
    }
}

#[test]
fn user_code_may_intern_and_panic() {
    let held: Vec<_> = (0..60)
        .filter(|&n| n != 13)
        .map(|number| Interned::new(Wild { number, panics: false }))
        .collect();
    let panics = |f: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(f)).is_err();
    assert!(panics(&mut || drop(Interned::new(Wild { number: 13, panics: false }))));
    assert!(panics(&mut || drop(Interned::new(Wild { number: 3, panics: true }))));
    for (at, handle) in held.iter().enumerate() {
        let number = if at < 13 { at } else { at + 1 } as u32;
        assert!(handle.ptr_eq(&Interned::new(Wild { number, panics: false })));
    }
    let fatal = Interned::new(Wild { number: 70, panics: false });
    assert!(panics(&mut {
        let mut last = Some(fatal);
        move || drop(last.take())
    }));
    drop(held);
    assert!(Interned::get(&Wild { number: 3, panics: false }).is_none());
    assert_eq!(*Interned::new(5u8), 5);
}

#[derive(PartialEq, Eq, Hash)]
struct Node {
    next: Option<Interned<Node>>,
    number: usize,
}

static NODES: AtomicUsize = AtomicUsize::new(0);

impl Drop for Node {
    fn drop(&mut self) {
        NODES.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn a_chain_of_a_million_drops_on_a_small_stack() {
    let run = || {
        let mut chain = None;
        for number in 0..1_000_000 {
            NODES.fetch_add(1, Ordering::Relaxed);
            chain = Some(Interned::new(Node { next: chain, number }));
        }
        drop(chain);
        assert_eq!(NODES.load(Ordering::Relaxed), 0);
    };
    let small = std::thread::Builder::new().stack_size(64 << 10);
    small.spawn(run).expect("a thread").join().expect("no overflow");
}

#[test]
fn threads_end_with_handles() {
    struct AtEnd(Option<Interned<str>>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            drop(self.0.take());
            let late = intern("interned in a thread's end");
            assert_eq!(late, "interned in a thread's end");
            drop(Interned::new(String::from("dropped in a thread's end")));
        }
    }
    std::thread_local! {
        static HELD: AtEnd = AtEnd(Some(intern("held to a thread's end")));
    }
    std::thread::spawn(|| HELD.with(|held| assert!(held.0.is_some()))).join().expect("a clean end");
    assert!(super::get("held to a thread's end").is_none());
    assert!(super::get("interned in a thread's end").is_none());
}

#[test]
fn immortals_stay() {
    let own = Own::new();
    let handle = own.intern("immortal, soon");
    let id = handle.id();
    assert_eq!((own.0.len(), handle.is_immortal()), (1, false));
    handle.immortalize();
    handle.immortalize();
    assert_eq!((own.0.len(), handle.is_immortal()), (0, true));
    drop(handle);
    assert_eq!(own.intern("immortal, soon").id(), id);
    own.0.check_invariants();
}

/// What is made immortal is not counted, by nobody: its word does not change. More of them than fit one
/// region, of all sizes and alignments.
#[test]
fn made_immortals_are_not_counted() {
    let interner = crate::intern::Interner::<str>::new();
    let text = |number: usize| "x".repeat(number % 1100) + &number.to_string();
    let held: Vec<_> = (0..12_000).map(|number| interner.intern_immortal(text(number))).collect();
    interner.check_invariants();
    let stats = interner.stats();
    assert_eq!((stats.entries, stats.immortal), (held.len(), held.len()));
    assert!(stats.entry_bytes > 4 << 20 && stats.page_bytes >= stats.entry_bytes, "{stats}");
    for (number, handle) in held.iter().enumerate() {
        assert!(handle.is_immortal() && *handle == *text(number));
        assert!(interner.intern(text(number)).clone().ptr_eq(handle));
        drop(interner.get(&*text(number)));
    }
    assert_eq!(interner.iter().count(), held.len());
    for handle in &held {
        assert!(handle.downgrade().upgrade().is_some_and(|again| again.ptr_eq(handle)));
        assert_eq!(handle.header().count.word(), crate::intern::entry::Count::immortal().word());
    }
    let wide = crate::intern::Interner::<u128>::new();
    let odd = wide.intern(1);
    assert!(!odd.is_immortal());
    for number in 0..1000 {
        let handle = wide.intern_immortal(number);
        assert!(*handle == number && core::ptr::from_ref(&*handle).is_aligned());
        assert!(handle.is_immortal() && wide.intern(number).ptr_eq(&handle));
    }
    assert!(odd.is_immortal(), "where it is");
}

/// Entries of the program's interners, of others, and immortal ones are told by their addresses.
#[test]
fn addresses_say_how_a_handle_goes() {
    use crate::intern::regions::{is_closable, is_immortal, is_lasting};
    let kind = |entry| (is_lasting(entry), is_closable(entry), is_immortal(entry));
    let own = Own::new();
    // Starter spans, runs, more than one region, and boxes.
    let texts = (0..9000).map(|number| "x".repeat(number % 1500) + "y" + &number.to_string());
    let held: Vec<_> = texts.clone().map(|text| own.intern(&text)).collect();
    assert!(held.iter().all(|handle| kind(handle.entry()) == (false, true, false)));
    held[0].immortalize();
    assert_eq!(kind(held[0].entry()), (false, true, false));
    let shared: Vec<_> = texts.map(|text| intern(&text)).collect();
    assert!(shared.iter().all(|handle| kind(handle.entry()) == (true, false, false)));
    let interner = crate::intern::Interner::<str>::new();
    assert_eq!(kind(interner.intern("closable").entry()), (false, true, false));
    for immortal in [interner.intern_immortal("immortal"), intern("")] {
        assert_eq!(kind(immortal.entry()), (false, false, true));
    }
}
