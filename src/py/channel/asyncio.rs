//! The calls of a channel for asyncio: each gives something to await.

use std::sync::Arc;

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
use crate::py::script::awaitable;
use crate::py::stream::Stream;
use crate::py::transfer::Transfer;
use crate::wire;

/// A channel for asyncio. `pinwire.Channel` adds what needs no core.
#[pyclass(frozen, extends = BaseChannel, subclass, module = "pinwire._core")]
pub(in crate::py) struct Channel;

/// A header that was received on asyncio.
#[pyclass(frozen, extends = BaseHeader, module = "pinwire")]
pub(in crate::py) struct Header;

impl Header {
    fn make(
        py: Python<'_>,
        channel: &Py<BaseChannel>,
        header: &Arc<wire::Header>,
        number: u64,
    ) -> PyResult<Py<PyAny>> {
        let base = PyClassInitializer::from(BaseHeader::new(py, channel, header, number));
        Ok(Py::new(py, base.add_subclass(Header))?.into_any())
    }
}

#[pymethods]
impl Channel {
    #[new]
    #[pyo3(signature = (stream, /, **options))]
    fn new(
        stream: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Channel>> {
        let stream = BaseChannel::stream_of::<Stream>(stream, "pinwire", "pinwire.blocking")?;
        let base = BaseChannel::new(stream.as_super(), Options::new(options)?)?;
        Ok(PyClassInitializer::from(base).add_subclass(Channel))
    }

    #[pyo3(signature = (data, /, *, meta = None, timeout = None, copy = None))]
    fn send<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        meta: Option<&Bound<'py, PyAny>>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let script = Sending::arrays(slf.as_super(), data, meta, copy, timeout)?;
        awaitable(slf.py(), "Channel.send", script, timeout)
    }

    #[pyo3(signature = (file, /, offset = 0, count = None, *, meta = None, timeout = None))]
    fn send_file<'py>(
        slf: &Bound<'py, Self>,
        file: &Bound<'py, PyAny>,
        offset: i64,
        count: Option<i64>,
        meta: Option<&Bound<'py, PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let script = Sending::file(slf.as_super(), file, offset, count, meta)?;
        awaitable(slf.py(), "Channel.send_file", script, timeout)
    }

    /// A message that has its place in the queue from now on; None if it has left already.
    #[pyo3(signature = (data, /, *, meta = None))]
    fn _line_up<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        meta: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, Transfer>>> {
        let mut script = Sending::arrays(slf.as_super(), data, meta, None, None)?;
        if script.line_up(slf.py())? {
            return Ok(None);
        }
        awaitable(slf.py(), "Channel.post", script, None).map(Some)
    }

    #[pyo3(signature = (buffers, /, *, timeout = None))]
    fn _send_pickle<'py>(
        slf: &Bound<'py, Self>,
        buffers: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let script = Sending::object(slf.as_super(), buffers, timeout)?;
        awaitable(slf.py(), "Channel.send_object", script, timeout)
    }

    #[pyo3(signature = (*, timeout = None, allocator = None, share = false))]
    fn recv<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<f64>,
        allocator: Option<Py<PyAny>>,
        share: bool,
    ) -> PyResult<Bound<'py, Transfer>> {
        let want = Want::Message(Allocation::of(slf.as_super(), allocator, share)?);
        awaitable(slf.py(), "Channel.recv", Receiving::new(slf.as_super(), want), timeout)
    }

    #[pyo3(signature = (out, /, *, timeout = None, copy = None))]
    fn recv_into<'py>(
        slf: &Bound<'py, Self>,
        out: &Bound<'py, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let want = Want::Into(Some(Pinned::given(out, copy)?));
        awaitable(slf.py(), "Channel.recv_into", Receiving::new(slf.as_super(), want), timeout)
    }

    #[pyo3(signature = (*, timeout = None))]
    fn recv_header<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let script = Receiving::new(slf.as_super(), Want::Header(Header::make));
        awaitable(slf.py(), "Channel.recv_header", script, timeout)
    }

    #[pyo3(signature = (*, timeout = None))]
    fn recv_object<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let want = Want::object(slf.as_super())?;
        awaitable(slf.py(), "Channel.recv_object", Receiving::new(slf.as_super(), want), timeout)
    }

    #[pyo3(signature = (*, timeout = None))]
    fn handshake<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let script = Receiving::new(slf.as_super(), Want::Hello);
        awaitable(slf.py(), "Channel.handshake", script, timeout)
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Transfer>> {
        let want = Want::Message(Allocation::usual(slf.as_super()));
        let script = Receiving::new(slf.as_super(), want).or(AtEnd::Loop);
        awaitable(slf.py(), "Channel.__anext__", script, None)
    }
}

#[pymethods]
impl Header {
    #[pyo3(signature = (*, timeout = None, allocator = None, share = false))]
    fn read<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<f64>,
        allocator: Option<Py<PyAny>>,
        share: bool,
    ) -> PyResult<Bound<'py, Transfer>> {
        let (channel, number) = slf.as_super().get().message(slf.py());
        let want = Want::Message(Allocation::of(channel, allocator, share)?);
        awaitable(slf.py(), "Header.read", Receiving::new(channel, want).of(number), timeout)
    }

    #[pyo3(signature = (out, /, *, timeout = None, copy = None))]
    fn read_into<'py>(
        slf: &Bound<'py, Self>,
        out: &Bound<'py, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, Transfer>> {
        let (channel, number) = slf.as_super().get().message(slf.py());
        let want = Want::Into(Some(Pinned::given(out, copy)?));
        awaitable(slf.py(), "Header.read_into", Receiving::new(channel, want).of(number), timeout)
    }

    #[pyo3(signature = (*, timeout = None))]
    fn skip<'py>(slf: &Bound<'py, Self>, timeout: Option<f64>) -> PyResult<Bound<'py, Transfer>> {
        let (channel, number) = slf.as_super().get().message(slf.py());
        let script = Receiving::new(channel, Want::Nothing).of(number);
        awaitable(slf.py(), "Header.skip", script, timeout)
    }
}
