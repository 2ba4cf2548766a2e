//! What has come from the peer and has not been given out yet.
#![allow(unsafe_code)] // Reads the block that the kernel fills.

use std::slice;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::landing::Landing;
use super::reserving::Reservation;
use super::same_host::{Incoming, threshold};
use crate::mem::{Access, Block, Copying, Cursor, Dim, Region, Runs};
use crate::net::{Link, Progress};
use crate::py::job::Job;
use crate::py::payload::{Pin, Pins};
use crate::wire::{Header, Hello, Invitation, Parsed, WireError};

/// Bytes that are read at a time before it is known what they are: a header, and often a small
/// payload with it. What of a large one gets in here is copied, so it is kept small.
pub(super) const AHEAD: usize = 16 * 1024;

/// One receive at a time has it.
#[derive(Default)]
pub(super) struct Inbox {
    block: Option<Arc<Block>>,
    /// Of the block: what has been read and not been used.
    start: usize,
    end: usize,
    /// A message whose header has come, and whose payload has not all been given out.
    pub(super) pending: Option<Pending>,
    /// Messages so far, so that an old header is known for one.
    messages: u64,
    /// The message that is to come once more.
    pub(super) again: Option<Arc<Header>>,
    /// Memory for a header that comes.
    pub(super) reservation: Option<Reservation>,
}

/// What is at the front of the inbox.
pub(super) enum Front {
    /// Too little, as long as there are fewer than these bytes.
    Needs(usize),
    /// A message, which is pending now.
    Message,
    /// No message.
    Invitation(Invitation),
}

pub(super) struct Pending {
    pub(super) header: Arc<Header>,
    /// Which message it is.
    pub(super) number: u64,
    /// Bytes of the payload that were taken, by a call that was interrupted then.
    pub(super) taken: u64,
    /// Where they are.
    pub(super) landing: Option<Landing>,
    /// What of it comes by the link, for as long as it may be read there.
    pub(super) incoming: Option<Incoming>,
    /// It does not count: the sender has withdrawn it, or sends it once more.
    pub(super) void: bool,
    /// What it may use of the memory that it shares with others, and how much of that is for its
    /// header.
    pub(super) reservation: Option<Reservation>,
    pub(super) header_charge: u64,
}

impl Pending {
    /// Interrupted: what has come is there, and the next call goes on from it.
    pub(super) fn interrupt(&mut self, taken: u64, landing: Landing) {
        self.taken = taken;
        self.landing = if taken == 0 && landing.is_given() { None } else { Some(landing) };
    }

    /// Up to where its payload may be received into memory that we make.
    pub(super) fn reserved(&self) -> u64 {
        let reserved = |it: &Reservation| it.reserved().saturating_sub(self.header_charge);
        self.reservation.as_ref().map_or(u64::MAX, reserved)
    }

    /// Bytes of the payload that have not been taken.
    pub(super) fn left(&self) -> u64 {
        self.header.payload - self.taken
    }
}

impl Inbox {
    /// Bytes that nobody has used yet.
    pub(super) fn unread(&self) -> &[u8] {
        match &self.block {
            // SAFETY: the block is ours, `start..end` of it has been filled, and nobody writes
            // while no job of `read_ahead` is under way, which its borrower sees to.
            Some(block) => unsafe {
                slice::from_raw_parts(block.region().base.add(self.start), self.end - self.start)
            },
            None => &[],
        }
    }

