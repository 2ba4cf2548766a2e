#![allow(unsafe_code)] // Calls into libc.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::unix::{check, retry};

/// A number that a thread can sleep on (eventfd(2)): readable while it is not 0.
#[derive(Debug)]
pub(super) struct Counter {
    fd: OwnedFd,
}

impl Counter {
    /// One that is 0.
    pub(super) fn new() -> io::Result<Counter> {
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        // SAFETY: no memory is involved.
        let fd = check(unsafe { libc::eventfd(0, flags) } as isize)?;
        // SAFETY: the kernel has just made this descriptor for us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) };
        Ok(Counter { fd })
    }

    /// Count one more, waking who sleeps on it.
    pub(super) fn add(&self) {
        let one = 1u64;
        let fd = self.fd.as_raw_fd();
        // SAFETY: `one` has the 8 bytes that eventfd wants.
        let written = retry(|| unsafe { libc::write(fd, (&raw const one).cast(), 8) });
        // EAGAIN means that the counter is full: it is not 0, many times over.
        debug_assert!(
            written.is_ok()
                || matches!(written, Err(ref e) if e.kind() == io::ErrorKind::WouldBlock)
        );
    }

    /// Count from 0 again.
    pub(super) fn reset(&self) {
        let mut count = 0u64;
        // SAFETY: `count` has room for 8 bytes. EAGAIN means that it was 0.
        let _ = retry(|| unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) });
    }
}

impl AsFd for Counter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
