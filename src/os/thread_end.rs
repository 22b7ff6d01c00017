//! Notices the end of a thread, after every destructor that may still allocate.
//!
//! A pthread key whose destructor re-arms itself acts in its third round: std's own thread-locals
//! (and those of C libraries) are destroyed in earlier rounds, and no allocation was seen after it on
//! glibc and musl (`probes/heap/tls`). `thread_local!` with `Drop` would allocate (macOS, musl) or
//! come too early. Without keys nothing is noticed, and a thread's partly used pools stay with it; nor is the
//! end of a thread whose first allocation comes in the last of its rounds.
//!
//! Some systems (macOS, Windows with GNU's tools) reset thread-locals before that. What is to be ended is
//! therefore kept with the key, where its thread finds it again.
//!
//! On Windows the loader calls what stands in a section of its own, in the order of the sections' names:
//! ours (`.CRT$XLY`) comes after std's (`.CRT$XLB`), which destroys the thread-locals.

#[cfg(any(not(any(unix, windows)), miri))]
use fallback as imp;
pub(crate) use imp::{arm, armed};

/// What has an end with its thread; aligned to at least four bytes.
type Thing = core::ptr::NonNull<()>;

#[cfg(all(unix, not(miri)))]
mod imp {
    use core::ffi::c_void;
    use core::ptr::NonNull;

    use super::super::fork::ForkLocks;
    use super::Thing;
    use crate::sync::RawMutex;

    /// Rounds of key destructors that pass before the thread counts as ended. POSIX promises four.
    const LAST_ROUND: usize = 3;

    struct State {
        key: Option<libc::pthread_key_t>,
        at_end: Option<unsafe fn(Thing)>,
    }

    static STATE: RawMutex<State> = RawMutex::new(State { key: None, at_end: None });
    static FORK: ForkLocks = ForkLocks::new(0, || STATE.begin_fork(), || STATE.end_fork());

    /// Has `at_end` called with `thing` once, late in the end of this thread. False when keys are used up.
    ///
    /// All threads pass the same function. The main thread ends with the process: nothing is called.
    pub(crate) fn arm(at_end: unsafe fn(Thing), thing: Thing) -> bool {
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
        set_round(key, thing, 1)
    }

    /// What this thread has passed to [`arm`].
    pub(crate) fn armed() -> Option<Thing> {
        FORK.register();
        let key = STATE.lock().key?;
        // SAFETY: the key exists and is never deleted.
        let value = unsafe { libc::pthread_getspecific(key) };
        NonNull::new(value).map(|value| without_round(value).1)
    }

    /// The key's value is the thing with the round in its lowest bits.
    fn set_round(key: libc::pthread_key_t, thing: Thing, round: usize) -> bool {
        let value = thing.as_ptr().map_addr(|addr| addr | round).cast::<c_void>();
        // SAFETY: the key exists and is never deleted; nobody reads through its value.
        unsafe { libc::pthread_setspecific(key, value) == 0 }
    }

    fn without_round(value: NonNull<c_void>) -> (usize, Thing) {
        let round = value.addr().get() & LAST_ROUND;
        // SAFETY: the thing is aligned, and not at address 0.
        let thing = unsafe { NonNull::new_unchecked(value.as_ptr().wrapping_byte_sub(round)) };
        (round, thing.cast())
    }

    /// The key's destructor: re-arms the key until the last round.
    ///
    /// # Safety
    /// Called by the C library at the end of a thread that called [`arm`], with the key's value.
    unsafe extern "C" fn round_over(value: *mut c_void) {
        let Some(value) = NonNull::new(value) else { return };
        let (round, thing) = without_round(value);
        let (key, at_end) = {
            let state = STATE.lock();
            (state.key, state.at_end)
        };
        match (key, at_end) {
            (Some(key), _) if round < LAST_ROUND => {
                set_round(key, thing, round + 1);
            }
            // SAFETY: `arm` was called on this thread, which ends and runs no user code after this.
            (_, Some(at_end)) => unsafe { at_end(thing) },
            _ => {}
        }
    }
}

#[cfg(all(windows, not(miri)))]
mod imp {
    use core::ffi::c_void;
    use core::ptr::{self, NonNull};

    use super::Thing;
    use crate::sync::RawMutex;

    type Callback = unsafe extern "system" fn(*mut c_void, u32, *mut c_void);

    const DLL_THREAD_DETACH: u32 = 3;
    const TLS_OUT_OF_INDEXES: u32 = u32::MAX;

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn TlsAlloc() -> u32;
        fn TlsGetValue(index: u32) -> *mut c_void;
        fn TlsSetValue(index: u32, value: *mut c_void) -> i32;
    }

    #[derive(Clone, Copy)]
    struct State {
        key: u32,
        at_end: unsafe fn(Thing),
    }

    static STATE: RawMutex<Option<State>> = RawMutex::new(None);

    /// The section consists of such pointers.
    #[used]
    #[unsafe(link_section = ".CRT$XLY")]
    static CALLBACK: Callback = notice;

    /// Has `at_end` called with `thing` once, late in the end of this thread. False when keys are used up.
    ///
    /// All threads pass the same function. The main thread ends with the process: nothing is called.
    pub(crate) fn arm(at_end: unsafe fn(Thing), thing: Thing) -> bool {
        // SAFETY: a static. Without a use the linker would leave it out.
        let _ = unsafe { ptr::read_volatile(&raw const CALLBACK) };
        let key = match &mut *STATE.lock() {
            Some(state) => state.key,
            none => {
                // SAFETY: no preconditions.
                let key = unsafe { TlsAlloc() };
                if key == TLS_OUT_OF_INDEXES {
                    return false;
                }
                *none = Some(State { key, at_end });
                key
            }
        };
        // SAFETY: the key exists and is never freed.
        unsafe { TlsSetValue(key, thing.as_ptr().cast()) != 0 }
    }

    /// What this thread has passed to [`arm`].
    pub(crate) fn armed() -> Option<Thing> {
        let state = (*STATE.lock())?;
        // SAFETY: the key exists and is never freed.
        NonNull::new(unsafe { TlsGetValue(state.key) }).map(NonNull::cast)
    }

    /// # Safety
    /// Called by the loader, on a thread that begins or ends.
    unsafe extern "system" fn notice(_module: *mut c_void, reason: u32, _: *mut c_void) {
        let state = *STATE.lock();
        if let (DLL_THREAD_DETACH, Some(state), Some(thing)) = (reason, state, armed()) {
            // SAFETY: the key exists and is never freed.
            unsafe { TlsSetValue(state.key, ptr::null_mut()) };
            // SAFETY: `arm` was called on this thread, which ends and runs no user code after this.
            unsafe { (state.at_end)(thing) }
        }
    }
}

/// Nothing is noticed here.
#[cfg(any(not(any(unix, windows)), miri))]
mod fallback {
    use super::Thing;

    pub(crate) fn arm(_at_end: unsafe fn(Thing), _thing: Thing) -> bool {
        false
    }

    pub(crate) fn armed() -> Option<Thing> {
        None
    }
}
