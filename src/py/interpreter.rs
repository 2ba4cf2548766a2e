//! The interpreter's own life: which one may load us, and how it ends with transfers in flight.
//!
//! Until Python 3.14 a daemon thread that asks for the GIL once the interpreter is finalizing is
//! ended by unwinding its stack, and a frame of ours on it turns that into an abort. PyO3 sees to
//! threads that come back from `detach`; this sees to those that call Python from within an
//! operation: exit waits until they are out, and then nobody gets in for a while.

#![allow(unsafe_code)] // Asks which interpreter this is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::errors::Failure;
use crate::engine;

/// Classes and cached objects are those of one interpreter. CPython itself refuses to load us only
/// into sub-interpreters that are isolated.
pub(super) fn refuse_sub_interpreters(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: attached, so there is a current interpreter.
    let number = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if number == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "pinwire cannot be loaded into a sub-interpreter: import it in the main interpreter",
    ))
}

static EXIT: OnceLock<Exit> = OnceLock::new();
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// The process that loaded us: a forked child inherits the count, but not the threads.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// The interpreter is about to be finalized.
struct Exit {
    /// By this thread.
    thread: ThreadId,
    /// Others stay out until then.
    until: Instant,
}

/// Operations are short; whoever takes longer has been stopped by something else.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long operations are kept from starting at exit: longer than the exit handlers that run
/// after ours usually take, and short enough for one of them that waits for such a thread.
const GRACE: Duration = Duration::from_secs(1);

/// A thread is within an operation, for as long as this lives.
pub(super) struct Inside(());

/// Enter an operation. A thread that is about to be ended does not get in before it is.
pub(super) fn enter(py: Python<'_>) -> Inside {
    let inside = Inside::new();
    let Some(exit) = EXIT.get() else {
        return inside;
    };
    let left = exit.until.saturating_duration_since(Instant::now());
    if exit.thread == thread::current().id() || left.is_zero() {
        return inside;
    }
    drop(inside);
    py.detach(|| thread::sleep(left));
    Inside::new()
}

/// Run what attaches to Python in a thread of the engine's, unless the interpreter is about to be
/// finalized: it would end the thread, too.
pub(super) fn unless_exiting(work: impl FnOnce()) {
    let _inside = Inside::new();
    if EXIT.get().is_none() {
        work();
    }
}

impl Inside {
    fn new() -> Inside {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        Inside(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Run the handlers of signals that have come. A thread that outlives the interpreter has none.
pub(super) fn check_signals() -> Result<(), Failure> {
    Python::try_attach(|py| py.check_signals()).unwrap_or(Ok(())).map_err(Failure::from)
}

/// Runs at exit, before the interpreter begins to end threads.
#[pyfunction]
pub(super) fn prepare_exit(py: Python<'_>) {
    let exit = Exit { thread: thread::current().id(), until: Instant::now() + GRACE };
    if EXIT.set(exit).is_err() {
        return;
    }
    if PROCESS.load(Ordering::SeqCst) != std::process::id() {
        return;
    }
    let end = Instant::now() + PATIENCE;
    py.detach(|| {
        // What the workers have goes back to the loops.
        engine::shut_down(GRACE);
        while INSIDE.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    });
}

/// Have `prepare_exit` called.
pub(super) fn register_exit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    PROCESS.store(std::process::id(), Ordering::SeqCst);
    let hook = wrap_pyfunction!(prepare_exit, module)?;
    module.py().import("atexit")?.call_method1("register", (hook,)).map(drop)
}
