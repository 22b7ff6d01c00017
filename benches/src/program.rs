//! A whole program: what interning does to word counts and to the keys of JSON records.
//!
//! Each workload runs over 50 MB of text, once for each way to name a word; each in a process of its own
//! (see the command `program`), so that the most memory it took can be told.

use core::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use core::hint::black_box;
use core::time::Duration;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::time::Instant;

use hoopsnake::intern::{InternMap, Interned, intern};

use crate::random::Random;
use crate::scaled;
use crate::text::{Zipf, vocabulary};

/// Bytes of text.
const BYTES: usize = scaled(50_000_000);

/// What a run of a workload took.
#[derive(Debug)]
pub struct Outcome {
    /// From the first byte read to the last handle dropped.
    pub time: Duration,
    /// The same for all who do the workload right.
    pub answer: u64,
}

/// A way to do a workload, and how it is called.
pub type Way = (&'static str, fn(&str) -> Outcome);

/// A workload over a text, and everyone who does it.
pub struct Workload {
    /// How it is called on the command line.
    pub name: &'static str,
    /// What is done.
    pub title: &'static str,
    /// Makes the text.
    pub text: fn() -> String,
    /// Ours and the others.
    pub subjects: Vec<Way>,
}

impl core::fmt::Debug for Workload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Workload").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All workloads.
pub fn workloads() -> Vec<Workload> {
    vec![
        Workload {
            name: "count",
            title: "count the words",
            text: prose,
            subjects: vec![
                ("InternMap, by `&str`", |text| timed(|| count_in_map(text))),
                ("HashMap of Interned", |text| timed(|| count::<Ours>(text))),
                ("HashMap of String, SipHash", |text| timed(|| count_strings::<RandomState>(text))),
                ("HashMap of String, foldhash", |text| timed(|| count_strings::<Fold>(text))),
                #[cfg(feature = "peers")]
                ("lasso", |text| timed(|| count::<peers::Lasso>(text))),
                #[cfg(feature = "peers")]
                ("ustr", |text| timed(|| count::<peers::Ustr>(text))),
            ],
        },
        Workload {
            name: "pairs",
            title: "keep all words, count pairs of neighbours",
            text: prose,
            subjects: vec![
                ("Interned", |text| timed(|| pairs::<Ours>(text))),
                ("String, SipHash", |text| timed(|| pairs_of_strings::<RandomState>(text))),
                ("String, foldhash", |text| timed(|| pairs_of_strings::<Fold>(text))),
                #[cfg(feature = "peers")]
                ("lasso", |text| timed(|| pairs::<peers::Lasso>(text))),
                #[cfg(feature = "peers")]
                ("ustr", |text| timed(|| pairs::<peers::Ustr>(text))),
            ],
        },
        Workload {
            name: "keys",
            title: "read JSON records, ask each for ten keys",
            text: records,
            subjects: vec![
                ("Interned", |text| timed(|| keys::<Ours>(text))),
                ("String", |text| timed(|| keys::<Owned>(text))),
                #[cfg(feature = "peers")]
                ("lasso", |text| timed(|| keys::<peers::Lasso>(text))),
                #[cfg(feature = "peers")]
                ("ustr", |text| timed(|| keys::<peers::Ustr>(text))),
            ],
        },
    ]
}

fn timed(work: impl FnOnce() -> u64) -> Outcome {
    let begin = Instant::now();
    let answer = black_box(work());
    Outcome { time: begin.elapsed(), answer }
}

// Texts -------------------------------------------------------------------------------------------

/// Words as frequent as in a language, over a vocabulary of 200 000.
fn prose() -> String {
    let mut random = Random::new(7);
    let words = vocabulary(scaled(200_000), &mut random);
    let ranks = random.permutation(words.len());
    let zipf = Zipf::new(words.len());
    let mut text = String::with_capacity(BYTES + 32);
    while text.len() < BYTES {
        text.push_str(&words[ranks[zipf.rank(&mut random)]]);
        text.push(' ');
    }
    text
}

const KEYS: [&str; 24] = [
    "id",
    "user_id",
    "user_name",
    "email_address",
    "created_at",
    "updated_at",
    "deleted",
    "status",
    "shipping_address_line_1",
    "shipping_address_line_2",
    "shipping_postcode",
    "country",
    "currency",
    "total_amount",
    "discount_percent",
    "tax_amount",
    "payment_method",
    "payment_reference",
    "items",
    "comment",
    "referrer_url",
    "browser_user_agent",
    "session_identifier",
    "source_ip_address",
];
/// The keys that are asked for; the last comes in no record.
const ASKED: [&str; 10] = [
    "id",
    "user_name",
    "status",
    "country",
    "total_amount",
    "tax_amount",
    "items",
    "comment",
    "source_ip_address",
    "nowhere",
];

/// Lines of JSON: objects of about 12 of the keys, in an order of their own, with short values.
fn records() -> String {
    let mut random = Random::new(8);
    let mut text = String::with_capacity(BYTES + 1024);
    while text.len() < BYTES {
        text.push('{');
        for (at, key) in random.permutation(KEYS.len()).into_iter().take(12).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let value = random.below(1 << 24);
            text.push_str(&format!("{comma}\"{}\":\"{value:x}\"", KEYS[key]));
        }
        text.push_str("}\n");
    }
    text
}

