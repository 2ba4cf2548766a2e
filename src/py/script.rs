//! Calls that are more than one transfer, driven by either face.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::base::BaseStream;
use super::blocking::run_until;
use super::errors::{self, is_ours, no_end, with_progress};
use super::job::Job;
use super::operation::{Flow, Steps};
use super::transfer::{Moving, Transfer};
use super::wait::Wait;
use super::waiter::Waiter;
use super::{budget, convert, interpreter};
use crate::engine;
use crate::net::Progress;
use crate::sys::Event;

/// What a call does, one transfer after the other. How to wait is the face's affair.
pub(super) trait Script: Send {
    /// Take the place in a queue that it may have to wait in: it counts from the first await on,
    /// also if others run before the first `next`.
    fn take_place(&mut self) {}

    /// What is next. `moved` are the bytes of the transfer that was asked for last, if it was one.
    fn next(&mut self, py: Python<'_>, moved: Option<u64>) -> PyResult<Next>;

    /// The stream it is about.
    fn stream(&self) -> &Py<BaseStream>;

    /// What it does, for its user: "sending to tcp://127.0.0.1:80".
    fn doing(&self) -> String;

    /// How far the call has come, for its user.
    fn progress(&self) -> &Arc<Progress>;

    /// Whether it may end between two transfers, with nothing lost: then the time and signals are
    /// looked at there, however many transfers a peer makes of one call.
    fn may_pause(&self) -> bool {
        false
    }

    /// How long the next transfer may wait before the script is asked whether that makes sense still.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// It has waited so long, and nothing has moved: an error, or `next` goes on.
    fn has_waited(&mut self, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }

    /// A transfer has ended with this exception: the one to raise for it. Ok if it is only the end of a
    /// loop, of which the script is a step.
    fn failed(&self, _py: Python<'_>, error: PyErr) -> PyResult<()> {
        Err(error)
    }

    /// Sleep by this while it waits its turn. False if that has come meanwhile.
    fn wake_by(&mut self, alarm: Alarm) -> bool;

    /// Visit the Python objects it holds.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

/// What a script wants.
#[expect(clippy::large_enum_variant, reason = "most are transfers, and it is taken apart at once")]
pub(super) enum Next {
    /// Bytes to be moved.
    Move(Job),
    /// To sleep until it is woken by what `wake_by` was given.
    Wait,
    /// To sleep for so long.
    Nap(Duration),
    /// To go on, unless others are to have their turn first.
    Turn,
    /// Nothing more: this is its result.
    Done(Py<PyAny>),
    /// Nothing more: its result is how many bytes were moved.
    Moved(u64),
    /// Nothing more, as the step of a loop that has no more.
    End,
}

/// How to wake whoever waits its turn.
pub(super) enum Alarm {
    Task(Py<Waiter>),
    Thread(Arc<Event>),
}

impl Alarm {
    /// False if there is nobody left to be woken, because the loop was closed.
    pub(super) fn ring(&self, py: Python<'_>) -> bool {
        match self {
            Alarm::Task(waiter) if Waiter::forget_dead(waiter.bind(py)) => false,
            Alarm::Task(waiter) => {
                Waiter::wake(waiter.bind(py));
                true
            }
            Alarm::Thread(event) => {
                event.set();
                true
            }
        }
    }
}

/// A script on an asyncio loop.
struct Following<S> {
    // Dropped first: what a transfer moved has to be known when its script ends.
    moving: Option<Moving>,
    script: S,
    wait: Wait,
    begun: bool,
}

/// A script to be awaited.
pub(super) fn awaitable<'py, S: Script + 'static>(
    py: Python<'py>,
    name: &'static str,
    script: S,
    timeout: Option<f64>,
) -> PyResult<Bound<'py, Transfer>> {
    let progress = Arc::clone(script.progress());
    let wait = Wait::new(convert::timeout(timeout)?);
    Transfer::of(py, name, progress, Following { moving: None, script, wait, begun: false })
}

impl<S: Script> Following<S> {
    /// Whether a transfer has ended because the script is to be asked, and not because the time is
    /// over.
    fn is_only_impatient(&self, py: Python<'_>, error: &PyErr) -> bool {
        let may_wait = !self.wait.is_over_at_once() && !self.wait.is_over();
        self.script.patience().is_some() && may_wait && has_timed_out(py, error)
    }

