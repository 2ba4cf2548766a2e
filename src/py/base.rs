use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::exceptions::{PyOSError, PyResourceWarning, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyType};

use super::convert;
use super::errors::{Failure, busy, exception, os_error, timed_out, warn};
use super::waiter::Waiter;
use crate::net::{Direction, Error, Socket, SocketFd};
use crate::sys;

/// What the streams of both faces share: everything that never waits.
#[pyclass(frozen, subclass, weakref, module = "pinwire._core")]
pub(super) struct BaseStream {
    socket: Arc<Socket>,
    /// One for each direction that has waited on a loop.
    waiters: [OnceLock<Py<Waiter>>; 2],
    /// What ends with this one.
    attached: Mutex<Vec<Arc<dyn Attached>>>,
    /// Whether a channel has taken it over.
    has_channel: AtomicBool,
}

/// What goes when a stream is closed, at once, whoever else still knows it.
pub(super) trait Attached: Send + Sync {
    /// Let go of every descriptor.
    fn end(&self, py: Python<'_>);

    /// Visit the Python objects it holds. Nobody else who has it does.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

impl BaseStream {
    pub(super) fn new(socket: Arc<Socket>) -> BaseStream {
        let (waiters, attached, has_channel) = Default::default();
        BaseStream { socket, waiters, attached, has_channel }
    }

    /// Have something end with this stream.
    pub(super) fn attach(&self, py: Python<'_>, with_it: Arc<dyn Attached>) {
        self.lock_attached().push(with_it);
        if !self.socket.handle().is_open() {
            // Meanwhile, perhaps before it was attached.
            self.end_attached(py);
        }
    }

    fn end_attached(&self, py: Python<'_>) {
        let attached = std::mem::take(&mut *self.lock_attached());
        attached.iter().for_each(|attached| attached.end(py));
    }

    fn lock_attached(&self) -> MutexGuard<'_, Vec<Arc<dyn Attached>>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    pub(super) fn waiter(&self, py: Python<'_>, direction: Direction) -> PyResult<&Py<Waiter>> {
        Waiter::of(py, &self.waiters[direction as usize], direction)
    }

    /// Forget a transfer that sleeps on a closed loop, which will never wake it; nobody but the
    /// sleep may have kept it alive. Whether there was one.
    pub(super) fn forget_dead(&self, py: Python<'_>, direction: Direction) -> bool {
        let waiter = self.waiters[direction as usize].get();
        waiter.is_some_and(|waiter| Waiter::forget_dead(waiter.bind(py)))
    }

    /// Have the loop let go of one direction.
    pub(super) fn unregister(&self, py: Python<'_>, direction: Direction) {
        if let Some(waiter) = self.waiters[direction as usize].get() {
            Waiter::unregister(waiter.bind(py));
        }
    }

    /// Close, and end what is in flight. Nobody watches the number by the time it is given back.
    pub(super) fn close(&self, py: Python<'_>) {
        self.let_go(py, self.socket.handle().close());
    }

    fn let_go(&self, py: Python<'_>, fd: Option<Arc<SocketFd>>) {
        for waiter in self.waiters.iter().filter_map(|waiter| waiter.get()) {
            Waiter::retire(waiter.bind(py));
        }
        drop(fd);
        self.end_attached(py);
    }

    fn fd(&self, py: Python<'_>) -> PyResult<Arc<SocketFd>> {
        self.socket.fd().map_err(|error| exception(py, error, "the stream"))
    }

    fn describe(&self) -> String {
        format!("peer={}", convert::shown(&self.socket.peer().url()))
    }

    /// The text of an object of this class that stands for the stream.
    pub(super) fn describe_as(&self, class: &Bound<'_, PyType>) -> PyResult<String> {
        let state = if self.socket.handle().is_open() { "" } else { " closed" };
        Ok(format!("<{}.{}{state} {}>", class.module()?, class.name()?, self.describe()))
    }

    /// What a transfer does: "sending to tcp://127.0.0.1:80".
    pub(super) fn doing(&self, direction: Direction) -> String {
        let word = match direction {
            Direction::Send => "sending to",
            Direction::Receive => "receiving from",
        };
        let [local, peer] = [self.socket.local(), self.socket.peer()]
            .map(|it| Some(it).filter(|it| !it.is_unnamed()).map(|it| convert::shown(&it.url())));
        match (peer, local) {
            (Some(peer), _) => format!("{word} {peer}"),
            (None, Some(local)) => format!("{word} the peer of {local}"),
            (None, None) => format!("{word} the peer"),
        }
    }

    /// The exception for what a transfer in this direction has ended with.
    pub(super) fn exception(
        &self,
        py: Python<'_>,
        failure: Failure,
        direction: Direction,
    ) -> PyErr {
        match failure {
            Failure::Core(Error::TimedOut) => timed_out(py, &self.doing(direction)),
            failure => failure.into_exception(py, "the stream"),
        }
    }

    /// A user wants to send or receive: not on a stream that a channel has taken over, whose
    /// messages would be lost in the middle.
    pub(super) fn check_free(&self, py: Python<'_>) -> PyResult<()> {
        if self.has_channel.load(Ordering::Relaxed) {
            return Err(busy(py, "the stream belongs to a channel: send and receive by that"));
        }
        Ok(())
    }

    /// A channel takes the stream over, for good.
    pub(super) fn take_over(&self, py: Python<'_>) -> PyResult<()> {
        for direction in [Direction::Send, Direction::Receive] {
            if let Err(error @ Error::Busy(_)) = self.socket.begin(direction) {
                return Err(exception(py, error, "the stream"));
            }
        }
        if self.has_channel.swap(true, Ordering::Relaxed) {
            return Err(busy(py, "the stream belongs to another channel already"));
        }
        Ok(())
    }

    pub(super) fn send_eof(&self, py: Python<'_>) -> PyResult<()> {
        self.socket.send_eof().map_err(|error| exception(py, error, "the stream"))
    }
}

#[pymethods]
impl BaseStream {
    fn fileno(&self) -> i32 {
        self.socket.handle().get().map_or(-1, |fd| fd.as_raw_fd())
    }

