use std::sync::{Arc, OnceLock};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use super::{dtype, meta};
use crate::py::convert;
use crate::wire::{self, Order};

/// What was received.
#[pyclass(frozen, module = "pinwire")]
pub(in crate::py) struct Message {
    parts: Py<PyList>,
    header: Arc<wire::Header>,
    /// Made when it is asked for.
    meta: OnceLock<Py<PyAny>>,
}

impl Message {
    /// What has landed in these.
    pub(super) fn of(
        py: Python<'_>,
        header: &Arc<wire::Header>,
        parts: &[Py<PyAny>],
    ) -> PyResult<Py<PyAny>> {
        let message = Message {
            parts: PyList::new(py, parts)?.unbind(),
            header: Arc::clone(header),
            meta: OnceLock::new(),
        };
        Ok(Py::new(py, message)?.into_any())
    }
}

#[pymethods]
impl Message {
    #[getter]
    fn parts(&self) -> &Py<PyList> {
        &self.parts
    }

    #[getter]
    fn meta(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.meta.get().is_none() {
            let _ = self.meta.set(meta::to_python(py, &self.header.meta)?.unbind());
        }
        Ok(self.meta.get().expect("it has just been set").clone_ref(py))
    }

    #[getter]
    fn nbytes(&self) -> u64 {
        self.header.payload
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (parts, nbytes) = (self.parts.bind(py).len(), self.header.payload);
        let meta = self.meta(py)?.into_bound(py).repr()?;
        let meta = convert::shown(meta.to_cow()?.as_bytes());
        Ok(format!("<pinwire.Message parts={parts} nbytes={nbytes} meta={meta}>"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.parts)?;
        visit.call(self.meta.get())
    }
}

/// What a header says of one array.
#[pyclass(frozen, module = "pinwire")]
pub(in crate::py) struct Part {
    part: wire::Part,
    dtype: OnceLock<Py<PyAny>>,
}

impl Part {
    pub(super) fn new(part: &wire::Part) -> Part {
        Part { part: part.clone(), dtype: OnceLock::new() }
    }
}

#[pymethods]
impl Part {
    #[getter]
    fn dtype(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(dtype) = self.dtype.get() {
            return Ok(dtype.clone_ref(py));
        }
        let dtype = dtype::load(py, &self.part)?.unbind();
        let _ = self.dtype.set(dtype.clone_ref(py));
        Ok(dtype)
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.part.shape)
    }

    #[getter]
    fn order<'py>(&self, py: Python<'py>) -> &'py Bound<'py, PyString> {
        order(py, self.part.order)
    }

    #[getter]
    fn itemsize(&self) -> u32 {
        self.part.itemsize
    }

    #[getter]
    fn nbytes(&self) -> u64 {
        nbytes(&self.part)
    }

    fn __repr__(&self) -> String {
        format!("<pinwire.Part {}>", describe(&self.part))
    }
}

/// "C" or "F".
pub(super) fn order(py: Python<'_>, order: Order) -> &Bound<'_, PyString> {
    match order {
        Order::C => pyo3::intern!(py, "C"),
        Order::F => pyo3::intern!(py, "F"),
    }
}

pub(super) fn nbytes(part: &wire::Part) -> u64 {
    part.nbytes().expect("checked when it was made")
}

/// For error messages.
pub(super) fn describe(part: &wire::Part) -> String {
    let dtype = convert::shown(&part.dtype);
    let shape = convert::shown(format!("{:?}", part.shape.as_slice()).as_bytes());
    format!("{dtype} of shape {shape}, {} bytes", nbytes(part))
}
