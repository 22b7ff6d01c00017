//! What seldom happens, and the end of a broken program: a message without an allocation, then abort.

use core::fmt::{self, Write};

/// Marks a path as one that is seldom taken, so that the other is laid out straight.
#[cold]
#[inline]
pub(crate) const fn unusual() {}

/// Text of bounded length on the stack; what does not fit is cut.
struct StackText {
    bytes: [u8; 512],
    len: usize,
}

impl Write for StackText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let taken = text.len().min(room);
        self.bytes[self.len..self.len + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        Ok(())
    }
}

/// Writes one line to standard error and aborts the process.
///
/// Never allocates and never unwinds, so the allocator itself may call it.
#[cold]
#[inline(never)]
pub(crate) fn abort(message: fmt::Arguments<'_>) -> ! {
    let mut text = StackText { bytes: [0; 512], len: 0 };
    let _ = text.write_fmt(format_args!("hoopsnake: {message}\n"));
    write_stderr(&text.bytes[..text.len]);
    std::process::abort()
}

#[cfg(unix)]
fn write_stderr(bytes: &[u8]) {
    // SAFETY: `bytes` is readable for its length; a failed write is of no consequence here.
    let _ = unsafe { libc::write(2, bytes.as_ptr().cast(), bytes.len()) };
}

#[cfg(not(unix))]
fn write_stderr(bytes: &[u8]) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_not_lost() {
        let mut text = StackText { bytes: [0; 512], len: 0 };
        for _ in 0..100 {
            text.write_str("0123456789").unwrap();
        }
        assert_eq!(text.len, 512);
        assert!(text.bytes.starts_with(b"01234567890"));
    }
}
