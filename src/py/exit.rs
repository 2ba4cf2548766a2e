//! Interpreter exit with transfers in flight.
//!
//! Until Python 3.14 a daemon thread that asks for the GIL once the interpreter is finalizing is
//! ended by unwinding its stack, and a frame of ours on it turns that into an abort. PyO3 sees to
//! threads that come back from `detach`; this sees to those that call Python from within an
//! operation: exit waits until they are out, and from then on nobody gets in.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::sys;

static EXITING: AtomicBool = AtomicBool::new(false);
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// Operations are short; whoever takes longer has been stopped by something else.
const PATIENCE: Duration = Duration::from_millis(500);

/// A thread is within an operation, for as long as this lives.
pub(super) struct Inside(());

/// Enter an operation. Does not return to a thread that is about to be ended.
pub(super) fn enter(py: Python<'_>) -> Inside {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let inside = Inside(());
    if EXITING.load(Ordering::SeqCst) && !sys::in_main_thread() {
        drop(inside);
        return py.detach(|| -> Inside {
            loop {
                thread::park();
            }
        });
    }
    inside
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs at exit, before the interpreter begins to end threads.
#[pyfunction]
pub(super) fn prepare_exit(py: Python<'_>) {
    EXITING.store(true, Ordering::SeqCst);
    let end = Instant::now() + PATIENCE;
    py.detach(|| {
        while INSIDE.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    });
}

/// Have `prepare_exit` called.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let hook = wrap_pyfunction!(prepare_exit, module)?;
    module.py().import("atexit")?.call_method1("register", (hook,)).map(drop)
}
