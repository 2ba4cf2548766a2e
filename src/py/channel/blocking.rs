//! The calls of a channel for threads, driven to their end at once.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::allocate::Allocation;
use super::base::BaseChannel;
use super::header::BaseHeader;
use super::landing::Pinned;
use super::options::Options;
use super::receiving::Receiving;
use super::sending::Sending;
use super::want::{AtEnd, Want};
use crate::py::blocking::BlockingStream;
use crate::py::script;
use crate::wire;

/// A channel for threads. `pinwire.blocking.Channel` adds what needs no core.
#[pyclass(frozen, extends = BaseChannel, subclass, module = "pinwire._core")]
pub(in crate::py) struct BlockingChannel;

/// A header that was received by a thread.
#[pyclass(frozen, extends = BaseHeader, name = "Header", module = "pinwire.blocking")]
pub(in crate::py) struct BlockingHeader;

impl BlockingHeader {
    fn make(
        py: Python<'_>,
        channel: &Py<BaseChannel>,
        header: &Arc<wire::Header>,
        number: u64,
    ) -> PyResult<Py<PyAny>> {
        let base = PyClassInitializer::from(BaseHeader::new(py, channel, header, number));
        Ok(Py::new(py, base.add_subclass(BlockingHeader))?.into_any())
    }
}

#[pymethods]
impl BlockingChannel {
    #[new]
    #[pyo3(signature = (stream, /, **options))]
    fn new(
        stream: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<BlockingChannel>> {
        let stream =
            BaseChannel::stream_of::<BlockingStream>(stream, "pinwire.blocking", "pinwire")?;
        let base = BaseChannel::new(stream.as_super(), Options::new(options)?)?;
        Ok(PyClassInitializer::from(base).add_subclass(BlockingChannel))
    }

    #[pyo3(signature = (data, /, *, meta = None, timeout = None, copy = None))]
    fn send(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        meta: Option<&Bound<'_, PyAny>>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        let sending = Sending::arrays(slf.as_super(), data, meta, copy, timeout)?;
        script::run(slf.py(), sending, timeout)
    }

    #[pyo3(signature = (file, /, offset = 0, count = None, *, meta = None, timeout = None))]
    fn send_file(
        slf: &Bound<'_, Self>,
        file: &Bound<'_, PyAny>,
        offset: i64,
        count: Option<i64>,
        meta: Option<&Bound<'_, PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let sending = Sending::file(slf.as_super(), file, offset, count, meta)?;
        script::run(slf.py(), sending, timeout)
    }

    /// A message that has its place in the queue from now on; None if it has left already.
    #[pyo3(signature = (data, /, *, meta = None))]
    fn _line_up(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        meta: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Prepared>> {
        let mut sending = Sending::arrays(slf.as_super(), data, meta, None, None)?;
        if sending.line_up(slf.py())? {
            return Ok(None);
        }
        Ok(Some(Prepared { nbytes: sending.payload(), sending: Mutex::new(Some(sending)) }))
    }

    #[pyo3(signature = (buffers, /, *, timeout = None))]
    fn _send_pickle(
        slf: &Bound<'_, Self>,
        buffers: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let sending = Sending::object(slf.as_super(), buffers, timeout)?;
        script::run(slf.py(), sending, timeout)
    }

    #[pyo3(signature = (*, timeout = None, allocator = None, share = false))]
    fn recv(
        slf: &Bound<'_, Self>,
        timeout: Option<f64>,
        allocator: Option<Py<PyAny>>,
        share: bool,
    ) -> PyResult<Py<PyAny>> {
        let want = Want::Message(Allocation::of(slf.as_super(), allocator, share)?);
        script::run(slf.py(), Receiving::new(slf.as_super(), want), timeout)
    }

    #[pyo3(signature = (out, /, *, timeout = None, copy = None))]
    fn recv_into(
        slf: &Bound<'_, Self>,
        out: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        let want = Want::Into(Some(Pinned::given(out, copy)?));
        script::run(slf.py(), Receiving::new(slf.as_super(), want), timeout)
    }

    #[pyo3(signature = (*, timeout = None))]
    fn recv_header(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let receiving = Receiving::new(slf.as_super(), Want::Header(BlockingHeader::make));
        script::run(slf.py(), receiving, timeout)
    }

    #[pyo3(signature = (*, timeout = None))]
    fn recv_object(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let want = Want::object(slf.as_super())?;
        script::run(slf.py(), Receiving::new(slf.as_super(), want), timeout)
    }

    #[pyo3(signature = (*, timeout = None))]
    fn handshake(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let receiving = Receiving::new(slf.as_super(), Want::Hello);
        script::run(slf.py(), receiving, timeout)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let want = Want::Message(Allocation::usual(slf.as_super()));
        let receiving = Receiving::new(slf.as_super(), want).or(AtEnd::Loop);
        script::run_step(slf.py(), receiving)
    }
}

/// A message that waits in the queue, for whoever runs it.
#[pyclass(frozen, module = "pinwire._core")]
pub(in crate::py) struct Prepared {
    nbytes: u64,
    sending: Mutex<Option<Sending>>,
}

#[pymethods]
impl Prepared {
    #[getter]
    fn nbytes(&self) -> u64 {
        self.nbytes
    }

    /// Send it, once.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner).take();
        match sending {
            Some(sending) => script::run(py, sending, None).map(drop),
            None => Ok(()),
        }
    }
}

#[pymethods]
impl BlockingHeader {
    #[pyo3(signature = (*, timeout = None, allocator = None, share = false))]
    fn read(
        slf: &Bound<'_, Self>,
        timeout: Option<f64>,
        allocator: Option<Py<PyAny>>,
        share: bool,
    ) -> PyResult<Py<PyAny>> {
        let (channel, number) = slf.as_super().get().message(slf.py());
        let want = Want::Message(Allocation::of(channel, allocator, share)?);
        script::run(slf.py(), Receiving::new(channel, want).of(number), timeout)
    }

    #[pyo3(signature = (out, /, *, timeout = None, copy = None))]
    fn read_into(
        slf: &Bound<'_, Self>,
        out: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        let (channel, number) = slf.as_super().get().message(slf.py());
        let want = Want::Into(Some(Pinned::given(out, copy)?));
        script::run(slf.py(), Receiving::new(channel, want).of(number), timeout)
    }

    #[pyo3(signature = (*, timeout = None))]
    fn skip(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let (channel, number) = slf.as_super().get().message(slf.py());
        let receiving = Receiving::new(channel, Want::Nothing).of(number);
        script::run(slf.py(), receiving, timeout)
    }
}
