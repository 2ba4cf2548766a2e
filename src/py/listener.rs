use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyResourceWarning;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::budget;
use super::convert;
use super::errors::{Failure, no_end, timed_out, warn};
use super::operation::{Flow, Operation, Steps};
use super::stream::Stream;
use super::wait::Wait;
use super::waiter::Waiter;
use crate::net::{self, Direction, Error};

/// What the listeners of both faces share.
#[pyclass(frozen, subclass, weakref, module = "pinwire._core")]
pub(super) struct BaseListener {
    listener: net::Listener,
    accepting: Arc<AtomicBool>,
    waiter: OnceLock<Py<Waiter>>,
}

impl BaseListener {
    pub(super) fn new(listener: net::Listener) -> BaseListener {
        BaseListener { listener, accepting: Arc::default(), waiter: OnceLock::new() }
    }

    pub(super) fn listener(&self) -> &net::Listener {
        &self.listener
    }

    /// The exception for what accepting has ended with.
    pub(super) fn exception(&self, py: Python<'_>, failure: Failure) -> PyErr {
        match failure {
            Failure::Core(Error::TimedOut) => {
                let address = convert::shown(&self.listener.address().url());
                timed_out(py, &format!("accepting on {address}"))
            }
            // A signal handler's, perhaps.
            failure => no_end(py, failure.into_exception(py, "the listener"), "accepting"),
        }
    }

    pub(super) fn close(&self, py: Python<'_>) {
        let fd = self.listener.close();
        if let Some(waiter) = self.waiter.get() {
            Waiter::retire(waiter.bind(py));
        }
        drop(fd);
    }
}

#[pymethods]
impl BaseListener {
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(convert::url(py, self.listener.address())?.into_any())
    }

    fn fileno(&self) -> i32 {
        self.listener.handle().get().map_or(-1, |fd| fd.as_raw_fd())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.waiter.get())
    }
}

impl Drop for BaseListener {
    fn drop(&mut self) {
        if self.listener.handle().is_open() {
            let _ = Python::try_attach(|py| {
                let url = self.listener.address().url();
                let text = format!("unclosed listener, {}", String::from_utf8_lossy(&url));
                warn::<PyResourceWarning>(py, &text);
                self.close(py);
            });
        }
    }
}

/// A listener for asyncio.
#[pyclass(frozen, extends = BaseListener, module = "pinwire")]
pub(super) struct Listener;

#[pymethods]
impl Listener {
    #[pyo3(signature = (*, timeout = None))]
    fn accept(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<Operation>> {
        Accept::operation(slf, "Listener.accept", timeout, false)
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<Py<Operation>> {
        slf.as_super().get().close(slf.py());
        Py::new(slf.py(), Operation::settled("Listener.close", None))
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__(slf: &Bound<'_, Self>) -> PyResult<Py<Operation>> {
        Accept::operation(slf, "Listener.__anext__", None, true)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<Operation>> {
        let listener = slf.clone().into_any().unbind();
        Py::new(slf.py(), Operation::settled("Listener.__aenter__", Some(listener)))
    }

    #[pyo3(signature = (*_exc))]
    fn __aexit__(slf: &Bound<'_, Self>, _exc: &Bound<'_, PyTuple>) -> PyResult<Py<Operation>> {
        Listener::close(slf)
    }
}

/// Waiting for a connection on an asyncio loop.
struct Accept {
    listener: Py<BaseListener>,
    wait: Wait,
    /// Given back when this ends.
    turn: Option<Turn>,
    /// In `async for` a closed listener is the end, not an error.
    iterating: bool,
}

/// The right to wait: a second waiter would silently replace the first.
struct Turn(Arc<AtomicBool>);

impl Accept {
    fn operation(
        listener: &Bound<'_, Listener>,
        name: &'static str,
        timeout: Option<f64>,
        iterating: bool,
    ) -> PyResult<Py<Operation>> {
        let wait = Wait::new(convert::timeout(timeout)?);
        let listener_of = listener.as_super().clone().unbind();
        let accept = Accept { listener: listener_of, wait, turn: None, iterating };
        Py::new(listener.py(), Operation::new(name, accept))
    }

    fn begin(&self, py: Python<'_>, base: &BaseListener) -> Result<Turn, Error> {
        // See `Moving::begin`.
        Turn::take(&base.accepting).or_else(|error| match base.waiter.get() {
            Some(waiter) if Waiter::forget_dead(waiter.bind(py)) => Turn::take(&base.accepting),
            _ => Err(error),
        })
    }
}

impl Steps for Accept {
    fn step(&mut self, py: Python<'_>) -> PyResult<Flow> {
        let base = self.listener.clone_ref(py);
        let base = base.get();
        let raise = |error: Error| base.exception(py, error.into());
        let expired = if self.turn.is_some() {
            self.wait.wake(py)?
        } else {
            self.turn = Some(self.begin(py, base).map_err(raise)?);
            self.wait.begin();
            if budget::spend() {
                return Ok(Flow::turn_of_the_loop(py));
            }
            false
        };
        let Some(fd) = base.listener.handle().get() else {
            return if self.iterating { Ok(Flow::End) } else { Err(raise(Error::Closed)) };
        };
        match base.listener.accept(&fd).map_err(|error| raise(error.into()))? {
            Some(socket) => Ok(Flow::Complete(Stream::wrap(py, socket)?.into_any().unbind())),
            None if expired => Err(raise(Error::TimedOut)),
            None => {
                let waiter = Waiter::of(py, &base.waiter, Direction::Receive)?;
                let handle = base.listener.handle();
                Ok(Flow::Suspend(self.wait.sleep(py, waiter, handle, fd)?))
            }
        }
    }

    fn interrupt(&mut self, py: Python<'_>, reason: PyErr) -> PyErr {
        self.wait.end(py);
        reason
    }

    fn is_asleep(&self) -> bool {
        self.wait.is_asleep()
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.listener)?;
        self.wait.traverse(visit)
    }
}

impl Turn {
    fn take(accepting: &Arc<AtomicBool>) -> Result<Turn, Error> {
        if accepting.swap(true, Ordering::Acquire) {
            return Err(Error::Busy(Direction::Receive));
        }
        Ok(Turn(Arc::clone(accepting)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
