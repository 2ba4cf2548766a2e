use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::errors::os_error;
use super::event_loop::callback;
use super::waiter::{Call, Waiter};
use crate::engine::Bell;
use crate::sys;

/// The bell of one event loop, and who waits for it.
///
/// The loop's selector holds it, so the bell's descriptor outlives its registration.
#[pyclass(frozen, weakref, module = "pinwire._core")]
pub(super) struct Doorbell {
    bell: Arc<Bell>,
    /// By the numbers of their flights.
    waiters: Mutex<HashMap<u64, Py<Waiter>>>,
    /// A child that is forked later shares the bell with its parent, and must leave it alone.
    forks: u32,
}

impl Doorbell {
    /// That of a loop, made when it is first asked for.
    pub(super) fn of<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Doorbell>> {
        static ALL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = event_loop.py();
        // Weak in both: what waits for a loop's bell may be all that keeps the loop alive.
        let make = || Ok::<_, PyErr>(weakref(py, "WeakKeyDictionary")?.call0()?.unbind());
        let all = ALL.get_or_try_init(py, make)?.bind(py);
        let found = all.call_method1(intern!(py, "get"), (event_loop,))?;
        if !found.is_none()
            && let Ok(doorbell) = found.call0()?.cast_into()
        {
            return Ok(doorbell);
        }
        let bell = Arc::new(Bell::new().map_err(|error| os_error(&error))?);
        let number = bell.as_fd().as_raw_fd();
        let doorbell =
            Bound::new(py, Doorbell { bell, waiters: Mutex::default(), forks: sys::forks() })?;
        let add_reader = intern!(py, "add_reader");
        event_loop.call_method1(add_reader, (number, callback(py, "ring")?, &doorbell))?;
        all.set_item(event_loop, weakref(py, "ref")?.call1((&doorbell,))?)?;
        Ok(doorbell)
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Have a waiter told when the flight has landed.
    pub(super) fn expect(&self, flight: u64, waiter: Py<Waiter>) {
        self.lock().insert(flight, waiter);
    }

    /// Nobody waits for this flight any more.
    pub(super) fn forget(&self, flight: u64) {
        let waiter = self.lock().remove(&flight);
        drop(waiter);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Py<Waiter>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weakref<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("weakref")?.getattr(name)
}

#[pymethods]
impl Doorbell {
    /// Flights that have landed and were not seen to.
    fn waiting(&self) -> usize {
        if self.forks == sys::forks() { self.bell.waiting() } else { 0 }
    }

    /// The next of them: what to run in the loop's own callback, where no other task can be
    /// running.
    fn take_sleeper(&self, py: Python<'_>) -> Option<Call> {
        let flight = self.bell.take()?;
        let waiter = self.lock().remove(&flight)?;
        Waiter::take_landed(waiter.bind(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(waiters) = self.waiters.try_lock() else {
            return Ok(());
        };
        waiters.values().try_for_each(|waiter| visit.call(waiter))
    }

    fn __clear__(&self) {
        let waiters = std::mem::take(&mut *self.lock());
        drop(waiters);
    }
}
