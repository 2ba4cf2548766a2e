use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::PyTypeCheck;
use pyo3::exceptions::{PyConnectionAbortedError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use super::greeting::Greeting;
use super::inbox::Inbox;
use super::memory::Pool;
use super::options::Options;
use super::same_host::Route;
use crate::net::{Direction, here};
use crate::py::base::{Attached, BaseStream};
use crate::py::convert;
use crate::py::errors::{
    busy, ends_the_connection, exception, incomplete, is_ours, os_error, refused, violated,
};
use crate::py::queue::Queue;
use crate::py::transfer::CALL_ON_LOOP;
use crate::wire::{HELLO_LEN, WireError};

/// What the channels of both faces share.
#[pyclass(frozen, subclass, weakref, module = "pinwire._core")]
pub(in crate::py) struct BaseChannel {
    stream: Py<BaseStream>,
    options: Options,
    /// Whose turn it is to send.
    outbox: Arc<Queue>,
    /// What has come. The stream has it too, and ends it.
    inbox: Arc<Place>,
    greeting: Greeting,
    /// Which way large messages go. The stream has it too, and ends it.
    route: Arc<Route>,
    /// Why nothing more is received.
    end: Arc<OnceLock<End>>,
    /// What went wrong with a posted message, until somebody is told.
    failure: Mutex<Option<PyErr>>,
    pub(super) counters: Counters,
    /// Where memory of earlier messages waits for the next one.
    pub(super) pool: Arc<Pool>,
}

/// Where the inbox is: None while a receive is under way.
struct Place(Mutex<Option<Box<Inbox>>>);

/// Why a channel gives out nothing more.
#[derive(Debug)]
pub(super) enum End {
    /// The peer broke the format, as this says.
    Violation(String),
    /// A message will never be complete, so whatever follows it cannot be told from its rest.
    Loss,
    /// The connection failed with this (errno(3)).
    Failure(i32),
    /// A message came too slowly, while other channels waited for the memory it held.
    Slow,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) messages_sent: AtomicU64,
    pub(super) messages_received: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) messages_skipped: AtomicU64,
    pub(super) bytes_offered: AtomicU64,
    pub(super) bytes_pulled: AtomicU64,
}

impl BaseChannel {
    /// Over a stream, to which it says hello if that takes it at once; later otherwise.
    pub(super) fn new(stream: &Bound<'_, BaseStream>, options: Options) -> PyResult<BaseChannel> {
        stream.get().take_over(stream.py())?;
        let (reason, host) = if !options.same_host {
            (Some("off"), None)
        } else if !stream.get().socket().stays_here() {
            (Some("the peer is on another host"), None)
        } else {
            match here() {
                None => (Some("this process has no /proc to know its host by"), None),
                host => (None, host),
            }
        };
        let route = Arc::new(Route::new(reason, host.is_some()));
        stream.get().attach(stream.py(), Arc::clone(&route) as Arc<dyn Attached>);
        let inbox = Arc::new(Place(Mutex::new(Some(Box::default()))));
        stream.get().attach(stream.py(), Arc::clone(&inbox) as Arc<dyn Attached>);
        let greeting = Greeting::new(&options, host);
        let channel = BaseChannel {
            stream: stream.clone().unbind(),
            options,
            outbox: Arc::default(),
            inbox,
            greeting,
            route,
            end: Arc::default(),
            failure: Mutex::new(None),
            counters: Counters::default(),
            pool: Pool::shared(),
        };
        channel.say_hello();
        Ok(channel)
    }

    /// The stream that a channel of a face is to have.
    pub(super) fn stream_of<'a, 'py, S: PyTypeCheck>(
        stream: &'a Bound<'py, PyAny>,
        face: &str,
        other: &str,
    ) -> PyResult<&'a Bound<'py, S>> {
        stream.cast().or_else(|_| {
            let found = stream.get_type().fully_qualified_name()?;
            let text = format!("{face}.Channel takes a {face}.Stream, not {found}");
            Err(PyTypeError::new_err(match stream.cast::<BaseStream>() {
                Ok(_) => format!("{text}, which is for {other}.Channel"),
                Err(_) => text,
            }))
        })
    }

