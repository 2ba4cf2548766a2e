//! The script of a call that sends a message.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pyo3::exceptions::PyOSError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use smallvec::SmallVec;

use super::base::BaseChannel;
use super::composing::cursor_over;
use super::same_host::{Large, Offered, Turn};
use crate::net::{Direction, Progress, State, Torn};
use crate::py::base::BaseStream;
use crate::py::errors::{ends_the_connection, exception, is_ours, refused, timed_out};
use crate::py::job::Job;
use crate::py::payload::{Pin, Pins};
use crate::py::queue::Place;
use crate::py::script::{Alarm, Next, Script};
use crate::py::transfer::CALL_ON_LOOP;
use crate::wire::Verdict;

/// How often a send that waits for an answer looks whether the connection is still there.
const LISTEN: Duration = Duration::from_millis(500);

/// One message, from its place in the queue to the last byte.
pub(super) struct Sending {
    channel: Py<BaseChannel>,
    place: Option<Place>,
    phase: Phase,
    /// The jobs it takes, last one first: the header with what is in memory, and then a file.
    jobs: SmallVec<[Job; 1]>,
    /// What it takes to offer it instead, if it is large.
    pub(super) large: Option<Box<Large>>,
    offered: Option<Offered>,
    /// Whether the job under way is an invitation.
    invites: bool,
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
    Routing,
    Moving,
    Offering,
    Listening,
    Done,
}

impl Sending {
    pub(super) fn new(
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
            large: None,
            offered: None,
            invites: false,
            asked: false,
            hello: None,
            payload,
            progress,
        }
    }

    /// Line up now, not when it is awaited, and send what goes without waiting. Whether all went.
    pub(super) fn line_up(&mut self, py: Python<'_>) -> PyResult<bool> {
        self.check_size(py)?;
        let place = self.channel.get().outbox().join();
        let is_small = self.large.is_none();
        let mut at_once =
            is_small && place.has_turn() && self.channel.get().greeting().unsaid().is_none();
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
        self.check_size(py)?;
        let Some(cursor) = self.channel.get().greeting().unsaid() else { return Ok(None) };
        let progress = Progress::new(cursor.left() as u64, 0);
        self.hello = Some(Arc::clone(&progress));
        Ok(Some(Job::part_of(&progress, cursor, Pins::default())))
    }

    /// Whether the peer takes it, as far as that is known.
    fn check_size(&self, py: Python<'_>) -> PyResult<()> {
        let channel = self.channel.get();
        if let Some(limit) = channel.greeting().theirs().map(|hello| hello.max_message_bytes)
            && self.payload > limit
        {
            let text = format!(
                "the peer takes messages of at most {limit} bytes (its max_message_bytes), and \
                 this one has {}",
                self.payload
            );
            return Err(refused(py, text));
        }
        Ok(())
    }

    /// Find its way: the next step to that, or none once the socket is to have it.
    fn find_way(&mut self, py: Python<'_>) -> PyResult<Option<Next>> {
        let Some(large) = &self.large else { return Ok(None) };
        if std::mem::take(&mut self.invites) {
            self.channel.get().route().told();
        }
        let socket = self.channel.get().stream().get().socket();
        // It may have been closed while it looked.
        drop(socket.fd().map_err(|error| exception(py, error, "the channel"))?);
        match self.channel.get().route().turn(py, self.channel.get())? {
            Turn::Send => Ok(None),
            Turn::Look(time) => Ok(Some(Next::Nap(time))),
            Turn::Invite(bytes) => {
                let cursor = cursor_over(&bytes);
                let progress = Progress::new(cursor.left() as u64, 0);
                let pins = Pins::from_iter([Pin::Header(bytes)]);
                self.invites = true;
                Ok(Some(Next::Move(Job::part_of(&progress, cursor, pins))))
            }
            Turn::Offer(link) => {
                let offer = large.offer(py, self.channel.get(), link)?;
                let Some((job, offered)) = offer else { return Ok(None) };
                self.offered = Some(offered);
                self.phase = Phase::Offering;
                Ok(Some(Next::Move(job)))
            }
        }
    }

    /// Wait for the peer's next answer.
    fn listen(&mut self) -> Next {
        self.phase = Phase::Listening;
        Next::Move(self.offered.as_ref().expect("this is about an offer").listen())
    }

    /// The same, but not at once: however much the peer says, others have their turn, and the time
    /// may be over.
    fn listen_again(&mut self) -> Next {
        self.phase = Phase::Offering;
        Next::Nap(Duration::ZERO)
    }

    /// The peer has answered: what to do then, or nothing more.
    fn hear(&mut self, len: u64) -> Option<Next> {
        let offered = self.offered.as_ref().expect("this is about an offer");
        let (_, nbytes) = self.progress.of_user();
        let header = self.progress.nbytes() - nbytes;
        match offered.heard(len) {
            None => return Some(self.listen_again()),
            Some(Verdict::Progress(bytes)) => {
                self.progress.set(header + bytes.min(nbytes), header + nbytes);
                return Some(self.listen_again());
            }
            Some(Verdict::Done) => {
                let bytes = offered.bytes;
                self.channel.get().counters.bytes_offered.fetch_add(bytes, Ordering::Relaxed);
                self.jobs.clear();
                self.progress.set(header + nbytes, header + nbytes);
            }
            Some(Verdict::Unreadable(errno)) => {
                self.channel.get().route().give_up(errno);
                self.progress.set(0, header + nbytes);
            }
        }
        self.offered = None;
        None
    }

    fn note_hello(&mut self) {
        if let Some(progress) = self.hello.take() {
            self.channel.get().greeting().said(progress.transferred());
        }
    }
}

