//! What it costs to find a word that lives for ever: no count is taken, so threads share nothing they write.
//!
//! Beside ours: the *floor*, what a look-up cannot do without (a hash, one probe of hashbrown's table, a
//! comparison; one thread fills it and nobody may add to it), and a *prototype* of what threads need that
//! share a growing table: slots of atomic pointers, loaded with Acquire, to words that are never freed.

use core::hash::{BuildHasher, Hasher};
use core::hint::black_box;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::time::Duration;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hoopsnake::intern::{Interned, Interner};

use super::{TOKENS, Text};
use crate::row::{Row, timed, timed_twice};

/// The rows of immortal words.
pub(super) fn rows(few: &Arc<Text>) -> [Row; 2] {
    [
        row("hit, 1 000 immortal words", TOKENS, few, |words, text, passes| {
            hit(words, &text.tokens(), passes)
        }),
        row("two threads: hit, 1 000 immortal words", TOKENS / 2, few, |words, text, passes| {
            let tokens = text.tokens();
            let (front, back) = tokens.split_at(TOKENS / 2);
            timed_twice(|thread| hit(words, [front, back][thread], passes))
        }),
    ]
}

fn row(
    name: &'static str,
    operations: usize,
    text: &Arc<Text>,
    run: fn(&dyn Passes, &Text, u64) -> Duration,
) -> Row {
    let mut row = Row::new(name, operations);
    push::<Ours>(&mut row, "hoopsnake", text, run);
    push::<Floor>(&mut row, "floor", text, run);
    push::<Prototype>(&mut row, "prototype", text, run);
    #[cfg(feature = "peers")]
    push::<Ustr>(&mut row, "ustr", text, run);
    row
}

fn push<W: Words>(
    row: &mut Row,
    name: &'static str,
    text: &Arc<Text>,
    run: fn(&dyn Passes, &Text, u64) -> Duration,
) {
    let (text, words) = (Arc::clone(text), W::of(&text.words));
    row.push(name, move |passes| run(&words, &text, passes));
}

fn hit(words: &dyn Passes, tokens: &[&str], passes: u64) -> Duration {
    timed(|| words.find_all(tokens, passes))
}

/// Words that live for ever.
trait Words: Sync + 'static {
    type Handle;

    /// All that there will be.
    fn of(words: &[String]) -> Self;

    /// The handle of one of them.
    fn find(&self, word: &str) -> Self::Handle;
}

/// The loop that is measured, one for each kind of words.
trait Passes: Sync {
    fn find_all(&self, tokens: &[&str], passes: u64);
}

impl<W: Words> Passes for W {
    fn find_all(&self, tokens: &[&str], passes: u64) {
        for _ in 0..passes {
            tokens.iter().for_each(|token| drop(black_box(self.find(token))));
        }
    }
}

/// An interner of its own: in the program's the words of other rows would be immortal too.
struct Ours(Interner<str>);

impl Words for Ours {
    type Handle = Interned<str>;

    fn of(words: &[String]) -> Self {
        let interner = Interner::new();
        words.iter().for_each(|word| drop(interner.intern_immortal(word)));
        Self(interner)
    }

    #[inline(always)]
    fn find(&self, word: &str) -> Interned<str> {
        self.0.intern(word)
    }
}

/// A word as interners keep it: its length, and its letters behind.
#[repr(C)]
struct Word {
    hash: u64,
    length: u8,
    letters: [u8; Word::MOST],
}

impl Word {
    const MOST: usize = 23;

    fn new(word: &str, hash: u64) -> &'static Self {
        let mut letters = [0; Self::MOST];
        letters[..word.len()].copy_from_slice(word.as_bytes());
        Box::leak(Box::new(Self { hash, length: word.len() as u8, letters }))
    }

    #[inline(always)]
    fn is(&self, word: &str) -> bool {
        self.letters.get(..usize::from(self.length)) == Some(word.as_bytes())
    }
}

#[inline(always)]
fn hash_of(state: &RandomState, word: &str) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(word.as_bytes());
    hasher.finish()
}

struct Floor {
    state: RandomState,
    table: HashTable<&'static Word>,
}

impl Words for Floor {
    type Handle = &'static Word;

    fn of(words: &[String]) -> Self {
        let (state, mut table) = (RandomState::default(), HashTable::new());
        for word in words {
            let hash = hash_of(&state, word);
            table.insert_unique(hash, Word::new(word, hash), |word| word.hash);
        }
        Self { state, table }
    }

    #[inline(always)]
    fn find(&self, word: &str) -> &'static Word {
        let hash = hash_of(&self.state, word);
        self.table.find(hash, |known| known.is(word)).expect("all are there")
    }
}

struct Prototype {
    state: RandomState,
    slots: Box<[AtomicPtr<Word>]>,
}

impl Prototype {
    /// The word in a slot, from the word's home on.
    #[inline(always)]
    fn slots_of(
        &self,
        hash: u64,
    ) -> impl Iterator<Item = (&AtomicPtr<Word>, Option<&'static Word>)> {
        (hash as usize..).map(|at| {
            let slot = &self.slots[at & (self.slots.len() - 1)];
            // SAFETY: a slot has null, or a word that was leaked.
            (slot, unsafe { slot.load(Ordering::Acquire).as_ref() })
        })
    }
}

impl Words for Prototype {
    type Handle = &'static Word;

    fn of(words: &[String]) -> Self {
        let slots = (0..(2 * words.len()).next_power_of_two()).map(|_| AtomicPtr::default());
        let table = Self { state: RandomState::default(), slots: slots.collect() };
        for word in words {
            let hash = hash_of(&table.state, word);
            let empty = table.slots_of(hash).find(|(_, taken)| taken.is_none());
            let (slot, _) = empty.expect("half of the slots are");
            slot.store(core::ptr::from_ref(Word::new(word, hash)).cast_mut(), Ordering::Release);
        }
        table
    }

    #[inline(always)]
    fn find(&self, word: &str) -> &'static Word {
        let hash = hash_of(&self.state, word);
        let mut words = self.slots_of(hash).map_while(|(_, taken)| taken);
        words.find(|known| known.hash == hash && known.is(word)).expect("all are there")
    }
}

#[cfg(feature = "peers")]
struct Ustr;

#[cfg(feature = "peers")]
impl Words for Ustr {
    type Handle = ustr::Ustr;

    fn of(words: &[String]) -> Self {
        words.iter().for_each(|word| _ = black_box(ustr::ustr(word)));
        Self
    }

    #[inline(always)]
    fn find(&self, word: &str) -> ustr::Ustr {
        ustr::ustr(word)
    }
}
