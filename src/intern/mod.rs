//! Canonical values: equal ones share one entry, and the entry goes with its last handle.
//!
//! [`intern`](intern()) is Python's `sys.intern`: it gives each text one handle, an [`Interned<str>`] of
//! one word, so that comparing is comparing addresses and a text is kept once.
//!
//! | what | by what |
//! |---|---|
//! | text, and every other kind of contents | [`intern`](intern()), [`Interned::intern`]: `str`, `[T]`, `Path`, `OsStr`, `CStr` |
//! | values of any type that is `Eq + Hash + Send + Sync + 'static` | [`Interned::new`], [`Interned::intern_by`] |
//! | look, do not intern | [`get`], [`Interned::get`], [`Interned::get_by`] |
//! | a set of values of one's own; iteration, numbers | [`Interner`] |
//! | not keep the value | [`WeakInterned`] |
//! | maps and sets by interned keys, which need no handle to be asked | [`InternMap`], [`InternSet`] |
//! | names that the source knows | [`atom!`](crate::atom), [`Atom`] |
//! | what lives for ever | [`Interned::intern_immortal`] |
//! | Python's integers, the small ones shared and immortal | [`Int`], [`IntTo`] |
//! | serialised data (feature `serde`) | `Serialize`, `Deserialize` |
//!
//! Unlike most interners this one forgets: an entry whose last handle is dropped is gone, and its
//! memory is used again or given back. Nevertheless a look-up that hits takes no lock. Values must
//! not change what their `Eq` and `Hash` say while they are interned.
//!
//! ```
//! use hoopsnake::intern::{self, Int, Interned, intern};
//!
//! let x: Interned<str> = intern("spam");
//! let y = intern(&String::from("spam"));
//! assert!(x.ptr_eq(&y));
//! assert_eq!(x.id(), y.id());
//! assert_eq!(&*x, "spam");
//!
//! drop((x, y));
//! assert_eq!(intern::len(), 0);
//!
//! assert!(Int::new(10).ptr_eq(&(Int::new(7) + Int::new(3))));
//! ```
//!
//! # Guarantees
//! - While a handle lives, every interning of an equal value gives the same entry.
//! - The table's own reference does not keep an entry alive and is not counted.
//! - `""` and the 256 one-character texts from U+0000 to U+00FF live for ever once [`intern`](intern())
//!   has met them, and so does what is asked to ([`Interned::intern_immortal`]); handles of these are not
//!   counted. What lived when it was asked to ([`Interned::immortalize`]) lives for ever too, but is
//!   counted on.
//! - User code (`Hash`, `Eq`, `Drop`) runs without a lock of ours. It may intern, drop handles and
//!   panic. A chain of interned values of any length drops without recursion.
//! - Works with any global allocator, in destructors of thread-locals, and at exit. Entries and
//!   tables are mapped from the system; only values above about 1 KiB are boxed.
//! - Memory goes back page by page, a page with its last entry; addresses go with the interner.
//! - A forked child may intern, and drop what it inherited; what other threads were dropping leaks there.
//!   That takes locks of our own for writers (`sync::RawMutex`): parking_lot's are lost in a child.
//! - Nobody who does not know the program's random seed can choose texts that cost more than others;
//!   texts, bytes and paths chosen by one who does know it meet a table keyed with SipHash-1-3. Values, and
//!   slices of them, have the seed alone: to place them in another table their `Hash` would have to be called
//!   under a lock, and it is a user's.
//!
//! # Costs
//! The first text takes 24 KiB, a thousand short ones 250 KiB, ten million 53 bytes each (with 20 of
//! text). When all of those are dropped, 1 to 2 MiB are left: 512 bytes for each size of text in each of
//! 64 shards, and in a program that breathes a page for each, too. When one in a thousand lives on they
//! hold 32 MiB: a page for each, since a handle is an address, so that no entry can move.
//!
//! Short texts do not live in the handle itself: tried with up to 7 bytes, look-ups took 0.8 to 0.9 of the
//! time on words of 2 to 20 bytes, but dereferencing took 1.2 to 2 times as long, in every use.

mod census;
#[cfg(not(loom))]
mod entry;
#[cfg(not(loom))]
mod lifetime;
mod probe;
mod slot;
#[cfg(not(loom))]
mod table;

// The models see these three.
#[cfg(loom)]
pub mod entry;
#[cfg(loom)]
pub mod lifetime;
#[cfg(loom)]
pub mod table;

#[cfg(not(loom))]
mod atom;
#[cfg(not(loom))]
mod blocks;
#[cfg(not(loom))]
mod convert;
#[cfg(not(loom))]
mod fork;
#[cfg(not(loom))]
mod global;
#[cfg(not(loom))]
mod hash;
#[cfg(not(loom))]
mod instance;
#[cfg(not(loom))]
mod int;
#[cfg(not(loom))]
mod interned;
#[cfg(not(loom))]
mod key;
#[cfg(not(loom))]
mod map;
#[cfg(not(loom))]
mod regions;
#[cfg(not(loom))]
mod release;
#[cfg(all(feature = "serde", not(loom)))]
mod serde;
#[cfg(not(loom))]
mod set;
#[cfg(not(loom))]
mod slice;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod store;
#[cfg(not(loom))]
mod text;
#[cfg(not(loom))]
mod trace;
#[cfg(not(loom))]
mod value;
#[cfg(not(loom))]
mod weak;

#[cfg(not(loom))]
pub use self::{
    atom::Atom,
    instance::{Entries, Interner},
    int::{Int, IntTo},
    interned::Interned,
    key::{Intern, LookUp},
    map::{InternMap, IntoIter, Iter},
    set::{InternSet, SetIntoIter, SetIter},
    stats::InternStats,
    text::{OutOfMemory, get, get_bytes, intern, intern_bytes, len, try_intern},
    value::Internable,
    weak::WeakInterned,
};

#[cfg(all(test, not(loom)))]
mod tests;