    pub(super) fn stream(&self) -> &Py<BaseStream> {
        &self.stream
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn outbox(&self) -> &Arc<Queue> {
        &self.outbox
    }

    pub(super) fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Take the peer's hello if it has come, unless somebody is receiving, who will.
    pub(super) fn look_for_hello(&self, py: Python<'_>) -> PyResult<()> {
        if self.greeting.theirs().is_some() {
            return Ok(());
        }
        let socket = self.stream.get().socket();
        let Ok(turn) = socket.begin(Direction::Receive) else { return Ok(()) };
        let Ok(mut inbox) = self.take_inbox(py) else { return Ok(()) };
        let mut job = inbox.read_ahead(HELLO_LEN);
        let read = job.attempt(py, socket, CALL_ON_LOOP);
        drop(turn);
        inbox.filled(job.transfer.progress().transferred());
        // What is wrong with it is for whoever receives.
        if let Ok(Some(hello)) = inbox.hello() {
            self.greeting.meet(hello);
        }
        self.give_back(inbox);
        read.map(drop).map_err(|error| exception(py, error, "the channel"))
    }

    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// A message is on its way.
    pub(super) fn note_sent(&self, nbytes: u64) {
        self.counters.messages_sent.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_sent.fetch_add(nbytes, Ordering::Relaxed);
    }

    /// Say hello without waiting, if nobody is sending.
    pub(super) fn say_hello(&self) {
        self.greeting.say(self.stream.get().socket(), &self.outbox);
    }

    /// Take what has come; only one receive may have it.
    pub(super) fn take_inbox(&self, py: Python<'_>) -> PyResult<Box<Inbox>> {
        self.check_end(py)?;
        // Nobody gets what has been read ahead of a channel that is closed.
        self.stream.get().socket().fd().map_err(|error| exception(py, error, "the channel"))?;
        let inbox = self.lock_inbox().take();
        inbox
            .ok_or_else(|| busy(py, "another receive is under way on this channel; await it first"))
    }

    /// Why the channel gives out nothing more, if it does not.
    pub(super) fn end(&self) -> &Arc<OnceLock<End>> {
        &self.end
    }

    /// Raise that.
    pub(super) fn check_end(&self, py: Python<'_>) -> PyResult<()> {
        Err(match self.end.get() {
            Some(End::Violation(text)) => violated(py, text.clone()),
            Some(End::Loss) => lost(py),
            Some(End::Failure(errno)) => os_error(&io::Error::from_raw_os_error(*errno)),
            Some(End::Slow) => PyConnectionAbortedError::new_err((libc::ECONNABORTED, SLOW)),
            None => return Ok(()),
        })
    }

    /// Whether it was ended for its slowness.
    pub(super) fn is_ended_as_slow(&self) -> bool {
        matches!(self.end.get(), Some(End::Slow))
    }

    pub(super) fn give_back(&self, mut inbox: Box<Inbox>) {
        if !self.stream.get().socket().handle().is_open() {
            *inbox = Inbox::default();
        }
        *self.lock_inbox() = Some(inbox);
    }

    /// The peer broke the format, and loses its connection.
    pub(super) fn break_off(&self, py: Python<'_>, text: String) -> PyErr {
        let _ = self.end.set(End::Violation(text.clone()));
        self.stream.get().abort(py);
        violated(py, text)
    }

    /// A message will never be complete: nothing more is received.
    pub(super) fn lose(&self, py: Python<'_>) -> PyErr {
        let _ = self.end.set(End::Loss);
        lost(py)
    }

    /// A transfer of a receive has ended with this error. If it is the end of the connection, then
    /// nothing more is received: not the header of the message that has been cut off either.
    pub(super) fn note_failure(&self, py: Python<'_>, error: &PyErr) {
        if is_ours(py, error, "IncompleteTransferError") {
            let _ = self.end.set(End::Loss);
        } else if ends_the_connection(py, error) {
            let errno = error.value(py).getattr(intern!(py, "errno"));
            if let Ok(errno) = errno.and_then(|errno| errno.extract()) {
                let _ = self.end.set(End::Failure(errno));
            }
        }
    }

    /// The same as `break_off`, for an error of the format.
    pub(super) fn break_off_for(&self, py: Python<'_>, error: &WireError) -> PyErr {
        match error {
            // It may be another program's, or a version that can say as much to its user.
            WireError::NotPinwire | WireError::Version { .. } => {
                let _ = self.end.set(End::Violation(error.to_string()));
                self.stream.get().close(py);
                violated(py, error.to_string())
            }
            _ => self.break_off(py, error.to_string()),
        }
    }

    /// Whether objects may be sent and received.
    pub(super) fn check_pickle(&self, py: Python<'_>) -> PyResult<()> {
        if self.options.allow_pickle {
            return Ok(());
        }
        let text = "objects travel as pickles, which can run any code when they are loaded: open \
                    the channel with allow_pickle=True, at both ends, if you trust the peer";
        Err(refused(py, text.to_owned()))
    }

    /// Raise what went wrong with a posted message, once.
    pub(super) fn raise_failure(&self) -> PyResult<()> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }

