#![allow(unsafe_code)] // Exports memory by the buffer protocol.

use std::ffi::c_int;

use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::errors::os_error;
use crate::sys::Mapping;

/// A bytearray whose content is undefined, to be filled.
pub(super) fn bytearray(py: Python<'_>, nbytes: usize) -> PyResult<Bound<'_, PyAny>> {
    let len = ffi::Py_ssize_t::try_from(nbytes)?;
    // SAFETY: attached; without content to copy, CPython makes room for as many bytes. Whoever
    // gets it sees it once all of them have been received.
    unsafe {
        let bytes = ffi::PyByteArray_FromStringAndSize(std::ptr::null(), len);
        Bound::from_owned_ptr_or_err(py, bytes)
    }
}

/// Memory for large arrays: aligned to 2 MiB, in huge pages where the system has some.
#[pyclass(frozen, module = "pinwire._core")]
pub(in crate::py) struct Memory(Mapping);

impl Memory {
    pub(super) fn new(py: Python<'_>, nbytes: usize) -> PyResult<Bound<'_, Memory>> {
        let mapping = Mapping::new(nbytes).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOMEM) => {
                PyMemoryError::new_err(format!("no room for an array of {nbytes} bytes"))
            }
            _ => os_error(&error),
        })?;
        Bound::new(py, Memory(mapping))
    }
}

#[pymethods]
impl Memory {
    /// # Safety
    /// CPython calls it with a view to fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let mapping = &slf.get().0;
        let (base, len) = (mapping.base().cast(), mapping.len() as ffi::Py_ssize_t);
        // SAFETY: attached, with a view of CPython's. The mapping lives as long as this object,
        // of which the view gets a reference.
        let result = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), base, len, 0, flags) };
        if result == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
