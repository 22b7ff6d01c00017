//! A thread's heap from its making to after its end.
//!
//! A thread that allocates gets a heap: one that an ended thread left, or a new one. At the thread's end
//! (`os::thread_end`) the heap gives up all its pools: empty ones go to the arenas, raw ones with live
//! blocks to the registry or to the next freer, those of counted objects are retired. Destructors that
//! run even later find [`DEAD`](super::thread): they allocate from one heap behind a lock.
//!
//! # Orderings
//! Relaxed, as in `pool.rs`; heaps change hands under a lock.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::arena;
use super::block::BlockPtr;
use super::pool::{Held, PoolRef};
use super::registry::Registry;
use super::sweep::Sweep;
use super::thread::{RAW_SLOTS, REGISTRIES, SLOTS, ThreadHeap, release, unhold_full};
use crate::base::bits::align_up;
use crate::base::config::PAGE;
use crate::os;
use crate::os::fork::ForkLocks;
use crate::sync::RawMutex;

/// Who owns the object pools of ended threads: not a heap's address.
pub(super) const RETIRED: *mut ThreadHeap = ptr::without_provenance_mut(8);

/// All heaps; those of ended threads are used again.
static HEAPS: RawMutex<Heaps> = RawMutex::new(Heaps { unused: None, made: None });

struct Heaps {
    unused: Option<&'static ThreadHeap>,
    made: Option<&'static ThreadHeap>,
}

// SAFETY: an unused heap belongs to whoever takes it from the list; of others only `kept` is asked.
unsafe impl Send for Heaps {}

/// For threads that allocate after their end: one heap behind a lock.
static LAST_RESORT: RawMutex<LastResort> = RawMutex::new(LastResort(None));

struct LastResort(Option<&'static ThreadHeap>);

/// Every lock of the heap, in the order in which who needs two takes them.
///
/// In a forked child the heaps of other threads stay as they were, and the pools that those held stay
/// held for ever: they may be torn in the middle of an operation.
pub(super) static FORK: ForkLocks = ForkLocks::new(
    10,
    || {
        LAST_RESORT.begin_fork();
        REGISTRIES.iter().for_each(Registry::begin_fork);
        arena::begin_fork();
        HEAPS.begin_fork();
    },
    || {
        HEAPS.end_fork();
        arena::end_fork();
        REGISTRIES.iter().for_each(Registry::end_fork);
        LAST_RESORT.end_fork();
    },
);

// SAFETY: the heap is used under the lock only.
unsafe impl Send for LastResort {}

impl ThreadHeap {
    /// Makes this thread's heap.
    #[cold]
    pub(super) fn create() -> Option<&'static ThreadHeap> {
        FORK.register();
        if let Some(heap) = os::thread_end::armed() {
            // The thread ends, and its thread-locals are as at its start.
            // SAFETY: armed with a heap, below; heaps are never unmapped.
            let heap = unsafe { heap.cast::<ThreadHeap>().as_ref() };
            heap.make_current();
            return Some(heap);
        }
        let heap = ThreadHeap::take_unused().or_else(ThreadHeap::map_new)?;
        heap.make_current();
        // Without a free key the thread's partly used pools stay with it.
        let _ = os::thread_end::arm(end_of_thread, NonNull::from(heap).cast());
        Some(heap)
    }

    fn take_unused() -> Option<&'static ThreadHeap> {
        let mut heaps = HEAPS.lock();
        let heap = heaps.unused?;
        heaps.unused = heap.next_unused.take();
        Some(heap)
    }

    fn map_new() -> Option<&'static ThreadHeap> {
        let place = os::map(align_up(size_of::<ThreadHeap>(), PAGE))?;
        // SAFETY: the mapping is zero, which is an empty heap, large enough, and never unmapped.
        let heap = unsafe { place.cast::<ThreadHeap>().as_ref() };
        let mut heaps = HEAPS.lock();
        heap.next_made.set(heaps.made);
        heaps.made = Some(heap);
        Some(heap)
    }

    fn put_unused(&'static self) {
        let mut heaps = HEAPS.lock();
        self.next_unused.set(heaps.unused);
        heaps.unused = Some(self);
    }

    /// Calls `f` with every heap that was ever made. Only `kept` may be asked.
    pub(super) fn for_each(mut f: impl FnMut(&ThreadHeap)) {
        let heaps = HEAPS.lock();
        let mut next = heaps.made;
        while let Some(heap) = next {
            next = heap.next_made.get();
            f(heap);
        }
    }

    /// Gives up everything that a thread holds, at its end.
    fn give_up_all(&self) {
        self.send_all_home();
        for slot in 0..SLOTS {
            self.hand_back(slot);
        }
        for slot in 0..RAW_SLOTS {
            while let Some(held) = self.slots[slot].pools.get() {
                held.unlink(&self.slots[slot].pools);
                abandon(held);
            }
            for place in &self.full[slot] {
                if let Some(held) = place.take() {
                    held.set_listed();
                    abandon(held);
                }
            }
            while let Some(held) = self.brimful(slot).get() {
                held.unlink(self.brimful(slot));
                held.set_listed();
                abandon(held);
            }
        }
        let slots = self.slots[RAW_SLOTS..].iter().map(|slot| &slot.pools);
        for list in slots.chain([&self.full_objects]) {
            while let Some(held) = list.get() {
                held.unlink(list);
                retire(held);
            }
        }
        self.patience.set(0);
        self.sweeps.iter().for_each(Sweep::reset);
        self.objects.reset();
    }
}

