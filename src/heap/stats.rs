//! Statistics that add up: the table of `sys._debugmallocstats()`.

use core::fmt;

use super::arena;
use super::pool::{Kind, PoolRef};
use super::roomy::{ROOM, ROOMY_SLOT};
use super::size_class::{CLASSES, SizeClass};
use super::thread::{LARGE_SLOT, RAW_SLOTS, ThreadHeap, class_of};
use crate::base::config::{ARENA, ARENA_META, GRANULE};

/// Bytes of an arena with its metadata, which lie apart from it.
pub const ARENA_SIZE: usize = ARENA + ARENA_META;

/// What the heap holds, at one moment.
///
/// Exact when no other thread uses the heap; while threads run, what they hold is about right, each pool at
/// another moment, and of the pool that a thread allocates from any number may count as in use. The parts always
/// add up:
/// `allocated + available + unused_pools + headers + quantization + alignment` is
/// [`total`](Stats::total), the arenas times their size.
///
/// `Display` prints the table of Python's `sys._debugmallocstats()`.
///
/// ```
/// let stats = hoopsnake::heap::stats();
/// assert_eq!(
///     stats.allocated + stats.available + stats.unused_pools + stats.headers
///         + stats.quantization + stats.alignment,
///     stats.total(),
/// );
/// println!("{stats}");
/// ```
///
/// # Cost
/// [`stats`] walks over all pools under the arena lock; the value is about 5 KiB.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stats {
    /// One entry for each size class of the allocator.
    pub classes: [ClassStats; CLASSES],
    /// Blocks that grew, and have room to grow on where they lie.
    pub roomy: ClassStats,
    /// Counted objects (`Cc`), of all classes.
    pub objects: ClassStats,
    /// Blocks above the largest class, up to two MiB.
    pub runs: ClassStats,
    /// Blocks with arenas of their own: how many, and their bytes.
    pub huge: ClassStats,
    /// Arenas (and the address space of huge blocks, in arenas) in use.
    pub arenas: usize,
    /// The most that `arenas` ever was.
    pub arenas_highwater: usize,
    /// Pools that no thread holds because all their blocks are out, or listed for any thread to take.
    pub pools_unheld: usize,
    /// Pools that are held by other threads than this one, of all classes.
    pub pools_elsewhere: usize,
    /// Bytes in free blocks of those pools: what this thread cannot have until they give it up.
    pub available_elsewhere: usize,
    /// Bytes in blocks that are in use.
    pub allocated: usize,
    /// Bytes in free blocks of pools, carved or not.
    pub available: usize,
    /// Bytes in granules that are in no pool.
    pub unused_pools: usize,
    /// Bytes of metadata, touched or not.
    pub headers: usize,
    /// Bytes at the ends of pools that are too few for a block.
    pub quantization: usize,
    /// Bytes of address space around huge blocks; what was touched behind them and is kept is part of it.
    pub alignment: usize,
}

/// Numbers of one size class.
///
/// ```
/// let stats = hoopsnake::heap::stats();
/// let largest = stats.classes.iter().max_by_key(|class| class.bytes).unwrap();
/// println!("most is in blocks of {} bytes: {}", largest.block_size, largest.in_use);
/// assert_eq!(largest.bytes, largest.in_use * largest.block_size);
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a block; 0 where blocks differ.
    pub block_size: usize,
    /// Pools of this class.
    pub pools: usize,
    /// Blocks in use.
    pub in_use: usize,
    /// Free blocks in those pools, carved or not.
    pub available: usize,
    /// Bytes in blocks that are in use.
    pub bytes: usize,
    /// Of the pools, those that other threads hold than the one that asked.
    pub pools_elsewhere: usize,
    /// Of the free blocks, those in pools that other threads hold.
    pub available_elsewhere: usize,
}

impl Stats {
    /// Bytes of all arenas: what the parts add up to. A product.
    ///
    /// ```
    /// use hoopsnake::heap;
    /// let stats = heap::stats();
    /// assert_eq!(stats.total(), stats.arenas * heap::ARENA_SIZE);
    /// ```
    pub fn total(&self) -> usize {
        self.arenas * ARENA_SIZE
    }

    /// Blocks in use, of all kinds: `sys.getallocatedblocks()`. A sum over the classes.
    ///
    /// ```
    /// let before = hoopsnake::heap::stats().blocks_in_use();
    /// let kept = hoopsnake::Cc::new(1u64);
    /// assert_eq!(hoopsnake::heap::stats().blocks_in_use(), before + 1);
    /// # drop(kept);
    /// ```
    pub fn blocks_in_use(&self) -> usize {
        let classes: usize = self.classes.iter().map(|class| class.in_use).sum();
        classes + self.roomy.in_use + self.objects.in_use + self.runs.in_use + self.huge.in_use
    }

