//! The script of a call that sends a message.
#![allow(unsafe_code)] // Names a header's memory.

use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use smallvec::SmallVec;

use super::base::BaseChannel;
use super::{layout, meta};
use crate::mem::{Access, Copying, Cursor, Region};
use crate::net::{Progress, State, Torn};
use crate::py::base::BaseStream;
use crate::py::convert;
use crate::py::errors::refused;
use crate::py::file;
use crate::py::job::Job;
use crate::py::payload::{self, Items, Pin, Pins, push};
use crate::py::queue::Place;
use crate::py::script::{Alarm, Next, Script};
use crate::py::transfer::CALL_ON_LOOP;
use crate::wire::{Flags, Header, Kind, WireError};

/// One message, from its place in the queue to the last byte.
pub(super) struct Sending {
    channel: Py<BaseChannel>,
    place: Option<Place>,
    phase: Phase,
    /// The jobs it takes, first one first: the header with what is in memory, and then a file.
    jobs: SmallVec<[Job; 1]>,
    /// Whether a job is under way, which then sees to the stream itself.
    asked: bool,
    hello: Option<Arc<Progress>>,
    payload: u64,
    progress: Arc<Progress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Greeting,
    Moving,
    Done,
}

impl Sending {
    /// One array or several.
    pub(super) fn arrays(
        channel: &Bound<'_, BaseChannel>,
        data: &Bound<'_, PyAny>,
        meta: Option<&Bound<'_, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Sending> {
        channel.get().raise_failure()?;
        let objects = payload::items(data)?;
        Sending::memory(channel, Kind::Arrays, &objects, meta, convert::copying(copy))
    }

    /// A pickle and its buffers.
    pub(super) fn object(
        channel: &Bound<'_, BaseChannel>,
        buffers: &Bound<'_, PyAny>,
    ) -> PyResult<Sending> {
        channel.get().raise_failure()?;
        let theirs = channel.get().theirs();
        if theirs.is_some_and(|hello| !hello.flags.has(Flags::OBJECTS)) {
            let text =
                "the peer takes no objects: it has to open its channel with allow_pickle=True";
            return Err(refused(channel.py(), text.to_owned()));
        }
        let objects: Items<'_> = buffers.try_iter()?.collect::<PyResult<_>>()?;
        Sending::memory(channel, Kind::Object, &objects, None, Copying::Allowed)
    }

