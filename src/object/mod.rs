//! What a counted object is, without its type (being written).

pub(crate) mod trace;

/// One counted object, type erased: the address of its count word (being written).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectRef(core::ptr::NonNull<u64>);
