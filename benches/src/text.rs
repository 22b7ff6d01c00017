//! Words, and how often they come.

use std::collections::HashSet;

use crate::random::Random;

/// So many different words.
pub fn vocabulary(words: usize, random: &mut Random) -> Vec<String> {
    let mut vocabulary = HashSet::new();
    while vocabulary.len() < words {
        vocabulary.insert(word(random));
    }
    // A hash set's order differs from run to run.
    let mut words: Vec<String> = vocabulary.into_iter().collect();
    words.sort_unstable();
    words
}

/// Like an identifier: from 2 to 20 letters, mostly some 11.
fn word(random: &mut Random) -> String {
    let letters = 2 + random.below(7) + random.below(7) + random.below(7);
    (0..letters).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
}

/// The ranks of a text's words: a word of rank n comes with a frequency of 1/n (Zipf's law).
pub struct Zipf(Vec<f64>);

impl Zipf {
    pub fn new(words: usize) -> Self {
        let frequencies = (1..=words).map(|rank| 1.0 / rank as f64);
        let sums = frequencies.scan(0.0, |sum, frequency| {
            *sum += frequency;
            Some(*sum)
        });
        Self(sums.collect())
    }

    pub fn rank(&self, random: &mut Random) -> usize {
        let total = self.0.last().copied().unwrap_or_default();
        let at = random.below(1 << 32) as f64 / (1_u64 << 32) as f64 * total;
        self.0.partition_point(|&sum| sum < at).min(self.0.len() - 1)
    }
}
