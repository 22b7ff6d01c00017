//! `#[derive(Trace)]` for hoopsnake.
#![forbid(unsafe_code)]

mod attributes;
mod bounds;
mod trace;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, parse_macro_input};

/// Derives.
#[proc_macro_derive(Trace, attributes(trace))]
pub fn derive_trace(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    trace::expand(&input).unwrap_or_else(Error::into_compile_error).into()
}