    fn new() -> Stats {
        let mut stats = Stats {
            classes: [ClassStats::default(); CLASSES],
            roomy: ClassStats { block_size: ROOM, ..ClassStats::default() },
            objects: ClassStats::default(),
            runs: ClassStats::default(),
            huge: ClassStats::default(),
            arenas: 0,
            arenas_highwater: 0,
            pools_unheld: 0,
            pools_elsewhere: 0,
            available_elsewhere: 0,
            allocated: 0,
            available: 0,
            unused_pools: 0,
            headers: 0,
            quantization: 0,
            alignment: 0,
        };
        for (index, class) in stats.classes.iter_mut().enumerate() {
            class.block_size = SizeClass::from_index(index).size();
        }
        stats
    }

    /// The numbers of a slot of the allocator.
    fn raw_class(&mut self, slot: usize) -> &mut ClassStats {
        if slot == ROOMY_SLOT { &mut self.roomy } else { &mut self.classes[slot] }
    }

    fn count_pool(&mut self, pool: PoolRef, here: &ThreadHeap) {
        let unheld = pool.owner().is_null();
        let elsewhere = !unheld && !here.holds(pool);
        self.pools_unheld += usize::from(unheld && pool.kind() == Kind::Raw);
        let extent = pool.extent();
        let size = pool.block_size();
        let capacity = pool.capacity();
        let in_use = pool.in_use().min(capacity);
        let class = match pool.kind() {
            Kind::Raw => self.raw_class(pool.slot()),
            Kind::Object => &mut self.objects,
            _ => &mut self.runs,
        };
        let free = capacity - in_use;
        class.pools += 1;
        class.in_use += in_use;
        class.available += free;
        class.bytes += in_use * size;
        if elsewhere {
            class.pools_elsewhere += 1;
            class.available_elsewhere += free;
            self.pools_elsewhere += 1;
            self.available_elsewhere += free * size;
        }
        self.allocated += in_use * size;
        self.available += free * size;
        self.quantization += extent - capacity * size;
    }
}

/// What the heap holds now. Python: `sys._debugmallocstats()`.
///
/// See [`Stats`].
///
/// ```
/// use hoopsnake::{Cc, heap};
/// let before = heap::stats();
/// let kept: Vec<_> = (0..100u64).map(Cc::new).collect();
/// assert_eq!(heap::stats().objects.in_use, before.objects.in_use + 100);
/// # drop(kept);
/// ```
///
/// # Cost
/// A walk over all pools under the arena lock, about 20 ns each, and over the free blocks that threads have at
/// hand, at most a pool of each size and thread, 1 to 5 ns each; nothing is allocated.
pub fn stats() -> Stats {
    let mut stats = Stats::new();
    let here = ThreadHeap::current();
    let arenas = arena::lock();
    arenas.for_each_pool(|pool| stats.count_pool(pool, here));
    ThreadHeap::for_each(|heap| stats.subtract_kept(heap, here));
    let huge = arenas.huge_totals();
    (stats.arenas, stats.arenas_highwater) = arenas.slot_counts();
    stats.huge.pools = huge.blocks;
    stats.huge.in_use = huge.blocks;
    stats.huge.bytes = huge.bytes;
    stats.allocated += huge.bytes;
    stats.unused_pools = arenas.free_granules() * GRANULE;
    stats.headers = stats.arenas * ARENA_META;
    stats.alignment = huge.slots * ARENA - huge.bytes;
    stats
}

impl Stats {
    /// Blocks in a heap's active lists and remote caches count as out with their pools; they are not in use.
    fn subtract_kept(&mut self, heap: &ThreadHeap, here: &ThreadHeap) {
        let elsewhere = !core::ptr::eq(heap, here);
        for slot in 0..LARGE_SLOT {
            let left = heap.kept(slot);
            if left == 0 {
                continue;
            }
            let size = class_of(slot).size();
            let class = if slot < RAW_SLOTS { self.raw_class(slot) } else { &mut self.objects };
            // Other threads go on while this is counted: never below zero.
            let left = left.min(class.in_use).min(class.bytes / size);
            class.in_use -= left;
            class.available += left;
            class.bytes -= left * size;
            let left_elsewhere = if elsewhere { left } else { 0 };
            class.available_elsewhere += left_elsewhere;
            self.allocated -= left * size;
            self.available += left * size;
            self.available_elsewhere += left_elsewhere * size;
        }
    }
}

