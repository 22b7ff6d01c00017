//! A tour of hoopsnake: the examples of a Python tutorial on memory management, played in Rust.
//!
//! `cargo run --release --example tour`. Each scene computes what it prints and says whether it shows
//! what it claims; the program exits with 1 if one does not.
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::process::ExitCode;
use std::rc::Rc;

use hoopsnake::intern::{self, Int, Interned};
use hoopsnake::{Cc, PoolAlloc, Trace, Weak, gc, heap};

#[global_allocator]
static GLOBAL: PoolAlloc = PoolAlloc;

/// A Python list.
type List<T> = Cc<RefCell<Vec<T>>>;

fn list<T: Trace + hoopsnake::TraceInfo>(items: Vec<T>) -> List<T> {
    Cc::new(RefCell::new(items))
}

/// What the scenes have shown so far.
struct Tour {
    scene: u32,
    failed: u32,
}

impl Tour {
    fn scene(&mut self, title: &str, play: impl FnOnce() -> bool) {
        self.scene += 1;
        println!("\n{}. {title}", self.scene);
        let shown = play();
        if !shown {
            self.failed += 1;
        }
        println!("   [{}]", if shown { "as claimed" } else { "NOT AS CLAIMED" });
    }
}

fn main() -> ExitCode {
    let mut tour = Tour { scene: 0, failed: 0 };
    tour.scene("Reference counting: two names, one list", two_names);
    tour.scene("An object goes with its last reference", last_reference);
    tour.scene("A cycle keeps itself alive until the collector runs", cycle);
    tour.scene("x = 10, y = 10: one object", same_int);
    tour.scene("x = 11: a new object; y still refers to 10", rebinding);
    tour.scene("Integers from -5 to 256 and some strings are shared", shared_values);
    tour.scene("The stack: what a function made goes when it returns", function_locals);
    tour.scene("The heap: [0] * 10 is one list of ten references", ten_zeroes);
    tour.scene("Memory is used again", reuse);
    tour.scene("The private heap: a million objects come and go", private_heap);
    tour.scene("The same cycle under std::rc::Rc leaks", rc_leaks);
    println!("\n{} scenes, {} not as claimed", tour.scene, tour.failed);
    if tour.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn two_names() -> bool {
    let a = list(vec![1, 2, 3]);
    let b = a.clone();
    let (id_a, id_b) = (Cc::id(&a), Cc::id(&b));
    b.borrow_mut().push(4);
    println!("   {id_a} {id_b} {:?}", a.borrow());
    let both = Cc::strong_count(&a);
    drop(b);
    let one = Cc::strong_count(&a);
    println!("   references: {both}, then {one}");
    id_a == id_b && *a.borrow() == [1, 2, 3, 4] && (both, one) == (2, 1)
}

fn last_reference() -> bool {
    let before = heap::allocated_blocks();
    let a = list(vec![1, 2, 3]);
    let weak = Cc::downgrade(&a);
    let alive = weak.upgrade().is_some();
    drop(a);
    let dead = weak.upgrade().is_none();
    drop(weak);
    let after = heap::allocated_blocks();
    println!("   alive: {alive}, after the last reference: {}", !dead);
    println!("   blocks: {before} before, {after} after, and no collector ran");
    alive && dead && before == after
}

/// One end of a cycle.
#[derive(Trace)]
struct Node {
    other: RefCell<Option<Cc<Node>>>,
}

fn pair() -> (Cc<Node>, Cc<Node>) {
    let p = Cc::new(Node { other: RefCell::new(None) });
    let q = Cc::new(Node { other: RefCell::new(Some(p.clone())) });
    *p.other.borrow_mut() = Some(q.clone());
    (p, q)
}

fn cycle() -> bool {
    gc::collect();
    let (p, q) = pair();
    let watch: [Weak<Node>; 2] = [Cc::downgrade(&p), Cc::downgrade(&q)];
    drop((p, q));
    let alive = watch.iter().all(|weak| weak.upgrade().is_some());
    let collected = gc::collect();
    let gone = watch.iter().all(|weak| weak.upgrade().is_none());
    println!("   alive without handles: {alive}");
    println!("   collected {collected}");
    println!("   alive: {}", !gone);
    alive && collected == 2 && gone
}

fn tell(x: &Int, y: &Int) -> bool {
    let same = x.ptr_eq(y);
    println!("   x and y {} to same object", if same { "refer" } else { "do not refer" });
    same
}

fn same_int() -> bool {
    let (x, y) = (Int::new(10), Int::new(10));
    tell(&x, &y)
}

fn rebinding() -> bool {
    let mut x = Int::new(10);
    let y = Int::new(10);
    let before = x.ptr_eq(&y);
    x = Int::new(11);
    let same = tell(&x, &y);
    println!("   y = {}", y.get());
    before && !same && x.get() == 11 && y.get() == 10
}

fn shared_values() -> bool {
    let shared = [-6, -5, 256, 257].map(|n| Int::new(n).ptr_eq(&Int::new(n)));
    println!("   -6, -5, 256, 257 shared: {shared:?}");
    let (a, b) = (String::from("mem") + "ory", String::from("memo") + "ry");
    let identical = std::ptr::eq(a.as_ptr(), b.as_ptr());
    println!("   two strings {a:?}: equal {}, identical {identical}", a == b);
    let (x, y): (Interned<str>, Interned<str>) = (intern::intern(&a), intern::intern(&b));
    println!("   interned: identical {}", x.ptr_eq(&y));
    shared == [false, true, true, false] && a == b && !identical && x.ptr_eq(&y)
}

fn function_locals() -> bool {
    // The counts are taken without text in between: printing allocates too.
    let seen = Cell::new(0);
    let watch = RefCell::new(Weak::new());
    let before = heap::allocated_blocks();
    let func = || {
        let a = Int::new(1020);
        let b = list::<u8>(vec![]);
        let c = intern::intern("a text of func");
        *watch.borrow_mut() = Cc::downgrade(&b);
        seen.set(heap::allocated_blocks());
        let places = [&raw const a as usize, &raw const b as usize, &raw const c as usize];
        println!("   a, b and c lie on the stack at {places:x?}");
        let near = |place: &usize| place.abs_diff(&raw const places as usize) < 64 << 10;
        places.iter().all(near)
    };
    let on_stack = func();
    let dead = watch.borrow().upgrade().is_none();
    drop(watch);
    let after = heap::allocated_blocks();
    println!("   blocks: {before} before, {} inside, {after} after", seen.get());
    println!("   b is alive after the return: {}", !dead);
    on_stack && dead && seen.get() > before && after == before
}

fn ten_zeroes() -> bool {
    let before = heap::allocated_blocks();
    let a = list((0..10).map(|_| Int::new(0)).collect());
    let inside = heap::allocated_blocks();
    let one_object = a.borrow().iter().all(|item| item.ptr_eq(&a.borrow()[0]));
    let text = format!("{:?}", a.borrow().iter().map(Int::get).collect::<Vec<_>>());
    let handle = size_of_val(&a);
    println!("   {text}");
    println!("   a is {handle} bytes on the stack; its ten items are one object: {one_object}");
    drop(a);
    drop(text);
    let after = heap::allocated_blocks();
    println!("   blocks: +{} with the list, +{} without", inside - before, after - before);
    handle == 8 && one_object && inside == before + 2 && after == before
}

fn reuse() -> bool {
    let first = list(vec![0u64; 4]);
    let address = Cc::id(&first);
    drop(first);
    // A freed block is handed out again once the page's worth before it is.
    let mut seen = HashSet::new();
    for _ in 0..1000 {
        seen.insert(Cc::id(&list(vec![0u64; 4])));
    }
    let again = seen.contains(&address);
    println!("   1000 short-lived lists lived at {} addresses", seen.len());
    println!("   the first list's address {address} was used again: {again}");
    again && seen.len() <= 128
}

/// Resident memory in MiB; `None` where the system does not tell.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

fn private_heap() -> bool {
    gc::collect();
    heap::trim();
    let (before, resident_before) = (heap::stats(), resident());
    let objects: Vec<Cc<[u64; 4]>> = (0..1_000_000u64).map(|n| Cc::new([n; 4])).collect();
    let (full, resident_full) = (heap::stats(), resident());
    drop(objects);
    heap::trim();
    let (after, resident_after) = (heap::stats(), resident());
    println!("{full}");
    for (when, stats, resident) in [
        ("before", &before, resident_before),
        ("with a million objects", &full, resident_full),
        ("after", &after, resident_after),
    ] {
        let (used, rss) = (stats.allocated >> 20, resident.unwrap_or(f64::NAN));
        println!("   {when}: {used} MiB in blocks, {rss:.1} MiB resident");
    }
    let back = match (resident_before, resident_after) {
        (Some(before), Some(after)) => after < before + 3.0,
        _ => true,
    };
    back && full.blocks_in_use() > before.blocks_in_use() + 999_999
        && after.blocks_in_use() <= before.blocks_in_use() + 8
}

struct RcNode {
    other: RefCell<Option<Rc<RcNode>>>,
    alive: Rc<Cell<u32>>,
}

impl Drop for RcNode {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

fn rc_leaks() -> bool {
    let alive = Rc::new(Cell::new(2));
    let p = Rc::new(RcNode { other: RefCell::new(None), alive: alive.clone() });
    let q = Rc::new(RcNode { other: RefCell::new(Some(p.clone())), alive: alive.clone() });
    *p.other.borrow_mut() = Some(q.clone());
    drop((p, q));
    println!("   Rc: {} of 2 nodes are alive, for ever", alive.get());
    gc::collect();
    drop(pair());
    let collected = gc::collect();
    println!("   Cc: {collected} of 2 nodes collected");
    alive.get() == 2 && collected == 2
}