fn is_gone() -> PyErr {
    let text = "the peer has closed the channel, or died, before it had all of the message";
    PyOSError::new_err((libc::ECONNRESET, text))
}

impl Script for Sending {
    fn take_place(&mut self) {
        if self.place.is_none() {
            self.place = Some(self.channel.get().outbox().join());
        }
    }

    fn next(&mut self, py: Python<'_>, moved: Option<u64>) -> PyResult<Next> {
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
            self.phase = Phase::Routing;
        }
        if self.phase == Phase::Routing {
            if let Some(next) = self.find_way(py)? {
                return Ok(next);
            }
            self.phase = Phase::Moving;
        }
        if self.phase == Phase::Offering {
            return Ok(self.listen());
        }
        if self.phase == Phase::Listening {
            match moved {
                None | Some(0) => return Err(is_gone()),
                Some(len) => {
                    if let Some(next) = self.hear(len) {
                        return Ok(next);
                    }
                }
            }
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
        match &self.offered {
            Some(offered) if self.phase == Phase::Listening => offered.stream(),
            _ => self.channel.get().stream(),
        }
    }

    fn patience(&self) -> Option<Duration> {
        (self.phase == Phase::Listening).then_some(LISTEN)
    }

    /// The link may outlive the connection: then nobody answers any more.
    fn has_waited(&mut self, py: Python<'_>) -> PyResult<()> {
        let socket = self.channel.get().stream().get().socket();
        drop(socket.fd().map_err(|error| exception(py, error, "the channel"))?);
        if socket.has_ended().unwrap_or(true) {
            return Err(is_gone());
        }
        self.phase = Phase::Offering;
        Ok(())
    }

    /// That the link has ended says that the peer is gone, and that nothing came by it in time what
    /// it has not done.
    fn failed(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        Err(match self.phase {
            Phase::Listening if ends_the_connection(py, &error) => is_gone(),
            Phase::Listening if is_ours(py, &error, "TransferTimeoutError") => {
                timed_out(py, &self.doing())
            }
            _ => error,
        })
    }

    fn doing(&self) -> String {
        let channel = self.channel.get();
        let doing = channel.stream().get().doing(Direction::Send);
        match self.phase {
            Phase::Waiting => format!("{doing}, behind other messages,"),
            Phase::Offering | Phase::Listening => format!(
                "{doing}, which has not received the message yet (it reads large ones from this \
                 process's memory, see same_host),"
            ),
            _ => doing,
        }
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    fn wake_by(&mut self, alarm: Alarm) -> bool {
        self.place.as_ref().is_some_and(|place| place.wake_by(alarm))
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.channel)?;
        if let Some(large) = &self.large {
            large.pins.traverse(visit)?;
        }
        if let Some(offered) = &self.offered {
            visit.call(offered.stream())?;
        }
        self.jobs.iter().try_for_each(|job| job.traverse(visit))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // Before anything that is pinned goes.
        self.offered = None;
        self.note_hello();
        let (transferred, nbytes) = (self.progress.transferred(), self.progress.nbytes());
        if self.phase == Phase::Moving && !self.asked && (1..nbytes).contains(&transferred) {
            // Between its jobs.
            self.stream().get().socket().tear(Torn { transferred, nbytes });
        }
    }
}