    fn advance(&mut self, py: Python<'_>) -> PyResult<Flow> {
        if !self.begun {
            self.begun = true;
            self.wait.begin();
            self.script.take_place();
            if budget::spend_on(self.script.progress().nbytes()) {
                return Ok(Flow::turn_of_the_loop(py));
            }
        }
        if self.wait.wake(py)? && self.moving.is_none() && !self.wait.is_over_at_once() {
            return Err(timed_out(py, &self.script));
        }
        let mut moved = None;
        let mut has_moved = false;
        loop {
            if let Some(moving) = &mut self.moving {
                has_moved = true;
                match moving.step(py) {
                    Ok(Flow::Moved(bytes)) => moved = Some(bytes),
                    Ok(flow) => return Ok(flow),
                    Err(error) if self.is_only_impatient(py, &error) => {
                        self.script.has_waited(py)?;
                    }
                    Err(error) => return self.script.failed(py, error).map(|()| Flow::End),
                }
                self.moving = None;
            }
            match self.script.next(py, moved.take())? {
                Next::Done(value) => return Ok(Flow::Complete(value)),
                Next::Moved(bytes) => return Ok(Flow::Moved(bytes)),
                Next::End => return Ok(Flow::End),
                Next::Wait if self.wait.is_over_at_once() => {
                    return Err(timed_out(py, &self.script));
                }
                Next::Wait => {
                    let waiter = Waiter::idle(py)?;
                    let sleep = self.wait.park(py, waiter.bind(py))?;
                    if self.script.wake_by(Alarm::Task(waiter)) {
                        return Ok(Flow::Suspend(sleep));
                    }
                    self.wait.end(py);
                }
                Next::Nap(_) if self.wait.is_over_at_once() => {
                    return Err(timed_out(py, &self.script));
                }
                Next::Nap(time) => {
                    let waiter = Waiter::idle(py)?;
                    return Ok(Flow::Suspend(self.wait.nap(py, waiter.bind(py), time)?));
                }
                Next::Turn if self.wait.is_over() => return Err(timed_out(py, &self.script)),
                Next::Turn if budget::spend() => return Ok(Flow::turn_of_the_loop(py)),
                Next::Turn => {}
                Next::Move(_) if has_moved && self.script.may_pause() && self.wait.is_over() => {
                    return Err(timed_out(py, &self.script));
                }
                Next::Move(job) => {
                    let stream = self.script.stream().clone_ref(py);
                    let wait = self.wait.share_for(self.script.patience());
                    self.moving = Some(Moving::new(stream, job, wait));
                }
            }
        }
    }
}

impl<S: Script> Steps for Following<S> {
    fn step(&mut self, py: Python<'_>) -> PyResult<Flow> {
        self.advance(py).map_err(|error| {
            self.moving = None;
            with_progress(py, error, self.script.progress())
        })
    }

    fn interrupt(&mut self, py: Python<'_>, reason: PyErr) -> PyErr {
        self.wait.end(py);
        let reason = match self.moving.take() {
            Some(mut moving) => moving.interrupt(py, reason),
            None => reason,
        };
        with_progress(py, reason, self.script.progress())
    }

