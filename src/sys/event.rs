#![allow(unsafe_code)] // Calls into libc.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::unix::{check, retry};

/// A flag that a thread can sleep on (eventfd(2)): readable while set.
#[derive(Debug)]
pub struct Event(OwnedFd);

impl Event {
    /// A flag that is not set.
    pub fn new() -> io::Result<Event> {
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        // SAFETY: no memory is involved.
        let fd = check(unsafe { libc::eventfd(0, flags) } as isize)?;
        // SAFETY: the kernel has just made this descriptor for us alone.
        Ok(Event(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }))
    }

    /// Set it, waking who sleeps on it.
    pub fn set(&self) {
        let one = 1u64;
        let fd = self.0.as_raw_fd();
        // SAFETY: `one` has the 8 bytes that eventfd wants.
        let written = retry(|| unsafe { libc::write(fd, (&raw const one).cast(), 8) });
        // EAGAIN means that the counter is full: it is set, many times over.
        debug_assert!(
            written.is_ok()
                || matches!(written, Err(ref e) if e.kind() == io::ErrorKind::WouldBlock)
        );
    }

    /// Clear it.
    pub fn clear(&self) {
        let mut count = 0u64;
        // SAFETY: `count` has room for 8 bytes. EAGAIN means that it was not set.
        let _ = retry(|| unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) });
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
