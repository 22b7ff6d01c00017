//! The output passes lints that the user's code is under.

#![forbid(unsafe_code, unsafe_op_in_unsafe_fn)]
#![deny(warnings, unused, nonstandard_style, future_incompatible, rust_2018_idioms, missing_docs)]
#![deny(unused_qualifications, single_use_lifetimes, unused_lifetimes, unreachable_pub)]
#![deny(missing_debug_implementations, trivial_bounds, let_underscore_drop, variant_size_differences)]

use std::cell::RefCell;
use std::fmt;

use hoopsnake::{Cc, Dying, Finalize, Trace};

/// An old type.
#[deprecated]
#[derive(Debug, Trace)]
pub struct Old(u8);

/// Holds one.
#[derive(Trace)]
#[trace(finalize)]
pub struct Node<'a, T: fmt::Debug> {
    /// Still there.
    #[allow(deprecated)]
    pub old: Option<Old>,
    /// Handles.
    pub edges: RefCell<Vec<Cc<Node<'a, T>>>>,
    /// A value.
    pub value: T,
    /// A text.
    pub text: &'a str,
}

impl<T: fmt::Debug + Trace> Finalize for Node<'static, T> {
    fn finalize(&self, _: &Dying<'_, Self>) {}
}

impl<T: fmt::Debug> fmt::Debug for Node<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// A leaf.
#[derive(Debug, Trace)]
#[trace(leaf)]
pub enum Leaf {
    /// Nothing.
    None,
    /// Itself.
    More(Vec<Leaf>),
}

fn main() {}