/// Gives up a pool for good: its thread ends, or has no heap.
pub(super) fn abandon(held: Held) {
    loop {
        held.take_remote();
        let pool = held.pool();
        if pool.live() == 0 {
            return release(held);
        }
        let given_up = if held.has_local() || held.can_carve() {
            let need = held.threshold().min(pool.live());
            held.set_owner(ptr::null_mut());
            REGISTRIES[pool.slot()].unhold(pool, need as u16)
        } else {
            unhold_full(held)
        };
        if given_up {
            return;
        }
    }
}

/// Leaves an object pool to the late drops of its ended thread.
fn retire(held: Held) {
    if held.pool().live() == 0 {
        return release(held);
    }
    held.set_listed();
    held.set_owner(RETIRED);
}

/// Frees an object's block into a pool of an ended thread, from that same thread.
///
/// # Safety
/// The caller owns the live block; the pool is retired, and its thread is the caller's.
pub(super) unsafe fn free_retired(pool: PoolRef, block: BlockPtr) {
    // SAFETY: a retired pool is touched by its thread alone.
    let held = unsafe { pool.assume_held() };
    // SAFETY: the caller's.
    if unsafe { held.free(block) } {
        release(held);
    }
}

/// The heap of this thread, made if there is none; the static one after the thread's end, or `None`
/// without memory.
pub(super) fn own_or_dead() -> Option<&'static ThreadHeap> {
    let heap = ThreadHeap::current();
    if heap.is_own() || heap.is_dead() { Some(heap) } else { ThreadHeap::create() }
}

/// Runs `f` with the heap of last resort; `None` when there is no memory for it.
pub(super) fn with_last_resort<R>(f: impl FnOnce(Option<&ThreadHeap>) -> R) -> R {
    let mut last = LAST_RESORT.lock();
    if last.0.is_none() {
        last.0 = ThreadHeap::map_new();
    }
    f(last.0)
}

/// The end of a thread, after its last destructor.
///
/// # Safety
/// Called by `os::thread_end` alone, on the thread that ends, with its heap.
unsafe fn end_of_thread(heap: NonNull<()>) {
    // SAFETY: armed with a heap; heaps are never unmapped.
    let heap = unsafe { heap.cast::<ThreadHeap>().as_ref() };
    // Its thread-locals may be as at its start.
    heap.make_current();
    heap.objects.call_at_end();
    ThreadHeap::make_dead();
    heap.give_up_all();
    heap.put_unused();
}

/// Trimming: what a thread holds and does not use.
impl ThreadHeap {
    /// Gives back the held pools of a slot that are empty.
    pub(super) fn release_empty(&self, slot: usize) {
        self.hand_back(slot);
        self.release_empty_in(&self.slots[slot].pools, slot >= RAW_SLOTS);
    }

    /// Gives back the pools of large objects that are empty.
    pub(super) fn release_empty_large(&self) {
        self.release_empty_in(&self.full_objects, true);
    }

    fn release_empty_in(&self, list: &Cell<Option<Held>>, objects: bool) {
        let mut next = list.get();
        while let Some(held) = next {
            next = held.next();
            if held.pool().live() == 0 && !(objects && self.objects.keeps(held)) {
                held.unlink(list);
                release(held);
            }
        }
    }

    /// Puts the brimful pools of a slot on its list.
    fn relist_all(&self, slot: usize) {
        while let Some(held) = self.brimful(slot).get() {
            held.unlink(self.brimful(slot));
            held.set_listed();
            match self.slots[slot].pools.get() {
                Some(current) => held.link_after(current),
                None => held.link_first(&self.slots[slot].pools),
            }
        }
    }

    /// Gives back what this thread holds and does not use: its share of `heap::trim`.
    pub(crate) fn trim(&self) -> usize {
        self.send_all_home();
        let mut bytes = 0;
        for slot in 0..SLOTS {
            self.hand_back(slot);
            if slot < RAW_SLOTS {
                for place in &self.full[slot] {
                    if let Some(held) = place.take() {
                        held.set_listed();
                        self.give_up(held);
                    }
                }
                self.relist_all(slot);
                let mut next = self.slots[slot].pools.get();
                while let Some(held) = next {
                    next = held.next();
                    held.take_remote();
                }
            }
            self.release_empty(slot);
            let mut next = self.slots[slot].pools.get();
            while let Some(held) = next {
                next = held.next();
                bytes += held.purge_free_pages();
            }
        }
        bytes
    }
}

/// Trims the pools that nobody holds: takes each over, trims it, and gives it up again.
pub(crate) fn trim_listed() -> usize {
    let mut bytes = 0;
    for registry in &REGISTRIES {
        let chain = Cell::new(None);
        while let Some(pool) = registry.adopt() {
            // SAFETY: adopting makes the caller the holder.
            let held = unsafe { pool.assume_held() };
            held.take_remote();
            bytes += held.purge_free_pages();
            held.link_first(&chain);
        }
        while let Some(held) = chain.get() {
            held.unlink(&chain);
            abandon(held);
        }
    }
    bytes
}
