//! The three generations, and what is kept for each.

use core::fmt;
use core::ops::{Index, IndexMut};

/// How many runs an object has survived, and which ages a run takes.
///
/// ```
/// use hoopsnake::gc::Generation;
/// assert_eq!(Generation::try_from(1), Ok(Generation::Middle));
/// assert!(Generation::Young < Generation::Old);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// What was born since the last run.
    Young,
    /// Young objects, and those that have survived one run.
    Middle,
    /// All objects: a full run.
    Old,
}

/// Numbers that name no [`Generation`]: Python's `ValueError`.
///
/// ```
/// use hoopsnake::gc::Generation;
/// let error = Generation::try_from(3).unwrap_err();
/// assert_eq!(error.to_string(), "there is no generation 3: they are 0, 1 and 2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchGeneration(u8);

impl fmt::Display for NoSuchGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no generation {}: they are 0, 1 and 2", self.0)
    }
}

impl core::error::Error for NoSuchGeneration {}

impl TryFrom<u8> for Generation {
    type Error = NoSuchGeneration;

    /// Python's numbers: 0 is young, 1 middle, 2 old.
    fn try_from(number: u8) -> Result<Generation, NoSuchGeneration> {
        match number {
            0 => Ok(Generation::Young),
            1 => Ok(Generation::Middle),
            2 => Ok(Generation::Old),
            _ => Err(NoSuchGeneration(number)),
        }
    }
}

/// One `T` for each generation; indexed by [`Generation`].
///
/// ```
/// use hoopsnake::gc::{Generation, PerGeneration};
/// let mut names = PerGeneration { young: "a", middle: "b", old: "c" };
/// names[Generation::Old] = "d";
/// assert_eq!(names.old, "d");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerGeneration<T> {
    /// For [`Generation::Young`].
    pub young: T,
    /// For [`Generation::Middle`].
    pub middle: T,
    /// For [`Generation::Old`].
    pub old: T,
}

impl<T> Index<Generation> for PerGeneration<T> {
    type Output = T;

    fn index(&self, generation: Generation) -> &T {
        match generation {
            Generation::Young => &self.young,
            Generation::Middle => &self.middle,
            Generation::Old => &self.old,
        }
    }
}

impl<T> IndexMut<Generation> for PerGeneration<T> {
    fn index_mut(&mut self, generation: Generation) -> &mut T {
        match generation {
            Generation::Young => &mut self.young,
            Generation::Middle => &mut self.middle,
            Generation::Old => &mut self.old,
        }
    }
}
