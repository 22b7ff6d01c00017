//! Checkers that unit tests and fuzz targets share: each plays a program given as bytes against an
//! oracle and panics on the first difference.

pub mod graph_ops;
pub mod heap_ops;
pub mod intern_ops;

/// Reads a program from bytes; an exhausted one reads as zeroes.
#[derive(Debug)]
pub(crate) struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    /// A program over `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Program<'a> {
        Program(bytes)
    }

    /// Whether all of it was read.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// The next number below `limit`, which is at most 65536.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let number = (usize::from(self.byte()) << 8) | usize::from(self.byte());
        (number * limit) >> 16
    }
}
