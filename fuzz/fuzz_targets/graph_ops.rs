//! Counted objects and the collector against a reachability oracle.
#![no_main]

use hoopsnake::checkers::graph_ops;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    graph_ops::run(data);
});
