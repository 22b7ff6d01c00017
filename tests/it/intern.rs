//! Interning: the cases I and X20 of CPython's behaviour, from outside the crate.

use core::hash::BuildHasher;
use hoopsnake::intern::{self, Int, Interned, OutOfMemory, intern, intern_bytes};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::RandomState;
use std::sync::Barrier;

use crate::support::alone;

#[test]
fn i01_small_ints_are_shared() {
    for value in -5..=256 {
        assert!(Int::new(value).ptr_eq(&Int::new(value)), "{value}");
        assert_eq!(Int::new(value).id(), Int::new(value).id());
    }
    for value in [-6, 257, i64::MIN, i64::MAX] {
        let (a, b) = (Int::new(value), Int::new(value));
        assert!(!a.ptr_eq(&b) && a == b, "{value}");
        assert!(a.ptr_eq(&a.clone()));
    }
}

#[test]
fn i02_rebinding_breaks_the_link() {
    let (mut x, y) = (Int::new(10), Int::new(10));
    assert!(x.ptr_eq(&y));
    x = Int::new(11);
    assert!(!x.ptr_eq(&y));
    assert_eq!(y.get(), 10);
    assert_eq!(*x, 11);
}

#[test]
fn i03_arithmetic_returns_shared_ints() {
    let six = Int::new("6".parse().unwrap());
    assert!((Int::new(250) + &six).ptr_eq(&Int::new(256)));
    assert!((&six - Int::new(11)).ptr_eq(&Int::new(-5)));
    assert!((&six * &six).ptr_eq(&Int::new(36)));
    assert!((Int::new(1000) / 500).ptr_eq(&Int::new(2)));
    assert!((Int::new(1000) % &six).ptr_eq(&Int::new(4)));
    assert!((-Int::new(5)).ptr_eq(&Int::new(-5)));
    assert!((-&six).ptr_eq(&(Int::new(-12) + 6)) || -&six == -6);
    let fresh = Int::new(256) + 1;
    assert!(fresh == 257 && !fresh.ptr_eq(&(Int::new(256) + 1)));
}

#[test]
fn i04_singletons() {
    let _alone = alone();
    assert!(intern("").ptr_eq(&Interned::default()) && intern("").is_immortal());
    assert!(intern_bytes(b"").ptr_eq(&intern_bytes(&[])) && intern_bytes(b"").is_immortal());
    assert!(Interned::new(()).ptr_eq(&Interned::new(())));
    assert!(Interned::new(true).ptr_eq(&Interned::new(2 > 1)));
    assert!(!Interned::new(true).ptr_eq(&Interned::new(false)));
    assert!(Interned::new(None::<u8>).ptr_eq(&Interned::new(None)));
}

#[test]
fn i05_one_character_strings() {
    let _alone = alone();
    let before = intern::len();
    for number in 0..=255u8 {
        let first = intern(&char::from(number).to_string());
        let id = first.id();
        assert!(first.is_immortal());
        drop(first);
        assert_eq!(Interned::<str>::from(char::from(number)).id(), id);
    }
    assert_eq!(intern::len(), before, "immortals are not counted");
    assert!(!Interned::<str>::from('\u{100}').is_immortal());
    assert!(!intern("ab").is_immortal());
}

#[test]
fn i06_the_first_string_wins() {
    let _alone = alone();
    let text = String::from("a canonical text");
    let first = intern(&text);
    let again = intern(&["a canonical", " text"].concat());
    assert!(first.ptr_eq(&again));
    assert_eq!(first.id(), again.id());
    assert_eq!(first, "a canonical text");
    assert_ne!(first.as_ptr(), text.as_ptr(), "the argument itself is not marked");
    assert!(!first.ptr_eq(&intern("another text")));
}

#[test]
fn i07_what_can_be_interned() {
    let _alone = alone();
    let text = intern("typed");
    assert_eq!(Interned::from("typed"), text);
    assert_eq!(Interned::from(&String::from("typed")), text);
    assert_eq!(Interned::from(String::from("typed").into_boxed_str()), text);
    assert_eq!("typed".parse::<Interned<str>>().unwrap(), text);
    assert_eq!(String::from(&text), "typed");
    // Bytes have an interner of their own.
    assert_ne!(intern_bytes(b"typed").id(), text.id());
    assert_eq!(*intern_bytes(b"typed"), *b"typed");
}

