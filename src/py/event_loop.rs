//! What is asked of asyncio, whichever loop it is, and of who runs instead of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use super::convert;

/// A function of `pinwire._wake`.
pub(super) fn callback<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("pinwire._wake").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}

/// The loop that runs in this thread.
pub(super) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let running = GET.import(py, "asyncio", "_get_running_loop")?.call0()?;
    if running.is_none() {
        return Err(unsupported("no running event loop"));
    }
    Ok(running)
}

/// Raise RuntimeError if a task of trio's runs: it could not be woken.
#[pyfunction]
pub(super) fn refuse_trio(py: Python<'_>) -> PyResult<()> {
    static ASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if has_trio(py)? && ASK.import(py, "trio.lowlevel", "in_trio_task")?.call0()?.is_truthy()? {
        return Err(unsupported("a task of trio"));
    }
    Ok(())
}

/// Whether trio has been imported. Modules are counted, which costs less than to look for one.
fn has_trio(py: Python<'_>) -> PyResult<bool> {
    static COUNTED: AtomicUsize = AtomicUsize::new(0);
    static FOUND: AtomicBool = AtomicBool::new(false);
    if FOUND.load(Ordering::Relaxed) {
        return Ok(true);
    }
    let modules = convert::modules(py)?;
    let count = modules.len();
    if COUNTED.swap(count, Ordering::Relaxed) != count {
        // Its last module: before that it is being imported.
        FOUND.store(modules.contains(intern!(py, "trio.lowlevel"))?, Ordering::Relaxed);
    }
    Ok(FOUND.load(Ordering::Relaxed))
}

fn unsupported(found: &str) -> PyErr {
    PyRuntimeError::new_err(format!(
        "{found}: pinwire is awaited on the loops of asyncio and uvloop; elsewhere use \
         pinwire.blocking, in a thread where it waits"
    ))
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
