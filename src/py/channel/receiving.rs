//! The script of a call that receives.

use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::base::BaseChannel;
use super::inbox::{Front, Inbox};
use super::landing::Pinned;
use super::want::{AtEnd, Want};
use crate::net::{Direction, Error, Failure, Progress};
use crate::py::base::BaseStream;
use crate::py::errors::{exception, incomplete, is_ours, refused};
use crate::py::script::{Alarm, Next, Script};
use crate::wire::WireError;

/// One receive, from the first byte of a header to the last of the payload.
pub(super) struct Receiving {
    pub(super) channel: Py<BaseChannel>,
    pub(super) want: Want,
    /// The message it has to be, if a header is at hand.
    pub(super) number: Option<u64>,
    at_end: AtEnd,
    pub(super) inbox: Option<Box<Inbox>>,
    pub(super) asked: Asked,
    pub(super) progress: Arc<Progress>,
}

/// What the job under way does.
pub(super) enum Asked {
    Nothing,
    ReadAhead,
    /// Fills this by the socket.
    Fill(Pinned),
    /// Fills this from the sender's memory, in which it begins here.
    Pull(Pinned, Failure, u64),
    /// Drops the rest of a payload.
    Discard,
}

impl Receiving {
    pub(super) fn new(channel: &Bound<'_, BaseChannel>, want: Want) -> Receiving {
        Receiving {
            channel: channel.clone().unbind(),
            want,
            number: None,
            at_end: AtEnd::Incomplete,
            inbox: None,
            asked: Asked::Nothing,
            progress: Progress::new(0, 0),
        }
    }

    /// Only of this message.
    pub(super) fn of(mut self, number: u64) -> Receiving {
        self.number = Some(number);
        self
    }

    /// As a step of a loop over messages.
    pub(super) fn or(mut self, at_end: AtEnd) -> Receiving {
        self.at_end = at_end;
        self
    }

    /// Go on from what has been read ahead, to the next job or the end.
    fn proceed(&mut self, py: Python<'_>, mut inbox: Box<Inbox>) -> PyResult<Next> {
        let channel = self.channel.get();
        if channel.greeting().theirs().is_none() {
            match inbox.hello() {
                Ok(Some(hello)) => channel.greeting().meet(hello),
                Ok(None) => return self.read_ahead(py, inbox, crate::wire::HELLO_LEN),
                Err(error) => return self.violation(py, inbox, &error),
            }
        }
        if matches!(self.want, Want::Hello) {
            self.inbox = Some(inbox);
            return Ok(Next::Done(py.None()));
        }
        loop {
            if self.number.is_some_and(|number| !inbox.is_at(number)) {
                self.inbox = Some(inbox);
                return Err(refused(
                    py,
                    "this message has been read or skipped already".to_owned(),
                ));
            }
            if inbox.pending.is_none() {
                let channel = self.channel.get();
                match inbox.front(|| channel.route().offerer(channel)) {
                    Ok(Front::Message) if inbox.is_large() => channel.route().look(channel),
                    // The sender of the one that was to come once more may have withdrawn it.
                    Ok(Front::Message) => continue,
                    Ok(Front::Needs(needed)) => return self.read_ahead(py, inbox, needed),
                    Ok(Front::Invitation(invitation)) => {
                        if !channel.route().follow(channel, &invitation) {
                            self.inbox = Some(inbox);
                            let text =
                                "the peer invites where nobody has asked for it, or once more";
                            return Err(channel.break_off(py, text.to_owned()));
                        }
                        continue;
                    }
                    Err(error) => return self.violation(py, inbox, &error),
                }
            }
            let pending = inbox.pending.take().expect("it has been parsed");
            let next = self.deliver(py, &mut inbox, pending);
            if let Some(next) = self.judge(py, next).transpose() {
                self.inbox = Some(inbox);
                return next;
            }
        }
    }

    /// A peer that breaks the format loses its connection.
    pub(super) fn judge<T>(&self, py: Python<'_>, result: PyResult<T>) -> PyResult<T> {
        result.map_err(|error| match is_ours(py, &error, "ProtocolError") {
            true => self.channel.get().break_off(py, error.value(py).to_string()),
            false => error,
        })
    }

    fn read_ahead(
        &mut self,
        py: Python<'_>,
        mut inbox: Box<Inbox>,
        needed: usize,
    ) -> PyResult<Next> {
        let next = match self.reserve_header(py, &mut inbox, needed) {
            Ok(None) => {
                self.asked = Asked::ReadAhead;
                Ok(Next::Move(inbox.read_ahead(needed)))
            }
            Ok(Some(next)) => Ok(next),
            Err(error) => Err(error),
        };
        self.inbox = Some(inbox);
        next
    }

