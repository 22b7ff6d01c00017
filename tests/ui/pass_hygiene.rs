//! Names of the user's that the output could trip over, and none to lean on.

#![no_implicit_prelude]

extern crate std;

use std::boxed::Box;
use std::option::Option;
use std::vec::Vec;

use ::hoopsnake::{Cc, Trace, TraceInfo};

#[derive(Trace)]
struct T(Cc<u8>);

#[derive(Trace)]
struct Drop;

#[derive(Trace)]
struct Defaults<A = u8, const N: usize = 3>([A; N], Option<Cc<T>>)
where
    Self: std::marker::Sized;

#[derive(Trace)]
#[allow(non_camel_case_types)]
enum Variants<__field_0> {
    None,
    Some(__field_0),
    Trace { __tracer: Cc<T>, tracer: Cc<T>, __field_0: __field_0 },
}

#[derive(Trace)]
struct Deeper<T> {
    deeper: Option<Box<Deeper<Vec<T>>>>,
    value: Option<T>,
}

#[derive(Trace)]
struct Even<T> {
    odd: Option<Box<Odd<T>>>,
    value: T,
}

#[derive(Trace)]
struct Odd<T>(Vec<Even<T>>);

mod private {
    pub(crate) trait Kind {
        type Value;
    }
    pub struct Byte;
    impl Kind for Byte {
        type Value = u8;
    }
    #[derive(::hoopsnake::Trace)]
    pub(super) struct Slot<K: Kind>(pub(crate) K::Value);
}

fn is_known<T: TraceInfo>() {}

fn main() {
    is_known::<Drop>();
    is_known::<Defaults>();
    is_known::<Variants<u8>>();
    is_known::<Deeper<u8>>();
    is_known::<Even<u8>>();
    is_known::<private::Slot<private::Byte>>();
}