    fn memory(
        channel: &Bound<'_, BaseChannel>,
        kind: Kind,
        objects: &[Bound<'_, PyAny>],
        meta: Option<&Bound<'_, PyAny>>,
        copying: Copying,
    ) -> PyResult<Sending> {
        let py = channel.py();
        let mut pins = Pins::with_capacity(objects.len() + 1);
        let mut parts = SmallVec::with_capacity(objects.len());
        for object in objects {
            let pin = Pin::new(object, Access::Read)?;
            parts.push(match kind {
                Kind::Arrays => layout::describe(&pin, object)?,
                Kind::Object => layout::bytes(pin.nbytes()),
            });
            pins.push(pin);
        }
        let header = Header::new(kind, parts, meta::from_python(meta)?);
        let header = header.map_err(|error| over_limit(py, &error))?;
        let (mut cursor, bytes) = encode(py, &header)?;
        for (part, pin) in header.parts.iter().zip(pins.iter()) {
            push(&mut cursor, pin.runs(part.order)?, copying)?;
        }
        let progress = Progress::new(cursor.left() as u64, bytes.len() as u64);
        pins.push(Pin::Header(bytes));
        let job = Job::part_of(&progress, cursor, pins);
        Ok(Sending::new(channel, SmallVec::from_buf([job]), header.payload, progress))
    }

    /// A part of a file, as plain bytes.
    pub(super) fn file(
        channel: &Bound<'_, BaseChannel>,
        file: &Bound<'_, PyAny>,
        offset: i64,
        count: Option<i64>,
        meta: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Sending> {
        let py = channel.py();
        channel.get().raise_failure()?;
        let (range, position) = file::range(file, offset, count)?;
        let part = layout::bytes(range.left() as usize);
        let header =
            Header::new(Kind::Arrays, SmallVec::from_buf([part]), meta::from_python(meta)?);
        let header = header.map_err(|error| over_limit(py, &error))?;
        let (cursor, bytes) = encode(py, &header)?;
        let header_len = bytes.len() as u64;
        let progress = Progress::new(header_len + header.payload, header_len);
        let pins = Pins::from_iter([Pin::Header(bytes)]);
        let jobs =
            [Job::part_of(&progress, cursor, pins), Job::file_part_of(&progress, range, position)];
        Ok(Sending::new(channel, jobs.into_iter().collect(), header.payload, progress))
    }

    fn new(
        channel: &Bound<'_, BaseChannel>,
        mut jobs: SmallVec<[Job; 1]>,
        payload: u64,
        progress: Arc<Progress>,
    ) -> Sending {
        jobs.reverse();
        Sending {
            channel: channel.clone().unbind(),
            place: None,
            phase: Phase::Waiting,
            jobs,
            asked: false,
            hello: None,
            payload,
            progress,
        }
    }

    /// Line up now, not when it is awaited, and send what goes without waiting. Whether all went.
    pub(super) fn line_up(&mut self, py: Python<'_>) -> PyResult<bool> {
        let place = self.channel.get().outbox().join();
        let mut at_once = place.has_turn() && self.channel.get().unsaid().is_none();
        self.place = Some(place);
        while at_once {
            let Next::Move(mut job) = self.next(py, None)? else { return Ok(true) };
            let socket = Arc::clone(self.stream().get().socket());
            let turn = socket.begin(job.transfer.direction());
            let state = turn.and_then(|_turn| job.attempt(py, &socket, CALL_ON_LOOP));
            at_once = matches!(state, Ok(State::Done));
            if !at_once {
                // Whoever awaits it goes on from here, or finds the error once more.
                self.jobs.push(job);
                self.asked = false;
            }
        }
        Ok(false)
    }

    pub(super) fn payload(&self) -> u64 {
        self.payload
    }

    /// It has its turn: hello first, if that has not been said.
    fn begin(&mut self, py: Python<'_>) -> PyResult<Option<Job>> {
        let channel = self.channel.get();
        if let Some(limit) = channel.theirs().map(|hello| hello.max_message_bytes)
            && self.payload > limit
        {
            let text = format!(
                "the peer takes messages of at most {limit} bytes (its max_message_bytes), and \
                 this one has {}",
                self.payload
            );
            return Err(refused(py, text));
        }
        let Some(cursor) = channel.unsaid() else { return Ok(None) };
        let progress = Progress::new(cursor.left() as u64, 0);
        self.hello = Some(Arc::clone(&progress));
        Ok(Some(Job::part_of(&progress, cursor, Pins::default())))
    }

    fn note_hello(&mut self) {
        if let Some(progress) = self.hello.take() {
            self.channel.get().said(progress.transferred());
        }
    }
}

impl Script for Sending {
    fn take_place(&mut self) {
        if self.place.is_none() {
            self.place = Some(self.channel.get().outbox().join());
        }
    }

    fn next(&mut self, py: Python<'_>, _moved: Option<u64>) -> PyResult<Next> {
        self.take_place();
        if self.phase == Phase::Waiting {
            if !self.place.as_ref().is_some_and(Place::has_turn) {
                return Ok(Next::Wait);
            }
            self.phase = Phase::Greeting;
            if let Some(job) = self.begin(py)? {
                return Ok(Next::Move(job));
            }
        }
        if self.phase == Phase::Greeting {
            self.note_hello();
            self.phase = Phase::Moving;
        }
        self.asked = false;
        if let Some(job) = self.jobs.pop() {
            self.asked = true;
            return Ok(Next::Move(job));
        }
        if self.progress.left() > 0 {
            return Err(PyOSError::new_err((
                libc::EIO,
                "the file became shorter while it was sent",
            )));
        }
        self.phase = Phase::Done;
        self.place = None;
        self.channel.get().note_sent(self.payload);
        Ok(Next::Moved(self.payload))
    }

    fn stream(&self) -> &Py<BaseStream> {
        self.channel.get().stream()
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    fn wake_by(&mut self, alarm: Alarm) -> bool {
        self.place.as_ref().is_some_and(|place| place.wake_by(alarm))
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.channel)?;
        self.jobs.iter().try_for_each(|job| job.traverse(visit))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.note_hello();
        let (transferred, nbytes) = (self.progress.transferred(), self.progress.nbytes());
        if self.phase == Phase::Moving && !self.asked && (1..nbytes).contains(&transferred) {
            // Between its jobs.
            self.stream().get().socket().tear(Torn { transferred, nbytes });
        }
    }
}

/// The header's bytes, and a cursor that begins with them.
fn encode(py: Python<'_>, header: &Header) -> PyResult<(Cursor, Box<[u8]>)> {
    let mut bytes = Vec::with_capacity(header.len());
    header.encode(&mut bytes).map_err(|error| over_limit(py, &error))?;
    let bytes = bytes.into_boxed_slice();
    let region = Region { base: bytes.as_ptr().cast_mut(), len: bytes.len() };
    // SAFETY: the job's pins keep the bytes, which stay where they are when their box moves, and
    // nobody writes to them any more.
    let cursor = unsafe { Cursor::over(Access::Read, region) };
    Ok((cursor, bytes))
}

fn over_limit(py: Python<'_>, error: &WireError) -> PyErr {
    let text = match error {
        WireError::TooMuch { what, announced, limit } => {
            format!("a message cannot have {announced} {what}: {limit} is the limit")
        }
        other => other.to_string(),
    };
    refused(py, text)
}
