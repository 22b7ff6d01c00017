//! Interning text and bytes.

use super::global::STRINGS;
use super::interned::Interned;
use core::alloc::Layout;
use core::fmt;

/// The canonical handle of a text.
///
/// Python's `sys.intern`. A hit takes no lock and no allocation: a hash, a probe, a comparison and
/// an atomic addition. A miss takes the lock of one of 64 shards and copies the text.
///
/// # Panics
/// If memory is refused, [`handle_alloc_error`](alloc::alloc::handle_alloc_error) is called.
///
/// ```
/// use hoopsnake::intern::intern;
///
/// assert!(intern("spam").ptr_eq(&intern("spam")));
/// assert!(!intern("spam").ptr_eq(&intern("eggs")));
/// ```
#[inline]
pub fn intern(text: &str) -> Interned<str> {
    try_intern(text).unwrap_or_else(|error| error.handle())
}

/// As [`intern`], at the same cost, without an end when memory is refused.
///
/// # Errors
/// When there is no memory for a new entry.
///
/// ```
/// use hoopsnake::intern::{OutOfMemory, try_intern};
///
/// assert_eq!(try_intern("spam")?, "spam");
/// # Ok::<(), OutOfMemory>(())
/// ```
#[inline]
pub fn try_intern(text: &str) -> Result<Interned<str>, OutOfMemory> {
    Interned::try_intern(text)
}

/// The canonical handle of a run of bytes.
///
/// Costs what [`intern`] costs. Python interns text only, but keeps `b""` as one object.
///
/// # Panics
/// As [`intern`].
///
/// ```
/// use hoopsnake::intern::intern_bytes;
///
/// assert!(intern_bytes(b"\xff\0").ptr_eq(&intern_bytes(b"\xff\0")));
/// ```
#[inline]
pub fn intern_bytes(bytes: &[u8]) -> Interned<[u8]> {
    Interned::intern(bytes)
}

/// The handle of a text that is interned already.
///
/// A hit costs what it costs in [`intern`]; a miss takes a lock, to be certain.
///
/// ```
/// use hoopsnake::intern::{get, intern};
///
/// assert!(get("nobody has this").is_none());
/// let spam = intern("spam");
/// assert_eq!(get("spam"), Some(spam));
/// ```
pub fn get(text: &str) -> Option<Interned<str>> {
    Interned::get(text)
}

/// The handle of a run of bytes that is interned already.
///
/// Costs what [`get`] costs.
///
/// ```
/// use hoopsnake::intern::{get_bytes, intern_bytes};
///
/// assert!(get_bytes(b"nobody has this").is_none());
/// let spam = intern_bytes(b"spam");
/// assert_eq!(get_bytes(b"spam"), Some(spam));
/// ```
pub fn get_bytes(bytes: &[u8]) -> Option<Interned<[u8]>> {
    Interned::get(bytes)
}

/// How many texts are interned, the immortal ones not counted.
///
/// Python's `sys.getunicodeinternedsize`. Takes the locks of all shards, one after the other: exact
/// when nobody interns meanwhile.
///
/// ```
/// use hoopsnake::intern::{intern, len};
///
/// let before = len();
/// let spam = intern("spam");
/// assert_eq!(len(), before + 1);
/// drop(spam);
/// assert_eq!(len(), before);
/// ```
pub fn len() -> usize {
    STRINGS.get().map_or(0, |interner| interner.len())
}

/// The system gave no memory for a new entry.
///
/// ```
/// let error = hoopsnake::intern::OutOfMemory;
/// assert_eq!(error.to_string(), "no memory for an interned value");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

impl OutOfMemory {
    /// Ends the program as other failed allocations do.
    #[cold]
    pub(super) fn handle<T>(self) -> T {
        alloc::alloc::handle_alloc_error(Layout::new::<super::entry::Header>())
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no memory for an interned value")
    }
}

impl core::error::Error for OutOfMemory {}
