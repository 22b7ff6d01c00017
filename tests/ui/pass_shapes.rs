//! Every shape of type, and what `NEEDS_TRACE` is for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;

use hoopsnake::{Cc, Trace, TraceInfo, Weak};

const fn needs<T: TraceInfo>() -> bool {
    T::NEEDS_TRACE
}

#[derive(Trace)]
struct Unit;
#[derive(Trace)]
struct Tuple(u8, String);
#[derive(Trace)]
struct Named {
    id: u64,
    name: Option<String>,
}
#[derive(Trace)]
enum Never {}
#[derive(Trace)]
enum Plain {
    A,
    B(u8),
    C { text: String },
}
const _: () = assert!(!needs::<Unit>() && !needs::<Tuple>() && !needs::<Named>());
const _: () = assert!(!needs::<Never>() && !needs::<Plain>());

#[derive(Trace)]
enum Edges {
    None,
    One(Cc<Unit>),
    Many { first: u8, rest: Vec<Cc<Unit>> },
}
#[derive(Trace)]
struct Node {
    next: RefCell<Option<Cc<Node>>>,
    parent: RefCell<Weak<Node>>,
}
#[derive(Trace)]
struct ByOther(Vec<Edges>, HashMap<String, Plain>);
const _: () = assert!(needs::<Edges>() && needs::<Node>() && needs::<ByOther>());

// A type that mentions itself has edges, unless it says otherwise.
#[derive(Trace)]
enum Tree {
    Leaf(u64),
    Inner(Vec<Tree>),
}
#[derive(Trace)]
#[trace(leaf)]
enum Json {
    Number(f64),
    Boxed(Option<Box<Self>>),
    Array(Vec<Json>),
    Object(HashMap<String, Json>),
}
const _: () = assert!(needs::<Tree>() && !needs::<Json>());

// Types that mention each other say on one side that there are edges.
#[derive(Trace)]
#[trace(edges)]
enum Expression {
    Block(Block),
    Captured(Cc<Expression>),
}
#[derive(Trace)]
struct Block(Vec<Expression>);
const _: () = assert!(needs::<Expression>() && needs::<Block>());

// Generic types are as exact.
#[derive(Trace)]
struct Pair<A, B> {
    a: A,
    b: Option<B>,
}
const _: () = assert!(!needs::<Pair<u8, String>>() && needs::<Pair<u8, Cc<u8>>>());

#[derive(Trace)]
struct Array<T, const N: usize>([T; N])
where
    T: Clone;
const _: () = assert!(!needs::<Array<u8, 3>>() && needs::<Array<Cc<u8>, 3>>());

// Not bounded: what is a marker, skipped, or behind a function.
struct NotTrace;
#[derive(Trace)]
struct Marked<T, U, V> {
    marker: PhantomData<T>,
    #[trace(skip)]
    skipped: Rc<U>,
    function: fn(V) -> V,
}
const _: () = assert!(!needs::<Marked<NotTrace, NotTrace, NotTrace>>());

// Projections are bounded themselves.
#[derive(Trace)]
struct Peeked<I: Iterator> {
    #[trace(skip)]
    iterator: I,
    next: Option<I::Item>,
    last: Vec<<I as Iterator>::Item>,
}
const _: () = assert!(!needs::<Peeked<std::ops::Range<u8>>>());
const _: () = assert!(needs::<Peeked<std::vec::IntoIter<Cc<u8>>>>());

// Without `Sized`.
#[derive(Trace)]
struct Link<T: ?Sized>(Option<Cc<T>>);
#[derive(Trace)]
struct Tail<T>
where
    T: ?Sized,
{
    id: u8,
    tail: T,
}
fn is_trace<T: Trace + ?Sized>() {}

// Lifetimes, as long as they are long.
#[derive(Trace)]
struct Text<'a> {
    text: &'a str,
}
const _: () = assert!(!needs::<Text<'static>>());

// An object of a trait may hold anything.
trait Shape: Trace {
    fn area(&self) -> f64;
}
#[derive(Trace)]
struct Square(f64);
impl Shape for Square {
    fn area(&self) -> f64 {
        self.0 * self.0
    }
}
#[derive(Trace)]
struct Scene(Vec<Box<dyn Shape>>);
#[derive(Trace)]
struct Unsized<'a, T: ?Sized + 'a>(Box<T>, PhantomData<&'a T>);
const _: () = assert!(needs::<Scene>() && needs::<Unsized<'static, dyn Shape>>());

// Only `Trace`, no `TraceInfo`: by hand.
struct Manual(Cc<Unit>);
unsafe impl Trace for Manual {
    fn trace(&self, tracer: &mut hoopsnake::Tracer<'_>) {
        self.0.trace(tracer);
    }
}
#[derive(Trace)]
struct HoldsManual(Manual);
const _: () = assert!(needs::<HoldsManual>());

#[derive(Trace)]
struct r#Raw {
    r#type: u8,
    r#match: Option<Cc<Unit>>,
}

macro_rules! defined {
    ($name:ident, $ty:ty) => {
        #[derive(Trace)]
        struct $name<T> {
            field: $ty,
            tracer: T,
        }
    };
}
defined!(ByMacro, Vec<Cc<u8>>);
const _: () = assert!(needs::<ByMacro<u8>>());

fn main() {
    #[derive(Trace)]
    struct Local<T>(T);
    const _: () = assert!(!needs::<Local<u8>>());

    is_trace::<Link<dyn Shape>>();
    is_trace::<Tail<[u8]>>();
    is_trace::<Tail<u8>>();
}
