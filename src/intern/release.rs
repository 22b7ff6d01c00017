//! The end of an entry: out of the table, its contents dropped, its block freed.
//!
//! Contents that hold interned values themselves are dropped through a queue of the thread: the
//! outermost last drop works it off, the nested ones only add to it. So a chain of any length needs
//! no stack. User code (`Drop`) runs with no lock held.
//!
//! An entry in the queue is out of its table, so its hash word is free for the link: the low 48 bits
//! are the next entry's address, the high ones still choose the shard that the block goes back to.

use super::entry::Header;
use super::regions::{self, interner_of, interner_ptr_of};
use super::store::{Contents, Store};
use super::weak;
use crate::object::deferred;
use core::cell::Cell;
use core::ptr::{NonNull, null_mut};

const LINK: u64 = (1 << 48) - 1;

/// Dead entries of one thread whose contents are not dropped yet. No `Drop`: handles may go in
/// destructors of other thread-locals.
struct Pending {
    first: Cell<*mut Header>,
    /// Whether a call further up the stack works the queue off.
    draining: Cell<bool>,
}

std::thread_local! {
    static PENDING: Pending = const {
        Pending { first: Cell::new(null_mut()), draining: Cell::new(false) }
    };
}

/// Gives back a count of an entry, and ends it with the last.
///
/// # Safety
/// The entry was not made immortal, and the caller has a count.
#[inline(never)]
pub(super) unsafe fn give_back(entry: NonNull<Header>) {
    // SAFETY: the caller's count keeps the entry.
    let count = &unsafe { entry.as_ref() }.count;
    let last =
        if regions::is_closable(entry) { count.decrement_at_once() } else { count.decrement() };
    if last {
        // SAFETY: dead, and so ours.
        unsafe { last_drop(entry) };
    }
}

/// Ends an entry.
///
/// # Safety
/// The entry is dead, and the caller owns it.
#[cold]
#[inline(never)]
pub(super) unsafe fn last_drop(entry: NonNull<Header>) {
    // SAFETY: an entry of an interner that lives as long as its entries.
    let this = unsafe { interner_ptr_of(entry) };
    // SAFETY: mapped until this entry's block is freed.
    let interner = unsafe { this.as_ref() };
    // SAFETY: the caller owns the entry.
    let count = &unsafe { entry.as_ref() }.count;
    if count.is_watched() {
        weak::forget(entry);
    }
    if let Contents::Values { destroy: Some(_), .. } = interner.contents {
        // SAFETY: the entry's own interner; the caller owns the entry.
        unsafe { end_value(this, entry) };
    } else {
        // SAFETY: the entry's own interner; the caller owns the entry.
        unsafe { Store::bury_plain(this, entry) };
    }
}

/// Ends an entry whose value is to be dropped.
///
/// # Safety
/// The entry is of this interner and dead, and the caller owns it.
#[inline(never)]
unsafe fn end_value(this: NonNull<Store>, entry: NonNull<Header>) {
    // No reference is handed in: the interner may end here.
    // SAFETY: mapped until this entry's block is freed.
    let interner = unsafe { this.as_ref() };
    // SAFETY: the entry's own interner; the caller owns the entry.
    unsafe { interner.unlink(entry) };
    // SAFETY: unlinked, so that nobody but this thread knows of it.
    PENDING.with(|pending| unsafe { pending.push(entry) });
    PENDING.with(Pending::drain);
}

impl Pending {
    /// # Safety
    /// The caller owns the entry, which is in no table.
    unsafe fn push(&self, entry: NonNull<Header>) {
        let next = self.first.replace(entry.as_ptr()).expose_provenance() as u64;
        debug_assert!(next <= LINK, "{next:#x}");
        // SAFETY: the caller owns the entry.
        let header = unsafe { entry.as_ref() };
        // SAFETY: as above.
        let shard = unsafe { header.hash() } & !LINK;
        // SAFETY: as above.
        unsafe { header.set_hash(shard | next) };
    }

    fn pop(&self) -> Option<NonNull<Header>> {
        let entry = NonNull::new(self.first.get())?;
        // SAFETY: entries in the queue are this thread's.
        let header = unsafe { entry.as_ref() };
        // SAFETY: as above.
        let next = unsafe { header.hash() } & LINK;
        self.first.set(core::ptr::with_exposed_provenance_mut(next as usize));
        Some(entry)
    }

    /// Works the queue off, unless that is being done. The first panic goes on at the end.
    fn drain(&self) {
        if self.draining.replace(true) {
            return;
        }
        let mut panic = None;
        while let Some(entry) = self.pop() {
            // SAFETY: the queue holds owned, unlinked entries, each once.
            deferred::contain(&mut panic, || unsafe { bury(entry) });
        }
        self.draining.set(false);
        if let Some(panic) = panic {
            deferred::resume(panic);
        }
    }
}

/// Drops the value of an unlinked entry and frees the block, also when the drop panics.
///
/// # Safety
/// The caller owns the entry, which is unlinked.
unsafe fn bury(entry: NonNull<Header>) {
    struct Free(NonNull<Header>);
    impl Drop for Free {
        fn drop(&mut self) {
            // SAFETY: an entry of an interner that lives as long as its entries.
            let interner = unsafe { interner_ptr_of(self.0) };
            // SAFETY: mapped until this entry's block is freed.
            if let Contents::Values { class, .. } = unsafe { interner.as_ref() }.contents {
                // SAFETY: the queue owned the entry.
                let class = unsafe { class.of(self.0) };
                // SAFETY: unlinked, destroyed, and its hash word has the shard's bits.
                unsafe { Store::free(interner, self.0, class) };
            }
        }
    }
    let free = Free(entry);
    // SAFETY: an entry of an interner that lives as long as its entries.
    let contents = unsafe { interner_of(entry) }.contents;
    if let Contents::Values { destroy: Some(destroy), .. } = contents {
        // SAFETY: the interner's own function for its entries; the value was not dropped yet.
        unsafe { destroy(free.0) };
    }
}
