//! Maps, sets, atoms and serialised data of interned values.

use hoopsnake::atom;
use hoopsnake::intern::{Atom, Int, IntTo, InternMap, InternSet, Interned, Interner, intern};
use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::support::alone;

#[test]
fn maps_are_what_hash_maps_are() {
    let _alone = alone();
    let mut random = 1_u64;
    let mut map = InternMap::<str, u64>::new();
    let mut oracle = HashMap::<String, u64>::new();
    for step in 0..20_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let word = format!("mapped {}", (random >> 40) % 300);
        match (random >> 33) % 8 {
            0 => assert_eq!(map.insert(intern(&word), step), oracle.insert(word, step)),
            1 => {
                *map.get_or_intern_with(word.as_str(), || step) += 1;
                *oracle.entry(word).or_insert(step) += 1;
            }
            2 => {
                *map.get_or_insert_with(intern(&word), || step) += 1;
                *oracle.entry(word).or_insert(step) += 1;
            }
            3 => assert_eq!(map.remove(&intern(&word)).map(|pair| pair.1), oracle.remove(&word)),
            4 => assert_eq!(map.remove_by(&*word).map(|pair| pair.1), oracle.remove(&word)),
            5 => assert_eq!(map.get_by(&*word), oracle.get(&word)),
            6 => assert_eq!(map.get_mut_by(&*word), oracle.get_mut(&word)),
            _ => assert_eq!(map.get(&intern(&word)), oracle.get(&word)),
        }
        assert_eq!(map.len(), oracle.len());
    }
    assert!(map.len() > 50);
    assert!(map.iter().all(|(word, value)| oracle.get(&**word) == Some(value)));
    let mut copy = map.clone();
    assert_eq!(copy, map);
    copy.retain(|_, value| *value % 2 == 0);
    oracle.retain(|_, value| *value % 2 == 0);
    assert!(copy != map && copy.len() == oracle.len());
    assert_eq!(copy.into_iter().count(), oracle.len());
}

#[test]
fn i13_maps_find_keys_by_contents_without_interning() {
    let _alone = alone();
    let mut attributes = InternMap::<str, u32>::new();
    *attributes.get_or_intern_with("attribute", || 1) += 1;
    assert_eq!(attributes["attribute"], 2);
    let key = attributes.keys().next().expect("one key");
    assert_eq!(key.strong_count(), 1, "the map's own");
    assert_eq!(attributes.get_by("attribute no. 2"), None);
    assert!(hoopsnake::intern::get("attribute no. 2").is_none());

    // Every kind of contents, and keys of an interner of one's own.
    let mut paths = InternMap::<Path, u8>::new();
    paths.insert(Interned::from(Path::new("a/b")), 1);
    assert_eq!(paths.get_by(Path::new("a//b")), Some(&1));
    let mut lists = InternSet::<[u16]>::new();
    assert!(lists.intern(&[1, 2][..]) && !lists.intern(&[1, 2][..]));
    assert!(lists.contains_by(&[1, 2][..]) && !lists.contains_by(&[1][..]));
    let mut bytes = InternSet::<[u8]>::new();
    assert!(bytes.intern(&b"ab"[..]) && bytes.contains_by(&b"ab"[..]));
    let owned = InternSet::from_iter([Interned::new(String::from("owned"))]);
    assert!(owned.contains_by("owned") && !owned.contains_by("other"));
    let names = Interner::<str>::new();
    let own = InternMap::from_iter([(names.intern("own"), 1)]);
    assert_eq!(own.get_by("own"), Some(&1));
    assert_eq!(own.get(&intern("own")), None, "another interner's handle is another key");
}

#[test]
fn maps_survive_panics() {
    let _alone = alone();
    let mut map = InternMap::<str, u32>::new();
    let mut fails = || *map.get_or_intern_with("panics", || panic!("no value"));
    assert!(catch_unwind(AssertUnwindSafe(&mut fails)).is_err());
    assert!(map.is_empty() && map.get_by("panics").is_none());
    let dropped = Cell::new(0);
    struct Loud<'a>(&'a Cell<u32>);
    impl Drop for Loud<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let mut loud = InternMap::<str, Loud<'_>>::new();
    for word in ["a", "b", "a"] {
        loud.insert(intern(word), Loud(&dropped));
    }
    assert_eq!(dropped.get(), 1);
    drop(loud);
    assert_eq!(dropped.get(), 3);
}

#[test]
fn sets_are_sets() {
    let _alone = alone();
    let small: InternSet<str> = ["x", "y"].map(intern).into_iter().collect();
    let mut large = small.clone();
    assert!(large == small && large.insert(intern("zz")) && !large.insert(intern("zz")));
    assert!(small.is_subset(&large) && !large.is_subset(&small));
    assert_eq!(large.take_by("zz"), Some(intern("zz")));
    assert!(large.remove(&intern("x")) && !large.contains_by("x"));
    assert!(large.is_disjoint(&InternSet::from_iter([intern("x")])));
    assert_eq!(format!("{large:?}"), "{\"y\"}");
}

