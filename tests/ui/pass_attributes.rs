//! Every attribute in use.

use std::fs::File;
use std::rc::Rc;

use hoopsnake::{Cc, Dying, Finalize, Trace, TraceInfo, Tracer, Weak};

const fn needs<T: TraceInfo>() -> bool {
    T::NEEDS_TRACE
}

#[derive(Trace)]
struct Skips {
    #[trace(skip)]
    shared: Rc<u8>,
    #[trace(skip)]
    file: Option<File>,
    id: u8,
}
#[derive(Trace)]
enum SkipsVariant {
    #[trace(skip)]
    Foreign(Rc<u8>, File),
    Own(u8),
}
const _: () = assert!(!needs::<Skips>() && !needs::<SkipsVariant>());

// Handles to what has no edges can be in no cycle.
#[derive(Trace)]
struct LeafFields<T> {
    #[trace(leaf)]
    name: Cc<String>,
    #[trace(leaf)]
    alias: Option<Cc<String>>,
    #[trace(leaf)]
    lines: Vec<Cc<T>>,
    #[trace(leaf)]
    id: u8,
}
const _: () = assert!(!needs::<LeafFields<u8>>());

#[derive(Trace)]
#[trace(leaf)]
struct LeafType<T> {
    parent: Weak<LeafType<T>>,
    value: T,
    boxed: Box<u8>,
    #[trace(skip)]
    shared: Rc<T>,
}
const _: () = assert!(!needs::<LeafType<u8>>());

#[derive(Trace)]
#[trace(drop)]
struct Guard<T> {
    value: T,
    #[trace(leaf)]
    name: Cc<String>,
}
impl<T> Drop for Guard<T> {
    fn drop(&mut self) {}
}
const _: () = assert!(!needs::<Guard<u8>>());

#[derive(Trace)]
#[trace(drop, finalize)]
struct Both;
impl Drop for Both {
    fn drop(&mut self) {}
}
impl Finalize for Both {
    fn finalize(&self, _: &Dying<'_, Self>) {}
}
const _: () = assert!(needs::<Both>() && <Both as TraceInfo>::FINALIZE.is_some());

#[derive(Trace)]
#[trace(finalize)]
#[trace(bound = "T: Trace + Clone")]
struct Finalized<T>(T);
impl<T: Trace + Clone> Finalize for Finalized<T> {
    fn finalize(&self, _: &Dying<'_, Self>) {
        let _ = self.0.clone();
    }
}
const _: () = assert!(needs::<Finalized<u8>>());

#[derive(Trace)]
#[trace(unsafe(drop))]
struct Careful(Option<Cc<u8>>);
impl Drop for Careful {
    fn drop(&mut self) {
        self.0 = None;
    }
}
const _: () = assert!(needs::<Careful>());

fn trace_both<T: Trace>(fields: &(Cc<T>, Rc<u8>), tracer: &mut Tracer<'_>) {
    fields.0.trace(tracer);
}
#[derive(Trace)]
#[trace(bound = "T: Trace,")]
struct WithFunction<T> {
    #[trace(unsafe(with = trace_both))]
    both: (Cc<T>, Rc<u8>),
    #[trace(unsafe(with = self::trace_both::<T>))]
    again: (Cc<T>, Rc<u8>),
}
const _: () = assert!(needs::<WithFunction<u8>>());

// Nothing is asked of `T` if the bound says so; then it counts as having edges.
#[derive(Trace)]
#[trace(bound = "T: Trace")]
struct Bounded<T>(T);
const _: () = assert!(needs::<Bounded<u8>>());

mod renamed {
    pub mod inner {
        pub use hoopsnake::*;
    }
}
#[derive(renamed::inner::Trace)]
#[trace(crate = crate::renamed::inner)]
struct Renamed(Cc<u8>);
const _: () = assert!(needs::<Renamed>());

fn main() {}
