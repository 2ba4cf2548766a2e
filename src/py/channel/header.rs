use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::base::BaseChannel;
use super::message::Part;
use super::meta;
use crate::wire::{self, Kind};

/// What makes the object that a face gives for a header.
pub(super) type Maker =
    fn(Python<'_>, &Py<BaseChannel>, &Arc<wire::Header>, u64) -> PyResult<Py<PyAny>>;

/// What the headers of both faces share.
#[pyclass(frozen, subclass, module = "pinwire._core")]
pub(in crate::py) struct BaseHeader {
    channel: Py<BaseChannel>,
    header: Arc<wire::Header>,
    number: u64,
}

impl BaseHeader {
    pub(super) fn new(
        py: Python<'_>,
        channel: &Py<BaseChannel>,
        header: &Arc<wire::Header>,
        number: u64,
    ) -> BaseHeader {
        BaseHeader { channel: channel.clone_ref(py), header: Arc::clone(header), number }
    }

    /// Its channel, and which message of that it is.
    pub(super) fn message<'a, 'py>(
        &'a self,
        py: Python<'py>,
    ) -> (&'a Bound<'py, BaseChannel>, u64) {
        (self.channel.bind(py), self.number)
    }
}

#[pymethods]
impl BaseHeader {
    #[getter]
    fn kind(&self) -> &'static str {
        match self.header.kind {
            Kind::Arrays => "arrays",
            Kind::Object => "object",
        }
    }

    #[getter]
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let parts = self.header.parts.iter().map(|part| Py::new(py, Part::new(part)));
        PyTuple::new(py, parts.collect::<PyResult<Vec<_>>>()?)
    }

    #[getter]
    fn meta<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        meta::to_python(py, &self.header.meta)
    }

    #[getter]
    fn nbytes(&self) -> u64 {
        self.header.payload
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let header = &slf.get().header;
        let (module, name) = (slf.get_type().module()?, slf.get_type().name()?);
        let (parts, nbytes) = (header.parts.len(), header.payload);
        Ok(format!("<{module}.{name} parts={parts} nbytes={nbytes}>"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.channel)
    }
}