    fn is_asleep(&self) -> bool {
        self.wait.is_asleep() || self.moving.as_ref().is_some_and(Moving::is_asleep)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.wait.traverse(visit)?;
        if let Some(moving) = &self.moving {
            moving.traverse(visit)?;
        }
        self.script.traverse(visit)
    }
}

/// Run a script to its end in this thread.
pub(super) fn run(
    py: Python<'_>,
    script: impl Script,
    timeout: Option<f64>,
) -> PyResult<Py<PyAny>> {
    run_or_end(py, script, timeout)?.ok_or_else(|| errors::incomplete(py, "there is no more"))
}

/// The same as a step of a loop. None at its end.
pub(super) fn run_step(py: Python<'_>, script: impl Script) -> PyResult<Option<Py<PyAny>>> {
    run_or_end(py, script, None)
}

fn run_or_end(
    py: Python<'_>,
    mut script: impl Script,
    timeout: Option<f64>,
) -> PyResult<Option<Py<PyAny>>> {
    let deadline = convert::deadline(convert::timeout(timeout)?);
    follow(py, &mut script, deadline).map_err(|error| {
        let error = no_end(py, error, &script.doing());
        with_progress(py, error, script.progress())
    })
}

/// None if it was a step of a loop that has no more.
fn follow(
    py: Python<'_>,
    script: &mut impl Script,
    deadline: Option<Instant>,
) -> PyResult<Option<Py<PyAny>>> {
    let mut moved = None;
    let waits_until = deadline.filter(|&deadline| Instant::now() < deadline);
    let may_wait = deadline.is_none() || waits_until.is_some();
    let mut has_moved = false;
    loop {
        match script.next(py, moved.take())? {
            Next::Done(value) => return Ok(Some(value)),
            Next::Moved(bytes) => return Ok(Some(bytes.into_pyobject(py)?.into_any().unbind())),
            Next::End => return Ok(None),
            Next::Wait => {
                if park(py, deadline, |event| script.wake_by(Alarm::Thread(event)))? {
                    return Err(timed_out(py, script));
                }
            }
            Next::Nap(time) => {
                let end = Instant::now() + time;
                park(py, Some(deadline.map_or(end, |deadline| deadline.min(end))), |_| true)?;
                if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    return Err(timed_out(py, script));
                }
            }
            Next::Turn => look_up(py, script, waits_until)?,
            Next::Move(job) => {
                if std::mem::replace(&mut has_moved, true) && script.may_pause() {
                    look_up(py, script, waits_until)?;
                }
                let stream = script.stream().bind(py).clone();
                let patience = if may_wait { script.patience() } else { None };
                let asks = patience.map(|patience| Instant::now() + patience);
                let until = deadline.into_iter().chain(asks).min();
                moved = match run_until(&stream, job, until) {
                    Ok(bytes) => Some(bytes),
                    Err(error)
                        if asks.is_some() && until != deadline && has_timed_out(py, &error) =>
                    {
                        script.has_waited(py)?;
                        None
                    }
                    Err(error) => return script.failed(py, error).map(|()| None),
                };
            }
        }
    }
}

/// Between two steps: whether a signal has come, or the time is over.
fn look_up(py: Python<'_>, script: &impl Script, waits_until: Option<Instant>) -> PyResult<()> {
    py.check_signals()?;
    match waits_until {
        Some(deadline) if deadline <= Instant::now() => Err(timed_out(py, script)),
        _ => Ok(()),
    }
}

/// Sleep until the event is set, or the deadline has passed: whether that was it.
fn park(
    py: Python<'_>,
    deadline: Option<Instant>,
    prepare: impl FnOnce(Arc<Event>) -> bool + Send,
) -> PyResult<bool> {
    let mut signals = interpreter::check_signals;
    py.detach(|| engine::park(prepare, deadline, &mut signals))
        .map_err(|failure| failure.into_exception(py, "the channel"))
}

fn has_timed_out(py: Python<'_>, error: &PyErr) -> bool {
    is_ours(py, error, "TransferTimeoutError")
}

fn timed_out(py: Python<'_>, script: &impl Script) -> PyErr {
    errors::timed_out(py, &script.doing())
}
