//! What a receive does with a message whose header has come.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::prelude::*;

use super::inbox::{Inbox, Pending, discard};
use super::landing::{Fill, Landing, Pinned};
use super::message::Message;
use super::receiving::{Asked, Receiving};
use super::same_host::Standing;
use super::want::{Want, check_size, is_object, make, unpickle};
use crate::py::errors::refused;
use crate::py::script::Next;
use crate::wire::{Header, Kind};

/// Memory for a payload.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Made {
    Pinned(Pinned),
    /// There is none now: this is to be done first.
    Not(Next),
}

impl Receiving {
    /// A header has come: what to do with its payload, which stays pending until that is done. None
    /// if the rest of an earlier message is gone, and the next one is to come.
    pub(super) fn deliver(
        &mut self,
        py: Python<'_>,
        inbox: &mut Inbox,
        mut pending: Pending,
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
            Want::Message(_) | Want::Object(_) => match self.make(py, &mut pending) {
                Ok(Made::Pinned(pinned)) => Ok(pinned),
                Ok(Made::Not(next)) => {
                    inbox.pending = Some(pending);
                    return Ok(Some(next));
                }
                Err(error) => Err(error),
            },
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
        match pending.locate(py) {
            Ok(None) => {}
            Ok(Some(standing)) => return self.settled(py, inbox, pending, pinned, standing),
            Err(error) => {
                inbox.pending = Some(pending);
                return Err(self.channel.get().break_off_for(py, &error));
            }
        }
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
        if pinned.is_full(&pending) || pending.taken >= pinned.limit(&pending) {
            return self.filled(py, inbox, pending, pinned);
        }
        pending.tell_progress();
        self.fill(py, inbox, pending, pinned)
    }

    /// The job under way has ended.
    pub(super) fn came(
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

    /// Memory for the payload, as much as there may be now.
    fn make(&mut self, py: Python<'_>, pending: &mut Pending) -> PyResult<Made> {
        check_size(py, self.channel.get(), pending)?;
        if let Some(next) = self.reserve(py, pending)? {
            return Ok(Made::Not(next));
        }
        match &self.want {
            Want::Message(allocation) | Want::Object(allocation) => {
                make(py, pending, allocation).map(Made::Pinned)
            }
            _ => unreachable!("others have none made"),
        }
    }

    /// There is no room left in the landing: that was it, or there has to be more memory. The loop
    /// has its turn in between, however many parts there are.
    fn filled(
        &mut self,
        py: Python<'_>,
        inbox: &mut Inbox,
        mut pending: Pending,
        pinned: Pinned,
    ) -> PyResult<Option<Next>> {
        if pinned.landing().objects().len() < pending.header.parts.len()
            || !pinned.is_full(&pending)
        {
            pending.tell_progress();
            pending.landing = Some(pinned.into_landing());
            inbox.pending = Some(pending);
            return Ok(Some(Next::Turn));
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
        let standing = pending.judge(failure);
        if matches!(standing, Standing::Good) {
            self.channel.get().counters.bytes_pulled.fetch_add(pulled, Ordering::Relaxed);
        }
        self.settled(py, inbox, pending, pinned, standing)
    }

    /// It is known what the offer is worth.
    fn settled(
        &mut self,
        py: Python<'_>,
        inbox: &mut Inbox,
        pending: Pending,
        pinned: Pinned,
        standing: Standing,
    ) -> PyResult<Option<Next>> {
        match standing {
            Standing::Good => {
                let received = self.complete(py, &pending.header, pinned.landing())?;
                return Ok(Some(Next::Done(received)));
            }
            Standing::Gone => {
                inbox.pending = Some(pending);
                return self.ended_within(py).map(Some);
            }
            Standing::Unreadable => inbox.again = Some(Arc::clone(&pending.header)),
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
        (pending.landing, pending.reservation) = (None, None);
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
    pub(super) fn discarded(&mut self, py: Python<'_>, inbox: &mut Inbox) -> Option<Next> {
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
}
