//! Each crate's pointer as a [`Family`].

use super::Family;

/// The part of `impl Family` that is spelled alike for all: `$cell` is what nodes keep their slots in.
macro_rules! spelled_alike {
    ($pointer:ident, $cell:ident) => {
        type Leaf = $pointer<u64>;
        type Node = $pointer<Node>;

        #[inline(always)]
        fn leaf(value: u64) -> Self::Leaf {
            $pointer::new(value)
        }

        #[inline(always)]
        fn node() -> Self::Node {
            $pointer::new(Node { slots: $cell::new([None, None, None]) })
        }

        #[inline(always)]
        fn link(from: &Self::Node, slot: usize, to: Option<&Self::Node>) {
            let old = core::mem::replace(&mut from.slots.borrow_mut()[slot], to.cloned());
            // Not while the slots are borrowed: what it drags along may lead back here.
            drop(old);
        }
    };
}

pub(crate) use hoopsnake_cc::Hoopsnake;
mod hoopsnake_cc {
    use core::cell::RefCell;

    use hoopsnake::{Cc, Trace, gc};

    use super::Family;

    #[derive(Trace)]
    pub struct Node {
        slots: RefCell<[Option<Cc<Node>>; 3]>,
    }

    pub(crate) struct Hoopsnake;

    impl Family for Hoopsnake {
        const NAME: &'static str = "hoopsnake";
        spelled_alike!(Cc, RefCell);

        fn collect() {
            gc::collect();
        }

        fn collect_young() {
            gc::collect_generation(gc::Generation::Young);
        }

        fn set_automatic(on: bool) {
            if on { gc::enable() } else { gc::disable() }
        }
    }
}

pub(crate) use std_rc::StdRc;
mod std_rc {
    extern crate alloc;
    use alloc::rc::Rc;
    use core::cell::RefCell;

    use super::Family;

    pub struct Node {
        slots: RefCell<[Option<Rc<Node>>; 3]>,
    }

    pub(crate) struct StdRc;

    impl Family for StdRc {
        const NAME: &'static str = "std Rc";
        const COLLECTS: bool = false;
        spelled_alike!(Rc, RefCell);
    }
}

#[cfg(feature = "peers")]
pub(crate) use dumpster_gc::Dumpster;
#[cfg(feature = "peers")]
mod dumpster_gc {
    use core::cell::RefCell;

    use dumpster::Trace;
    use dumpster::unsync::{self, CollectInfo, Gc};

    use super::Family;

    #[derive(Trace)]
    pub struct Node {
        slots: RefCell<[Option<Gc<Node>>; 3]>,
    }

    pub(crate) struct Dumpster;

    fn never(_: &CollectInfo) -> bool {
        false
    }

    impl Family for Dumpster {
        const NAME: &'static str = "dumpster";
        spelled_alike!(Gc, RefCell);

        fn collect() {
            unsync::collect();
        }

        fn set_automatic(on: bool) {
            unsync::set_collect_condition(if on {
                unsync::default_collect_condition
            } else {
                never
            });
        }
    }
}

#[cfg(feature = "peers")]
pub(crate) use gcmodule_cc::Gcmodule;
#[cfg(feature = "peers")]
mod gcmodule_cc {
    use core::cell::RefCell;

    use gcmodule::{Cc, Trace, Tracer};

    use super::Family;

    pub struct Node {
        slots: RefCell<[Option<Cc<Node>>; 3]>,
    }

    /// By hand: it has no `Trace` for arrays.
    impl Trace for Node {
        fn trace(&self, tracer: &mut Tracer<'_>) {
            if let Ok(slots) = self.slots.try_borrow() {
                slots.iter().for_each(|slot| slot.trace(tracer));
            }
        }

        fn is_type_tracked() -> bool {
            true
        }
    }

    pub(crate) struct Gcmodule;

    impl Family for Gcmodule {
        const NAME: &'static str = "gcmodule";
        const AUTOMATIC: bool = false;
        spelled_alike!(Cc, RefCell);

        fn collect() {
            gcmodule::collect_thread_cycles();
        }
    }
}

#[cfg(feature = "peers")]
pub(crate) use boa::Boa;
#[cfg(feature = "peers")]
mod boa {
    use boa_gc::{Finalize, Gc, GcRefCell, Trace};

    use super::Family;

    #[derive(Trace, Finalize)]
    pub struct Node {
        slots: GcRefCell<[Option<Gc<Node>>; 3]>,
    }

    pub(crate) struct Boa;

    impl Family for Boa {
        const NAME: &'static str = "boa_gc";
        spelled_alike!(Gc, GcRefCell);

        fn collect() {
            boa_gc::force_collect();
        }
    }
}
