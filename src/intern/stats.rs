//! What an interner holds, in numbers.

use super::blocks::BlockBytes;
use super::table::Tally;
use core::fmt;

/// What an [`Interner`](super::Interner) holds and what that takes, in bytes where it says so.
///
/// As Python's `sys._debugmallocstats`, as numbers first; `Display` prints a table.
///
/// ```
/// use hoopsnake::intern::Interner;
///
/// let names = Interner::<str>::new();
/// let held: Vec<_> = (0..100).map(|number| names.intern(number.to_string())).collect();
/// let stats = names.stats();
/// assert_eq!(stats.entries, 100);
/// assert!(stats.entry_bytes / held.len() == 24 && stats.table_bytes / held.len() < 100);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InternStats {
    /// Values that are interned.
    pub entries: usize,
    /// Those of them that never die.
    pub immortal: usize,
    /// Blocks of entries. (Contents of more than about 1 KiB are the global allocator's, and not
    /// counted.)
    pub entry_bytes: usize,
    /// Pages that entries lie in, dead ones between them, which will be used again. (The first entries of
    /// each size lie in smaller pieces, which are not counted.)
    pub page_bytes: usize,
    /// Pages of dead entries that were given back to the system; their addresses will be used again.
    pub purged_bytes: usize,
    /// The tables that lead to the entries.
    pub table_bytes: usize,
    /// How many of the tables are keyed, because somebody chose hashes.
    pub keyed_tables: usize,
}

impl InternStats {
    /// From the interner's own numbers.
    pub(super) fn new((tables, blocks): (Tally, BlockBytes)) -> Self {
        Self {
            entries: tables.live,
            immortal: tables.immortal,
            entry_bytes: blocks.live,
            page_bytes: blocks.pages,
            purged_bytes: blocks.purged,
            table_bytes: 8 * tables.slots,
            keyed_tables: tables.keyed,
        }
    }
}

impl fmt::Display for InternStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "entries                {:>16}", self.entries)?;
        writeln!(f, "  of them immortal     {:>16}", self.immortal)?;
        writeln!(f, "bytes in entries       {:>16}", self.entry_bytes)?;
        writeln!(f, "bytes in their pages   {:>16}", self.page_bytes)?;
        writeln!(f, "bytes given back       {:>16}", self.purged_bytes)?;
        writeln!(f, "bytes in tables        {:>16}", self.table_bytes)?;
        write!(f, "keyed tables           {:>16}", self.keyed_tables)
    }
}
