use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::aloft::Aloft;
use super::base::BaseStream;
use super::errors::Failure;
use super::event_loop::running_loop;
use super::job::{End, Job};
use super::operation::{Flow, Operation, Steps};
use super::wait::Wait;
use super::{budget, convert, errors};
use crate::engine::{self, Outcome};
use crate::net::{Direction, Error, Progress, Socket, SocketFd, State, Turn};

/// Bytes one system call may move on a loop's thread: some 100 microseconds' worth.
pub(super) const CALL_ON_LOOP: usize = 256 * 1024;

/// Bytes under way.
#[pyclass(frozen, extends = Operation, module = "pinwire")]
pub(super) struct Transfer {
    progress: Arc<Progress>,
}

#[pymethods]
impl Transfer {
    #[getter]
    fn transferred(&self) -> u64 {
        self.progress.of_user().0
    }

    #[getter]
    fn nbytes(&self) -> u64 {
        self.progress.of_user().1
    }

    fn done(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().has_ended()
    }
}

/// A transfer on an asyncio loop.
pub(super) struct Moving {
    stream: Py<BaseStream>,
    job: Job,
    turn: Option<Turn>,
    wait: Wait,
    aloft: Option<Aloft>,
    /// The workers have given it back: it stays on the loop.
    grounded: bool,
    /// It has slept, and so did not complete inline.
    slept: bool,
}

/// A transfer to be awaited.
pub(super) fn awaitable<'py>(
    stream: &Bound<'py, BaseStream>,
    name: &'static str,
    job: Job,
    timeout: Option<f64>,
) -> PyResult<Bound<'py, Transfer>> {
    stream.get().check_free(stream.py())?;
    let progress = Arc::clone(job.transfer.progress());
    let wait = Wait::new(convert::timeout(timeout)?);
    let moving = Moving::new(stream.clone().unbind(), job, wait);
    Transfer::of(stream.py(), name, progress, moving)
}

impl Transfer {
    /// What is awaited, and how far it has come.
    pub(super) fn of<'py>(
        py: Python<'py>,
        name: &'static str,
        progress: Arc<Progress>,
        steps: impl Steps + 'static,
    ) -> PyResult<Bound<'py, Transfer>> {
        let operation = PyClassInitializer::from(Operation::new(name, steps));
        Bound::new(py, operation.add_subclass(Transfer { progress }))
    }
}

impl Moving {
    pub(super) fn new(stream: Py<BaseStream>, job: Job, wait: Wait) -> Moving {
        let (turn, aloft) = (None, None);
        Moving { stream, job, turn, wait, aloft, grounded: false, slept: false }
    }

    fn socket(&self) -> &Arc<Socket> {
        self.stream.get().socket()
    }

    /// Until done, or what to yield.
    fn advance(&mut self, py: Python<'_>) -> Result<Flow, Failure> {
        let socket = Arc::clone(self.socket());
        if self.turn.is_none() {
            self.turn = Some(self.begin(py, &socket)?);
            self.wait.begin();
            if budget::spend_on(self.job.transfer.progress().nbytes()) {
                return Ok(Flow::turn_of_the_loop(py));
            }
        }
        let mut expired = self.wait.wake(py)?;
        match self.land(&socket) {
            Some(Outcome::Done) => return Ok(Flow::Moved(self.complete(py, &socket))),
            Some(Outcome::Failed(error)) => return Err(error.into()),
            Some(Outcome::Stopped) => self.grounded = true,
            None => {}
        }
        if self.job.transfer.is_pull()
            && self.may_fly()
            && let Some(flow) = self.fly(py, &socket)?
        {
            return Ok(flow);
        }
        loop {
            match self.job.attempt(py, &socket, CALL_ON_LOOP)? {
                State::Done => return Ok(Flow::Moved(self.complete(py, &socket))),
                State::Starved if expired => return Err(Error::TimedOut.into()),
                State::Moving if expired && !self.wait.is_over_at_once() => {
                    return Err(Error::TimedOut.into());
                }
                State::Moving | State::Starved if self.may_fly() => {
                    if let Some(flow) = self.fly(py, &socket)? {
                        return Ok(flow);
                    }
                    self.grounded = true;
                    expired = self.wait.wake(py)?;
                }
                State::Moving if budget::spend() => return Ok(Flow::turn_of_the_loop(py)),
                State::Moving => expired = self.wait.wake(py)?,
                State::Starved if self.spin(py, &socket)? => expired = self.wait.wake(py)?,
                State::Starved => return self.sleep(py, &socket, socket.fd()?),
            }
        }
    }

