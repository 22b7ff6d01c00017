//! `Trace` for the types of the standard library.
//!
//! Not for `Rc`, `Arc`, `&T`, `ManuallyDrop` and raw pointers, whose targets others own or share: wrap
//! them in [`Untraced`](crate::Untraced).

use core::cell::{Cell, OnceCell, RefCell};
use core::marker::{PhantomData, PhantomPinned};
use core::num::{NonZero, Wrapping};
use core::ops::{Bound, Range, RangeInclusive};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::{CString, OsString};
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use crate::object::trace::{Trace, TraceInfo, Tracer};
use crate::sync::atomic;

/// Types without edges.
macro_rules! leaves {
    ($($(#[$meta:meta])? $ty:ty $(where [$($generics:tt)*])?;)*) => {$(
        // SAFETY: reports nothing.
        unsafe impl $(<$($generics)*>)? Trace for $ty {
            #[inline(always)]
            fn trace(&self, _: &mut Tracer<'_>) {}
        }
        impl $(<$($generics)*>)? TraceInfo for $ty {
            const NEEDS_TRACE: bool = false;
        }
    )*};
}

leaves! {
    (); bool; char; f32; f64;
    u8; u16; u32; u64; u128; usize; i8; i16; i32; i64; i128; isize;
    String; CString; OsString; PathBuf;
    Duration; Instant; SystemTime; core::cmp::Ordering; PhantomPinned;
    core::net::IpAddr; core::net::SocketAddr;
    atomic::AtomicBool; atomic::AtomicUsize; atomic::AtomicIsize;
    atomic::AtomicU8; atomic::AtomicU16; atomic::AtomicU32; atomic::AtomicU64;
    atomic::AtomicI8; atomic::AtomicI16; atomic::AtomicI32; atomic::AtomicI64;
    NonZero<u8>; NonZero<u16>; NonZero<u32>; NonZero<u64>; NonZero<u128>; NonZero<usize>;
    NonZero<i8>; NonZero<i16>; NonZero<i32>; NonZero<i64>; NonZero<i128>; NonZero<isize>;
    PhantomData<T> where [T: ?Sized + 'static];
    &'static str;
}

/// Function pointers: they capture nothing.
macro_rules! functions {
    ($(($($arg:ident)*))*) => {$(
        leaves! { fn($($arg),*) -> R where [R: 'static, $($arg: 'static),*]; }
    )*};
}

functions! { () (A) (A B) (A B C) (A B C D) }

/// Collections: the edges of all their items.
macro_rules! collections {
    ($($name:ident<$($param:ident),+ $(; $hasher:ident)?> |$items:ident, $tracer:ident| $trace:expr;)*) => {$(
        // SAFETY: reports each item once.
        unsafe impl<$($param: Trace,)+ $($hasher: 'static)?> Trace for $name<$($param,)+ $($hasher)?> {
            #[inline]
            fn trace(&self, $tracer: &mut Tracer<'_>) {
                let $items = self;
                $trace
            }
        }
        impl<$($param: TraceInfo,)+ $($hasher: 'static)?> TraceInfo for $name<$($param,)+ $($hasher)?> {
            const NEEDS_TRACE: bool = false $(|| $param::NEEDS_TRACE)+;
        }
    )*};
}

collections! {
    Vec<T> |items, tracer| items.as_slice().trace(tracer);
    VecDeque<T> |items, tracer| items.iter().for_each(|item| item.trace(tracer));
    LinkedList<T> |items, tracer| items.iter().for_each(|item| item.trace(tracer));
    BinaryHeap<T> |items, tracer| items.iter().for_each(|item| item.trace(tracer));
    BTreeSet<T> |items, tracer| items.iter().for_each(|item| item.trace(tracer));
    HashSet<T; S> |items, tracer| items.iter().for_each(|item| item.trace(tracer));
    BTreeMap<K, V> |items, tracer| items.iter().for_each(|(k, v)| { k.trace(tracer); v.trace(tracer); });
    HashMap<K, V; S> |items, tracer| items.iter().for_each(|(k, v)| { k.trace(tracer); v.trace(tracer); });
    Option<T> |item, tracer| if let Some(item) = item { item.trace(tracer) };
    Result<T, E> |item, tracer| match item { Ok(item) => item.trace(tracer), Err(error) => error.trace(tracer) };
    Wrapping<T> |item, tracer| item.0.trace(tracer);
    Range<T> |range, tracer| { range.start.trace(tracer); range.end.trace(tracer) };
    RangeInclusive<T> |range, tracer| { range.start().trace(tracer); range.end().trace(tracer) };
    Bound<T> |bound, tracer| if let Bound::Included(end) | Bound::Excluded(end) = bound { end.trace(tracer) };
    OnceCell<T> |cell, tracer| cell.get().into_iter().for_each(|item| item.trace(tracer));
}

// SAFETY: reports each element once.
unsafe impl<T: Trace> Trace for [T] {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        for item in self {
            item.trace(tracer);
        }
    }
}

// SAFETY: reports each element once.
unsafe impl<T: Trace, const N: usize> Trace for [T; N] {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.as_slice().trace(tracer);
    }
}

impl<T: TraceInfo, const N: usize> TraceInfo for [T; N] {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;
}

// SAFETY: bytes.
unsafe impl Trace for str {
    #[inline(always)]
    fn trace(&self, _: &mut Tracer<'_>) {}
}

// SAFETY: a box owns its content alone.
unsafe impl<T: ?Sized + Trace> Trace for Box<T> {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        (**self).trace(tracer);
    }
}

// Also where `T` has no edges: of a `dyn` type that is not known.
impl<T: ?Sized + Trace> TraceInfo for Box<T> {}

// SAFETY: reports the content, or that it cannot be seen now.
unsafe impl<T: ?Sized + Trace> Trace for RefCell<T> {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        // Without a guard, which would write into each object that is only looked at.
        // SAFETY: nobody borrows the content mutably meanwhile: a `Trace` calls no code of the user's.
        match unsafe { self.try_borrow_unguarded() } {
            Ok(content) => content.trace(tracer),
            Err(_) => tracer.edges_unknown(),
        }
    }
}

impl<T: TraceInfo> TraceInfo for RefCell<T> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;
}

// SAFETY: reports nothing.
unsafe impl<T: TraceInfo> Trace for Cell<T> {
    #[inline(always)]
    fn trace(&self, _: &mut Tracer<'_>) {
        const { assert!(!T::NEEDS_TRACE, "a `Cell` cannot be looked into: use a `RefCell` for edges") }
    }
}

impl<T: TraceInfo> TraceInfo for Cell<T> {
    const NEEDS_TRACE: bool = false;
}

/// Tuples: the edges of all their fields.
macro_rules! tuples {
    ($(($($field:ident)+))*) => {$(
        // SAFETY: reports each field once.
        unsafe impl<$($field: Trace),+> Trace for ($($field,)+) {
            #[inline]
            fn trace(&self, tracer: &mut Tracer<'_>) {
                #[expect(non_snake_case, reason = "the fields are named as their types")]
                let ($($field,)+) = self;
                $($field.trace(tracer);)+
            }
        }
        impl<$($field: TraceInfo),+> TraceInfo for ($($field,)+) {
            const NEEDS_TRACE: bool = false $(|| $field::NEEDS_TRACE)+;
        }
    )*};
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}