    /// Whether the message at the front is one that its sender would offer.
    pub(super) fn is_large(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.header.payload >= threshold())
    }

    /// Whether nothing has come that has not been given out.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_none() && self.start == self.end
    }

    /// Whether the message of this number is the one at the front, or going to be.
    pub(super) fn is_at(&self, number: u64) -> bool {
        match &self.pending {
            Some(pending) => pending.number == number,
            None => self.again.is_some() && self.messages == number,
        }
    }

    /// Use up to `limit` of them.
    pub(super) fn consume(&mut self, limit: u64) -> Region {
        let len = usize::try_from(limit).unwrap_or(usize::MAX).min(self.end - self.start);
        let Some(block) = &self.block else { return Region { base: std::ptr::null_mut(), len: 0 } };
        let all = block.region();
        let region = Region { base: all.base.wrapping_add(self.start), len };
        self.start += len;
        region
    }

    /// Take the peer's hello, if it has come.
    pub(super) fn hello(&mut self) -> Result<Option<Hello>, WireError> {
        let Some((hello, len)) = Hello::parse(self.unread())? else { return Ok(None) };
        self.consume(len as u64);
        Ok(Some(hello))
    }

    /// Take what is at the front, if it has come. `offerer` is who may offer something.
    pub(super) fn front(
        &mut self,
        offerer: impl FnOnce() -> Option<Arc<Link>>,
    ) -> Result<Front, WireError> {
        let (mut header, len) = match Header::parse(self.unread())? {
            Parsed::Needs(len) => return Ok(Front::Needs(len)),
            Parsed::Invitation(invitation, len) => {
                self.consume(len as u64);
                return Ok(Front::Invitation(invitation));
            }
            Parsed::Header(header, len) => (header, len),
        };
        let incoming = match header.by_link.take() {
            Some(by_link) => {
                let nobody = WireError::Nonsense("an offer without a link");
                Some(Incoming::new(by_link, &offerer().ok_or(nobody)?))
            }
            None => None,
        };
        self.consume(len as u64);
        // Its sender may have withdrawn it instead.
        if self.again.take().is_none_or(|before| *before != header) {
            self.messages += 1;
        }
        let (header, number) = (Arc::new(header), self.messages);
        let (taken, landing, void) = (0, None, false);
        let reservation = self.reservation.take();
        let header_charge = reservation.as_ref().map_or(0, Reservation::reserved);
        self.pending = Some(Pending {
            header,
            number,
            taken,
            landing,
            incoming,
            void,
            reservation,
            header_charge,
        });
        Ok(Front::Message)
    }

    /// What reads more, with room for a frame of so many bytes in all, at the most twice of what
    /// has come: what has only been announced takes no memory.
    pub(super) fn read_ahead(&mut self, needed: usize) -> Job {
        let unread = self.end - self.start;
        // What has come is moved as often as it doubles, however little comes at a time.
        let has_room = self.block.as_ref().is_some_and(|block| {
            unread > 0 && self.end < block.len() && (self.start == 0 || unread > self.start)
        });
        if !has_room {
            self.make_room(needed.min(2 * unread).max(AHEAD));
        }
        let block = self.block.as_ref().expect("made above");
        let free = block.region().skip(self.end);
        // SAFETY: the block lives as long as the pins of the job, and nobody looks at what is
        // beyond `end` before it is over.
        let cursor = unsafe { Cursor::over(Access::Write, free) };
        Job::read_ahead(cursor, Pins::from_iter([Pin::Own(Arc::clone(block))]))
    }

    /// A job of `read_ahead` has come to its end.
    pub(super) fn filled(&mut self, bytes: u64) {
        self.end += bytes as usize;
    }

    /// Move what is unread to the front of the block, or of a new one.
    fn make_room(&mut self, wanted: usize) {
        let unread = self.unread();
        let (from, len) = (unread.as_ptr(), unread.len());
        let fits = self
            .block
            .as_ref()
            .is_some_and(|block| block.len() >= wanted && (len > 0 || block.len() == AHEAD));
        let old = if fits { None } else { self.block.replace(Arc::new(Block::new(wanted))) };
        let to = self.block.as_ref().expect("there is one").region().base;
        // SAFETY: `len` bytes that were filled, to a block with room for them; the old one lives
        // until the end of this function, and may be the same.
        unsafe { std::ptr::copy(from, to, len) };
        drop(old);
        (self.start, self.end) = (0, len);
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.pending.as_ref().and_then(|pending| pending.landing.as_ref()) {
            Some(landing) => landing.traverse(visit),
            None => Ok(()),
        }
    }
}

/// What reads and drops so many bytes.
pub(super) fn discard(nbytes: u64, progress: &Arc<Progress>) -> PyResult<Job> {
    const SCRATCH: usize = 64 * 1024;
    let block = Arc::new(Block::new(SCRATCH));
    let scratch = block.region();
    let rows = usize::try_from(nbytes / SCRATCH as u64).unwrap_or(usize::MAX);
    let rest = Region { len: (nbytes % SCRATCH as u64) as usize, ..scratch };
    let mut cursor = Cursor::new(Access::Write);
    // SAFETY: the block lives as long as the pins of the job. Rows that lie on one another are
    // what is meant: nobody reads them.
    let runs = unsafe {
        [
            Runs::new(scratch.base, 1, &[Dim::direct(rows, 0), Dim::direct(SCRATCH, 1)])
                .map_err(|error| PyValueError::new_err(error.to_string()))?,
            Runs::contiguous(rest),
        ]
    };
    for runs in runs {
        cursor.push(runs, Copying::Never).expect("a row is long");
    }
    Ok(Job::part_of(progress, cursor, Pins::from_iter([Pin::Own(block)])))
}
