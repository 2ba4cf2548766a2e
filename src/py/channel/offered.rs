//! What of a message lies in the sender's memory, and what comes by the socket.

use std::io;
use std::sync::Weak;

use super::inbox::Pending;
use super::message::nbytes;
use crate::mem::Region;
use crate::net::{Neighbour, unreadable};
use crate::wire::{Offer, Verdict};

/// Bytes after which the sender hears how far its message has come.
const STRETCH: u64 = 128 * 1024 * 1024;

/// What has become of an offer that was read.
pub(super) enum Standing {
    /// It stood until it was read: what was read is the message.
    Good,
    /// The sender has withdrawn it.
    Withdrawn,
    /// It cannot be read, which the sender knows now: it sends the message once more.
    Unreadable,
    /// The sender is gone.
    Gone,
}

impl Pending {
    /// Up to where the bytes from `taken` on come from the same place, and whether that is the
    /// sender's memory.
    pub(super) fn stretch(&self, taken: u64, limit: u64) -> (u64, bool) {
        let Some((offer, _)) = &self.offer else { return (limit, false) };
        let mut end = 0;
        let mut source = None;
        for (part, &count) in self.header.parts.iter().zip(&offer.counts) {
            let (start, len) = (end, nbytes(part));
            if len > 0 && start + len > taken {
                let is_offered = count > 0;
                if *source.get_or_insert(is_offered) != is_offered {
                    break;
                }
            }
            end = start + len;
        }
        match source {
            Some(true) => (end.min(limit).min(taken + STRETCH), true),
            _ => (end.min(limit), false),
        }
    }

    /// Bytes of all that is offered.
    pub(super) fn offered_bytes(&self) -> u64 {
        let offer = self.offer.as_ref();
        offer.map_or(0, |(offer, _)| self.header.payload - offer.inline(&self.header.parts))
    }

    /// Where the bytes from `taken` to `end`, a stretch of them, lie in the sender's memory, and
    /// which process that is. None if the channel has been closed.
    pub(super) fn sources(&self, taken: u64, end: u64) -> Option<(Vec<Region>, i32)> {
        let (offer, neighbour) = self.offer.as_ref()?;
        let pid = neighbour.upgrade()?.pid();
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
    fn let_go(&mut self) -> Option<(Offer, Weak<Neighbour>)> {
        let (offer, neighbour) = self.offer.take()?;
        let (mut at, mut left) = (0, 0);
        for (part, &count) in self.header.parts.iter().zip(&offer.counts) {
            let start = at;
            at += nbytes(part);
            if count == 0 {
                left += at.saturating_sub(start.max(self.taken));
            }
        }
        self.taken = self.header.payload - left;
        Some((offer, neighbour))
    }

    /// Nobody wants what is offered.
    pub(super) fn release(&mut self) {
        if let Some((offer, neighbour)) = self.let_go()
            && let Some(neighbour) = neighbour.upgrade()
        {
            neighbour.answer(offer.ticket, Verdict::Done);
        }
    }

    /// All of it has been read, or by this error cannot be: what is that worth? Unless it is good,
    /// or the sender gone, the message is void.
    pub(super) fn judge(&mut self, failure: Option<&io::Error>) -> Standing {
        let Some((offer, neighbour)) = &self.offer else { return Standing::Good };
        let Some(neighbour) = neighbour.upgrade() else { return Standing::Gone };
        let ticket = neighbour.ticket();
        let error = match (&ticket, failure) {
            (Ok(ticket), _) if *ticket != offer.ticket => {
                self.void = true;
                self.let_go();
                return Standing::Withdrawn;
            }
            (Ok(_), None) => {
                neighbour.answer(offer.ticket, Verdict::Done);
                self.offer = None;
                return Standing::Good;
            }
            (Err(error), _) if error.raw_os_error() == Some(libc::ESRCH) => return Standing::Gone,
            (Err(error), _) | (Ok(_), Some(error)) => error,
        };
        neighbour.answer(offer.ticket, unreadable(error));
        self.void = true;
        self.let_go();
        Standing::Unreadable
    }

    /// Tell the sender how far its message has come.
    pub(super) fn tell_progress(&self) {
        if let Some((offer, neighbour)) = &self.offer
            && let Some(neighbour) = neighbour.upgrade()
        {
            neighbour.answer(offer.ticket, Verdict::Progress(self.taken));
        }
    }
}
