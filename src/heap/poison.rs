//! Free memory made unreadable, so that a sanitizer sees uses of it.
//!
//! AddressSanitizer and valgrind see nothing inside pools of our own: under `--cfg sanitized`, and `--cfg
//! valgrind`, the bodies of free blocks are poisoned, except the words that the heap and the collector
//! read themselves. Otherwise everything here is empty.

pub(crate) use imp::{on_alloc, on_free, on_free_object, on_new_pool};

use super::pool::PoolRef;
use crate::os;
use core::ptr::NonNull;

/// Gives the memory of free pages back.
pub(crate) fn purge(place: NonNull<u8>, len: usize) {
    imp::on_purge(place, len);
    // SAFETY: callers pass pages of pools on which every block is free.
    unsafe { os::purge(place, len) };
}

#[cfg(not(any(sanitized, valgrind)))]
mod imp {
    use super::PoolRef;
    use core::ptr::NonNull;

    /// A block is handed out.
    #[inline(always)]
    pub(crate) fn on_alloc(_place: NonNull<u8>, _size: usize) {}

    /// A block comes back; its first word becomes its link.
    #[inline(always)]
    pub(crate) fn on_free(_place: NonNull<u8>, _pool: PoolRef) {}

    /// An object's block comes back; link and count word are its first two words.
    #[inline(always)]
    pub(crate) fn on_free_object(_place: NonNull<u8>, _pool: PoolRef) {}

    /// A granule becomes a pool.
    #[inline(always)]
    pub(crate) fn on_new_pool(_place: NonNull<u8>, _size: usize) {}

    /// Pages of free blocks go back.
    #[inline(always)]
    pub(super) fn on_purge(_place: NonNull<u8>, _size: usize) {}
}

/// What AddressSanitizer is told.
#[cfg(all(sanitized, not(valgrind)))]
mod tool {
    use core::ffi::c_void;
    use core::ptr::NonNull;

    unsafe extern "C" {
        fn __asan_poison_memory_region(place: *const c_void, size: usize);
        fn __asan_unpoison_memory_region(place: *const c_void, size: usize);
    }

    pub(super) fn poison(place: NonNull<u8>, size: usize) {
        // SAFETY: the region is ours.
        unsafe { __asan_poison_memory_region(place.as_ptr().cast(), size) };
    }

    pub(super) fn unpoison(place: NonNull<u8>, size: usize) {
        // SAFETY: the region is ours.
        unsafe { __asan_unpoison_memory_region(place.as_ptr().cast(), size) };
    }
}

/// What valgrind is told, by its client requests: instructions that do nothing elsewhere.
#[cfg(valgrind)]
mod tool {
    use core::arch::asm;
    use core::ptr::NonNull;

    const MAKE_MEM_NOACCESS: usize = 0x4D43_0000;
    const MAKE_MEM_DEFINED: usize = 0x4D43_0002;

    fn request(code: usize, place: NonNull<u8>, size: usize) {
        let arguments = [code, place.addr().get(), size, 0, 0, 0];
        // SAFETY: `rdi` turns by 128 bits and is what it was, `rbx` is exchanged with itself; valgrind
        // reads the arguments and answers in `rdx`.
        unsafe {
            asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                in("rax") arguments.as_ptr(),
                inout("rdx") 0_usize => _,
            );
        }
    }

    pub(super) fn poison(place: NonNull<u8>, size: usize) {
        request(MAKE_MEM_NOACCESS, place, size);
    }

    pub(super) fn unpoison(place: NonNull<u8>, size: usize) {
        request(MAKE_MEM_DEFINED, place, size);
    }
}

#[cfg(any(sanitized, valgrind))]
mod imp {
    use super::PoolRef;
    use super::tool::{self, unpoison};
    use core::ptr::NonNull;

    fn poison(place: NonNull<u8>, from: usize, size: usize) {
        if size > from {
            // SAFETY: the part lies within the block.
            tool::poison(unsafe { place.add(from) }, size - from);
        }
    }

    /// A block is handed out.
    pub(crate) fn on_alloc(place: NonNull<u8>, size: usize) {
        unpoison(place, size);
    }

    /// A block comes back; its first word becomes its link.
    pub(crate) fn on_free(place: NonNull<u8>, pool: PoolRef) {
        poison(place, 8, pool.block_size());
    }

    /// An object's block comes back. Its link and its count word are its first two words, unless its
    /// value is more aligned: then the count word is where it was, right before the value.
    pub(crate) fn on_free_object(place: NonNull<u8>, pool: PoolRef) {
        let count = (1 << pool.fields().value_shift.get()) - 8;
        poison(place, 16, count);
        poison(place, (count + 8).max(16), pool.block_size());
    }

    /// A granule becomes a pool.
    pub(crate) fn on_new_pool(place: NonNull<u8>, size: usize) {
        unpoison(place, size);
    }

    /// Pages of free blocks go back.
    pub(super) fn on_purge(place: NonNull<u8>, size: usize) {
        unpoison(place, size);
    }
}