/// Number of blocks in use. Python: `sys.getallocatedblocks()`.
///
/// Equal before and after code that leaks nothing. Blocks of the allocator and counted objects count;
/// exact as [`stats`] is.
///
/// ```
/// let before = hoopsnake::heap::allocated_blocks();
/// let kept = hoopsnake::Cc::new(1u64);
/// assert_eq!(hoopsnake::heap::allocated_blocks(), before + 1);
/// # drop(kept);
/// ```
///
/// # Cost
/// That of [`stats`].
pub fn allocated_blocks() -> usize {
    stats().blocks_in_use()
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = self.classes[CLASSES - 1].block_size;
        writeln!(f, "Pooled block threshold = {max}, in {CLASSES} size classes.\n")?;
        writeln!(f, "class    size   num pools   blocks in use  avail blocks  held elsewhere")?;
        writeln!(f, "-----    ----   ---------   -------------  ------------  --------------")?;
        for (index, class) in self.classes.iter().enumerate().filter(|(_, class)| class.pools > 0) {
            row(f, &index.to_string(), &class.block_size.to_string(), class)?;
        }
        let others = [
            ("room", &self.roomy),
            ("cc", &self.objects),
            ("run", &self.runs),
            ("huge", &self.huge),
        ];
        for (name, class) in others.into_iter().filter(|(_, class)| class.pools > 0) {
            let size = if class.block_size > 0 { &*class.block_size.to_string() } else { "-" };
            row(f, name, size, class)?;
        }
        writeln!(f)?;
        sum(f, "# arenas highwater mark", self.arenas_highwater)?;
        sum(f, "# arenas allocated current", self.arenas)?;
        let product = format!("{} arenas * {ARENA_SIZE} bytes/arena", self.arenas);
        sum(f, &product, self.total())?;
        writeln!(f)?;
        sum(f, "# bytes in allocated blocks", self.allocated)?;
        sum(f, "# bytes in available blocks", self.available)?;
        sum(f, "  of which other threads hold", self.available_elsewhere)?;
        let unused = format!("{} unused pools * {GRANULE} bytes", self.unused_pools / GRANULE);
        sum(f, &unused, self.unused_pools)?;
        sum(f, "# bytes lost to pool headers", self.headers)?;
        sum(f, "# bytes lost to quantization", self.quantization)?;
        sum(f, "# bytes lost to arena alignment", self.alignment)?;
        let parts = self.allocated + self.available + self.unused_pools + self.headers;
        sum(f, "Total", parts + self.quantization + self.alignment)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, size: &str, class: &ClassStats) -> fmt::Result {
    let (pools, used, free) = (class.pools, class.in_use, class.available);
    let elsewhere = class.available_elsewhere;
    writeln!(f, "{name:>5} {size:>7} {pools:>11} {used:>15} {free:>13} {elsewhere:>15}")
}

/// A line of the lower table, with thousands separated as Python does.
fn sum(f: &mut fmt::Formatter<'_>, name: &str, value: usize) -> fmt::Result {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    writeln!(f, "{name:<34} = {text:>20}")
}

#[cfg(test)]
mod tests {
    use super::super::object_pool::{ObjectClass, ObjectHeap};
    use super::super::thread::{LEAF_SLOTS, TRACED_SLOTS};
    use super::*;
    use core::alloc::Layout;

    /// Other threads go on while pools are counted: a list of large objects may have become longer than what
    /// was counted, of small ones, has bytes.
    #[test]
    fn lists_that_grew_meanwhile_do_not_go_below_zero() {
        std::thread::spawn(|| {
            let class = ObjectClass::new(Layout::new::<[u8; 1000]>(), false).unwrap();
            let object = ObjectHeap::own().and_then(|heap| heap.alloc(class)).unwrap();
            let mut stats = Stats::new();
            (stats.objects.in_use, stats.objects.bytes, stats.allocated) = (5, 80, 80);
            let heap = ThreadHeap::current();
            assert!((LEAF_SLOTS..TRACED_SLOTS).any(|slot| heap.kept(slot) > 0), "no list");
            stats.subtract_kept(heap, heap);
            assert_eq!((stats.objects.in_use, stats.objects.bytes, stats.allocated), (5, 80, 80));
            // SAFETY: the block was just allocated, and its word is 0.
            unsafe { ObjectHeap::free(object, false) };
        })
        .join()
        .unwrap();
    }
}
