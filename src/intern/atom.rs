//! Immortal text that the program names in its source.
//!
//! The handle is published by whoever comes first, under a lock that forks take: another, like a `OnceLock`'s, may be
//! held for ever in a child by a thread that is not there.

use super::entry::Header;
use super::global;
use super::interned::Interned;
use crate::sync::Published;
use core::fmt;
use core::ops::Deref;

/// An immortal text, interned when it is first used: for statics. [`atom!`](crate::atom) makes one in an
/// expression.
///
/// Python's identifiers, which the interpreter interns once and keeps (`_Py_ID`).
///
/// ```
/// use hoopsnake::intern::{Atom, intern};
///
/// static SELF: Atom = Atom::new("self");
///
/// assert_eq!(intern("self"), *SELF);
/// assert!(SELF.is_immortal());
/// ```
pub struct Atom {
    text: &'static str,
    /// An immortal entry of `str`.
    entry: Published<Header>,
}

impl Atom {
    /// An atom that is not interned yet. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::Atom;
    /// static NAME: Atom = Atom::new("name");
    /// assert_eq!(NAME.get().len(), 4);
    /// ```
    pub const fn new(text: &'static str) -> Self {
        Self { text, entry: Published::new() }
    }

    /// The handle, the same one for every atom of this text.
    ///
    /// Costs a load and a test; the first time, what [`intern`](super::intern) costs, and a lock.
    ///
    /// # Panics
    /// If memory is refused, the first time: as [`intern`](super::intern).
    ///
    /// ```
    /// # use hoopsnake::intern::{Atom, intern};
    /// static NAME: Atom = Atom::new("name");
    /// assert!(NAME.get().ptr_eq(&intern("name")));
    /// ```
    #[inline(always)]
    pub fn get(&self) -> &Interned<str> {
        if self.entry.get().is_none() {
            self.intern();
        }
        let handle = self.entry.place().cast::<Interned<str>>();
        // SAFETY: the word is the address of an immortal entry of `str`, which is what a handle of one is. It is not
        // written any more: `intern` alone publishes, and only once, before this thread found the word not null.
        unsafe { &*handle }
    }

    #[cold]
    fn intern(&self) {
        let entry = Interned::<str>::intern_immortal(self.text).entry();
        let _lock = global::GROW.lock();
        if self.entry.get().is_none() {
            // SAFETY: the entry was filled when it was found, and is immortal.
            unsafe { self.entry.publish(entry) };
        }
    }
}

impl Deref for Atom {
    type Target = Interned<str>;

    #[inline(always)]
    fn deref(&self) -> &Interned<str> {
        self.get()
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text, f)
    }
}

/// The immortal handle of a constant text, as a `&'static Interned<str>`.
///
/// Resolved once at each place, then a load and a test; all atoms of a text, and every
/// [`intern`](crate::intern::intern) of it, give the same entry. Python's interned identifiers.
///
/// ```
/// use hoopsnake::atom;
/// use hoopsnake::intern::intern;
///
/// let token = intern("while");
/// assert!(token == atom!("while") && token != atom!("for"));
/// ```
#[macro_export]
macro_rules! atom {
    ($text:expr $(,)?) => {{
        static ATOM: $crate::intern::Atom = $crate::intern::Atom::new($text);
        ATOM.get()
    }};
}
