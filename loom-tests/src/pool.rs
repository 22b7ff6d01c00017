//! A pool of three blocks around the product's pool word and registry.
//!
//! Blocks, links and the holder's fields are loom cells, so that any access that the protocol does not
//! order is reported. A pool that was released must not be touched again.

use hoopsnake::model::{Links, Listed, PoolWord, Pushed, Registry};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};

/// Blocks of the pool.
pub const BLOCKS: usize = 3;

/// What the holder alone may touch.
struct Held {
    free: Vec<usize>,
    used: usize,
    released: bool,
}

/// The pool, and the registry that it may be in.
pub struct Model {
    word: PoolWord,
    owner: AtomicUsize,
    held: UnsafeCell<Held>,
    next: Vec<UnsafeCell<Option<u16>>>,
    data: Vec<UnsafeCell<u32>>,
    links: UnsafeCell<Option<Links<Handle>>>,
    registry: Registry<Handle>,
    threshold: usize,
}

/// A pool as the registry knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Handle(*const Model);

// SAFETY: the test keeps the model alive until its threads have ended.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}
// SAFETY: what is shared goes through loom's cells, which check it.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Handle {
    fn model<'a>(self) -> &'a Model {
        // SAFETY: the test keeps the model alive until its threads have ended.
        unsafe { &*self.0 }
    }
}

// SAFETY: word and links are those of one model; nobody else uses the links.
unsafe impl Listed for Handle {
    fn word<'a>(self) -> &'a PoolWord
    where
        Self: 'a,
    {
        &self.model().word
    }

    fn links(self) -> Option<Links<Handle>> {
        // SAFETY: under the registry lock; loom checks it.
        self.model().links.with(|links| unsafe { *links })
    }

    fn set_links(self, links: Option<Links<Handle>>) {
        // SAFETY: under the registry lock; loom checks it.
        self.model().links.with_mut(|place| unsafe { *place = links });
    }
}

impl Model {
    /// A pool held by thread 1 with `used` live blocks; `threshold` frees give it a new holder.
    pub fn new(used: usize, threshold: usize) -> Arc<Model> {
        Arc::new(Model {
            word: PoolWord::new(),
            owner: AtomicUsize::new(1),
            held: UnsafeCell::new(Held { free: (used..BLOCKS).collect(), used, released: false }),
            next: (0..BLOCKS).map(|_| UnsafeCell::new(None)).collect(),
            data: (0..BLOCKS).map(|_| UnsafeCell::new(0)).collect(),
            links: UnsafeCell::new(None),
            registry: Registry::new(),
            threshold,
        })
    }

    fn handle(&self) -> Handle {
        Handle(self)
    }

    fn with_held<R>(&self, f: impl FnOnce(&mut Held) -> R) -> R {
        // SAFETY: callers hold the pool; loom checks it.
        self.held.with_mut(|held| f(unsafe { &mut *held }))
    }

    /// Thread `me` frees `block`, which it owns; as the new holder it gives the pool up again.
    pub fn free(&self, me: usize, block: usize) {
        self.free_chain(me, &[block]);
    }

    /// Thread `me` frees blocks, all at once where it does not hold the pool.
    pub fn free_chain(&self, me: usize, blocks: &[usize]) {
        for &block in blocks {
            // SAFETY: the thread owns the block; loom checks it.
            self.data[block].with_mut(|data| unsafe { *data += 1 });
        }
        if self.owner.load(Ordering::Relaxed) == me {
            self.with_held(|held| {
                held.free.extend(blocks);
                held.used -= blocks.len();
            });
            return;
        }
        for pair in blocks.windows(2) {
            // SAFETY: as above.
            self.next[pair[0]].with_mut(|next| unsafe { *next = Some(pair[1] as u16) });
        }
        let last = blocks[blocks.len() - 1];
        let pushed = self.word.push(blocks[0] as u16, blocks.len() as u16, |head| {
            // SAFETY: the block is the thread's until the push; loom checks it.
            self.next[last].with_mut(|next| unsafe { *next = head });
        });
        if let Pushed::Claimed { listed } = pushed {
            if listed {
                self.registry.unlink_claimed(self.handle());
            }
            self.owner.store(me, Ordering::Relaxed);
            self.take();
            self.give_up(me);
        }
    }

    /// The holder fetches what came home.
    pub fn take(&self) {
        let taken = self.word.take();
        let (mut head, mut count) = (taken.head, 0);
        while let Some(block) = head {
            let block = usize::from(block);
            // SAFETY: the block was pushed; loom checks it.
            head = self.next[block].with(|next| unsafe { *next });
            self.with_held(|held| held.free.push(block));
            count += 1;
        }
        assert_eq!(count, taken.count, "the count field is the length of the chain");
        self.with_held(|held| held.used -= count as usize);
    }

    /// The holder has no use for the pool: gives it back when it is empty, up when it is not.
    pub fn give_up(&self, me: usize) {
        loop {
            let (used, free) = self.with_held(|held| (held.used, held.free.len()));
            if used == 0 {
                return self.release(free);
            }
            self.owner.store(0, Ordering::Relaxed);
            let need = self.threshold.min(used) as u16;
            let given_up = if free == 0 {
                self.word.unhold_full(need)
            } else {
                self.registry.unhold(self.handle(), need)
            };
            if given_up {
                return;
            }
            self.owner.store(me, Ordering::Relaxed);
            self.take();
        }
    }

    /// The memory is somebody else's from here on: whoever still touches it races with this.
    fn release(&self, free: usize) {
        assert_eq!(free, BLOCKS, "a block was lost");
        self.with_held(|held| {
            assert!(!held.released, "released twice");
            held.released = true;
        });
        for next in &self.next {
            next.with_mut(|_| ());
        }
        for data in &self.data {
            data.with_mut(|_| ());
        }
        self.owner.store(0, Ordering::Relaxed);
    }

    /// Thread `me` looks for a pool in the registry.
    pub fn adopt(&self, me: usize) -> bool {
        let adopted = self.registry.adopt().is_some();
        if adopted {
            self.owner.store(me, Ordering::Relaxed);
            self.take();
        }
        adopted
    }

    /// The holder takes a free block and writes to it.
    pub fn alloc(&self) -> Option<usize> {
        if self.with_held(|held| held.free.is_empty()) {
            self.take();
        }
        let block = self.with_held(|held| {
            let block = held.free.pop()?;
            held.used += 1;
            Some(block)
        })?;
        // SAFETY: the block is the holder's; loom checks it.
        self.data[block].with_mut(|data| unsafe { *data += 1 });
        Some(block)
    }

    /// All threads have ended: the pool came back, and the registry forgot it.
    pub fn check_released(&self) {
        assert!(self.with_held(|held| held.released), "the pool never came back");
        assert!(self.registry.is_empty(), "a released pool is still listed");
    }
}
