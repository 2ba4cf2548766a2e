use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::adopt::adopt;
use super::base::BaseStream;
use super::job::Job;
use super::operation::Operation;
use super::transfer::{Transfer, awaitable};
use crate::net::Socket;

/// A stream for asyncio.
#[pyclass(frozen, extends = BaseStream, module = "pinwire")]
pub(super) struct Stream;

impl Stream {
    pub(super) fn wrap(py: Python<'_>, socket: Arc<Socket>) -> PyResult<Bound<'_, Stream>> {
        Bound::new(py, PyClassInitializer::from(BaseStream::new(socket)).add_subclass(Stream))
    }

    fn settled(
        py: Python<'_>,
        name: &'static str,
        value: Option<Py<PyAny>>,
    ) -> PyResult<Py<Operation>> {
        Py::new(py, Operation::settled(name, value))
    }
}

#[pymethods]
impl Stream {
    #[classmethod]
    #[pyo3(signature = (sock, /, **options))]
    fn from_socket<'py>(
        cls: &Bound<'py, PyType>,
        sock: &Bound<'py, PyAny>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Stream>> {
        Stream::wrap(cls.py(), adopt(sock, options)?)
    }

    #[pyo3(signature = (buffer, /, *, timeout = None, copy = None))]
    fn send_buffer<'py>(
        slf: &Bound<'py, Self>,
        buffer: &Bound<'py, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let job = Job::send_buffer(buffer, copy)?;
        awaitable(slf.as_super(), "Stream.send_buffer", job, timeout)
    }

    #[pyo3(signature = (buffers, /, *, timeout = None, copy = None))]
    fn send_buffers<'py>(
        slf: &Bound<'py, Self>,
        buffers: &Bound<'py, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let job = Job::send_buffers(buffers, copy)?;
        awaitable(slf.as_super(), "Stream.send_buffers", job, timeout)
    }

    #[pyo3(signature = (file, /, offset = 0, count = None, *, timeout = None))]
    fn send_file<'py>(
        slf: &Bound<'py, Self>,
        file: &Bound<'py, PyAny>,
        offset: i64,
        count: Option<i64>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let job = Job::send_file(file, offset, count)?;
        awaitable(slf.as_super(), "Stream.send_file", job, timeout)
    }

    #[pyo3(signature = (buffer, /, *, nbytes = 0, timeout = None, copy = None))]
    fn recv_into<'py>(
        slf: &Bound<'py, Self>,
        buffer: &Bound<'py, PyAny>,
        nbytes: isize,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let job = Job::recv_into(buffer, nbytes, copy)?;
        awaitable(slf.as_super(), "Stream.recv_into", job, timeout)
    }

    #[pyo3(signature = (buffer, /, *, timeout = None, copy = None))]
    fn recv_exactly_into<'py>(
        slf: &Bound<'py, Self>,
        buffer: &Bound<'py, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let job = Job::recv_exactly_into(buffer, copy)?;
        awaitable(slf.as_super(), "Stream.recv_exactly_into", job, timeout)
    }

    #[pyo3(signature = (buffers, /, *, timeout = None, copy = None))]
    fn recv_buffers_into<'py>(
        slf: &Bound<'py, Self>,
        buffers: &Bound<'py, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let job = Job::recv_buffers_into(buffers, copy)?;
        awaitable(slf.as_super(), "Stream.recv_buffers_into", job, timeout)
    }

    fn send_eof(slf: &Bound<'_, Self>) -> PyResult<Py<Operation>> {
        slf.as_super().get().send_eof(slf.py())?;
        Stream::settled(slf.py(), "Stream.send_eof", None)
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<Py<Operation>> {
        slf.as_super().get().close(slf.py());
        Stream::settled(slf.py(), "Stream.close", None)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<Operation>> {
        let stream = slf.clone().into_any().unbind();
        Stream::settled(slf.py(), "Stream.__aenter__", Some(stream))
    }

    #[pyo3(signature = (*_exc))]
    fn __aexit__(slf: &Bound<'_, Self>, _exc: &Bound<'_, PyTuple>) -> PyResult<Py<Operation>> {
        Stream::close(slf)
    }
}
