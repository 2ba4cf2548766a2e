use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopAsyncIteration};
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::errors::{no_end, warn};
use super::{budget, event_loop, interpreter, stop};

impl Flow {
    /// Let the loop run once before going on.
    pub(super) fn turn_of_the_loop(py: Python<'_>) -> Flow {
        budget::renew();
        Flow::Suspend(py.None())
    }
}

/// What an `Operation` does when it is driven.
pub(super) trait Steps: Send {
    /// Go on until it is complete or has to wait.
    fn step(&mut self, py: Python<'_>) -> PyResult<Flow>;

    /// It ends here, by this exception; gives the one to raise.
    fn interrupt(&mut self, py: Python<'_>, reason: PyErr) -> PyErr;

    /// Whether a task sleeps in it and has not been woken.
    fn is_asleep(&self) -> bool;

    /// Visit the Python objects it holds.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

/// How a step ended.
pub(super) enum Flow {
    /// With this result.
    Complete(Py<PyAny>),
    /// With this many bytes moved.
    Moved(u64),
    /// As the step of an `async for` that has no more.
    End,
    /// Yield this to the event loop's task: a future to wait for, or None for a turn of the loop.
    Suspend(Py<PyAny>),
}

/// Something to await once: the coroutine protocol around `Steps`.
#[pyclass(frozen, subclass, weakref, module = "pinwire._core", generic)]
pub(super) struct Operation {
    /// What the user called, as in "Stream.send_buffer".
    name: &'static str,
    state: Mutex<State>,
}

enum State {
    /// Not awaited yet.
    Fresh(Box<dyn Steps>),
    /// Nobody has to await it: what it stands for is done.
    Settled(Option<Py<PyAny>>),
    Suspended(Box<dyn Steps>),
    /// One of its steps is under way.
    Running,
    Ended,
}

impl Operation {
    pub(super) fn new(name: &'static str, steps: impl Steps + 'static) -> Operation {
        Operation { name, state: Mutex::new(State::Fresh(Box::new(steps))) }
    }

    /// An operation that is already done; it has not to be awaited, but may be.
    pub(super) fn settled(name: &'static str, value: Option<Py<PyAny>>) -> Operation {
        Operation { name, state: Mutex::new(State::Settled(value)) }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(*self.lock(), State::Ended)
    }

    /// Take the state to work on it; nobody else can meanwhile, though the lock is free.
    fn begin(&self) -> PyResult<State> {
        let mut state = self.lock();
        match &*state {
            State::Running => Err(self.is_awaited()),
            State::Ended => {
                Err(PyRuntimeError::new_err(format!("{} was already awaited", self.name)))
            }
            _ => Ok(std::mem::replace(&mut *state, State::Running)),
        }
    }

    fn is_awaited(&self) -> PyErr {
        PyRuntimeError::new_err(format!("{} is already being awaited", self.name))
    }

    fn set(&self, state: State) {
        *self.lock() = state;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resume(&self, py: Python<'_>) -> PyResult<Flow> {
        let _inside = interpreter::enter(py);
        let mut steps = match self.begin()? {
            State::Suspended(steps) if steps.is_asleep() => {
                self.set(State::Suspended(steps));
                return Err(self.is_awaited());
            }
            State::Suspended(steps) => steps,
            State::Fresh(steps) => match event_loop::refuse_trio(py) {
                Ok(()) => steps,
                Err(error) => {
                    drop(steps);
                    self.set(State::Ended);
                    return Err(error);
                }
            },
            State::Settled(value) => {
                self.set(State::Ended);
                return Ok(Flow::Complete(value.unwrap_or_else(|| py.None())));
            }
            State::Running | State::Ended => unreachable!("`begin` refuses these"),
        };
        let result = steps.step(py);
        if matches!(result, Ok(Flow::Suspend(_))) {
            self.set(State::Suspended(steps));
        } else {
            // What it pinned is free again before anybody hears of the end.
            drop(steps);
            self.set(State::Ended);
        }
        result.map_err(|error| no_end(py, error, self.name))
    }

    fn interrupt(&self, py: Python<'_>, reason: PyErr) -> PyResult<PyErr> {
        let _inside = interpreter::enter(py);
        let error = match self.begin()? {
            State::Fresh(mut steps) | State::Suspended(mut steps) => steps.interrupt(py, reason),
            _ => reason,
        };
        self.set(State::Ended);
        Ok(no_end(py, error, self.name))
    }
}

#[pymethods]
impl Operation {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// What an `await` calls. None is the end: its value is in the exception that is set.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.resume(py)? {
            Flow::Suspend(yielded) => Ok(Some(yielded)),
            Flow::Moved(bytes) => stop::with_count(py, bytes).map(|()| None),
            Flow::Complete(value) => stop::with_value(py, value).map(|()| None),
            Flow::End => Err(PyStopAsyncIteration::new_err(())),
        }
    }

    #[pyo3(signature = (value, /))]
    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let _ = value; // Nothing in it waits for one.
        match self.resume(py)? {
            Flow::Suspend(yielded) => Ok(yielded),
            Flow::Moved(bytes) => Err(PyStopIteration::new_err((bytes,))),
            Flow::Complete(value) => Err(PyStopIteration::new_err((value,))),
            Flow::End => Err(PyStopAsyncIteration::new_err(())),
        }
    }

    #[pyo3(signature = (typ, val = None, tb = None, /))]
    fn throw(
        &self,
        py: Python<'_>,
        typ: &Bound<'_, PyAny>,
        val: Option<&Bound<'_, PyAny>>,
        tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let reason = thrown(typ, val)?;
        if let Some(tb) = tb {
            reason.set_traceback(py, Some(tb.cast()?.clone()));
        }
        Err(self.interrupt(py, reason)?)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.has_ended() {
            return Ok(());
        }
        let exit = pyo3::exceptions::PyGeneratorExit::new_err(());
        self.interrupt(py, exit).map(drop)
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.name
    }

    fn __repr__(&self) -> String {
        let state = match *self.lock() {
            State::Fresh(_) => "not awaited",
            State::Settled(_) => "done",
            State::Suspended(_) | State::Running => "under way",
            State::Ended => "ended",
        };
        format!("<{} {state}>", self.name)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.state.try_lock() else {
            return Ok(());
        };
        match &*state {
            State::Fresh(steps) | State::Suspended(steps) => steps.traverse(&visit),
            State::Settled(value) => visit.call(value),
            State::Running | State::Ended => Ok(()),
        }
    }

    fn __clear__(&self) {
        let state = std::mem::replace(&mut *self.lock(), State::Ended);
        drop(state);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if matches!(state, State::Fresh(_)) {
            // As CPython does for a coroutine: a forgotten `await` means that nothing was sent.
            let text = format!("{} was never awaited", self.name);
            let _ = Python::try_attach(|py| warn::<PyRuntimeWarning>(py, &text));
        }
    }
}

/// The exception that the arguments of `throw` mean.
fn thrown(typ: &Bound<'_, PyAny>, val: Option<&Bound<'_, PyAny>>) -> PyResult<PyErr> {
    use pyo3::exceptions::PyBaseException;
    if typ.is_instance_of::<PyBaseException>() {
        return Ok(PyErr::from_value(typ.clone()));
    }
    let class = typ
        .cast::<PyType>()
        .map_err(|_| PyTypeError::new_err("throw takes an exception or a class of exceptions"))?;
    match val {
        Some(value) if value.is_instance(class)? => Ok(PyErr::from_value(value.clone())),
        Some(value) => Ok(PyErr::from_type(class.clone(), (value.clone().unbind(),))),
        None => Ok(PyErr::from_type(class.clone(), ())),
    }
}
