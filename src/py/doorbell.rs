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

/// The bell of one event loop, and who waits for it.
///
/// The loop's selector holds it, so the bell's descriptor outlives its registration.
#[pyclass(frozen, module = "pinwire._core")]
pub(super) struct Doorbell {
    bell: Arc<Bell>,
    /// By the numbers of their flights.
    waiters: Mutex<HashMap<u64, Py<Waiter>>>,
}

impl Doorbell {
    /// That of a loop, made when it is first asked for.
    pub(super) fn of<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Doorbell>> {
        static ALL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = event_loop.py();
        let make = || Ok::<_, PyErr>(weak_keys(py)?.call0()?.unbind());
        let all = ALL.get_or_try_init(py, make)?.bind(py);
        if let Ok(found) = all.call_method1(intern!(py, "get"), (event_loop,))?.cast_into() {
            return Ok(found);
        }
        let bell = Arc::new(Bell::new().map_err(|error| os_error(&error))?);
        let number = bell.as_fd().as_raw_fd();
        let doorbell = Bound::new(py, Doorbell { bell, waiters: Mutex::default() })?;
        let add_reader = intern!(py, "add_reader");
        event_loop.call_method1(add_reader, (number, callback(py, "ring")?, &doorbell))?;
        all.set_item(event_loop, &doorbell)?;
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

fn weak_keys(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("weakref")?.getattr("WeakKeyDictionary")
}

#[pymethods]
impl Doorbell {
    /// Flights that have landed and were not seen to.
    fn waiting(&self) -> usize {
        self.bell.waiting()
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
