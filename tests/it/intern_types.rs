//! What can be interned, and by what it is found.

use core::cell::Cell;
use core::ffi::CStr;
use core::fmt::Debug;
use core::hash::{Hash, Hasher};
use hoopsnake::intern::{Intern, Internable, Interned, Interner, LookUp};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::{CString, OsStr, OsString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::support::alone;

/// What holds for every type: one entry for equal values, gone with the last handle.
fn one_entry<T, V>(a: V, same: V, other: V)
where
    T: ?Sized + Internable + LookUp<T> + PartialEq + Debug,
    V: Intern<T> + Clone,
{
    let first = Interned::<T>::intern(a.clone());
    assert!(first.ptr_eq(&Interned::intern(same.clone())) && first.strong_count() == 1);
    assert_eq!(*first, *Interned::<T>::intern(same));
    let third = Interned::<T>::try_intern(other).expect("memory");
    assert!(first != third && *first != *third);
    assert_eq!(Interned::get(&*first).as_ref(), Some(&first));
    assert_eq!(HashSet::from([first.clone(), third]).len(), 2);
    let id = first.id();
    let kept = Interned::get(&*first);
    drop(first);
    assert_eq!(kept.expect("alive").id(), id);
    assert_eq!(size_of::<Option<Interned<T>>>(), size_of::<usize>());
}

#[test]
fn i07_every_kind_of_contents() {
    let _alone = alone();
    one_entry::<str, _>("kinds a", "kinds a", "kinds b");
    one_entry::<[u8], _>(&b"kinds a"[..], &b"kinds a"[..], &b"kinds b"[..]);
    one_entry::<OsStr, _>(OsStr::new("kinds a"), OsStr::new("kinds a"), OsStr::new("kinds b"));
    one_entry::<CStr, _>(c"kinds a", c"kinds a", c"kinds b");
    one_entry::<Path, _>(Path::new("kinds/a"), Path::new("kinds/a"), Path::new("kinds/b"));
    one_entry::<[u16], _>(&[1u16, 2][..], &[1, 2], &[1, 3]);
    one_entry::<[u128], _>(&[1u128][..], &[1], &[3]);
    one_entry::<[()], _>(&[(), ()][..], &[(), ()], &[()]);
    let words = |last: &str| vec!["a".to_owned(), last.to_owned()];
    one_entry::<[String], _>(words("kinds"), words("kinds"), words("other kinds"));
    one_entry::<Vec<String>, _>(words("kinds"), words("kinds"), words("other kinds"));
    one_entry::<(u8, char), _>((1, 'k'), (1, 'k'), (2, 'k'));
    one_entry::<Interned<str>, _>(Interned::from("k"), Interned::from("k"), Interned::from("l"));
}

#[test]
fn i07_each_length_of_slices() {
    let _alone = alone();
    for len in [0, 1, 2, 125, 126, 127, 1000, 5000] {
        let numbers: Vec<u64> = (0..len).collect();
        one_entry::<[u64], _>(&numbers[..], &numbers, &[u64::MAX; 3]);
        let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let handle = Interned::<[String]>::from(texts.clone());
        assert_eq!(handle, texts[..]);
        assert!(handle.ptr_eq(&Interned::from(&texts[..])));
        assert!(handle.ptr_eq(&Interned::from(texts.clone().into_boxed_slice())));
        assert!((&raw const handle[..]).addr().is_multiple_of(align_of::<String>()));
        let path = PathBuf::from("p".repeat(len as usize + 1));
        assert_eq!(Interned::<Path>::from(&path), path);
    }
    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    #[repr(align(64))]
    struct Wide(u8);
    let wide = Interned::<[Wide]>::from([Wide(1), Wide(2)]);
    assert!((&raw const wide[..]).addr().is_multiple_of(64) && wide == [Wide(1), Wide(2)][..]);
}

#[test]
fn i07_owned_and_borrowed_forms() {
    let _alone = alone();
    let text = Interned::<str>::intern("formed");
    for same in [
        Interned::<str>::intern(String::from("formed")),
        Interned::from(&String::from("formed")),
        Interned::intern(Box::<str>::from("formed")),
        Interned::intern(Cow::Borrowed("formed")),
        "formed".parse().unwrap(),
        Interned::from("formed"),
    ] {
        assert!(same.ptr_eq(&text));
    }
    assert_eq!(Interned::<str>::from('é'), "é");
    let path = Interned::<Path>::from(Path::new("a/b"));
    assert_eq!(path, Interned::from(PathBuf::from("a//b/")), "as paths compare");
    assert_eq!(path.as_os_str(), "a/b", "the first one wins");
    assert_eq!(Interned::<OsStr>::from(OsString::from("o")), OsStr::new("o"));
    assert_eq!(Interned::<CStr>::from(CString::from(c"c")), c"c");
    assert_eq!(PathBuf::from(path.clone()), Path::new("a/b"));
    assert_eq!(AsRef::<OsStr>::as_ref(&path), "a/b");
    assert_eq!(AsRef::<[u8]>::as_ref(&text), b"formed");
    let owned = String::from("formed");
    assert_eq!(*"formed", text);
    assert_eq!(text, *"formed");
    assert_eq!(text, owned);
    assert_eq!(owned, text);
    assert_eq!(Interned::<[u8]>::default(), b""[..]);
    assert!(
        Interned::<CStr>::default().is_immortal() && Interned::<OsStr>::default().is_immortal()
    );
}

#[test]
fn i06_borrowed_forms_find_without_making() {
    thread_local!(static MADE: Cell<u32> = const { Cell::new(0) });
    #[derive(Debug, PartialEq, Eq, Hash)]
    struct Name(u32);
    #[derive(Debug, PartialEq, Eq, Hash)]
    struct OwnedName(Name);
    impl core::borrow::Borrow<Name> for OwnedName {
        fn borrow(&self) -> &Name {
            &self.0
        }
    }
    impl ToOwned for Name {
        type Owned = OwnedName;
        fn to_owned(&self) -> OwnedName {
            MADE.set(MADE.get() + 1);
            OwnedName(Name(self.0))
        }
    }
    assert!(Interned::<OwnedName>::get_by(&Name(7)).is_none());
    let first = Interned::<OwnedName>::intern_by(&Name(7));
    assert!(first.ptr_eq(&Interned::intern_by(&Name(7))));
    assert_eq!(Interned::<OwnedName>::get_by(&Name(7)), Some(first));
    assert_eq!(MADE.get(), 1);
}

#[test]
fn elements_of_slices_are_dropped_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    #[derive(PartialEq, Eq, Hash)]
    struct Counted(usize);
    impl Counted {
        fn new(number: usize) -> Self {
            ALIVE.fetch_add(1, Ordering::Relaxed);
            Self(number)
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }
    for len in [0, 3, 126, 127, 900] {
        let make = || (0..len).map(Counted::new).collect::<Vec<_>>();
        let handle = Interned::<[Counted]>::from(make());
        assert!(handle.ptr_eq(&Interned::from(make().into_boxed_slice())));
        assert_eq!(ALIVE.load(Ordering::Relaxed), len);
        drop(handle);
        assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
    }
}

/// Equal by its number; its drop panics on demand.
struct Loud(u32);

std::thread_local! {
    static LOUD: Cell<bool> = const { Cell::new(false) };
}

impl PartialEq for Loud {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Loud {}
impl Hash for Loud {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl Drop for Loud {
    fn drop(&mut self) {
        /// What a panic carries can panic too.
        struct Payload;
        impl Drop for Payload {
            fn drop(&mut self) {
                panic!("the payload");
            }
        }
        if LOUD.get() {
            std::panic::panic_any(Payload);
        }
    }
}

/// The value that is not needed is dropped; no count is lost if that panics.
#[test]
fn a_look_up_that_ends_in_a_panic_keeps_no_count() {
    let (one, slice) = (Interned::new(Loud(1)), Interned::<[Loud]>::intern(vec![Loud(2)]));
    LOUD.set(true);
    let panics = [
        catch_unwind(|| drop(Interned::new(Loud(1)))),
        catch_unwind(|| drop(Interned::<[Loud]>::intern(vec![Loud(2)]))),
    ];
    LOUD.set(false);
    assert!(panics.iter().all(Result::is_err));
    panics.into_iter().for_each(core::mem::forget);
    assert_eq!((one.strong_count(), slice.strong_count()), (1, 1));
}

/// One panic goes on, the others end with their payloads.
#[test]
fn every_value_of_a_chain_may_panic() {
    #[derive(PartialEq, Eq, Hash)]
    struct Chain(Loud, Option<Interned<Chain>>);
    let chain = Interned::new(Chain(Loud(4), Some(Interned::new(Chain(Loud(3), None)))));
    let interner = Interner::<Chain>::global();
    LOUD.set(true);
    let panic = catch_unwind(AssertUnwindSafe(|| drop(chain)));
    LOUD.set(false);
    core::mem::forget(panic.expect_err("it panics"));
    assert_eq!(interner.stats().entries, 0);
    drop(Interned::new(Chain(Loud(5), None)));
    assert_eq!(interner.stats().entries, 0, "the queue is still worked off");
}
