//! The face for threads: the same calls, driven to their end at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::adopt::adopt;
use super::base::BaseStream;
use super::errors::{Failure, exception, no_end, with_progress};
use super::job::{End, Job};
use super::listener::BaseListener;
use super::{convert, interpreter};
use crate::engine;
use crate::net::{Error, Socket, State};

/// A stream for threads.
#[pyclass(frozen, extends = BaseStream, name = "Stream", module = "pinwire.blocking")]
pub(super) struct BlockingStream;

/// A listener for threads.
#[pyclass(frozen, extends = BaseListener, name = "Listener", module = "pinwire.blocking")]
pub(super) struct BlockingListener;

impl BlockingStream {
    pub(super) fn wrap(py: Python<'_>, socket: Arc<Socket>) -> PyResult<Bound<'_, BlockingStream>> {
        let base = PyClassInitializer::from(BaseStream::new(socket));
        Bound::new(py, base.add_subclass(BlockingStream))
    }
}

/// Run a transfer to its end. Gives the bytes it moved.
fn run(stream: &Bound<'_, BaseStream>, job: Job, timeout: Option<f64>) -> PyResult<u64> {
    stream.get().check_free(stream.py())?;
    run_until(stream, job, convert::deadline(convert::timeout(timeout)?))
}

/// The same, until a deadline.
pub(super) fn run_until(
    stream: &Bound<'_, BaseStream>,
    mut job: Job,
    deadline: Option<Instant>,
) -> PyResult<u64> {
    let py = stream.py();
    let socket = stream.get().socket();
    let direction = job.transfer.direction();
    let turn = socket.begin(direction).map_err(|error| exception(py, error, "the stream"))?;
    let mut signals = interpreter::check_signals;
    let attempted = if job.transfer.is_pull() {
        let transfer = &mut job.transfer;
        py.detach(|| engine::pull(socket, transfer, deadline, &mut signals)).map(|()| State::Done)
    } else {
        job.attempt(py, socket, engine::CALL).map_err(Failure::Core)
    };
    let result = match attempted {
        Ok(State::Done) => {
            engine::count_inline(socket);
            Ok(())
        }
        Ok(state) => {
            let transfer = &mut job.transfer;
            py.detach(|| engine::transfer(socket, transfer, state, deadline, &mut signals))
        }
        Err(failure) => Err(failure),
    };
    let end = match &result {
        Ok(()) => End::Final,
        Err(failure) => End::from(failure),
    };
    job.settle(py, socket, end);
    drop(turn);
    let progress = Arc::clone(job.transfer.progress());
    // What is pinned is free again before anybody hears of the end.
    drop(job);
    match result {
        Ok(()) => Ok(progress.transferred()),
        Err(failure) => {
            let error = stream.get().exception(py, failure, direction);
            Err(no_end(py, with_progress(py, error, &progress), "the transfer"))
        }
    }
}

fn accept(
    py: Python<'_>,
    listener: &BaseListener,
    timeout: Option<Duration>,
) -> Result<Arc<Socket>, Failure> {
    let deadline = convert::deadline(timeout);
    let listener = listener.listener();
    let mut signals = interpreter::check_signals;
    py.detach(|| engine::accept(listener, deadline, &mut signals))
}

#[pymethods]
impl BlockingStream {
    #[classmethod]
    #[pyo3(signature = (sock, /, **options))]
    fn from_socket<'py>(
        cls: &Bound<'py, PyType>,
        sock: &Bound<'py, PyAny>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, BlockingStream>> {
        BlockingStream::wrap(cls.py(), adopt(sock, options)?)
    }

    #[pyo3(signature = (buffer, /, *, timeout = None, copy = None))]
    fn send_buffer(
        slf: &Bound<'_, Self>,
        buffer: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<u64> {
        run(slf.as_super(), Job::send_buffer(buffer, copy)?, timeout)
    }

    #[pyo3(signature = (buffers, /, *, timeout = None, copy = None))]
    fn send_buffers(
        slf: &Bound<'_, Self>,
        buffers: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<u64> {
        run(slf.as_super(), Job::send_buffers(buffers, copy)?, timeout)
    }

    #[pyo3(signature = (file, /, offset = 0, count = None, *, timeout = None))]
    fn send_file(
        slf: &Bound<'_, Self>,
        file: &Bound<'_, PyAny>,
        offset: i64,
        count: Option<i64>,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        run(slf.as_super(), Job::send_file(file, offset, count)?, timeout)
    }

    #[pyo3(signature = (buffer, /, *, nbytes = 0, timeout = None, copy = None))]
    fn recv_into(
        slf: &Bound<'_, Self>,
        buffer: &Bound<'_, PyAny>,
        nbytes: isize,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<u64> {
        run(slf.as_super(), Job::recv_into(buffer, nbytes, copy)?, timeout)
    }

    #[pyo3(signature = (buffer, /, *, timeout = None, copy = None))]
    fn recv_exactly_into(
        slf: &Bound<'_, Self>,
        buffer: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<u64> {
        run(slf.as_super(), Job::recv_exactly_into(buffer, copy)?, timeout)
    }

    #[pyo3(signature = (buffers, /, *, timeout = None, copy = None))]
    fn recv_buffers_into(
        slf: &Bound<'_, Self>,
        buffers: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        copy: Option<bool>,
    ) -> PyResult<u64> {
        run(slf.as_super(), Job::recv_buffers_into(buffers, copy)?, timeout)
    }

    fn send_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.as_super().get().send_eof(slf.py())
    }

    fn close(slf: &Bound<'_, Self>) {
        slf.as_super().get().close(slf.py());
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exc))]
    fn __exit__(slf: &Bound<'_, Self>, _exc: &Bound<'_, PyTuple>) {
        BlockingStream::close(slf);
    }
}

#[pymethods]
impl BlockingListener {
    #[pyo3(signature = (*, timeout = None))]
    fn accept<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, BlockingStream>> {
        let timeout = convert::timeout(timeout)?;
        match accept(slf.py(), slf.as_super().get(), timeout) {
            Ok(socket) => BlockingStream::wrap(slf.py(), socket),
            Err(failure) => Err(slf.as_super().get().exception(slf.py(), failure)),
        }
    }

    fn close(slf: &Bound<'_, Self>) {
        slf.as_super().get().close(slf.py());
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// None, the end of a `for` loop, once it is closed.
    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, BlockingStream>>> {
        match accept(slf.py(), slf.as_super().get(), None) {
            Ok(socket) => BlockingStream::wrap(slf.py(), socket).map(Some),
            Err(Failure::Core(Error::Closed)) => Ok(None),
            Err(failure) => Err(slf.as_super().get().exception(slf.py(), failure)),
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exc))]
    fn __exit__(slf: &Bound<'_, Self>, _exc: &Bound<'_, PyTuple>) {
        BlockingListener::close(slf);
    }
}
