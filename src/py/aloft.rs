use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::PyOSError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::doorbell::Doorbell;
use super::waiter::Waiter;
use crate::engine::{self, Flight, Landing};
use crate::net::{Goal, Socket, Transfer};

/// A transfer that the engine's workers move, and the bell by which its loop hears of the end.
pub(super) struct Aloft {
    flight: Arc<Flight>,
    doorbell: Py<Doorbell>,
}

impl Aloft {
    /// Whether the workers are to have what is left. Not a receive that is content with less: a
    /// cancel must not lose what a worker has just taken from the stream.
    pub(super) fn is_worth_it(transfer: &Transfer) -> bool {
        transfer.goal() == Goal::All
            && transfer.progress().left() >= engine::bulk_threshold(transfer)
    }

    /// Hand it over; `waiter` is what its task is going to sleep on. None if nobody takes it.
    pub(super) fn start(
        event_loop: &Bound<'_, PyAny>,
        socket: &Arc<Socket>,
        transfer: &mut Transfer,
        deadline: Option<Instant>,
        waiter: &Bound<'_, Waiter>,
    ) -> PyResult<Option<Aloft>> {
        if !engine::may_have_workers() {
            return Ok(None);
        }
        let doorbell = match Doorbell::of(event_loop) {
            // The system has no descriptor for a bell.
            Err(error) if error.is_instance_of::<PyOSError>(event_loop.py()) => return Ok(None),
            doorbell => doorbell?,
        };
        let Some(flight) = engine::fly(socket, transfer, deadline, doorbell.get().bell()) else {
            return Ok(None);
        };
        doorbell.get().expect(flight.number(), waiter.clone().unbind());
        Ok(Some(Aloft { flight, doorbell: doorbell.unbind() }))
    }

    pub(super) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Have it land at once, if it has not. None in a forked child, where it never does.
    ///
    /// This sleeps for as long as a system call of a worker takes, with the GIL: workers do not
    /// need it.
    pub(super) fn land(self, socket: &Socket) -> Option<Landing> {
        self.flight.stop();
        self.flight.wait();
        self.doorbell.get().forget(self.flight.number());
        self.flight.take(socket)
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.doorbell)
    }
}
