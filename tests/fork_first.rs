//! Another library's handler is the first in the process to intern, while the heap's locks are held for a fork.
//!
//! A program of its own, where nothing has been interned. Each time is in a child, which begins like that.
#![cfg(target_os = "linux")]
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "each block is one life of a process")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hoopsnake::PoolAlloc;
use hoopsnake::intern::intern;

#[global_allocator]
static GLOBAL: PoolAlloc = PoolAlloc;

/// Whether the handler interns.
static ARMED: AtomicBool = AtomicBool::new(false);
/// Whether it has.
static MADE: AtomicBool = AtomicBool::new(false);

extern "C" fn another_handler() {
    if ARMED.swap(false, Ordering::Relaxed) {
        drop(intern("the first"));
        MADE.store(true, Ordering::Relaxed);
        // Other threads follow.
        thread::sleep(Duration::from_millis(20));
    }
}

extern "C" fn register_another() {
    // SAFETY: the handler is a function of this program.
    assert_eq!(unsafe { libc::pthread_atfork(Some(another_handler), None, None) }, 0);
}

/// Before the heap's own: so it runs while the locks are held.
#[used]
// The section holds pointers to functions without arguments, which this is.
#[unsafe(link_section = ".init_array")]
static BEFORE_ALL: extern "C" fn() = register_another;

/// Runs `child` in one, which an alarm ends that hangs.
fn fork(child: impl FnOnce()) {
    // SAFETY: the child does what this test is about, and ends without unwinding or destructors.
    let status = unsafe {
        let pid = libc::fork();
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            libc::alarm(20);
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            libc::_exit(i32::from(done.is_err()));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        status
    };
    assert!(libc::WIFEXITED(status), "the child hung or crashed: {status:#x}");
    assert_eq!(libc::WEXITSTATUS(status), 0, "the child failed");
}

/// A process with a thread that interns as soon as somebody has, and forks then.
fn life() {
    static READY: AtomicBool = AtomicBool::new(false);
    thread::spawn(|| {
        // What it has at hand it need not ask for while the heap's locks are held.
        drop((1..600).map(|size| vec![1_u8; size]).collect::<Vec<_>>());
        READY.store(true, Ordering::Relaxed);
        while !MADE.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        loop {
            drop(intern("the first").downgrade());
        }
    });
    while !READY.load(Ordering::Relaxed) {
        thread::yield_now();
    }
    ARMED.store(true, Ordering::Relaxed);
    fork(|| (0..100).for_each(|_| drop(intern("the first").downgrade())));
    assert!(MADE.load(Ordering::Relaxed), "the handler ran");
}

#[test]
fn the_first_to_intern_is_a_handler() {
    (0..10).for_each(|_| fork(life));
}
