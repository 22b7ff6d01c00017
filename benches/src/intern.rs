//! What it costs to find a word in an interner, and to bring one in.

extern crate alloc;

mod immortal;

use alloc::sync::Arc;
use core::hint::black_box;
use core::time::Duration;

use hoopsnake::intern::Interned;

use crate::random::Random;
use crate::row::{Row, timed, timed_twice};
use crate::scaled;
use crate::text::{Zipf, vocabulary};

/// All rows of this layer.
pub fn rows() -> Vec<Row> {
    let few = Arc::new(Text::new(scaled(1000)));
    let many = Arc::new(Text::new(scaled(100_000)));
    let mut rows = vec![
        row("hit, 1 000 words", Hit(Arc::clone(&few))),
        row("hit, 100 000 words", Hit(Arc::clone(&many))),
        row("two threads: hit, 1 000 words", HitTwice(Arc::clone(&few))),
        row("two threads: hit, 100 000 words", HitTwice(Arc::clone(&many))),
        row("100 000 new words, then drop all", New(many)),
    ];
    rows.extend(immortal::rows(&few));
    rows
}

/// One workload over all interners that can do it.
fn row<W: Workload>(name: &'static str, workload: W) -> Row {
    let mut row = Row::new(name, workload.operations());
    push::<Hoopsnake, W>(&mut row, &workload);
    #[cfg(feature = "peers")]
    {
        push::<peers::Lasso, W>(&mut row, &workload);
        push::<peers::Ustr, W>(&mut row, &workload);
        push::<peers::ArcIntern, W>(&mut row, &workload);
    }
    row
}

fn push<I: Interner, W: Workload>(row: &mut Row, workload: &W) {
    if W::suits::<I>() {
        let (workload, interner) = (workload.clone(), I::new());
        row.push(I::NAME, move |passes| workload.run(&interner, passes));
    }
}

// Interners ---------------------------------------------------------------------------------------

/// A crate's interner.
trait Interner: Sync + 'static {
    const NAME: &'static str;
    /// Whether an entry dies with its last handle.
    const FREES: bool;
    type Handle: Send;

    fn new() -> Self;
    fn intern(&self, word: &str) -> Self::Handle;
}

/// Declares an interner that the whole process shares.
macro_rules! global {
    ($name:ident, $shown:literal, frees: $frees:literal, $handle:ty, $intern:expr) => {
        pub(super) struct $name;

        impl Interner for $name {
            const NAME: &'static str = $shown;
            const FREES: bool = $frees;
            type Handle = $handle;

            fn new() -> Self {
                Self
            }

            #[inline(always)]
            fn intern(&self, word: &str) -> $handle {
                $intern(word)
            }
        }
    };
}

use ours::Hoopsnake;
mod ours {
    use super::{Interned, Interner};

    global!(Hoopsnake, "hoopsnake", frees: true, Interned<str>, hoopsnake::intern::intern);
}

#[cfg(feature = "peers")]
mod peers {
    use super::Interner;

    global!(Ustr, "ustr", frees: false, ustr::Ustr, ustr::ustr);
    global!(ArcIntern, "ArcIntern", frees: true, internment::ArcIntern<str>, internment::ArcIntern::from);

    pub(super) struct Lasso(lasso::ThreadedRodeo);

    impl Interner for Lasso {
        const NAME: &'static str = "lasso";
        const FREES: bool = false;
        type Handle = lasso::Spur;

        fn new() -> Self {
            Self(lasso::ThreadedRodeo::new())
        }

        #[inline(always)]
        fn intern(&self, word: &str) -> lasso::Spur {
            self.0.get_or_intern(word)
        }
    }
}

// Words -------------------------------------------------------------------------------------------

/// A vocabulary, and a text over it in which words are as frequent as in a language.
struct Text {
    words: Vec<String>,
    text: String,
}

const TOKENS: usize = scaled(200_000);

impl Text {
    fn new(words: usize) -> Self {
        let mut random = Random::new(5);
        let words = vocabulary(words, &mut random);
        let shuffled = random.permutation(words.len());
        let zipf = Zipf::new(words.len());
        let text = (0..TOKENS).map(|_| words[shuffled[zipf.rank(&mut random)]].as_str());
        Self { text: text.collect::<Vec<_>>().join(" "), words }
    }

    fn tokens(&self) -> Vec<&str> {
        self.text.split(' ').collect()
    }
}

// Workloads ---------------------------------------------------------------------------------------

/// Something that any interner can be asked to do.
trait Workload: Clone + 'static {
    /// Whether this interner can do it.
    fn suits<I: Interner>() -> bool {
        true
    }

    /// How many words one pass interns.
    fn operations(&self) -> usize;

    /// The time of so many passes.
    fn run<I: Interner>(&self, interner: &I, passes: u64) -> Duration;
}

/// All words of the text are there already; the handle is dropped at once.
#[derive(Clone)]
struct Hit(Arc<Text>);

impl Workload for Hit {
    fn operations(&self) -> usize {
        TOKENS
    }

    fn run<I: Interner>(&self, interner: &I, passes: u64) -> Duration {
        let held = hold(interner, &self.0);
        let time = hit(interner, &self.0.tokens(), passes);
        drop(black_box(held));
        time
    }
}

/// Two threads share the interner, and each has half of the text.
#[derive(Clone)]
struct HitTwice(Arc<Text>);

impl Workload for HitTwice {
    fn operations(&self) -> usize {
        TOKENS / 2
    }

    fn run<I: Interner>(&self, interner: &I, passes: u64) -> Duration {
        let held = hold(interner, &self.0);
        let tokens = self.0.tokens();
        let (front, back) = tokens.split_at(TOKENS / 2);
        let time = timed_twice(|thread| hit(interner, [front, back][thread], passes));
        drop(black_box(held));
        time
    }
}

fn hold<I: Interner>(interner: &I, text: &Text) -> Vec<I::Handle> {
    text.words.iter().map(|word| interner.intern(word)).collect()
}

fn hit<I: Interner>(interner: &I, tokens: &[&str], passes: u64) -> Duration {
    timed(|| {
        for _ in 0..passes {
            tokens.iter().for_each(|token| drop(black_box(interner.intern(token))));
        }
    })
}

/// Words that are not there come in, live together, and leave.
#[derive(Clone)]
struct New(Arc<Text>);

impl Workload for New {
    /// What keeps all that it has seen would have nothing new to do in the second pass.
    fn suits<I: Interner>() -> bool {
        I::FREES
    }

    fn operations(&self) -> usize {
        self.0.words.len()
    }

    fn run<I: Interner>(&self, interner: &I, passes: u64) -> Duration {
        let mut held = Vec::with_capacity(self.0.words.len());
        timed(|| {
            for _ in 0..passes {
                held.extend(self.0.words.iter().map(|word| interner.intern(word)));
                black_box(&mut held).clear();
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_workload_runs_over_every_interner() {
        crate::row::run_all(super::rows);
    }
}
