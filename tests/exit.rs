//! X09 for the thread that ends with the process: a program of its own, played by children of this one.
//!
//! What a child's objects say when they die is compared with what must be said. Nothing of libtest runs
//! here, so that valgrind sees the program alone (`.ci/valgrind`).

#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]

use std::cell::{Cell, RefCell};
use std::process::{Command, ExitCode};

use hoopsnake::{Cc, Dying, Finalize, FinalizeFn, PoolAlloc, Trace, TraceInfo, Tracer, gc};

#[global_allocator]
static ALLOC: PoolAlloc = PoolAlloc;

struct Node {
    id: u32,
    edges: RefCell<Vec<Cc<Node>>>,
    _leaf: Leaf,
}

struct Leaf(Cell<u32>);

impl Drop for Leaf {
    fn drop(&mut self) {
        println!("drop {}", self.0.get());
    }
}

// SAFETY: the edges, once; the leaf has none; `Node` has no `Drop`.
unsafe impl Trace for Node {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.edges.trace(tracer);
    }
}
impl TraceInfo for Node {
    const FINALIZE: Option<FinalizeFn<Self>> = Some(hoopsnake::finalizer::<Self>());
}
impl Finalize for Node {
    fn finalize(&self, _: &Dying<'_, Self>) {
        println!("finalize {}", self.id);
    }
}

fn node(id: u32) -> Cc<Node> {
    Cc::new(Node { id, edges: RefCell::default(), _leaf: Leaf(Cell::new(id)) })
}

fn cycle(id: u32) -> Cc<Node> {
    let node = node(id);
    node.edges.borrow_mut().push(node.clone());
    node
}

/// Of a thread-local; its destructor uses the collector.
struct Holder(RefCell<Vec<Cc<Node>>>);

impl Drop for Holder {
    fn drop(&mut self) {
        let held = self.0.take();
        println!("holds {:?}", held.iter().map(|node| node.id).collect::<Vec<_>>());
        drop(held);
        drop(cycle(9));
        gc::collect();
    }
}

thread_local! {
    static EARLY: Holder = const { Holder(RefCell::new(Vec::new())) };
    static LATE: Holder = const { Holder(RefCell::new(Vec::new())) };
}

/// The child: leaves a cycle behind, and handles in a thread-local made before, or after, all objects.
fn live_and_die(early: bool) {
    let holder = if early { &EARLY } else { &LATE };
    if early {
        EARLY.with(|_| ());
    }
    drop(cycle(1));
    holder.with(|holder| {
        let ring = [cycle(2), node(3)];
        ring[0].edges.borrow_mut().push(ring[1].clone());
        holder.0.borrow_mut().extend(ring);
    });
    println!("main ends");
}

const ALL: [u32; 4] = [1, 2, 3, 9];

/// Plays a child and compares; the error says what is wrong.
fn check(place: &str) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program).arg(place).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}:\n{said}\n{errors}", output.status));
    }
    for id in ALL {
        for what in ["finalize", "drop"] {
            let times = said.lines().filter(|line| **line == format!("{what} {id}")).count();
            if times != 1 {
                return Err(format!("{times} times {what} {id}:\n{said}"));
            }
        }
    }
    if said.contains("holds [2, 3]") { Ok(()) } else { Err(format!("held else:\n{said}")) }
}

fn main() -> ExitCode {
    if cfg!(windows) {
        println!("no destructors of the main thread's thread-locals on Windows: nothing to see");
        return ExitCode::SUCCESS;
    }
    match std::env::args().nth(1).as_deref() {
        Some(place @ ("early" | "late")) => live_and_die(place == "early"),
        _ => {
            for place in ["early", "late"] {
                match check(place) {
                    Ok(()) => println!("test x09_the_main_thread_{place} ... ok"),
                    Err(error) => {
                        println!("test x09_the_main_thread_{place} ... FAILED\n{error}");
                        return ExitCode::FAILURE;
                    }
                }
            }
        }
    }
    ExitCode::SUCCESS
}
