//! Another library's handler is the first in the process to intern, while the heap's locks are held for a fork.
//!
//! A program of its own, where nothing has been interned. Each time is in a child, which begins like that.
#![cfg(target_os = "linux")]
#![expect(clippy::std_instead_of_core, reason = "a program as users write it")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hoopsnake::PoolAlloc;
use hoopsnake::intern::intern;

mod forked;
use forked::fork;

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

/// The alarm ends this process if it hangs.
fn set_alarm() {
    // SAFETY: always succeeds, and the process has no other alarm.
    unsafe { libc::alarm(20) };
}

/// A process with a thread that interns as soon as somebody has, and forks then.
fn life() {
    static READY: AtomicBool = AtomicBool::new(false);
    set_alarm();
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
    fork(|| {
        set_alarm();
        (0..100).for_each(|_| drop(intern("the first").downgrade()));
    });
    assert!(MADE.load(Ordering::Relaxed), "the handler ran");
}

#[test]
fn the_first_to_intern_is_a_handler() {
    (0..10).for_each(|_| fork(life));
}
