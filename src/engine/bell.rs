use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys::Event;
use crate::sys::sync::{Mutex, MutexGuard, PoisonError};

/// How flights tell an event loop that they have landed: a queue, and a descriptor that is
/// readable while something is in it.
#[derive(Debug)]
pub struct Bell {
    event: Event,
    landed: Mutex<VecDeque<u64>>,
}

impl Bell {
    /// One that has not rung.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell { event: Event::new()?, landed: Mutex::default() })
    }

    /// Tell that a flight has landed. It rings once for all that land until they are taken;
    /// whether it did.
    pub(super) fn tell(&self, flight: u64) -> bool {
        let mut landed = self.lock();
        let rings = landed.is_empty();
        if rings {
            self.event.set();
        }
        landed.push_back(flight);
        rings
    }

    /// The next flight that has landed; after the last the bell is silent.
    pub fn take(&self) -> Option<u64> {
        let mut landed = self.lock();
        let flight = landed.pop_front();
        if landed.is_empty() {
            self.event.clear();
        }
        flight
    }

    /// How many have landed and were not taken.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.landed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
