use std::fmt;
use std::ptr;
use std::sync::Arc;

use super::SocketFd;
use crate::sys::Event;
use crate::sys::sync::atomic::{AtomicBool, Ordering};
use crate::sys::sync::{Mutex, MutexGuard, PoisonError};

/// A file descriptor that several threads use and any of them may close.
///
/// Whoever makes a system call holds the `Arc` for as long as it takes, so the number is given
/// back to the kernel only after the last of them: it can never name another file meanwhile.
#[derive(Debug)]
pub struct Handle {
    /// What `inner` says, readable without a lock.
    open: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    fd: Option<Arc<SocketFd>>,
    /// One for each that sleeps until the descriptor is ready.
    sleepers: Vec<Arc<dyn Sleeper>>,
}

/// Somebody who sleeps until a descriptor is ready, and has to hear of its end.
pub trait Sleeper: fmt::Debug + Send + Sync {
    /// Wake: what was waited for is closed.
    fn wake(&self);
}

impl Sleeper for Event {
    fn wake(&self) {
        self.set();
    }
}

impl Handle {
    /// Take over an open descriptor.
    pub fn new(fd: SocketFd) -> Handle {
        let inner = Inner { fd: Some(Arc::new(fd)), sleepers: Vec::new() };
        Handle { open: AtomicBool::new(true), inner: Mutex::new(inner) }
    }

    /// The descriptor, unless closed.
    pub fn get(&self) -> Option<Arc<SocketFd>> {
        self.lock().fd.clone()
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Close it: nobody gets it any more, and those who sleep on it wake. The caller receives
    /// what was open; dropping that closes the file once the last system call has returned.
    pub fn close(&self) -> Option<Arc<SocketFd>> {
        let mut inner = self.lock();
        self.open.store(false, Ordering::Release);
        for sleeper in inner.sleepers.drain(..) {
            sleeper.wake();
        }
        inner.fd.take()
    }

    /// Have `sleeper` woken when the handle is closed, until `forget`. The descriptor, unless
    /// closed.
    pub fn watch(&self, sleeper: Arc<dyn Sleeper>) -> Option<Arc<SocketFd>> {
        let mut inner = self.lock();
        let fd = inner.fd.clone()?;
        inner.sleepers.push(sleeper);
        Some(fd)
    }

    /// Undo `watch`.
    pub fn forget<S: Sleeper>(&self, sleeper: &Arc<S>) {
        let sleeper = Arc::as_ptr(sleeper);
        self.lock().sleepers.retain(|other| !ptr::addr_eq(Arc::as_ptr(other), sleeper));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; and if it did, the data would still be whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
