//! The script of a call that receives.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::exceptions::{PyStopAsyncIteration, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::base::BaseChannel;
use super::inbox::{Front, Inbox, Pending, discard};
use super::landing::{Fill, Landing, Pinned};
use super::message::Message;
use super::offered::Standing;
use super::want::{AtEnd, Want, is_object, make, unpickle};
use crate::net::{Failure, Progress};
use crate::py::base::BaseStream;
use crate::py::errors::{incomplete, is_ours, refused};
use crate::py::script::{Alarm, Next, Script};
use crate::wire::{Header, Kind, WireError};

/// One receive, from the first byte of a header to the last of the payload.
pub(super) struct Receiving {
    channel: Py<BaseChannel>,
    want: Want,
    /// The message it has to be, if a header is at hand.
    number: Option<u64>,
    at_end: AtEnd,
    inbox: Option<Box<Inbox>>,
    asked: Asked,
    progress: Arc<Progress>,
}

/// What the job under way does.
enum Asked {
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
        if channel.theirs().is_none() {
            match inbox.hello() {
                Ok(Some(hello)) => channel.meet(hello),
                Ok(None) => return Ok(self.read_ahead(inbox, crate::wire::HELLO_LEN)),
                Err(error) => return Err(self.violation(py, inbox, &error)),
            }
        }
        if matches!(self.want, Want::Hello) {
            self.inbox = Some(inbox);
            return Ok(Next::Done(py.None()));
        }
        loop {
            if let Some(number) = self.number
                && !inbox.is_at(number)
            {
                self.inbox = Some(inbox);
                return Err(refused(
                    py,
                    "this message has been read or skipped already".to_owned(),
                ));
            }
            if inbox.pending.is_none() {
                match inbox.front(|| self.channel.get().neighbour()) {
                    Ok(Front::Message) => {}
                    Ok(Front::Needs(needed)) => return Ok(self.read_ahead(inbox, needed)),
                    Ok(Front::Invitation(invitation)) => {
                        if let Err(error) = self.channel.get().follow(py, &invitation) {
                            self.inbox = Some(inbox);
                            return Err(error);
                        }
                        continue;
                    }
                    Err(error) => return Err(self.violation(py, inbox, &error)),
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
    fn judge<T>(&self, py: Python<'_>, result: PyResult<T>) -> PyResult<T> {
        result.map_err(|error| match is_ours(py, &error, "ProtocolError") {
            true => self.channel.get().break_off(py, error.value(py).to_string()),
            false => error,
        })
    }

    fn read_ahead(&mut self, mut inbox: Box<Inbox>, needed: usize) -> Next {
        let job = inbox.read_ahead(needed);
        self.inbox = Some(inbox);
        self.asked = Asked::ReadAhead;
        Next::Move(job)
    }

    fn violation(&mut self, py: Python<'_>, inbox: Box<Inbox>, error: &WireError) -> PyErr {
        self.inbox = Some(inbox);
        self.channel.get().break_off_for(py, error)
    }

    /// A header has come: what to do with its payload, which stays pending until that is done. None
    /// if the rest of an earlier message is gone, and the next one is to come.
    fn deliver(
        &mut self,
        py: Python<'_>,
        inbox: &mut Inbox,
        pending: Pending,
    ) -> PyResult<Option<Next>> {
        if self.is_broken_off(&pending) {
            if self.number.is_some() && !matches!(self.want, Want::Nothing) {
                inbox.pending = Some(pending);
                return Err(refused(
                    py,
                    "the first bytes of this message went to a call that was interrupted: read it \
                     into the same memory if it was a read_into, or skip() the rest"
                        .to_owned(),
                ));
            }
            return self.discard(py, inbox, pending);
        }
        let header = Arc::clone(&pending.header);
        let ready = match &mut self.want {
            Want::Nothing => return self.discard(py, inbox, pending),
            Want::Header(make) => {
                let made = make(py, &self.channel, &header, pending.number);
                inbox.pending = Some(pending);
                return made.map(|header| Some(Next::Done(header)));
            }
            Want::Into(given) => match given.take() {
                Some(_) if header.kind == Kind::Object => Err(is_object(py)),
                Some(given) => given.check(py, &header).map(|()| given),
                None => unreachable!("a script ends with its landing"),
            },
            Want::Message(_) if header.kind == Kind::Object => Err(is_object(py)),
            Want::Object(_) if header.kind == Kind::Arrays => Err(refused(
                py,
                "this message has arrays: receive it by recv or recv_into".to_owned(),
            )),
            Want::Message(allocation) | Want::Object(allocation) => {
                make(py, self.channel.get(), &pending, allocation)
            }
            Want::Hello => unreachable!("satisfied before"),
        };
        match ready {
            Ok(pinned) => self.fill(py, inbox, pending, pinned),
            Err(error) => {
                inbox.pending = Some(pending);
                Err(error)
            }
        }
    }

    fn fill(
        &mut self,
        py: Python<'_>,
        inbox: &mut Inbox,
        mut pending: Pending,
        pinned: Pinned,
    ) -> PyResult<Option<Next>> {
        let mut unread = |limit| inbox.consume(limit);
        let filling = pinned.fill(py, &mut pending, &mut unread, &self.progress);
        let (asked, job) = match filling {
            Ok(Fill::Full) => return self.filled(py, inbox, pending, pinned),
            Ok(Fill::Receive(job)) => (Asked::Fill(pinned), job),
            Ok(Fill::Pull(job, failure)) => (Asked::Pull(pinned, failure, pending.taken), job),
            Err(error) => {
                inbox.pending = Some(pending);
                return Err(error);
            }
        };
        inbox.pending = Some(pending);
        self.asked = asked;
        Ok(Some(Next::Move(job)))
    }

    /// Some of it has come.
    fn go_on(
        &mut self,
        py: Python<'_>,
        inbox: &mut Inbox,
        mut pending: Pending,
        pinned: Pinned,
        failure: Option<&io::Error>,
    ) -> PyResult<Option<Next>> {
        if failure.is_some() {
            return self.settle(py, inbox, pending, pinned, failure);
        }
        pending.taken = self.progress.transferred();
        if pinned.is_full(&pending) {
            return self.filled(py, inbox, pending, pinned);
        }
        pending.tell_progress();
        self.fill(py, inbox, pending, pinned)
    }

    /// The job under way has ended.
    fn came(
        &mut self,
        py: Python<'_>,
        pinned: Pinned,
        failure: Option<&io::Error>,
    ) -> PyResult<Option<Next>> {
        let mut inbox = self.inbox.take().expect("it is here between jobs");
        let pending = inbox.pending.take().expect("it stays until it is filled");
        let next = self.go_on(py, &mut inbox, pending, pinned, failure);
        self.inbox = Some(inbox);
        self.judge(py, next)
    }

    /// There is no room left in the landing: that was it, or there has to be more memory.
    fn filled(
        &mut self,
        py: Python<'_>,
        inbox: &mut Inbox,
        mut pending: Pending,
        pinned: Pinned,
    ) -> PyResult<Option<Next>> {
        if pinned.landing().objects().len() < pending.header.parts.len() {
            pending.tell_progress();
            pending.landing = Some(pinned.into_landing());
            return self.deliver(py, inbox, pending);
        }
        self.settle(py, inbox, pending, pinned, None)
    }

    /// All has come, or this is why it cannot: whether it is the message.
    fn settle(
        &mut self,
        py: Python<'_>,
        inbox: &mut Inbox,
        mut pending: Pending,
        pinned: Pinned,
        failure: Option<&io::Error>,
    ) -> PyResult<Option<Next>> {
        let pulled = pending.offered_bytes();
        match pending.judge(failure) {
            Standing::Good => {
                self.channel.get().counters.bytes_pulled.fetch_add(pulled, Ordering::Relaxed);
                let received = self.complete(py, &pending.header, pinned.landing())?;
                return Ok(Some(Next::Done(received)));
            }
            Standing::Gone => {
                inbox.pending = Some(pending);
                return Err(self.ended_within(py));
            }
            Standing::Unreadable => inbox.again = true,
            Standing::Withdrawn if self.number.is_some() => {
                inbox.pending = Some(pending);
                return Err(refused(py, "the sender has withdrawn this message".to_owned()));
            }
            Standing::Withdrawn => {}
        }
        if matches!(self.want, Want::Into(_)) {
            // For the message that comes instead.
            self.want = Want::Into(Some(pinned));
        }
        self.discard(py, inbox, pending)
    }

    /// Whether an earlier call has dropped the start of the message, or left it in memory of its
    /// user's, which is not that of this call.
    fn is_broken_off(&self, pending: &Pending) -> bool {
        let Some(before) = &pending.landing else { return pending.taken > 0 };
        if !before.is_given() {
            return false;
        }
        match &self.want {
            Want::Into(Some(given)) => !given.landing().is_same(before),
            _ => true,
        }
    }

    /// Drop what is left of the payload.
    fn discard(
        &mut self,
        py: Python<'_>,
        inbox: &mut Inbox,
        mut pending: Pending,
    ) -> PyResult<Option<Next>> {
        pending.release();
        pending.taken += inbox.consume(pending.left()).len as u64;
        pending.landing = None;
        let left = pending.left();
        self.progress.set(pending.taken, pending.header.payload);
        inbox.pending = Some(pending);
        if left == 0 {
            return Ok(self.discarded(py, inbox));
        }
        self.asked = Asked::Discard;
        Ok(Some(Next::Move(discard(left, &self.progress)?)))
    }

    /// The rest of a message is gone. None if that was not all.
    fn discarded(&mut self, py: Python<'_>, inbox: &mut Inbox) -> Option<Next> {
        if inbox.pending.take().is_some_and(|pending| !pending.void) {
            self.channel.get().counters.messages_skipped.fetch_add(1, Ordering::Relaxed);
        }
        self.progress.set(0, 0);
        matches!(self.want, Want::Nothing).then(|| Next::Done(py.None()))
    }

    fn complete(
        &self,
        py: Python<'_>,
        header: &Arc<Header>,
        landing: &Landing,
    ) -> PyResult<Py<PyAny>> {
        let counters = &self.channel.get().counters;
        counters.messages_received.fetch_add(1, Ordering::Relaxed);
        counters.bytes_received.fetch_add(header.payload, Ordering::Relaxed);
        match self.want {
            Want::Object(_) => unpickle(py, landing.objects()),
            _ => Message::of(py, header, landing.objects()),
        }
    }

    fn ended_within(&self, py: Python<'_>) -> PyErr {
        incomplete(py, "the peer ended the channel in the middle of a message")
    }

    /// The peer has sent its last byte.
    fn ended(&self, py: Python<'_>) -> PyErr {
        let inbox = self.inbox.as_ref().expect("it is here between jobs");
        if inbox.pending.is_some() || inbox.again || !inbox.unread().is_empty() {
            return self.ended_within(py);
        }
        match self.at_end {
            AtEnd::Incomplete => incomplete(py, "the peer has ended the channel"),
            AtEnd::StopIteration => PyStopIteration::new_err(()),
            AtEnd::StopAsyncIteration => PyStopAsyncIteration::new_err(()),
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
            (Asked::ReadAhead, Some(0)) => return Err(self.ended(py)),
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

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// A loop that waits for a message ends when its channel is closed under it.
    fn failed(&self, py: Python<'_>, error: PyErr) -> PyErr {
        match self.at_end {
            AtEnd::StopIteration if is_ours(py, &error, "ClosedError") => {
                PyStopIteration::new_err(())
            }
            AtEnd::StopAsyncIteration if is_ours(py, &error, "ClosedError") => {
                PyStopAsyncIteration::new_err(())
            }
            _ => error,
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
