//! The interner against a map of what is alive.
#![no_main]

use hoopsnake::checkers::intern_ops;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| intern_ops::run(data));
