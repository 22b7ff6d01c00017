//! Interning where it is least expected: in the user's code that interning itself calls, in destructors
//! of thread-locals, and after `main`.
#![cfg(unix)]
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]

use std::borrow::Borrow;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use hoopsnake::intern::{Interned, Interner, intern};

/// What a [`Number`] can be borrowed as; making the owned one interns, and panics for 13.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Borrowed(u32);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Number(Borrowed);

impl Borrow<Borrowed> for Number {
    fn borrow(&self) -> &Borrowed {
        &self.0
    }
}

impl From<&Borrowed> for Number {
    fn from(from: &Borrowed) -> Self {
        // The same interner, shards and even value: would wait for ever for a lock that is held.
        let same = (from.0 < 100).then(|| Interned::new(Self(Borrowed(from.0))));
        let others: Vec<_> = (1000..1200).map(|n| Interned::new(Self(Borrowed(n)))).collect();
        assert!(from.0 != 13, "From panics");
        drop((same, others, intern("in From")));
        Self(Borrowed(from.0))
    }
}

impl ToOwned for Borrowed {
    type Owned = Number;

    fn to_owned(&self) -> Number {
        self.into()
    }
}

#[test]
fn making_a_value_may_intern_and_panic() {
    let numbers = Interner::<Number>::global();
    let make = |n| Interned::<Number>::intern_by(&Borrowed(n));
    let held: Vec<_> = (0..200).filter(|&n| n != 13).map(make).collect();
    assert!(catch_unwind(AssertUnwindSafe(|| make(13))).is_err());
    assert_eq!(numbers.len(), held.len(), "what the panic left behind");
    for handle in &held {
        assert!(handle.ptr_eq(&Interned::new(Number(Borrowed(handle.0.0)))));
        assert_eq!(handle.strong_count(), 1);
    }
    drop(held);
    assert_eq!(numbers.len(), 0);
}

/// Interns, drops last handles, grows and shrinks tables, and finds everything in order.
fn intern_all_kinds() {
    let texts: Vec<_> = (0..3000).map(|n| intern(&format!("late text {n}"))).collect();
    let values: Vec<_> = (0..100_u64).map(|n| Interned::new(vec![n; 3])).collect();
    assert!(texts.iter().zip(0..).all(|(text, n)| *text == *format!("late text {n}")));
    assert!(values.iter().zip(0..).all(|(value, n)| value.ptr_eq(&Interned::new(vec![n; 3]))));
    drop((texts, values));
    assert_eq!(Interner::<Vec<u64>>::global().len(), 0);
}

/// Interns in its destructor, and drops what it holds there.
struct AtEnd(RefCell<Vec<Interned<str>>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        intern_all_kinds();
        assert!(self.0.borrow().iter().all(|text| **text == *"held to the end"));
    }
}

thread_local! {
    static AT_END: AtEnd = const { AtEnd(RefCell::new(Vec::new())) };
}

extern "C" fn after_main() {
    intern_all_kinds();
    // `println` may be gone by now.
    let text = b"after main\n";
    // SAFETY: the text is as long as it says.
    unsafe { libc::write(1, text.as_ptr().cast(), text.len()) };
}

const PLAYER: &str = "HOOPSNAKE_TEST_PLAYER";

/// The child: leaves `main` with handles in a thread-local and work in an exit handler.
#[test]
fn interning_after_main() {
    if std::env::var_os(PLAYER).is_some() {
        // SAFETY: a function of this program.
        assert_eq!(unsafe { libc::atexit(after_main) }, 0);
        let end = std::thread::spawn(|| {
            AT_END.with(|end| end.0.borrow_mut().push(intern("held to the end")));
            AT_END.with(|end| end.0.borrow_mut().push(intern("held to the end")));
        });
        end.join().unwrap();
        assert!(Interned::<str>::get("held to the end").is_none());
        AT_END.with(|end| end.0.borrow_mut().push(intern("held to the end")));
        std::process::exit(0);
    }
    let test = std::env::current_exe().unwrap();
    let mut child = Command::new(test);
    child.args(["--exact", "--nocapture", "--test-threads=1", "interning_after_main"]);
    let output = child.env(PLAYER, "1").output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("after main"), "{out}\n{err}");
}
