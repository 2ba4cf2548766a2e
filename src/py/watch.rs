use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use super::event_loop::{callback, is, runs_here};
use super::interpreter;
use super::waiter::{Call, Waiter};
use crate::net::{Direction, SocketFd};
use crate::sys;

/// A loop's watch over a descriptor.
///
/// Each registration has its own, so that a callback which a loop had already queued when the stream
/// left it finds that it is no longer meant.
#[pyclass(frozen, module = "pinwire._core")]
pub(super) struct Watch {
    waiter: Py<Waiter>,
    event_loop: Py<PyAny>,
    number: RawFd,
    /// Keeps the number from being given to another file before the loop has let go of it.
    fd: Mutex<Option<Arc<SocketFd>>>,
    /// A forked child shares the loop's selector with its parent, and must leave it alone.
    process: u32,
}

impl Watch {
    pub(super) fn begin(
        waiter: &Bound<'_, Waiter>,
        event_loop: &Bound<'_, PyAny>,
        fd: Arc<SocketFd>,
    ) -> PyResult<Py<Watch>> {
        let py = waiter.py();
        let add = match waiter.get().direction {
            Direction::Send => intern!(py, "add_writer"),
            Direction::Receive => intern!(py, "add_reader"),
        };
        let number = fd.as_raw_fd();
        let watch = Watch {
            waiter: waiter.clone().unbind(),
            event_loop: event_loop.clone().unbind(),
            number,
            fd: Mutex::new(Some(fd)),
            process: sys::forks(),
        };
        let watch = Py::new(py, watch)?;
        event_loop.call_method1(add, (number, callback(py, "ready")?, &watch))?;
        Ok(watch)
    }

    pub(super) fn is_of(&self, event_loop: &Bound<'_, PyAny>, fd: &Arc<SocketFd>) -> bool {
        self.event_loop.is(event_loop)
            && self.lock().as_ref().is_some_and(|watched| Arc::ptr_eq(watched, fd))
    }

    pub(super) fn loop_is_closed(&self, py: Python<'_>) -> bool {
        is(self.event_loop.bind(py), intern!(py, "is_closed")).unwrap_or(true)
    }

    /// Let go: now, or soon in the thread where the loop runs.
    pub(super) fn end(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let _inside = interpreter::enter(py);
        let this = slf.get();
        let event_loop = this.event_loop.bind(py);
        if this.process != sys::forks() || this.loop_is_closed(py) {
            this.release();
            return Ok(());
        }
        if runs_here(event_loop)? || !is(event_loop, intern!(py, "is_running"))? {
            if let Some((remove, fd)) = this.removal(py)? {
                remove.call1((fd,))?;
            }
            this.release();
            return Ok(());
        }
        let let_go = (callback(py, "let_go")?, slf);
        match event_loop.call_method1(intern!(py, "call_soon_threadsafe"), let_go) {
            Err(_) if this.loop_is_closed(py) => Ok(()),
            result => result.map(drop),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<SocketFd>>> {
        self.fd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Watch {
    /// The descriptor is ready: what to run, if this is still meant.
    fn take_sleeper(slf: &Bound<'_, Self>) -> Option<Call> {
        let waiter = slf.get().waiter.bind(slf.py());
        if waiter.get().is_watched_by(slf) { Waiter::take_ready(waiter) } else { None }
    }

    /// How the loop lets go of the descriptor: `remove(fd)`. None if it watches it again, because
    /// the stream has come back meanwhile.
    fn removal<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>, RawFd)>> {
        let event_loop = self.event_loop.bind(py);
        let waiter = self.waiter.get();
        let fd = self.lock().clone();
        let returned = fd.is_none_or(|fd| waiter.is_watched_on(event_loop, &fd));
        if returned {
            return Ok(None);
        }
        let remove = match waiter.direction {
            Direction::Send => intern!(py, "remove_writer"),
            Direction::Receive => intern!(py, "remove_reader"),
        };
        Ok(Some((event_loop.getattr(remove)?, self.number)))
    }

    /// The loop has let go of the descriptor: its number may be given back.
    fn release(&self) {
        drop(self.lock().take());
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.waiter)?;
        visit.call(&self.event_loop)
    }
}
