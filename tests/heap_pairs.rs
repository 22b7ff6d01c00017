//! Every size with every alignment, and every reallocation: X12, and the arithmetic behind H01 and H07.
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each block is one life of an allocation"
)]

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::slice;

mod watched;
use watched::Watched;

#[global_allocator]
static GLOBAL: Watched = Watched;

/// Unoptimised (or instrumented) builds look at every so many sizes.
const STEP: usize = if cfg!(any(debug_assertions, sanitized)) { 17 } else { 1 };

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Allocates, checks the alignment, and writes the ends.
fn alloc_checked(layout: Layout) -> *mut u8 {
    // SAFETY: the size is not zero, and both bytes are the block's.
    unsafe {
        let place = alloc(layout);
        assert!(!place.is_null(), "{layout:?}");
        assert_eq!(place as usize % layout.align(), 0, "{layout:?}");
        place.write(1);
        place.add(layout.size() - 1).write(2);
        place
    }
}

/// All sizes up to 16 KiB with all alignments up to 4 KiB; two blocks of each, so that both the first and
/// the next block of a pool are looked at.
#[test]
fn every_size_with_every_alignment() {
    for align in (0..=12).map(|bit| 1 << bit) {
        for size in (1..=16 << 10).step_by(STEP) {
            let layout = layout(size, align);
            let blocks = [alloc_checked(layout), alloc_checked(layout)];
            assert!(blocks[0].addr().abs_diff(blocks[1].addr()) >= size, "{layout:?} overlaps");
            // SAFETY: the blocks are live.
            blocks.into_iter().for_each(|place| unsafe { dealloc(place, layout) });
        }
    }
}

#[test]
fn alignments_up_to_a_gibibyte() {
    // The address space of 32 bits has no gibibyte left at such an address.
    let largest = if cfg!(target_pointer_width = "32") { 28 } else { 30 };
    for align in (13..=largest).map(|bit| 1 << bit) {
        for size in [1, 100, 4097, 65_536, 70_000, 3 << 20, 9 << 20] {
            let small = layout(size, align);
            let place = alloc_checked(small);
            // SAFETY: the block is live and has these sizes in turn.
            unsafe {
                let larger = realloc(place, small, size + 100_000);
                assert_eq!(larger.add(size - 1).read(), 2);
                assert_eq!(larger as usize % align, 0, "{small:?} grown");
                dealloc(larger, layout(size + 100_000, align));
                let zero = alloc_zeroed(small);
                assert_eq!(zero as usize % align, 0, "{small:?} zeroed");
                assert!(slice::from_raw_parts(zero, size).iter().all(|&byte| byte == 0));
                dealloc(zero, small);
            }
        }
    }
}

