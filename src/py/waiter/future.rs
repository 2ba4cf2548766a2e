//! A `Waiter` as the future that an asyncio `Task` awaits by duck typing: it reads and clears
//! `_asyncio_future_blocking`, calls `add_done_callback`, and later `result`.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::sleeper::{Call, Sleeper};
use super::{Outcome, Waiter};

#[pymethods]
impl Waiter {
    /// The time of the operation is over: what to run in the loop's own callback, where no other
    /// task can be running.
    fn take_expired(slf: &Bound<'_, Self>) -> Option<Call> {
        Waiter::take(slf, Outcome::Expired)
    }

    #[getter(_asyncio_future_blocking)]
    fn is_blocking(&self) -> bool {
        self.lock().blocking
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.lock().blocking = blocking;
    }

    pub(super) fn get_loop(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let state = self.lock();
        let event_loop = state.event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py));
        event_loop.ok_or_else(|| PyRuntimeError::new_err("nobody waits here"))
    }

    #[pyo3(signature = (callback, /, *, context))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Py<PyAny>,
    ) -> PyResult<()> {
        let sleeper = Sleeper { callback, context };
        let mut state = slf.get().lock();
        if !state.armed {
            drop(state);
            // It was woken before it could fall asleep.
            return sleeper.wake_soon(slf);
        }
        if state.sleeper.is_some() {
            drop(state);
            return Err(PyRuntimeError::new_err("another task already waits here"));
        }
        state.sleeper = Some(sleeper);
        Ok(())
    }

    #[pyo3(signature = (callback, /))]
    fn remove_done_callback(&self, callback: &Bound<'_, PyAny>) -> usize {
        let sleeper = {
            let mut state = self.lock();
            match &state.sleeper {
                Some(sleeper) if sleeper.callback.is(callback) => state.sleeper.take(),
                _ => None,
            }
        };
        usize::from(sleeper.is_some())
    }

    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> bool {
        let outcome = Outcome::Cancelled(msg);
        let (flight, old) = {
            let mut state = slf.get().lock();
            match &state.flight {
                Some(flight) if flight.lands_here() => {
                    (Arc::clone(flight), state.outcome.replace(outcome))
                }
                _ => {
                    drop(state);
                    return Waiter::wake_soon(slf, outcome);
                }
            }
        };
        drop(old);
        flight.stop();
        true
    }

    fn done(&self) -> bool {
        !self.lock().armed
    }

    fn cancelled(&self) -> bool {
        let state = self.lock();
        !state.armed && matches!(state.outcome, Some(Outcome::Cancelled(_)))
    }

    fn result(&self, py: Python<'_>) -> PyResult<()> {
        match &self.lock().outcome {
            None => Err(InvalidStateError::new_err("nothing has happened yet")),
            Some(Outcome::Cancelled(None)) => Err(CancelledError::new_err(())),
            Some(Outcome::Cancelled(Some(msg))) => {
                Err(CancelledError::new_err((msg.clone_ref(py),)))
            }
            Some(_) => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.state.try_lock() else {
            return Ok(());
        };
        visit.call(&state.watch)?;
        visit.call(&state.event_loop)?;
        if let Some(sleeper) = &state.sleeper {
            visit.call(&sleeper.callback)?;
            visit.call(&sleeper.context)?;
        }
        if let Some(Outcome::Cancelled(msg)) = &state.outcome {
            visit.call(msg)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let state = std::mem::take(&mut *self.lock());
        drop(state);
    }
}