    fn lock_inbox(&self) -> MutexGuard<'_, Option<Box<Inbox>>> {
        self.inbox.lock()
    }
}

const SLOW: &str = "the message came slower than 1 MiB/s while other channels waited for memory: the \
                    channel has been ended";

impl Place {
    fn lock(&self) -> MutexGuard<'_, Option<Box<Inbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attached for Place {
    /// Nobody gets what has come, and others may wait for its memory.
    fn end(&self, _py: Python<'_>) {
        let gone = self.lock().as_mut().map(std::mem::take);
        drop(gone); // Not while it is locked: there may be Python objects in it.
    }

    /// Its channel does.
    fn traverse(&self, _visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}

impl Drop for BaseChannel {
    fn drop(&mut self) {
        let gone = self.inbox.lock().take();
        drop(gone);
    }
}

fn lost(py: Python<'_>) -> PyErr {
    incomplete(py, "the peer ended the channel in the middle of a message")
}

#[pymethods]
impl BaseChannel {
    #[getter]
    #[pyo3(name = "stream")]
    fn py_stream(&self) -> &Py<BaseStream> {
        &self.stream
    }

    #[getter]
    fn local_address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stream.get().local_address(py)
    }

    #[getter]
    fn peer_address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stream.get().peer_address(py)
    }

    #[getter]
    fn peer_closed(&self) -> PyResult<bool> {
        let socket = self.stream.get().socket();
        let nothing_left = self.lock_inbox().as_ref().is_some_and(|inbox| inbox.is_empty());
        let at_end = || socket.is_at_end().map_err(|error| os_error(&error));
        Ok(!socket.handle().is_open() || (nothing_left && at_end()?))
    }

    #[getter]
    fn transport(&self) -> &'static str {
        if self.route.is_linked() {
            return "same-host";
        }
        if self.stream.get().socket().local().is_tcp() { "tcp" } else { "unix" }
    }

    #[getter]
    fn allow_pickle(&self) -> bool {
        self.options.allow_pickle
    }

    #[getter]
    fn max_message_bytes(&self) -> u64 {
        self.options.max_message_bytes
    }

    #[getter]
    fn high_water(&self) -> u64 {
        self.options.high_water
    }

    /// Whether to wait for the peer's hello before closing: a hello that is not read, or comes
    /// later, makes the kernel reset the connection, with what the peer has not read yet.
    #[getter]
    fn _lingers(&self) -> bool {
        self.greeting.theirs().is_none()
            && self.end.get().is_none()
            && self.stream.get().socket().handle().is_open()
    }

    /// Bytes that have moved either way, while somebody waits for the peer; None otherwise.
    #[getter]
    fn _traffic(&self) -> Option<u64> {
        let waits = self.outbox.is_taken() || self.lock_inbox().is_none();
        let stats = self.stream.get().socket().stats();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        waits.then(|| count(&stats.bytes_sent) + count(&stats.bytes_received))
    }

    /// A posted message has failed: the first error is kept for the next call.
    fn _fail(&self, error: Bound<'_, PyAny>) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = Some(PyErr::from_value(error));
        }
    }

    fn _check_pickle(&self, py: Python<'_>) -> PyResult<()> {
        self.check_pickle(py)
    }

    fn _raise_failure(&self) -> PyResult<()> {
        self.raise_failure()
    }

    fn abort(&self, py: Python<'_>) {
        self.stream.get().abort(py);
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        convert::channel_stats_type(py)?.call1((
            count(&counters.messages_sent),
            count(&counters.messages_received),
            count(&counters.messages_skipped),
            count(&counters.bytes_sent),
            count(&counters.bytes_received),
            count(&counters.bytes_offered),
            count(&counters.bytes_pulled),
            self.route.describe(),
        ))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        slf.get().stream.get().describe_as(&slf.get_type())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stream)?;
        visit.call(&self.options.allocator)?;
        match self.inbox.0.try_lock().as_deref() {
            Ok(Some(inbox)) => inbox.traverse(&visit),
            _ => Ok(()),
        }
    }
}
