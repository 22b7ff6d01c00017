//! Children of a test's process.
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "a block is one life of a process")]

use core::time::Duration;
use std::thread;
use std::time::Instant;

/// How long a child may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Forks, runs `child` there, and says how it ended.
pub fn fork(child: impl FnOnce()) {
    // SAFETY: the child does what this test is about, and ends without unwinding or destructors.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            libc::_exit(i32::from(done.is_err()));
        }
        let status = wait_for(pid);
        assert!(libc::WIFEXITED(status), "the child hung or crashed: {status:#x}");
        assert_eq!(libc::WEXITSTATUS(status), 0, "the child failed");
    }
}

/// Waits for a child; kills it after a minute.
fn wait_for(pid: libc::pid_t) -> libc::c_int {
    let begin = Instant::now();
    let mut status = 0;
    // SAFETY: the child is this process's, and `status` is writable.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } != pid {
        thread::sleep(Duration::from_micros(200));
        if begin.elapsed() > PATIENCE {
            // SAFETY: as above: it was not waited for yet, so the number is still its own.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
    status
}
