//! Several copies of hoopsnake in one process: this program's own, and one in each library that it loads
//! (those named in the arguments). Threads use all of them, end, and fork.

use std::ffi::{CString, c_char, c_int, c_void};

use hoopsnake::{PoolAlloc, heap};

#[global_allocator]
static GLOBAL: PoolAlloc = PoolAlloc;

extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
}

const RTLD_NOW: c_int = 2;

#[derive(Clone, Copy)]
struct Plugin {
    work: extern "C" fn(usize) -> usize,
    alloc: extern "C" fn(usize, u8) -> *mut u8,
    free: unsafe extern "C" fn(*mut u8, usize),
}

impl Plugin {
    fn load(path: &str) -> Plugin {
        let path = CString::new(path).unwrap();
        // SAFETY: the path ends with a zero; the library's initializers are Rust's.
        let library = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        assert!(!library.is_null(), "{path:?} cannot be loaded");
        let find = |name: &str| {
            let name = CString::new(name).unwrap();
            // SAFETY: the library is loaded, for ever.
            let place = unsafe { dlsym(library, name.as_ptr()) };
            assert!(!place.is_null(), "{name:?} is missing");
            place
        };
        // SAFETY: the symbols are functions of these types (`plugin/src/lib.rs`).
        unsafe {
            Plugin {
                work: std::mem::transmute::<*mut c_void, extern "C" fn(usize) -> usize>(find(
                    "plugin_work",
                )),
                alloc: std::mem::transmute::<*mut c_void, extern "C" fn(usize, u8) -> *mut u8>(
                    find("plugin_alloc"),
                ),
                free: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut u8, usize)>(
                    find("plugin_free"),
                ),
            }
        }
    }

    /// Blocks of this copy's heap, checked and freed.
    fn exchange(self, seed: usize) {
        let blocks: Vec<_> = (1..200).map(|n| (self.alloc)(n * 40, (n + seed) as u8)).collect();
        for (n, place) in (1..200).zip(blocks) {
            // SAFETY: the block has `n * 40` bytes, and is freed once, by the copy that made it.
            unsafe {
                assert_eq!(place.add(n * 40 - 1).read(), (n + seed) as u8);
                (self.free)(place, n * 40);
            }
        }
    }
}

fn use_all(plugins: &[Plugin], seed: usize) {
    let own: Vec<Box<usize>> = (0..1000).map(Box::new).collect();
    for plugin in plugins {
        assert!((plugin.work)(seed) >= 1, "the library has arenas of its own");
        plugin.exchange(seed);
    }
    assert!(own.iter().enumerate().all(|(n, block)| **block == n));
}

fn main() {
    let plugins: Vec<Plugin> = std::env::args().skip(1).map(|path| Plugin::load(&path)).collect();
    assert!(plugins.len() >= 2, "name two libraries");
    // Each copy has a heap of its own: the same block is not found in another's.
    let places: Vec<_> = plugins.iter().map(|plugin| (plugin.alloc)(64, 1)).collect();
    assert_ne!(places[0], places[1]);
    for (plugin, place) in plugins.iter().zip(places) {
        // SAFETY: each copy frees its own block.
        unsafe { (plugin.free)(place, 64) };
    }
    for round in 0..20 {
        std::thread::scope(|scope| {
            for n in 0..4 {
                let plugins = &plugins;
                scope.spawn(move || use_all(plugins, round * 4 + n));
            }
        });
        // SAFETY: the child allocates in every copy and ends.
        unsafe {
            let child = fork();
            if child == 0 {
                use_all(&plugins, round);
                _exit(0);
            }
            let mut status = 0;
            assert_eq!(waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 0, "the child failed");
        }
    }
    downstream::use_everything();
    assert!(!heap::stats().to_string().is_empty());
    println!("ok: {} copies in one process", plugins.len() + 1);
}
