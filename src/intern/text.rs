//! Interning text and bytes.

use super::global::{BYTES, Global, STRINGS};
use super::interned::Interned;
use super::value::EntryPtr;
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

/// As [`intern`], without an end when memory is refused.
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
    let entry = look_up(&STRINGS, text.as_bytes(), || is_single(text))?;
    // SAFETY: an entry of the strings' interner, with a count.
    Ok(unsafe { Interned::from_entry(entry) })
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
    match look_up(&BYTES, bytes, || bytes.len() <= 1) {
        // SAFETY: an entry of the bytes' interner, with a count.
        Ok(entry) => unsafe { Interned::from_entry(entry) },
        Err(error) => error.handle(),
    }
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
    let entry = look_up_only(&STRINGS, text.as_bytes())?;
    // SAFETY: an entry of the strings' interner, with the count that the look-up took.
    Some(unsafe { Interned::from_entry(entry) })
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
    let entry = look_up_only(&BYTES, bytes)?;
    // SAFETY: an entry of the bytes' interner, with the count that the look-up took.
    Some(unsafe { Interned::from_entry(entry) })
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

#[inline(always)]
fn look_up(
    global: &Global,
    bytes: &[u8],
    immortal: impl FnOnce() -> bool,
) -> Result<EntryPtr, OutOfMemory> {
    let interner = global.get().or_else(|| global.get_or_map()).ok_or(OutOfMemory)?;
    let hash = interner.hash_bytes(bytes);
    match interner.look_up_bytes(bytes, hash) {
        Some(entry) => Ok(entry),
        None => interner.insert_bytes(bytes, hash, immortal()).ok_or(OutOfMemory),
    }
}

fn look_up_only(global: &Global, bytes: &[u8]) -> Option<EntryPtr> {
    let interner = global.get()?;
    let hash = interner.hash_bytes(bytes);
    interner.look_up_bytes(bytes, hash).or_else(|| interner.look_up_bytes_locked(bytes, hash))
}

/// The rules of the global tables of text and bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_invariants() {
    STRINGS
        .get()
        .into_iter()
        .chain(BYTES.get())
        .for_each(super::interner::Interner::check_invariants);
}

/// Whether a text is one that Python keeps as a single object: empty, or one latin-1 character.
fn is_single(text: &str) -> bool {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (None, _) => true,
        (Some(only), None) => only <= '\u{FF}',
        _ => false,
    }
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
