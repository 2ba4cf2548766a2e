//! What is asked of asyncio, whichever loop it is.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// A function of `pinwire._wake`.
pub(super) fn callback<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("pinwire._wake").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}

/// The loop that runs in this thread.
pub(super) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET.import(py, "asyncio", "get_running_loop")?.call0()
}

/// Whether the loop is the one that runs in this thread.
pub(super) fn runs_here(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let running = GET.import(event_loop.py(), "asyncio", "_get_running_loop")?.call0()?;
    Ok(running.is(event_loop))
}

/// The answer to `is_closed` or `is_running`.
pub(super) fn is(event_loop: &Bound<'_, PyAny>, question: &Bound<'_, PyString>) -> PyResult<bool> {
    event_loop.call_method0(question)?.is_truthy()
}