/// Moves a block from one size to another; what both have must stay.
fn realloc_checked(old: usize, new: usize, align: usize, pattern: &[u8]) {
    // SAFETY: the block is live and has these sizes in turn.
    unsafe {
        let place = alloc(layout(old, align));
        place.copy_from_nonoverlapping(pattern.as_ptr(), old);
        let moved = realloc(place, layout(old, align), new);
        assert_eq!(moved as usize % align, 0, "{old} to {new} aligned to {align}");
        let kept = old.min(new);
        assert_eq!(slice::from_raw_parts(moved, kept), &pattern[..kept], "{old} to {new}");
        moved.write_bytes(7, new);
        dealloc(moved, layout(new, align));
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// X12: all pairs up to 1100.
#[test]
fn x12_every_realloc() {
    let pattern = pattern(1100);
    for old in (1..=1100).step_by(STEP) {
        for new in 1..=1100 {
            realloc_checked(old, new, 8, &pattern);
        }
    }
}

/// X12 around every boundary between kinds of blocks, with alignments.
#[test]
fn x12_reallocs_across_boundaries() {
    let edges = [64, 1024, 6144, 8192, 9216, 16_384, 65_536, 131_072, 31 << 16, 4 << 20, 9 << 20];
    let sizes: Vec<usize> = edges.iter().flat_map(|&edge| [edge - 1, edge, edge + 1]).collect();
    let pattern = pattern((9 << 20) + 1);
    for align in [1, 16, 4096] {
        for &old in &sizes {
            for &new in sizes.iter().filter(|&&new| old.max(new) < 1 << 20 || align == 16) {
                realloc_checked(old, new, align, &pattern);
            }
        }
    }
}

/// What grows gets a block that was kept, made longer up to a huge page's end: it must still be of its size.
#[test]
fn what_grows_into_kept_blocks_can_be_freed() {
    let kept = (2100 << 10..8 << 20).step_by(150 << 10);
    // SAFETY: each block is live and has these sizes in turn.
    unsafe {
        // So much is in use that a few MiB are kept.
        let used = alloc(layout(200 << 20, 8));
        for (kept, new) in
            kept.flat_map(|kept| (1..40).map(move |n| (kept, (2 << 20) + n * 160_001)))
        {
            dealloc(alloc(layout(kept, 8)), layout(kept, 8));
            let place = alloc(layout(1 << 20, 8));
            place.write(kept as u8);
            let grown = realloc(place, layout(1 << 20, 8), new);
            assert_eq!(grown.read(), kept as u8);
            grown.add(new - 1).write(1);
            dealloc(grown, layout(new, 8));
        }
        dealloc(used, layout(200 << 20, 8));
    }
}

/// A block that took the place of a longer one: what is kept behind it may be grown into, given back, or freed with it.
#[test]
fn what_is_kept_behind_a_block_is_no_part_of_it() {
    const PAGE: usize = 4096;
    let kept = layout(8 << 20, 8);
    // SAFETY: each block is live and has these sizes in turn.
    unsafe {
        // So much is in use that a few MiB are kept.
        let used = alloc(layout(200 << 20, 8));
        for (new, then) in [5 << 20, 8 << 20, 9 << 20, 31 << 20, 3 << 20]
            .into_iter()
            .flat_map(|then| [(4 << 20, then), ((6 << 20) - 5000, then), (7 << 20, then)])
        {
            for trimmed in [false, true] {
                let longer = alloc(kept);
                longer.write_bytes(9, kept.size());
                dealloc(longer, kept);
                let place = alloc(layout(new, 8));
                (0..new).step_by(PAGE).for_each(|at| place.add(at).cast::<usize>().write(at));
                place.add(new - 1).write(77);
                if trimmed {
                    hoopsnake::heap::trim();
                }
                let grown = realloc(place, layout(new, 8), then);
                let whole = new.min(then);
                let same = |at: &usize| grown.add(*at).cast::<usize>().read_unaligned() == *at;
                assert!((0..whole - 8).step_by(PAGE).all(|at| same(&at)), "{new} to {then}");
                assert!(then < new || grown.add(new - 1).read() == 77, "{new} to {then}");
                grown.write_bytes(5, then);
                dealloc(grown, layout(then, 8));
            }
        }
        dealloc(used, layout(200 << 20, 8));
    }
}

/// Shrinks a block step by step, in place or not, and grows it again: at each size it must still be a
/// block that can be found and freed.
#[test]
fn blocks_shrink_in_small_steps() {
    let pattern = pattern(200_000);
    for start in [320, 5000, 9216, 20_000, 65_536, 200_000] {
        for step in [1, 7, 60, 900].map(|step| step * STEP.min(start / 40)) {
            // SAFETY: the block is live and has these sizes in turn.
            unsafe {
                let mut size = start;
                let mut place = alloc(layout(size, 8));
                place.copy_from_nonoverlapping(pattern.as_ptr(), size);
                while size > step {
                    place = realloc(place, layout(size, 8), size - step);
                    size -= step;
                }
                assert_eq!(slice::from_raw_parts(place, size), &pattern[..size]);
                let grown = realloc(place, layout(size, 8), start);
                assert_eq!(slice::from_raw_parts(grown, size), &pattern[..size]);
                dealloc(grown, layout(start, 8));
            }
        }
    }
}

/// H07: zeroed blocks of every class on memory that was written to and freed.
#[test]
fn h07_every_class_is_zeroed_on_dirty_memory() {
    let small = (8..=70_000).step_by(40 * STEP);
    for size in small.chain([100_000, 500_000, 1 << 20, 2 << 20, 4 << 20, 5_000_001, 20 << 20]) {
        for _ in 0..2 {
            // SAFETY: the blocks are live between alloc and dealloc.
            unsafe {
                let dirty = [alloc(layout(size, 8)), alloc(layout(size, 8))];
                dirty.iter().for_each(|place| place.write_bytes(0xFF, size));
                dirty.iter().for_each(|&place| dealloc(place, layout(size, 8)));
                let clean = alloc_zeroed(layout(size, 8));
                let bytes = slice::from_raw_parts(clean, size);
                assert!(bytes.iter().all(|&byte| byte == 0), "size {size}");
                dealloc(clean, layout(size, 8));
            }
        }
    }
}
