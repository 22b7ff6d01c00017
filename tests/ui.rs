//! What the derive accepts, and how what it refuses is explained.
//!
//! The compiler's messages differ between versions, so the expected ones are those of one version. To
//! write them anew: `TRYBUILD=overwrite cargo test --test ui`, and read the difference.

use std::process::Command;

/// The version whose messages are in `tests/ui/*.stderr`.
const PINNED: &str = "rustc 1.95.";

#[test]
fn ui() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&output.stdout);
    if !version.starts_with(PINNED) {
        println!("skipped: the messages are those of `{PINNED}`, this is `{}`", version.trim());
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass_*.rs");
    cases.compile_fail("tests/ui/fail_*.rs");
}
