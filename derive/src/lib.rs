//! `#[derive(Trace)]` for [hoopsnake](https://docs.rs/hoopsnake), which re-exports it: depend on that.
//!
//! - `attributes`: what `#[trace(…)]` may say, with the errors for what it may not.
//! - `bounds`: which type parameters need a bound.
//! - `trace`: the impls.
//!
//! What the output refers to is in `hoopsnake::__private`.
#![forbid(unsafe_code)]

mod attributes;
mod bounds;
mod trace;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, parse_macro_input};

/// Tells the collector which fields of a type hold handles: derives `Trace` and `TraceInfo`.
///
/// It is safe. Each field must be `Trace` itself (std's types without shared ownership are) or carry an
/// attribute. Structs and enums will do; a union will not, since nobody knows which of its fields is in
/// use.
///
/// ```ignore
/// use std::cell::RefCell;
/// use hoopsnake::{Cc, Trace, Weak};
///
/// #[derive(Trace)]
/// struct Node {
///     name: String,
///     next: RefCell<Option<Cc<Node>>>,
///     parent: RefCell<Weak<Node>>,
/// }
/// ```
///
/// **Cost.** Of the derive: nothing at run time for fields without edges; they are not visited. Of a type
/// that may hold edges: 8 bytes more in each object's header, and the collector's visits.
///
/// # What may hold edges
/// `TraceInfo::NEEDS_TRACE` is true if it is for one of the fields. Three cases are true without asking:
/// - a type with a finalizer, which needs the larger header;
/// - a type that is mentioned in its own fields, by its name or as `Self`: asking would not end. If it
///   holds no handles, say [`#[trace(leaf)]`](#traceleaf-on-a-type);
/// - a field whose type has no `TraceInfo`, such as one that is only known to be `Trace`.
///
/// Types that mention *each other* are not recognised: the compiler reports "cycle detected" (E0391) at
/// `NEEDS_TRACE`. Say [`#[trace(edges)]`](#traceedges-on-a-type) on one of them.
///
/// # No `Drop`
/// The collector drops the members of a dead cycle one after the other. A destructor could reach a
/// neighbour that is gone, so a derived type must not implement `Drop`; the error names
/// `types_with_edges_must_not_implement_Drop_use_Finalize_instead`. What the destructor was to do goes
/// into `Finalize`, which runs while all neighbours are intact, or into a field's type that holds no
/// handles and says [`#[trace(drop)]`](#tracedrop-on-a-type).
///
/// # Bounds
/// `T: 'static` for every parameter (and `'a: 'static`: what is borrowed cannot be traced, because a
/// cycle lives until it is collected). Parameters that occur in traced fields must be `Trace` for the
/// impl of `Trace`, and `TraceInfo` for that of `TraceInfo` where `NEEDS_TRACE` asks them (but not those
/// that are `?Sized`). A field type `T::Item` is bounded itself. No bound comes from `PhantomData<T>`,
/// function pointers, and skipped fields. [`#[trace(bound = "…")]`](#tracebound---on-a-type) replaces them.
///
/// # Attributes of fields
///
/// ### `#[trace(skip)]` (on a field or a variant)
/// It is not looked at and needs no `Trace`. Handles in it count as held from outside: a cycle through
/// them is never collected, and that is all that can happen.
///
/// ```ignore
/// #[derive(Trace)]
/// struct Session {
///     user: Cc<User>,
///     #[trace(skip)]
///     log: Rc<File>,
/// }
/// ```
///
/// ### `#[trace(leaf)]` (on a field)
/// It is not traced, and the compiler checks that nothing is lost: the field has no edges, or it is a
/// `Cc<T>` (an `Option` or a `Vec` of them, a `Box<T>`) whose target has none, so that no cycle can go
/// through it. In a generic type it is checked when the type is used.
///
/// ```ignore
/// #[derive(Trace)]
/// struct Named {
///     #[trace(leaf)]
///     name: Cc<String>,
/// }
/// ```
///
/// ### `#[trace(unsafe(with = path))]` (on a field)
/// `path(&field, tracer)` is called instead of the field's own `trace`. The function has the duties of
/// `Trace::trace`. The type then needs tracing, and no bound is inferred from the field.
///
/// ```ignore
/// fn trace_slots(slots: &foreign::Slots<Cc<User>>, tracer: &mut Tracer<'_>) {
///     slots.iter().for_each(|user| user.trace(tracer));
/// }
///
/// #[derive(Trace)]
/// struct Room {
///     // SAFETY: reports each slot once.
///     #[trace(unsafe(with = trace_slots))]
///     users: foreign::Slots<Cc<User>>,
/// }
/// ```
///
/// # Attributes of types
///
/// ### `#[trace(leaf)]` (on a type)
/// It has no edges: nothing is traced, `NEEDS_TRACE` is false. The compiler checks it for all fields that
/// do not mention the type itself; handles in those that do would count as held from outside.
///
/// ```ignore
/// #[derive(Trace)]
/// #[trace(leaf)]
/// enum Json {
///     Number(f64),
///     Text(String),
///     Array(Vec<Json>),
/// }
/// ```
///
/// ### `#[trace(edges)]` (on a type)
/// `NEEDS_TRACE` is true without asking the fields, for types that mention each other.
///
/// ```ignore
/// #[derive(Trace)]
/// #[trace(edges)]
/// enum Expression {
///     Block(Block),
///     Call(Cc<Function>),
/// }
///
/// #[derive(Trace)]
/// struct Block(Vec<Expression>);
/// ```
///
/// ### `#[trace(drop)]` (on a type)
/// The type may implement `Drop`, because it has no edges: nothing is traced, and the same is checked as
/// for a leaf.
///
/// ```ignore
/// #[derive(Trace)]
/// #[trace(drop)]
/// struct Descriptor(i32);
///
/// impl Drop for Descriptor {
///     fn drop(&mut self) { close(self.0) }
/// }
/// ```
///
/// ### `#[trace(unsafe(drop))]` (on a type)
/// The type may implement `Drop` although it has edges. When a cycle is collected, the targets of its
/// handles may have been dropped before: the destructor must not reach them, neither by itself nor
/// through what it calls. To drop handles and to compare their addresses is allowed.
///
/// ```ignore
/// #[derive(Trace)]
/// // SAFETY: the destructor touches no handle.
/// #[trace(unsafe(drop))]
/// struct Connection {
///     socket: Socket,
///     peer: RefCell<Option<Cc<Connection>>>,
/// }
///
/// impl Drop for Connection {
///     fn drop(&mut self) { self.socket.shut_down() }
/// }
/// ```
///
/// ### `#[trace(finalize)]` (on a type)
/// The type implements `Finalize`, and that runs before its objects die: Python's `__del__` (PEP 442). A
/// type that implements `Finalize` and does not say so does not compile; the error names
/// `types_that_implement_Finalize_must_say_trace_finalize`.
///
/// ```ignore
/// #[derive(Trace)]
/// #[trace(finalize)]
/// struct Connection { peer: RefCell<Option<Cc<Connection>>> }
///
/// impl Finalize for Connection {
///     fn finalize(&self, this: &Dying<'_, Self>) { /* the peer is still there */ }
/// }
/// ```
///
/// ### `#[trace(bound = "…")]` (on a type)
/// A where clause for both impls that replaces the inferred bounds (`'static` stays). What is only bounded
/// by `Trace` counts as having edges; `TraceInfo` gives the exact answer.
///
/// ```ignore
/// #[derive(Trace)]
/// #[trace(bound = "K: Kind, K::Value: Trace")]
/// struct Slot<K: Kind>(Wrapped<K>);
/// ```
///
/// ### `#[trace(crate = path)]` (on a type)
/// Where hoopsnake is found if not at `::hoopsnake`, for crates that re-export it.
///
/// ```ignore
/// #[derive(Trace)]
/// #[trace(crate = my_interpreter::hoopsnake)]
/// struct Value(Cc<u8>);
/// ```
///
/// # In crates that forbid unsafe code
/// The derive is allowed under `#![forbid(unsafe_code)]`: its `unsafe impl` is the macro's. An `unsafe(…)`
/// in an attribute is the user's own: it is refused there, and under `#![deny(unsafe_code)]` wants an
/// `#[allow(unsafe_code)]` on the type (the derive hands a type's `#[allow]`s on to its output).
#[proc_macro_derive(Trace, attributes(trace))]
pub fn derive_trace(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    trace::expand(&input).unwrap_or_else(Error::into_compile_error).into()
}
