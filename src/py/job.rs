use std::os::fd::AsFd;
use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::convert;
use super::errors::Failure;
use super::file::{self, Position};
use super::payload::{self, Pins};
use crate::engine;
use crate::mem::{Access, Cursor};
use crate::net::{
    Direction, Error, FileRange, Goal, Payload, Progress, Pull, Socket, State, Torn, Transfer,
};

/// From this many bytes on a system call gives the GIL away: below, getting it back beside busy
/// threads costs more than the call (DESIGN, section 3).
const RELEASE_GIL: u64 = 64 * 1024;

/// What a call of either face asks for: bytes to be moved, and what has to outlive that.
pub(super) struct Job {
    pub(super) transfer: Transfer,
    pins: Pins,
    position: Option<Position>,
}

/// How a transfer ended, as far as its stream is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All was moved, or the connection is gone.
    Final,
    /// More could have followed.
    Interrupted,
}

/// One constructor for each of the calls, named as it is.
impl Job {
    pub(super) fn send_buffer(buffer: &Bound<'_, PyAny>, copy: Option<bool>) -> PyResult<Job> {
        let memory = payload::one(buffer, Access::Read, convert::copying(copy), Ok)?;
        Ok(Job::memory(memory, Goal::All))
    }

    pub(super) fn send_buffers(buffers: &Bound<'_, PyAny>, copy: Option<bool>) -> PyResult<Job> {
        let memory = payload::many(buffers, Access::Read, convert::copying(copy))?;
        Ok(Job::memory(memory, Goal::All))
    }

    pub(super) fn send_file(
        file: &Bound<'_, PyAny>,
        offset: i64,
        count: Option<i64>,
    ) -> PyResult<Job> {
        let (range, position) = file::range(file, offset, count)?;
        let transfer = Transfer::new(Payload::File(range), Goal::All);
        Ok(Job { transfer, pins: Pins::default(), position: Some(position) })
    }

    pub(super) fn recv_into(
        buffer: &Bound<'_, PyAny>,
        nbytes: isize,
        copy: Option<bool>,
    ) -> PyResult<Job> {
        let limit = |len| convert::limit(nbytes, len);
        let memory = payload::one(buffer, Access::Write, convert::copying(copy), limit)?;
        Ok(Job::memory(memory, Goal::Some))
    }

    pub(super) fn recv_exactly_into(
        buffer: &Bound<'_, PyAny>,
        copy: Option<bool>,
    ) -> PyResult<Job> {
        let memory = payload::one(buffer, Access::Write, convert::copying(copy), Ok)?;
        Ok(Job::memory(memory, Goal::All))
    }

    pub(super) fn recv_buffers_into(
        buffers: &Bound<'_, PyAny>,
        copy: Option<bool>,
    ) -> PyResult<Job> {
        let memory = payload::many(buffers, Access::Write, convert::copying(copy))?;
        Ok(Job::memory(memory, Goal::All))
    }

    /// A part of something larger, whose progress this is.
    pub(super) fn part_of(progress: &Arc<Progress>, cursor: Cursor, pins: Pins) -> Job {
        let transfer = Transfer::part_of(progress, Payload::Memory(cursor));
        Job { transfer, pins, position: None }
    }

    /// The same, from a file.
    pub(super) fn file_part_of(
        progress: &Arc<Progress>,
        range: FileRange,
        position: Position,
    ) -> Job {
        let transfer = Transfer::part_of(progress, Payload::File(range));
        Job { transfer, pins: Pins::default(), position: Some(position) }
    }

    /// The same, from another process of this host.
    pub(super) fn pull_part_of(progress: &Arc<Progress>, pull: Pull, pins: Pins) -> Job {
        let transfer = Transfer::part_of(progress, Payload::Peer(pull));
        Job { transfer, pins, position: None }
    }

    /// Whatever comes first, into memory of our own.
    pub(super) fn read_ahead(cursor: Cursor, pins: Pins) -> Job {
        Job::memory((cursor, pins), Goal::Some)
    }

    fn memory((cursor, pins): (Cursor, Pins), goal: Goal) -> Job {
        let transfer = Transfer::new(Payload::Memory(cursor), goal);
        Job { transfer, pins, position: None }
    }
}

impl Job {
    /// One attempt, without the GIL if it is worth it.
    pub(super) fn attempt(
        &mut self,
        py: Python<'_>,
        socket: &Socket,
        limit: usize,
    ) -> Result<State, Error> {
        let fd = socket.fd()?;
        let fd = fd.as_fd();
        let progress = self.transfer.progress();
        // What another process has mapped may take its time, however little it is.
        let is_long = progress.left() >= RELEASE_GIL || self.transfer.is_pull();
        let transfer = &mut self.transfer;
        if is_long {
            py.detach(|| engine::attempt(socket, fd, transfer, limit))
        } else {
            engine::attempt(socket, fd, transfer, limit)
        }
    }

    /// It is over. A send that was interrupted in the middle tears its stream.
    pub(super) fn settle(&self, py: Python<'_>, socket: &Socket, end: End) {
        let progress = self.transfer.progress();
        let (transferred, nbytes) = (progress.transferred(), progress.nbytes());
        if let Some(position) = &self.position {
            position.settle(py, progress.of_user().0);
        }
        if end == End::Interrupted
            && self.transfer.direction() == Direction::Send
            && (1..nbytes).contains(&transferred)
        {
            socket.tear(Torn { transferred, nbytes });
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.pins.traverse(visit)?;
        visit.call(self.position.as_ref().map(Position::file))
    }
}

impl From<&Failure> for End {
    fn from(failure: &Failure) -> End {
        match failure {
            Failure::Core(error) if error.ends_the_connection() => End::Final,
            _ => End::Interrupted,
        }
    }
}
