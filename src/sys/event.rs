use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::counter::Counter;
use super::sync::atomic::{AtomicBool, Ordering};

/// A flag that a thread can sleep on: its descriptor is readable while it is set.
#[derive(Debug)]
pub struct Event {
    counter: Counter,
    /// Whether it may be set: to clear it costs a system call otherwise.
    touched: AtomicBool,
}

impl Event {
    /// A flag that is not set.
    pub fn new() -> io::Result<Event> {
        Ok(Event { counter: Counter::new()?, touched: AtomicBool::new(false) })
    }

    /// Set it, waking who sleeps on it.
    pub fn set(&self) {
        self.counter.add();
        // After that: whoever clears it in between is woken once more, and clears it then.
        self.touched.store(true, Ordering::Release);
    }

    /// Clear it.
    pub fn clear(&self) {
        if self.touched.swap(false, Ordering::Acquire) {
            self.counter.reset();
        }
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}
