#![allow(unsafe_code)] // Calls into libc.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::unix::{check, retry};

/// A flag that a thread can sleep on (eventfd(2)): readable while set.
#[derive(Debug)]
pub struct Event {
    fd: OwnedFd,
    /// Whether it may be set: to clear it costs a system call otherwise.
    touched: AtomicBool,
}

impl Event {
    /// A flag that is not set.
    pub fn new() -> io::Result<Event> {
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        // SAFETY: no memory is involved.
        let fd = check(unsafe { libc::eventfd(0, flags) } as isize)?;
        // SAFETY: the kernel has just made this descriptor for us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) };
        Ok(Event { fd, touched: AtomicBool::new(false) })
    }

    /// Set it, waking who sleeps on it.
    pub fn set(&self) {
        let one = 1u64;
        let fd = self.fd.as_raw_fd();
        // SAFETY: `one` has the 8 bytes that eventfd wants.
        let written = retry(|| unsafe { libc::write(fd, (&raw const one).cast(), 8) });
        // After the write: whoever clears it in between is woken once more, and clears it then.
        self.touched.store(true, Ordering::Release);
        // EAGAIN means that the counter is full: it is set, many times over.
        debug_assert!(
            written.is_ok()
                || matches!(written, Err(ref e) if e.kind() == io::ErrorKind::WouldBlock)
        );
    }

    /// Clear it.
    pub fn clear(&self) {
        if !self.touched.swap(false, Ordering::Acquire) {
            return;
        }
        let mut count = 0u64;
        // SAFETY: `count` has room for 8 bytes. EAGAIN means that it was not set.
        let _ = retry(|| unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) });
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