    fn detach(&self, py: Python<'_>) -> PyResult<i32> {
        let fd = self.socket.detach(|| {
            self.unregister(py, Direction::Send);
            self.unregister(py, Direction::Receive);
        });
        if fd.is_ok() {
            self.end_attached(py);
        }
        fd.map_err(|error| exception(py, error, "the stream"))
    }

    pub(super) fn abort(&self, py: Python<'_>) {
        self.let_go(py, self.socket.abort());
    }

    #[getter]
    pub(super) fn local_address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(convert::url(py, self.socket.local())?.into_any())
    }

    #[getter]
    pub(super) fn peer_address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(convert::url(py, self.socket.peer())?.into_any())
    }

    #[getter]
    fn peer_closed(&self) -> PyResult<bool> {
        self.socket.peer_closed().map_err(|error| os_error(&error))
    }

    #[getter]
    fn peer_credentials<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.socket.local().is_tcp() {
            return Ok(None);
        }
        let credentials = sys::peer_credentials(self.fd(py)?.as_fd());
        convert::credentials(py, credentials.map_err(|error| os_error(&error))?).map(Some)
    }

    #[pyo3(signature = (level, optname, buflen = 0, /))]
    fn getsockopt<'py>(
        &self,
        py: Python<'py>,
        level: i32,
        optname: i32,
        buflen: isize,
    ) -> PyResult<Bound<'py, PyAny>> {
        const MAX: usize = 1024;
        let Some(buflen) = usize::try_from(buflen).ok().filter(|&buflen| buflen <= MAX) else {
            return Err(PyOSError::new_err((libc::EINVAL, "getsockopt buflen out of range")));
        };
        let mut value = [0; MAX];
        let room = if buflen == 0 { size_of::<i32>() } else { buflen };
        let len = sys::getsockopt(self.fd(py)?.as_fd(), level, optname, &mut value[..room])
            .map_err(|error| os_error(&error))?;
        if buflen == 0 {
            let word = i32::from_ne_bytes([value[0], value[1], value[2], value[3]]);
            return Ok(word.into_pyobject(py)?.into_any());
        }
        Ok(PyBytes::new(py, &value[..len]).into_any())
    }

    #[pyo3(signature = (level, optname, value, optlen = None, /))]
    fn setsockopt(
        &self,
        py: Python<'_>,
        level: i32,
        optname: i32,
        value: &Bound<'_, PyAny>,
        optlen: Option<u32>,
    ) -> PyResult<()> {
        let fd = self.fd(py)?;
        let set = |value| {
            sys::setsockopt(fd.as_fd(), level, optname, value).map_err(|error| os_error(&error))
        };
        match (value.is_none(), optlen) {
            (true, Some(len)) => set(Err(len)),
            (false, None) => match value.extract::<i32>() {
                Ok(word) => set(Ok(&word.to_ne_bytes())),
                Err(_) => {
                    let bytes = PyMemoryView::from(value)?.call_method0("tobytes")?;
                    set(Ok(bytes.extract()?))
                }
            },
            _ => Err(PyTypeError::new_err("pass an int or a buffer, or None and a length")),
        }
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::stats(py, self.socket.stats())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        slf.get().describe_as(&slf.get_type())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.waiters.iter().try_for_each(|waiter| visit.call(waiter.get()))?;
        match self.attached.try_lock() {
            Ok(attached) => attached.iter().try_for_each(|attached| attached.traverse(&visit)),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for BaseStream {
    fn drop(&mut self) {
        if self.socket.handle().is_open() {
            let _ = Python::try_attach(|py| {
                warn::<PyResourceWarning>(py, &format!("unclosed stream, {}", self.describe()));
                self.close(py);
            });
        }
    }
}