    fn violation(
        &mut self,
        py: Python<'_>,
        inbox: Box<Inbox>,
        error: &WireError,
    ) -> PyResult<Next> {
        self.inbox = Some(inbox);
        self.closed(py).unwrap_or_else(|| Err(self.channel.get().break_off_for(py, error)))
    }

    pub(super) fn ended_within(&self, py: Python<'_>) -> PyResult<Next> {
        self.closed(py).unwrap_or_else(|| Err(self.channel.get().lose(py)))
    }

    /// What to say if this end was closed meanwhile: a peer may have gone for that, and who has
    /// offered something is forgotten with it.
    fn closed(&self, py: Python<'_>) -> Option<PyResult<Next>> {
        let is_open = self.stream().get().socket().handle().is_open();
        let end = || self.failed(py, exception(py, Error::Closed, "the channel"));
        (!is_open).then(|| end().map(|()| Next::End))
    }

    /// The peer has sent its last byte.
    fn ended(&self, py: Python<'_>) -> PyResult<Next> {
        let inbox = self.inbox.as_ref().expect("it is here between jobs");
        if inbox.pending.is_some() || inbox.again.is_some() || !inbox.unread().is_empty() {
            return self.ended_within(py);
        }
        match self.at_end {
            AtEnd::Incomplete => Err(incomplete(py, "the peer has ended the channel")),
            AtEnd::Loop => Ok(Next::End),
        }
    }
}

impl Script for Receiving {
    fn next(&mut self, py: Python<'_>, moved: Option<u64>) -> PyResult<Next> {
        let channel = self.channel.get();
        if self.inbox.is_none() {
            self.inbox = Some(channel.take_inbox(py)?);
            channel.say_hello();
        }
        match (std::mem::replace(&mut self.asked, Asked::Nothing), moved) {
            (Asked::ReadAhead, Some(0)) => return self.ended(py),
            (Asked::ReadAhead, Some(bytes)) => {
                self.inbox.as_mut().expect("it is here between jobs").filled(bytes);
            }
            (Asked::Fill(pinned), Some(_)) => {
                if let Some(next) = self.came(py, pinned, None)? {
                    return Ok(next);
                }
            }
            (Asked::Pull(pinned, failure, _), Some(_)) => {
                if let Some(next) = self.came(py, pinned, failure.get())? {
                    return Ok(next);
                }
            }
            (Asked::Discard, Some(_)) => {
                let mut inbox = self.inbox.take().expect("it is here between jobs");
                let done = self.discarded(py, &mut inbox);
                self.inbox = Some(inbox);
                if let Some(done) = done {
                    return Ok(done);
                }
            }
            _ => {}
        }
        let inbox = self.inbox.take().expect("it is here between jobs");
        self.proceed(py, inbox)
    }

    fn stream(&self) -> &Py<BaseStream> {
        self.channel.get().stream()
    }

    fn doing(&self) -> String {
        self.stream().get().doing(Direction::Receive)
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// What has come stays in the inbox, for the next call.
    fn may_pause(&self) -> bool {
        true
    }

    /// A loop that waits for a message ends when its channel is closed under it.
    fn failed(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        let channel = self.channel.get();
        if channel.is_ended_as_slow() {
            return Err(channel.check_end(py).expect_err("it has ended"));
        }
        channel.note_failure(py, &error);
        match self.at_end {
            AtEnd::Loop if is_ours(py, &error, "ClosedError") => Ok(()),
            _ => Err(error),
        }
    }

    fn wake_by(&mut self, _alarm: Alarm) -> bool {
        unreachable!("it never waits for a turn")
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.channel)?;
        match &self.want {
            Want::Into(Some(given)) => given.traverse(visit)?,
            Want::Message(allocation) | Want::Object(allocation) => allocation.traverse(visit)?,
            _ => {}
        }
        if let Asked::Fill(pinned) | Asked::Pull(pinned, ..) = &self.asked {
            pinned.traverse(visit)?;
        }
        match &self.inbox {
            Some(inbox) => inbox.traverse(visit),
            None => Ok(()),
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let Some(mut inbox) = self.inbox.take() else { return };
        let asked = std::mem::replace(&mut self.asked, Asked::Nothing);
        if let Some(pending) = &mut inbox.pending {
            match asked {
                Asked::Fill(pinned) => {
                    pending.interrupt(self.progress.transferred(), pinned.into_landing());
                }
                Asked::Pull(pinned, failure, start) => {
                    // What lies behind a piece that could not be read may have been.
                    let taken = match failure.get() {
                        Some(_) => start,
                        None => self.progress.transferred(),
                    };
                    pending.interrupt(taken, pinned.into_landing());
                }
                Asked::Discard => pending.taken = self.progress.transferred(),
                _ => {}
            }
        }
        self.channel.get().give_back(inbox);
    }
}
