//! The end of an `await`, without the price of an exception.

#![allow(unsafe_code)] // Raises an exception that is already there.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyBaseException, PyStopIteration};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// The last StopIteration that was raised, and its value: transfers of one size come in a row, and
/// making an exception costs more than all else that an await of a ready one does.
static LAST: Mutex<Option<(u64, Py<PyAny>)>> = Mutex::new(None);

/// Raise StopIteration(count), for an interpreter that takes out the value and forgets the rest.
pub(super) fn with_count(py: Python<'_>, count: u64) -> PyResult<()> {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    let stop = match last {
        // Nobody has kept it, nor can get at it.
        Some((value, stop)) if value == count && is_unshared(&stop) => stop,
        _ => py.get_type::<PyStopIteration>().call1((count,))?.unbind(),
    };
    let raised = stop.clone_ref(py).into_ptr();
    let replaced = LAST.lock().unwrap_or_else(PoisonError::into_inner).replace((count, stop));
    drop(replaced);
    // SAFETY: attached. `raised` is an exception, its type a class that lives as long as the
    // interpreter; both references are given away. The missing traceback replaces what an earlier
    // use may have left.
    unsafe {
        let class = ffi::PyExc_StopIteration;
        ffi::Py_IncRef(class);
        ffi::PyErr_Restore(class, raised, std::ptr::null_mut());
    }
    Ok(())
}

/// Raise StopIteration(value), for the same.
pub(super) fn with_value(py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
    let bound = value.bind(py);
    if bound.is_instance_of::<PyTuple>() || bound.is_instance_of::<PyBaseException>() {
        // Alone it would be taken for the arguments, or for the exception.
        return Err(PyStopIteration::new_err((value,)));
    }
    // SAFETY: attached; the class lives as long as the interpreter, and the value is borrowed.
    unsafe { ffi::PyErr_SetObject(ffi::PyExc_StopIteration, value.as_ptr()) };
    Ok(())
}

fn is_unshared(object: &Py<PyAny>) -> bool {
    // SAFETY: the object is alive; only an attached thread asks.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}
