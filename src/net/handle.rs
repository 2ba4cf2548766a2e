use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sys::Event;

/// A file descriptor that several threads use and any of them may close.
///
/// Whoever makes a system call holds the `Arc` for as long as it takes, so the number is given
/// back to the kernel only after the last of them: it can never name another file meanwhile.
#[derive(Debug)]
pub struct Handle {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    fd: Option<Arc<OwnedFd>>,
    /// One for each thread that sleeps until the descriptor is ready.
    sleepers: Vec<Arc<Event>>,
}

impl Handle {
    /// Take over an open descriptor.
    pub fn new(fd: OwnedFd) -> Handle {
        Handle { inner: Mutex::new(Inner { fd: Some(Arc::new(fd)), sleepers: Vec::new() }) }
    }

    /// The descriptor, unless closed.
    pub fn get(&self) -> Option<Arc<OwnedFd>> {
        self.lock().fd.clone()
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.lock().fd.is_some()
    }

    /// Close it: nobody gets it any more, and those who sleep on it wake. The caller receives
    /// what was open; dropping that closes the file once the last system call has returned.
    pub fn close(&self) -> Option<Arc<OwnedFd>> {
        let mut inner = self.lock();
        for sleeper in inner.sleepers.drain(..) {
            sleeper.set();
        }
        inner.fd.take()
    }

    /// Have `event` set when the handle is closed, until `forget`. The descriptor, unless closed.
    pub fn watch(&self, event: &Arc<Event>) -> Option<Arc<OwnedFd>> {
        let mut inner = self.lock();
        let fd = inner.fd.clone()?;
        inner.sleepers.push(Arc::clone(event));
        Some(fd)
    }

    /// Undo `watch`.
    pub fn forget(&self, event: &Arc<Event>) {
        self.lock().sleepers.retain(|sleeper| !Arc::ptr_eq(sleeper, event));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing panics while it is held; and if it did, the data would still be whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
