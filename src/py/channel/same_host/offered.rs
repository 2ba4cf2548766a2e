//! What of a message comes by the link, and what by the socket.

use std::io;
use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use crate::mem::Region;
use crate::net::{Lapse, Link, Unread};
use crate::py::channel::inbox::Pending;
use crate::py::channel::message::nbytes;
use crate::wire::{ByLink, Offer, Verdict, WireError};

/// Bytes after which the sender hears how far its message has come.
const STRETCH: u64 = 128 * 1024 * 1024;

/// What a header has said comes by the link.
pub(in crate::py::channel) struct Incoming {
    by_link: ByLink,
    /// Where it lies, once its sender's memory was asked.
    offer: Option<Offer>,
    /// For as long as the channel is open.
    link: Weak<Link>,
}

/// What has become of an offer that was read.
pub(in crate::py::channel) enum Standing {
    /// It stood until it was read: what was read is the message.
    Good,
    /// The sender has withdrawn it.
    Withdrawn,
    /// It cannot be read, which the sender knows now: it sends the message once more.
    Unreadable,
    /// The sender is gone.
    Gone,
}

impl Incoming {
    pub(in crate::py::channel) fn new(by_link: ByLink, link: &Arc<Link>) -> Incoming {
        Incoming { by_link, offer: None, link: Arc::downgrade(link) }
    }

    /// None if the channel is closed.
    fn link(&self) -> Option<Arc<Link>> {
        self.link.upgrade().filter(|link| link.socket().handle().is_open())
    }

    fn answer(&self, verdict: Verdict) {
        if let Some(link) = self.link() {
            link.answer(self.by_link.number, verdict);
        }
    }
}

impl Pending {
    /// Ask the sender's memory where the bytes are, unless that is known. Gives what has become of
    /// the offer if it cannot be read; an error if it is another one than the header says.
    pub(in crate::py::channel) fn locate(
        &mut self,
        py: Python<'_>,
    ) -> Result<Option<Standing>, WireError> {
        let Some(incoming) = &mut self.incoming else { return Ok(None) };
        if incoming.offer.is_some() {
            return Ok(None);
        }
        let Some(link) = incoming.link() else { return Ok(Some(Standing::Gone)) };
        let (by_link, parts) = (&incoming.by_link, &self.header.parts);
        // What another process has mapped may take its time, however little it is.
        match py.detach(|| link.read(by_link, parts)) {
            Ok(offer) => {
                incoming.offer = Some(offer);
                Ok(None)
            }
            Err(Unread::Nonsense(error)) => Err(error),
            Err(Unread::Lapse(lapse)) => Ok(Some(self.lapsed(lapse))),
        }
    }

    /// Up to where the bytes from `taken` on come from the same place, and whether that is the
    /// sender's memory.
    pub(in crate::py::channel) fn stretch(&self, taken: u64, limit: u64) -> (u64, bool) {
        let Some(Incoming { by_link, .. }) = &self.incoming else { return (limit, false) };
        let mut end = 0;
        let mut source = None;
        for (part, &is_offered) in self.header.parts.iter().zip(&by_link.parts) {
            let (start, len) = (end, nbytes(part));
            if len > 0 && start + len > taken && *source.get_or_insert(is_offered) != is_offered {
                break;
            }
            end = start + len;
        }
        match source {
            Some(true) => (end.min(limit).min(taken + STRETCH), true),
            _ => (end.min(limit), false),
        }
    }

    /// Bytes of all that is offered.
    pub(in crate::py::channel) fn offered_bytes(&self) -> u64 {
        let incoming = self.incoming.as_ref();
        incoming
            .map_or(0, |incoming| self.header.payload - incoming.by_link.inline(&self.header.parts))
    }

    /// Where the bytes from `taken` to `end`, a stretch of them, lie in the sender's memory, and
    /// which process that is. None if the channel has been closed.
    pub(in crate::py::channel) fn sources(
        &self,
        taken: u64,
        end: u64,
    ) -> Option<(Vec<Region>, i32)> {
        let incoming = self.incoming.as_ref()?;
        let (offer, pid) = (incoming.offer.as_ref()?, incoming.link()?.pid());
        let mut runs = offer.runs.iter();
        let mut sources = Vec::new();
        let mut at = 0;
        for (part, &count) in self.header.parts.iter().zip(&offer.counts) {
            let mut start = at;
            at += nbytes(part);
            for run in runs.by_ref().take(count as usize) {
                let (from, to) = (start.max(taken), (start + run.len).min(end));
                if from < to {
                    let address = run.address + (from - start);
                    let base = std::ptr::without_provenance_mut(address as usize);
                    sources.push(Region { base, len: (to - from) as usize });
                }
                start += run.len;
            }
        }
        Some((sources, pid))
    }

    /// Read nothing more of what is offered: what is left is what comes by the socket.
    fn let_go(&mut self) -> Option<Incoming> {
        let incoming = self.incoming.take()?;
        let (mut at, mut left) = (0, 0);
        for (part, &is_offered) in self.header.parts.iter().zip(&incoming.by_link.parts) {
            let start = at;
            at += nbytes(part);
            if !is_offered {
                left += at.saturating_sub(start.max(self.taken));
            }
        }
        self.taken = self.header.payload - left;
        Some(incoming)
    }

    /// Nobody wants what is offered.
    pub(in crate::py::channel) fn release(&mut self) {
        if let Some(incoming) = self.let_go() {
            incoming.answer(Verdict::Done);
        }
    }

    /// All of it has been read, or by this error cannot be: what is that worth? Unless it is good,
    /// or the sender gone, the message is void.
    pub(in crate::py::channel) fn judge(&mut self, failure: Option<&io::Error>) -> Standing {
        let Some(incoming) = &self.incoming else { return Standing::Good };
        let Some(link) = incoming.link() else { return Standing::Gone };
        match (link.check(incoming.by_link.number), failure) {
            (Err(lapse), _) => self.lapsed(lapse),
            (Ok(()), Some(error)) => {
                self.lapsed(Lapse::Unreadable(error.raw_os_error().unwrap_or(libc::EFAULT)))
            }
            (Ok(()), None) => {
                incoming.answer(Verdict::Done);
                self.incoming = None;
                Standing::Good
            }
        }
    }

    fn lapsed(&mut self, lapse: Lapse) -> Standing {
        let standing = match lapse {
            Lapse::Gone => return Standing::Gone,
            Lapse::Withdrawn => Standing::Withdrawn,
            Lapse::Unreadable(_) => Standing::Unreadable,
        };
        self.void = true;
        if let (Some(incoming), Lapse::Unreadable(errno)) = (self.let_go(), lapse) {
            incoming.answer(Verdict::Unreadable(errno as u64));
        }
        standing
    }

    /// Tell the sender how far its message has come.
    pub(in crate::py::channel) fn tell_progress(&self) {
        if let Some(incoming) = &self.incoming {
            incoming.answer(Verdict::Progress(self.taken));
        }
    }
}