#[test]
fn i10_atoms_are_the_same_everywhere() {
    let _alone = alone();
    static ATOM: Atom = Atom::new("an atom");
    fn elsewhere() -> &'static Interned<str> {
        atom!("an atom")
    }
    let here = atom!("an atom");
    assert!(here.ptr_eq(elsewhere()) && here.ptr_eq(&ATOM));
    assert!(here.ptr_eq(&intern("an atom")) && here.is_immortal());
    assert!(intern("an atom") == here && *here == *ATOM);
    assert!(intern("another") != here);
    let names = std::thread::scope(|scope| {
        let threads = [0; 8].map(|_| scope.spawn(|| atom!("raced atom").id()));
        threads.map(|thread| thread.join().expect("a handle"))
    });
    assert!(names.iter().all(|id| *id == names[0]));
}

/// Folding and sharing constants is the compiler's; what it made of them is the same atom, and values that are
/// made apart are not.
#[test]
fn i11_i12_constants_are_shared_through_atoms() {
    let _alone = alone();
    assert!(atom!(concat!("ab", "ab", "ab")).ptr_eq(atom!("ababab")));
    assert!(atom!("ababab").ptr_eq(&intern(&"ab".repeat(3))));
    let constant = Int::new(1000);
    assert!(constant.ptr_eq(&constant.clone()) && !constant.ptr_eq(&Int::new(1000)));
}

#[test]
fn i01_wider_ranges() {
    for value in [257, 512, 513, 1000, 1024] {
        assert!(IntTo::<1024>::new(value).ptr_eq(&IntTo::new(value)), "{value}");
        assert_eq!(IntTo::<1024>::new(value), value);
        assert!(!Int::new(value).ptr_eq(&Int::new(value)), "{value}");
        assert_eq!(IntTo::<1024>::new(value).id(), IntTo::<100_000>::new(value).id());
    }
    let outside = IntTo::<1024>::new(1025);
    assert!(!outside.is_immortal() && !outside.ptr_eq(&IntTo::new(1025)));
    assert!(IntTo::<1024>::new(-5).is_immortal() && !IntTo::<1024>::new(-6).is_immortal());
    let ids = std::thread::scope(|scope| {
        let threads = [0; 8].map(|_| scope.spawn(|| IntTo::<{ 1 << 20 }>::new(70_000).id()));
        threads.map(|thread| thread.join().expect("a number"))
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn i03_every_operator_ends_in_shared_ints() {
    let shared = |result: Int, value: i64| result == value && result.ptr_eq(&Int::new(value));
    let (a, b) = (Int::new(1000), Int::new(999));
    assert!(shared(&a - &b, 1) && shared(&a & Int::new(255), 232));
    assert!(
        shared(&a ^ &b, 15)
            && shared(&a / &b, 1)
            && shared(&a >> 2, 250)
            && shared(Int::new(1) << 8, 256)
    );
    assert!(shared(!&Int::new(4), -5) && shared(a.checked_rem(&b).unwrap(), 1));
    assert!(shared([1, 2, 3].map(Int::new).iter().sum(), 6));
    assert!(shared([1, 2, 4].map(Int::new).into_iter().product(), 8));
    let mut counted = Int::new(255);
    counted += 1;
    assert!(counted.is_immortal());
    counted += 1;
    assert!(!counted.is_immortal() && counted.checked_add(&Int::new(i64::MAX)).is_none());
    assert!(shared("200".parse().unwrap(), 200) && shared(Int::from(7_u8), 7));
    assert!("x".parse::<Int>().is_err() && Int::new(3) > 2 && 3 == Int::new(3));
    assert_eq!(HashMap::from([(Int::new(7), 'x')]).get(&7_i64), Some(&'x'), "borrowed lawfully");
}

#[test]
fn serialised_data_interns() {
    let _alone = alone();
    let words: Vec<Interned<str>> = serde_json::from_str(r#"["a b", "c\n", "a b"]"#).unwrap();
    assert!(words[0].ptr_eq(&words[2]) && words[1] == "c\n");
    assert_eq!(serde_json::to_string(&words).unwrap(), r#"["a b","c\n","a b"]"#);
    let map: InternMap<str, Int> = serde_json::from_str(r#"{"k": 7, "l": -8}"#).unwrap();
    assert!(map["k"].is_immortal() && map["l"] == -8);
    let again: InternMap<str, Int> =
        serde_json::from_str(&serde_json::to_string(&map).unwrap()).unwrap();
    assert_eq!(again, map);
    let set: InternSet<[u8]> = serde_json::from_str("[[1, 2], [1, 2], []]").unwrap();
    assert_eq!(set.len(), 2);
    let set: InternSet<[u8]> = serde_json::from_str(&serde_json::to_string(&set).unwrap()).unwrap();
    assert!(set.contains_by(&[1, 2][..]));
    let path: Interned<Path> = serde_json::from_str(r#""a/b""#).unwrap();
    assert_eq!(path, Path::new("a/b"));
    let value: Interned<(u8, String)> = serde_json::from_str(r#"[1, "x"]"#).unwrap();
    assert!(value.ptr_eq(&Interned::new((1, String::from("x")))));
    assert!(serde_json::from_str::<Interned<str>>("7").is_err());
}
