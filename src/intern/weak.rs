//! Handles that do not keep their value.
//!
//! A weak handle shares a *cell* with others of the same entry, which holds the entry's address. Cells of
//! live entries are listed by that address, in one of some lists with a lock each. Who owns a dead entry that was
//! watched empties its cell before the block goes back ([`forget`]); who looks at the entry does so under the
//! same lock, that of the cell's list. So while a cell has an entry, a count that can be taken is one of the same
//! life of the entry.
//!
//! Nothing is allocated, freed or dropped under these locks, and no look-up needs them. A fork takes them all: cells
//! have none of their own, of which there would be as many as cells, in lists or out of them.
//!
//! # Orderings
//! Relaxed: a cell's entry changes under the lock. Who sees without it that there is none is spared the lock, and
//! does not come after the death by that (nor does who is told by `std`'s `Weak`).

use super::entry::Header;
use super::hash::Seed;
use super::interned::Interned;
use super::regions;
use super::value::EntryPtr;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::{Arc, RawMutex, RawMutexGuard};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use hashbrown::HashTable;

const LISTS: usize = 64;

/// The cells of live entries, by their entries' addresses.
static CELLS: [Locked; LISTS] = [const { Locked(RawMutex::new(HashTable::new())) }; LISTS];

/// In lines of its own: threads upgrade handles of different entries at once.
#[repr(align(64))]
struct Locked(RawMutex<List>);

type List = HashTable<Listed>;

/// What weak handles of one entry share.
#[derive(Debug)]
struct Cell {
    /// Where the entry is, or was.
    address: usize,
    /// The entry, as long as its block is not free; from then on null, and the cell is not listed.
    entry: AtomicPtr<Header>,
}

/// A cell in a list, which has no count of it: the last weak handle takes it out.
#[derive(Debug)]
struct Listed {
    address: usize,
    cell: NonNull<Cell>,
}

// SAFETY: cells are shared between threads.
unsafe impl Send for Listed {}

fn hash_of(address: usize) -> u64 {
    Seed::of_program().hash_value(&address)
}

fn list_of(address: usize) -> &'static RawMutex<List> {
    &CELLS[(hash_of(address) >> 32) as usize % LISTS].0
}

