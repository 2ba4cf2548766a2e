//! What a receive may use of the memory that it shares with the other channels of a server.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::base::{BaseChannel, End};
use super::inbox::{AHEAD, Inbox, Pending};
use super::receiving::Receiving;
use crate::net::{self, Answer, Progress};
use crate::py::base::BaseStream;
use crate::py::convert;
use crate::py::script::Next;

/// Bytes of a message that every connection may have beside the budget.
const FREE: u64 = 64 * 1024;

/// Bytes of memory for each byte of a header: of the block it comes in, and of its parts.
const PER_HEADER_BYTE: u64 = 8;

/// Memory for messages that are being received, shared by any number of channels.
#[pyclass(frozen, module = "pinwire")]
pub(in crate::py) struct MemoryBudget(Arc<net::MemoryBudget<Holder>>);

/// A channel that holds some of it.
#[derive(Debug)]
pub(super) struct Holder {
    stream: Py<BaseStream>,
    end: Arc<OnceLock<End>>,
}

pub(super) type Reservation = net::Reservation<Holder>;

#[pymethods]
impl MemoryBudget {
    #[new]
    #[pyo3(signature = (nbytes, /))]
    fn new(nbytes: i64) -> PyResult<MemoryBudget> {
        match u64::try_from(nbytes) {
            Ok(nbytes) if nbytes > 0 => Ok(MemoryBudget(net::MemoryBudget::new(nbytes))),
            _ => Err(PyValueError::new_err(format!("a budget must be positive: {nbytes}"))),
        }
    }

    #[getter]
    fn nbytes(&self) -> u64 {
        self.0.limit()
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stats = self.0.stats();
        convert::budget_stats_type(py)?.call1((
            stats.limit,
            stats.reserved,
            stats.waits,
            stats.ended,
        ))
    }

    fn __repr__(&self) -> String {
        let stats = self.0.stats();
        format!("<pinwire.MemoryBudget {} of {} bytes reserved>", stats.reserved, stats.limit)
    }
}

impl MemoryBudget {
    /// Bytes that may be reserved.
    pub(super) fn limit(&self) -> u64 {
        self.0.limit()
    }

    fn open(&self, py: Python<'_>, channel: &BaseChannel, progress: &Arc<Progress>) -> Reservation {
        let stream = channel.stream().clone_ref(py);
        self.0.open(Holder { stream, end: Arc::clone(channel.end()) }, progress)
    }
}

impl net::Owner for Holder {
    fn is_silent(&self) -> bool {
        self.stream.get().socket().unread().is_ok_and(|unread| unread == 0)
    }
}

impl Holder {
    /// It is too slow for a server whose memory others wait for.
    fn end(&self, py: Python<'_>) {
        let _ = self.end.set(End::Slow);
        self.stream.get().abort(py);
    }
}

impl Receiving {
    /// Whether the next bytes of the payload may be received into memory that we make. Gives what to
    /// do until they may.
    pub(super) fn reserve(&self, py: Python<'_>, pending: &mut Pending) -> PyResult<Option<Next>> {
        let channel = self.channel.get();
        let payload = pending.header.payload;
        let Some(budget) = channel.options().memory_budget.as_ref() else { return Ok(None) };
        if payload <= FREE || pending.taken == payload {
            return Ok(None);
        }
        self.progress.set(pending.taken, payload);
        let reservation = match pending.reservation.take() {
            Some(reservation) => {
                reservation.follow(&self.progress);
                reservation
            }
            None => budget.get().open(py, channel, &self.progress),
        };
        let reservation = pending.reservation.insert(reservation);
        let of_header = pending.header_charge;
        let (all, has_come) = (of_header + payload, pending.taken);
        ask(py, channel, reservation, [all, of_header + has_come + 1], has_come)
    }

    /// The same for a header of so many bytes.
    pub(super) fn reserve_header(
        &self,
        py: Python<'_>,
        inbox: &mut Inbox,
        needed: usize,
    ) -> PyResult<Option<Next>> {
        let channel = self.channel.get();
        let Some(budget) = channel.options().memory_budget.as_ref() else { return Ok(None) };
        if needed <= AHEAD {
            return Ok(None);
        }
        let charge = |bytes: usize| bytes as u64 * PER_HEADER_BYTE;
        let has_come = charge(inbox.unread().len());
        let open = || budget.get().open(py, channel, &Progress::new(0, 0));
        let reservation = inbox.reservation.get_or_insert_with(open);
        let next = charge(needed).min(2 * has_come);
        ask(py, channel, reservation, [charge(needed), next], has_come)
    }
}

/// Ask for `all` in the end and for `next` now.
fn ask(
    py: Python<'_>,
    channel: &BaseChannel,
    reservation: &mut Reservation,
    [all, next]: [u64; 2],
    has_come: u64,
) -> PyResult<Option<Next>> {
    while reservation.reserved() < next {
        match reservation.ask(all, has_come, Instant::now()) {
            Answer::Granted => {}
            Answer::Wait(time) => return Ok(Some(Next::Nap(time))),
            Answer::Ended(holder) => holder.end(py),
            Answer::Lost => {
                channel.check_end(py)?;
                unreachable!("whoever takes a reservation away says so");
            }
        }
    }
    Ok(None)
}
