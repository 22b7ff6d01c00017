//! Notices the end of a thread, after every destructor that may still allocate.
//!
//! A pthread key whose destructor re-arms itself acts in its third round: std's own thread-locals
//! (and those of C libraries) are destroyed in earlier rounds, and no allocation was seen after it on
//! glibc and musl (`probes/heap/tls`). `thread_local!` with `Drop` would allocate (macOS, musl) or
//! come too early. Without keys nothing is noticed, and a thread's partly used pools stay with it; nor is the
//! end of a thread whose first allocation comes in the last of its rounds.

#[cfg(all(unix, not(miri)))]
pub(crate) use imp::arm;

#[cfg(all(unix, not(miri)))]
mod imp {
    use super::super::fork::ForkLocks;
    use crate::sync::RawMutex;

    /// Rounds of key destructors that pass before the thread counts as ended. POSIX promises four.
    const LAST_ROUND: usize = 3;

    struct State {
        key: Option<libc::pthread_key_t>,
        at_end: Option<unsafe fn()>,
    }

    static STATE: RawMutex<State> = RawMutex::new(State { key: None, at_end: None });
    static FORK: ForkLocks = ForkLocks::new(0, || STATE.begin_fork(), || STATE.end_fork());

    /// Has `at_end` called once, late in the end of this thread. False when keys are used up.
    ///
    /// All threads pass the same function. The main thread ends with the process: nothing is called.
    pub(crate) fn arm(at_end: unsafe fn()) -> bool {
        FORK.register();
        let key = {
            let mut state = STATE.lock();
            state.at_end = Some(at_end);
            match state.key {
                Some(key) => key,
                None => {
                    let mut key = 0;
                    // SAFETY: `key` is writable and `round_over` has the type of a key destructor.
                    if unsafe { libc::pthread_key_create(&raw mut key, Some(round_over)) } != 0 {
                        return false;
                    }
                    state.key = Some(key);
                    key
                }
            }
        };
        set_round(key, 1)
    }

    fn set_round(key: libc::pthread_key_t, round: usize) -> bool {
        let value = core::ptr::without_provenance::<libc::c_void>(round);
        // SAFETY: the key exists and is never deleted; its value is a number, not a pointer.
        unsafe { libc::pthread_setspecific(key, value) == 0 }
    }

    /// The key's destructor: re-arms the key until the last round.
    ///
    /// # Safety
    /// Called by the C library at the end of a thread that called [`arm`], with the key's value.
    unsafe extern "C" fn round_over(value: *mut libc::c_void) {
        let round = value.addr();
        let (key, at_end) = {
            let state = STATE.lock();
            (state.key, state.at_end)
        };
        match (key, at_end) {
            (Some(key), _) if round < LAST_ROUND => {
                set_round(key, round + 1);
            }
            // SAFETY: `arm` was called on this thread, which ends and runs no user code after this.
            (_, Some(at_end)) => unsafe { at_end() },
            _ => {}
        }
    }
}

/// No keys here: nothing is noticed.
#[cfg(any(not(unix), miri))]
pub(crate) fn arm(_at_end: unsafe fn()) -> bool {
    false
}