/// Locks a list that has room for one more.
fn lock_with_room(list: &'static RawMutex<List>) -> RawMutexGuard<'static, List> {
    let mut locked = list.lock();
    while locked.len() == locked.capacity() {
        let length = locked.len() + 1;
        drop(locked);
        let mut larger = HashTable::with_capacity(2 * length);
        locked = list.lock();
        if locked.len() < larger.capacity() {
            for listed in locked.drain() {
                larger.insert_unique(hash_of(listed.address), listed, |at| hash_of(at.address));
            }
            core::mem::swap(&mut *locked, &mut larger);
        }
        // The old table is freed without the lock.
        drop(locked);
        drop(larger);
        locked = list.lock();
    }
    locked
}

/// Takes all locks for the time of a fork.
pub(super) fn begin_fork() {
    CELLS.iter().for_each(|list| list.0.begin_fork());
}

/// Gives them back.
pub(super) fn end_fork() {
    CELLS.iter().for_each(|list| list.0.end_fork());
}

/// The cell of a live entry.
fn cell_of(entry: NonNull<Header>) -> Arc<Cell> {
    let address = entry.addr().get();
    let new = Arc::new(Cell { address, entry: AtomicPtr::new(entry.as_ptr()) });
    let mut list = lock_with_room(list_of(address));
    let found = list.find(hash_of(address), |listed| listed.address == address);
    if let Some(&Listed { cell, .. }) = found {
        // SAFETY: a listed cell has a weak handle: the last one takes it out under this lock.
        unsafe { Arc::increment_strong_count(cell.as_ptr()) };
        drop(list);
        // SAFETY: the count was just taken.
        return unsafe { Arc::from_raw(cell.as_ptr()) };
    }
    // Not through a reference to the cell, which would not reach the counts.
    let cell = NonNull::new(Arc::as_ptr(&new).cast_mut()).expect("an Arc is somewhere");
    list.insert_unique(hash_of(address), Listed { address, cell }, |at| hash_of(at.address));
    new
}

/// Empties the cell of a dead entry, if it has one.
///
/// The caller owns the entry and has not freed its block.
#[cold]
pub(super) fn forget(entry: NonNull<Header>) {
    let address = entry.addr().get();
    let mut list = list_of(address).lock();
    let found = list.find_entry(hash_of(address), |listed| listed.address == address);
    if let Ok(found) = found {
        let cell = found.remove().0.cell;
        // SAFETY: it was listed, so a weak handle has it: the last one waits for the list's lock.
        let cell = unsafe { cell.as_ref() };
        cell.entry.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

/// A handle that does not keep its value: it upgrades as long as the entry has not died.
///
/// Python's `weakref.ref`. An equal value that is interned later is another entry: this handle does not
/// come back to life.
///
/// One word, and 32 bytes and a place in a table for all weak handles of one entry. Entries that never had weak handles
/// pay nothing; of one that had any each look-up, clone and drop costs a load and a call more, and the last drop one
/// more lock.
///
/// ```
/// use hoopsnake::intern::intern;
///
/// let spam = intern("spam, weakly");
/// let weak = spam.downgrade();
/// assert_eq!(weak.upgrade(), Some(spam.clone()));
///
/// drop(spam);
/// assert_eq!(weak.upgrade(), None);
/// let again = intern("spam, weakly");
/// assert_eq!(weak.upgrade(), None);
/// # drop(again);
/// ```
pub struct WeakInterned<T: ?Sized> {
    cell: Option<Arc<Cell>>,
    contents: PhantomData<T>,
}

// SAFETY: it gives out handles, which may be used and dropped by any thread.
unsafe impl<T: ?Sized + Send + Sync> Send for WeakInterned<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for WeakInterned<T> {}

impl<T: ?Sized> Interned<T> {
    /// A handle that does not keep the value.
    ///
    /// Python's `weakref.ref`. Takes a lock; allocates for the first weak handle of an entry.
    ///
    /// # Panics
    /// If memory is refused, [`handle_alloc_error`](alloc::alloc::handle_alloc_error) is called.
    ///
    /// ```
    /// # use hoopsnake::intern::intern;
    /// let weak = intern("held by nobody").downgrade();
    /// assert!(weak.upgrade().is_none());
    /// ```
    pub fn downgrade(&self) -> WeakInterned<T> {
        self.header().count.watch();
        WeakInterned { cell: Some(cell_of(self.entry())), contents: PhantomData }
    }
}

impl<T: ?Sized> WeakInterned<T> {
    /// A weak handle of nothing. Free.
    ///
    /// ```
    /// # use hoopsnake::intern::WeakInterned;
    /// assert!(WeakInterned::<str>::new().upgrade().is_none());
    /// ```
    pub const fn new() -> Self {
        Self { cell: None, contents: PhantomData }
    }

    /// A handle that keeps the value, unless the entry has died.
    ///
    /// Calling Python's weak reference. Costs one of a few dozen locks that only weak handles take, and an atomic
    /// addition; a load once the entry has died.
    ///
    /// ```
    /// # use hoopsnake::intern::intern;
    /// let spam = intern("spam");
    /// assert!(spam.downgrade().upgrade().unwrap().ptr_eq(&spam));
    /// ```
    pub fn upgrade(&self) -> Option<Interned<T>> {
        let cell = self.cell.as_ref()?;
        NonNull::new(cell.entry.load(Ordering::Relaxed))?;
        let _list = list_of(cell.address).lock();
        let entry = NonNull::new(cell.entry.load(Ordering::Relaxed))?;
        // SAFETY: the block is not free while the cell has its entry, and the cell's list is locked.
        let header = unsafe { entry.as_ref() };
        if !regions::is_immortal(entry) && !header.count.try_increment() {
            return None;
        }
        // SAFETY: an entry of `T`, with the count just taken.
        Some(unsafe { Interned::from_entry(EntryPtr(entry)) })
    }

    /// Whether two weak handles are of the same entry, dead or alive, or both of nothing.
    ///
    /// Costs a comparison.
    ///
    /// ```
    /// # use hoopsnake::intern::intern;
    /// let spam = intern("spam");
    /// assert!(spam.downgrade().ptr_eq(&spam.downgrade()));
    /// ```
    pub fn ptr_eq(&self, other: &Self) -> bool {
        match (&self.cell, &other.cell) {
            (Some(one), Some(another)) => Arc::ptr_eq(one, another),
            (None, None) => true,
            _ => false,
        }
    }
}

impl<T: ?Sized> Clone for WeakInterned<T> {
    /// One more weak handle: an atomic addition.
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone(), contents: PhantomData }
    }
}

impl<T: ?Sized> Drop for WeakInterned<T> {
    /// One weak handle less; takes a lock.
    fn drop(&mut self) {
        let Some(cell) = self.cell.take() else { return };
        let address = cell.address;
        let mut list = list_of(address).lock();
        if Arc::strong_count(&cell) > 1 {
            // Counts go down under this lock only, so this is not the last.
            drop(cell);
            return;
        }
        let this = NonNull::from(&*cell);
        if let Ok(found) = list.find_entry(hash_of(address), |listed| listed.cell == this) {
            found.remove();
        }
        // Before the cell is freed.
        drop(list);
    }
}

impl<T: ?Sized> Default for WeakInterned<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized> From<&Interned<T>> for WeakInterned<T> {
    fn from(handle: &Interned<T>) -> Self {
        handle.downgrade()
    }
}

impl<T: ?Sized> fmt::Debug for WeakInterned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(WeakInterned)")
    }
}
