use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Waiter;
use crate::py::event_loop::{is, runs_here};
use crate::py::interpreter;

/// A task, as it asked to be woken.
pub(super) struct Sleeper {
    pub(super) callback: Py<PyAny>,
    pub(super) context: Py<PyAny>,
}

/// How to wake it: `context.run(callback, waiter)`.
pub(in crate::py) type Call = (Py<PyAny>, Py<PyAny>, Py<Waiter>);

impl Sleeper {
    /// How to wake it in a callback of its loop.
    pub(super) fn into_call(self, waiter: &Bound<'_, Waiter>) -> Call {
        (self.context, self.callback, waiter.clone().unbind())
    }

    /// Have its loop wake it; from any thread.
    pub(super) fn wake_soon(self, waiter: &Bound<'_, Waiter>) -> PyResult<()> {
        let py = waiter.py();
        let _inside = interpreter::enter(py);
        let event_loop = waiter.get().get_loop(py)?.into_bound(py);
        let event_loop = &event_loop;
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "context"), self.context)?;
        let call_soon = if runs_here(event_loop)? {
            intern!(py, "call_soon")
        } else {
            intern!(py, "call_soon_threadsafe")
        };
        match event_loop.call_method(call_soon, (self.callback, waiter), Some(&kwargs)) {
            // A closed loop has no tasks to wake.
            Err(_) if is(event_loop, intern!(py, "is_closed")).unwrap_or(true) => Ok(()),
            result => result.map(drop),
        }
    }
}
