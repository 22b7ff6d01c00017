//! The heap against a shadow map: overlap, alignment, contents.
#![no_main]

use hoopsnake::checkers::heap_ops;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| heap_ops::run(data));
