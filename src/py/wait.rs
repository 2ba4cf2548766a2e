use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use super::convert;
use super::event_loop::{callback, running_loop};
use super::waiter::Waiter;
use crate::engine::Flight;
use crate::net::{Handle, SocketFd};

/// The sleeps of one operation on a loop, and their deadline.
pub(super) struct Wait {
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    timer: Option<Py<PyAny>>,
    waiter: Option<Py<Waiter>>,
    /// It sleeps for a while only, whose end is not that of the operation.
    naps: bool,
}

impl Wait {
    pub(super) fn new(timeout: Option<Duration>) -> Wait {
        Wait { timeout, deadline: None, timer: None, waiter: None, naps: false }
    }

    /// The operation is awaited: its time runs, unless it does already.
    pub(super) fn begin(&mut self) {
        if self.deadline.is_none() {
            self.deadline = convert::deadline(self.timeout);
        }
    }

    /// Sleeps of a part of the operation, with the time that this has left.
    pub(super) fn share(&self) -> Wait {
        let (timeout, deadline) = (self.timeout, self.deadline);
        Wait { timeout, deadline, timer: None, waiter: None, naps: false }
    }

    /// The same, but for so long at most.
    pub(super) fn share_for(&self, patience: Option<Duration>) -> Wait {
        let mut shared = self.share();
        if let (Some(patience), false) = (patience, self.is_over_at_once()) {
            shared.deadline = Some(self.at_most(Instant::now() + patience));
        }
        shared
    }

    /// What to yield to sleep until `fd`, which is that of `handle`, is ready or the time is over.
    pub(super) fn sleep(
        &mut self,
        py: Python<'_>,
        waiter: &Py<Waiter>,
        handle: &Handle,
        fd: Arc<SocketFd>,
    ) -> PyResult<Py<PyAny>> {
        let event_loop = running_loop(py)?;
        let waiter = waiter.bind(py);
        Waiter::arm(waiter, &event_loop, fd)?;
        let sleep = self.fall_asleep(&event_loop, waiter, self.deadline)?;
        if !handle.is_open() {
            // Another thread has closed it, and may have found nobody here to wake.
            Waiter::retire(waiter);
        }
        Ok(sleep)
    }

    /// What to yield to sleep until somebody wakes the waiter or the time is over.
    pub(super) fn park(
        &mut self,
        py: Python<'_>,
        waiter: &Bound<'_, Waiter>,
    ) -> PyResult<Py<PyAny>> {
        let event_loop = running_loop(py)?;
        Waiter::park(waiter, &event_loop)?;
        self.fall_asleep(&event_loop, waiter, self.deadline)
    }

    /// What to yield to sleep for so long, or until the time is over.
    pub(super) fn nap(
        &mut self,
        py: Python<'_>,
        waiter: &Bound<'_, Waiter>,
        time: Duration,
    ) -> PyResult<Py<PyAny>> {
        let event_loop = running_loop(py)?;
        Waiter::park(waiter, &event_loop)?;
        self.naps = true;
        self.fall_asleep(&event_loop, waiter, Some(self.at_most(Instant::now() + time)))
    }

    fn fall_asleep(
        &mut self,
        event_loop: &Bound<'_, PyAny>,
        waiter: &Bound<'_, Waiter>,
        until: Option<Instant>,
    ) -> PyResult<Py<PyAny>> {
        let py = waiter.py();
        self.waiter = Some(waiter.clone().unbind());
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now()).as_secs_f64();
            let expire = (left, callback(py, "expire")?, waiter);
            let timer = event_loop.call_method1(intern!(py, "call_later"), expire)?;
            self.timer = Some(timer.unbind());
        }
        Ok(waiter.clone().into_any().unbind())
    }

    /// What to yield to sleep until the flight, which keeps the time itself, has landed.
    pub(super) fn board(
        &mut self,
        event_loop: &Bound<'_, PyAny>,
        waiter: &Bound<'_, Waiter>,
        flight: Arc<Flight>,
    ) -> PyResult<Py<PyAny>> {
        Waiter::board(waiter, event_loop, flight)?;
        self.waiter = Some(waiter.clone().unbind());
        Ok(waiter.clone().into_any().unbind())
    }

    /// The operation goes on. Whether its time is over.
    pub(super) fn wake(&mut self, py: Python<'_>) -> PyResult<bool> {
        if let Some(timer) = self.timer.take() {
            timer.call_method0(py, intern!(py, "cancel"))?;
        }
        let expired = self.waiter.take().is_some_and(|waiter| waiter.get().has_expired());
        let napped = std::mem::take(&mut self.naps);
        Ok((expired && !napped) || self.deadline.is_some_and(|deadline| deadline <= Instant::now()))
    }

    /// The operation ends from outside: a task that sleeps in it is to find out.
    pub(super) fn end(&mut self, py: Python<'_>) {
        if let Some(waiter) = &self.waiter {
            Waiter::wake(waiter.bind(py));
        }
        // A timer that is left would only find nobody to wake.
        let _ = self.wake(py);
    }

    /// Whether a task sleeps in it and has not been woken.
    pub(super) fn is_asleep(&self) -> bool {
        self.waiter.as_ref().is_some_and(|waiter| waiter.get().is_armed())
    }

    /// Whether the operation is not to wait at all (a timeout of 0).
    pub(super) fn is_over_at_once(&self) -> bool {
        self.timeout == Some(Duration::ZERO)
    }

    /// Whether the time of an operation that may wait is over.
    pub(super) fn is_over(&self) -> bool {
        let is_past = |deadline| deadline <= Instant::now();
        !self.is_over_at_once() && self.deadline.is_some_and(is_past)
    }

    /// When its time is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The earlier of a moment and the deadline.
    pub(super) fn at_most(&self, moment: Instant) -> Instant {
        self.deadline.map_or(moment, |deadline| deadline.min(moment))
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.timer)?;
        visit.call(&self.waiter)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            // Abandoned in its sleep: its task was destroyed, or its loop was.
            let _ = Python::try_attach(|py| self.end(py));
        }
    }
}
