//! The end of an `await`, without the price of an exception.

#![allow(unsafe_code)] // Raises an exception that is already there, once it has looked into it.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyBaseException, PyStopIteration};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use pyo3::{ffi, intern};

/// The last StopIteration that was raised: transfers of one size come in a row, and making an
/// exception costs more than all else that an await of a ready one does.
static LAST: Mutex<Option<Stop>> = Mutex::new(None);

/// A StopIteration, and the value that it was made with.
struct Stop {
    count: u64,
    value: Py<PyAny>,
    exception: Py<PyAny>,
}

/// Raise StopIteration(count), for an interpreter that takes out the value and forgets the rest.
pub(super) fn with_count(py: Python<'_>, count: u64) -> PyResult<()> {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    let stop = match last {
        Some(stop) if stop.count == count && stop.is_as_made(py)? => stop,
        _ => Stop::new(py, count)?,
    };
    let raised = stop.exception.clone_ref(py).into_ptr();
    let replaced = LAST.lock().unwrap_or_else(PoisonError::into_inner).replace(stop);
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

impl Stop {
    fn new(py: Python<'_>, count: u64) -> PyResult<Stop> {
        let value = count.into_pyobject(py)?.into_any().unbind();
        let exception = py.get_type::<PyStopIteration>().call1((&value,))?.unbind();
        Ok(Stop { count, value, exception })
    }

    /// Whether nobody has kept it, nor put another value into it: whoever calls `next` by hand gets
    /// the exception, and may.
    fn is_as_made(&self, py: Python<'_>) -> PyResult<bool> {
        let object = self.exception.as_ptr();
        let Some(place) = place_of_value(py)? else { return Ok(false) };
        // SAFETY: the object is alive, a StopIteration itself, and only an attached thread looks.
        // What is at that place is a reference, as in every object of that class; it is compared
        // and not used. It is no other object at the same address: that of `value` is kept.
        Ok(unsafe {
            ffi::Py_REFCNT(object) == 1
                && *object.cast::<*mut ffi::PyObject>().add(place) == self.value.as_ptr()
        })
    }
}

/// Where in a StopIteration, in words, the value is that the interpreter takes out of it: the only
/// place that has it, of the object itself. None if there are none or several.
fn place_of_value(py: Python<'_>) -> PyResult<Option<usize>> {
    static PLACE: PyOnceLock<Option<usize>> = PyOnceLock::new();
    PLACE.get_or_try_init(py, || find_value(py)).copied()
}

fn find_value(py: Python<'_>) -> PyResult<Option<usize>> {
    let class = py.get_type::<PyStopIteration>();
    let value = PyTuple::new(py, [py.None()])?.into_any();
    let exception = class.call1((&value,))?;
    let size: usize = class.getattr(intern!(py, "__basicsize__"))?.extract()?;
    let words = size / size_of::<*mut ffi::PyObject>();
    let has_it = |&place: &usize| {
        // SAFETY: an object of this class has so many bytes, is aligned as a pointer is, and alive.
        let word = unsafe { *exception.as_ptr().cast::<*mut ffi::PyObject>().add(place) };
        word == value.as_ptr()
    };
    let mut places = (0..words).filter(has_it);
    Ok(places.next().filter(|_| places.next().is_none()))
}
