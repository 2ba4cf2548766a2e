use std::sync::OnceLock;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use super::{dtype, meta};
use crate::wire::{self, Order};

/// What was received.
#[pyclass(frozen, module = "pinwire")]
pub(in crate::py) struct Message {
    parts: Py<PyList>,
    meta: Py<PyAny>,
    nbytes: u64,
}

impl Message {
    /// What has landed in these.
    pub(super) fn of(
        py: Python<'_>,
        header: &wire::Header,
        parts: &[Py<PyAny>],
    ) -> PyResult<Py<PyAny>> {
        let message = Message {
            parts: PyList::new(py, parts)?.unbind(),
            meta: meta::to_python(py, &header.meta)?.unbind(),
            nbytes: header.payload,
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
    fn meta(&self) -> &Py<PyAny> {
        &self.meta
    }

    #[getter]
    fn nbytes(&self) -> u64 {
        self.nbytes
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (parts, meta) = (self.parts.bind(py).len(), self.meta.bind(py).repr()?);
        Ok(format!("<pinwire.Message parts={parts} nbytes={} meta={meta}>", self.nbytes))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.parts)?;
        visit.call(&self.meta)
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
    let dtype = String::from_utf8_lossy(&part.dtype);
    format!("{dtype} of shape {:?}, {} bytes", part.shape.as_slice(), nbytes(part))
}