    fn begin(&self, py: Python<'_>, socket: &Arc<Socket>) -> Result<Turn, Error> {
        let direction = self.job.transfer.direction();
        socket.begin(direction).or_else(|error| match error {
            // Whoever is in flight may sleep on a loop that was closed under it.
            Error::Busy(_) if self.stream.get().forget_dead(py, direction) => {
                socket.begin(direction)
            }
            error => Err(error),
        })
    }

    /// Whether what is left is for the engine's workers.
    fn may_fly(&self) -> bool {
        !self.grounded && !self.wait.is_over_at_once() && Aloft::is_worth_it(&self.job.transfer)
    }

    /// Hand it to the workers, and sleep until they give it back. None if they cannot have it.
    fn fly(&mut self, py: Python<'_>, socket: &Arc<Socket>) -> Result<Option<Flow>, Failure> {
        let event_loop = running_loop(py)?;
        let transfer = &mut self.job.transfer;
        let waiter = self.stream.get().waiter(py, transfer.direction())?.bind(py);
        let deadline = self.wait.deadline();
        let Some(aloft) = Aloft::start(&event_loop, socket, transfer, deadline, waiter)? else {
            return Ok(None);
        };
        self.slept = true;
        let flight = Arc::clone(aloft.flight());
        self.aloft = Some(aloft);
        Ok(Some(Flow::Suspend(self.wait.board(&event_loop, waiter, flight)?)))
    }

    /// Have back what the workers had, and why; at once, if they are not done.
    fn land(&mut self, socket: &Socket) -> Option<Outcome> {
        let landing = self.aloft.take()?.land(socket);
        Some(landing.map_or(Outcome::Failed(Error::Closed), |landing| {
            self.job.transfer = landing.transfer;
            landing.outcome
        }))
    }

    fn sleep(
        &mut self,
        py: Python<'_>,
        socket: &Socket,
        fd: Arc<SocketFd>,
    ) -> Result<Flow, Failure> {
        self.slept = true;
        socket.stats().waits.fetch_add(1, Ordering::Relaxed);
        let waiter = self.stream.get().waiter(py, self.job.transfer.direction())?;
        Ok(Flow::Suspend(self.wait.sleep(py, waiter, socket.handle(), fd)?))
    }

    /// Retry for the time the user gave (`busy_poll`). Whether something moved.
    fn spin(&mut self, py: Python<'_>, socket: &Socket) -> Result<bool, Error> {
        if socket.busy_poll().is_zero() {
            return Ok(false);
        }
        let until = self.wait.at_most(Instant::now() + socket.busy_poll());
        let fd = socket.fd()?;
        let transfer = &mut self.job.transfer;
        py.detach(|| engine::spin(socket, fd.as_fd(), transfer, CALL_ON_LOOP, until))
    }

    fn complete(&mut self, py: Python<'_>, socket: &Socket) -> u64 {
        if !self.slept {
            engine::count_inline(socket);
        }
        self.end(py, End::Final);
        self.job.transfer.progress().transferred()
    }

    /// Give back the turn; what is pinned goes with `self`.
    fn end(&mut self, py: Python<'_>, end: End) {
        let Some(turn) = self.turn.take() else { return };
        let socket = Arc::clone(self.socket());
        self.land(&socket);
        self.job.settle(py, &socket, end);
        if self.slept && self.job.transfer.direction() == Direction::Send {
            // A socket is nearly always writable: a writer left registered would fire at once.
            self.stream.get().unregister(py, Direction::Send);
        }
        drop(turn);
    }
}

impl Steps for Moving {
    fn step(&mut self, py: Python<'_>) -> PyResult<Flow> {
        self.advance(py).map_err(|failure| {
            let begun = self.turn.is_some();
            self.end(py, End::from(&failure));
            let error = self.stream.get().exception(py, failure, self.job.transfer.direction());
            if begun {
                errors::with_progress(py, error, self.job.transfer.progress())
            } else {
                error
            }
        })
    }

    fn interrupt(&mut self, py: Python<'_>, reason: PyErr) -> PyErr {
        // First of all: a task that another thread interrupts goes on as soon as it is woken, and
        // by then no worker may have its memory.
        let socket = Arc::clone(self.socket());
        self.land(&socket);
        self.wait.end(py);
        self.end(py, End::Interrupted);
        errors::with_progress(py, reason, self.job.transfer.progress())
    }

    fn is_asleep(&self) -> bool {
        self.wait.is_asleep()
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stream)?;
        self.wait.traverse(visit)?;
        if let Some(aloft) = &self.aloft {
            aloft.traverse(visit)?;
        }
        self.job.traverse(visit)
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        if self.turn.is_some() {
            // Abandoned half-way: its task was destroyed, or its loop was.
            let _ = Python::try_attach(|py| self.end(py, End::Interrupted));
        }
    }
}