/// The keys and values of one line of [`records`], which escapes nothing.
fn fields(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut quoted = line.split('"').skip(1).step_by(2);
    core::iter::from_fn(move || Some((quoted.next()?, quoted.next()?)))
}

// Names -------------------------------------------------------------------------------------------

/// A way to name words.
trait Names: Default {
    type Name: Eq + Hash + Clone;
    type Hasher: BuildHasher + Default;

    fn name(&mut self, word: &str) -> Self::Name;
}

#[derive(Default)]
struct Ours;

impl Names for Ours {
    type Name = Interned<str>;
    type Hasher = ByWord;

    #[inline(always)]
    fn name(&mut self, word: &str) -> Interned<str> {
        intern(word)
    }
}

#[derive(Default)]
struct Owned;

impl Names for Owned {
    type Name = String;
    type Hasher = Fold;

    #[inline(always)]
    fn name(&mut self, word: &str) -> String {
        word.to_owned()
    }
}

#[cfg(feature = "peers")]
mod peers {
    use super::{ByWord, Names};

    #[derive(Default)]
    pub(super) struct Lasso(lasso::Rodeo);

    impl Names for Lasso {
        type Name = lasso::Spur;
        type Hasher = ByWord;

        #[inline(always)]
        fn name(&mut self, word: &str) -> lasso::Spur {
            self.0.get_or_intern(word)
        }
    }

    #[derive(Default)]
    pub(super) struct Ustr;

    impl Names for Ustr {
        type Name = ustr::Ustr;
        type Hasher = ByWord;

        #[inline(always)]
        fn name(&mut self, word: &str) -> ustr::Ustr {
            ustr::ustr(word)
        }
    }
}

type Fold = foldhash::fast::RandomState;
/// For names that hash as one word, or as several: one multiplication for each.
type ByWord = BuildHasherDefault<WordHasher>;

#[derive(Default)]
struct WordHasher(u64);

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    #[inline(always)]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    #[inline(always)]
    fn write_u64(&mut self, word: u64) {
        self.0 =
            (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }

    #[inline(always)]
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

// Workloads ---------------------------------------------------------------------------------------

/// What counts say, whatever their order.
fn answer(counts: impl Iterator<Item = u32>) -> u64 {
    counts.map(|count| u64::from(count) * u64::from(count)).sum()
}

fn count_in_map(text: &str) -> u64 {
    let mut counts = InternMap::<str, u32>::new();
    for word in text.split_ascii_whitespace() {
        *counts.get_or_intern_with(word, || 0) += 1;
    }
    answer(counts.values().copied())
}

fn count<N: Names>(text: &str) -> u64 {
    let mut names = N::default();
    let mut counts: HashMap<N::Name, u32, N::Hasher> = HashMap::default();
    for word in text.split_ascii_whitespace() {
        *counts.entry(names.name(word)).or_default() += 1;
    }
    answer(counts.values().copied())
}

/// A `String` is made for a new word only.
fn count_strings<H: BuildHasher + Default>(text: &str) -> u64 {
    let mut counts: HashMap<String, u32, H> = HashMap::default();
    for word in text.split_ascii_whitespace() {
        if let Some(count) = counts.get_mut(word) {
            *count += 1;
        } else {
            counts.insert(word.to_owned(), 1);
        }
    }
    answer(counts.values().copied())
}

fn pairs<N: Names>(text: &str) -> u64 {
    let mut names = N::default();
    let words: Vec<N::Name> = text.split_ascii_whitespace().map(|word| names.name(word)).collect();
    let mut counts: HashMap<(&N::Name, &N::Name), u32, N::Hasher> = HashMap::default();
    for pair in words.windows(2) {
        *counts.entry((&pair[0], &pair[1])).or_default() += 1;
    }
    answer(counts.values().copied())
}

fn pairs_of_strings<H: BuildHasher + Default>(text: &str) -> u64 {
    let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    let mut counts: HashMap<(&str, &str), u32, H> = HashMap::default();
    for pair in words.windows(2) {
        *counts.entry((&pair[0], &pair[1])).or_default() += 1;
    }
    answer(counts.values().copied())
}

/// Records stay in memory, with the places of their values; then each is searched for each key.
fn keys<N: Names>(text: &str) -> u64 {
    let mut names = N::default();
    let read = |line| fields(line).map(|(key, value)| (names.name(key), value)).collect();
    let records: Vec<Vec<(N::Name, &str)>> = text.lines().map(read).collect();
    let asked = ASKED.map(|key| names.name(key));
    let mut answer = 0;
    for record in &records {
        for key in &asked {
            let found = record.iter().find(|(name, _)| name == key);
            answer += found.map_or(0, |(_, value)| value.len() as u64);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    #[test]
    fn everyone_gives_the_same_answer() {
        for workload in super::workloads() {
            let text = (workload.text)();
            let answers = workload.subjects.iter().map(|(_, run)| run(&text).answer);
            let answers: Vec<u64> = answers.collect();
            assert!(
                answers[0] > 0 && answers.iter().all(|answer| *answer == answers[0]),
                "{answers:?}"
            );
        }
    }
}