#[test]
fn i08_interned_strings_are_mortal() {
    let _alone = alone();
    let before = intern::len();
    let name = |number: u32| format!("mortal {number}");
    let held: Vec<_> = (0..100_000).map(|number| intern(&name(number))).collect();
    assert_eq!(intern::len(), before + held.len());
    let ids: HashSet<usize> = held.iter().map(Interned::id).collect();
    assert_eq!(ids.len(), held.len());
    drop(held);
    assert_eq!(intern::len(), before);
    assert!(intern::get(&name(5)).is_none());
    // The blocks are used again, but for those that runs begun before still have to give.
    let again: Vec<_> = (0..100_000).map(|number| intern(&name(number))).collect();
    let used_again = again.iter().filter(|handle| ids.contains(&handle.id())).count();
    assert!(used_again > 50_000, "{used_again} of 100000 blocks used again");
}

#[test]
fn i09_the_table_is_not_counted() {
    let _alone = alone();
    let text = intern("counted");
    assert_eq!(text.strong_count(), 1);
    let handles = vec![text.clone(); 9];
    assert_eq!(text.strong_count(), 10);
    drop(handles);
    assert_eq!(text.strong_count(), 1);
    assert_eq!(intern("").strong_count(), u32::MAX as usize);
}

#[test]
fn i16_the_hash_is_that_of_the_handle() {
    let _alone = alone();
    let long = intern(&"long ".repeat(1 << 20));
    let state = RandomState::new();
    // A million hashes of five megabytes each would take minutes.
    let hash = state.hash_one(&long);
    assert!((0..1_000_000).all(|_| state.hash_one(&long) == hash));
    let mut map = HashMap::new();
    map.insert(long.clone(), 1);
    assert_eq!(map[&intern(&"long ".repeat(1 << 20))], 1);
    let words = BTreeSet::from(["pear", "apple", "fig"].map(intern));
    assert!(words.iter().map(|word| &**word).eq(["apple", "fig", "pear"]));
}

#[test]
fn i17_substrings_come_from_the_cache() {
    let _alone = alone();
    let text = String::from("spam");
    assert!(intern(&text[2..3]).ptr_eq(&intern("a")));
    assert!(intern(&text[2..2]).ptr_eq(&intern("")));
    assert!(intern(&["e", ""].concat()).ptr_eq(&Interned::from('e')));
}

#[test]
fn x20_eight_threads_and_last_drops() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 20_000;
    let _alone = alone();
    let before = intern::len();
    let start = Barrier::new(THREADS);
    let run = |seed: usize| {
        start.wait();
        let mut random = seed as u64 * 2 + 1;
        let mut held: [Option<Interned<str>>; 8] = Default::default();
        for _ in 0..ROUNDS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let text = format!("raced {}", random >> 60);
            let handle = intern(&text);
            assert_eq!(handle, text.as_str(), "another text");
            let again = intern(&text);
            assert!(handle.ptr_eq(&again), "two live entries");
            held[(random >> 40) as usize % 8] = Some(handle);
            held[(random >> 30) as usize % 8] = None;
        }
    };
    std::thread::scope(|scope| {
        let run = &run;
        (0..THREADS).for_each(|seed| drop(scope.spawn(move || run(seed))));
    });
    assert_eq!(intern::len(), before, "entries left");
}

#[test]
fn x20_values_on_eight_threads() {
    let _alone = alone();
    #[derive(Debug, PartialEq, Eq, Hash)]
    struct Owner(Vec<Interned<str>>);
    std::thread::scope(|scope| {
        for seed in 0..8usize {
            scope.spawn(move || {
                for round in 0..5000 {
                    let names = ["owned a", "owned b", "owned c"];
                    let make = || Owner(vec![intern(names[(round + seed) % 3])]);
                    let owner = Interned::new(make());
                    assert!(owner.ptr_eq(&Interned::new(make())));
                    assert_eq!(owner.0[0], names[(round + seed) % 3]);
                }
            });
        }
    });
    assert!(intern::get("owned a").is_none());
}

#[test]
fn handles_are_words_and_cross_threads() {
    let _alone = alone();
    fn crosses<T: Send + Sync>() {}
    crosses::<Interned<str>>();
    crosses::<Interned<[u8]>>();
    crosses::<Interned<Vec<String>>>();
    crosses::<Int>();
    assert_eq!(size_of::<Option<Interned<str>>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Interned<[u8; 99]>>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Int>>(), size_of::<usize>());
    assert_eq!(intern::try_intern("fallible"), Ok::<_, OutOfMemory>(intern("fallible")));
}
