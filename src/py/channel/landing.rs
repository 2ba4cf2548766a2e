//! The memory that a payload goes to.
#![allow(unsafe_code)] // Copies what was read ahead to it.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use smallvec::SmallVec;

use super::inbox::Pending;
use super::layout;
use super::message::{describe, nbytes};
use crate::mem::{Access, Block, Copying, Cursor, Region, Runs};
use crate::net::{Error, Failure, Progress, Pull};
use crate::py::convert;
use crate::py::errors::{exception, refused};
use crate::py::job::Job;
use crate::py::payload::{self, Pin, Pins, push};
use crate::wire::{Header, Order, Part};

/// One for each part.
pub(super) type Objects = SmallVec<[Py<PyAny>; 1]>;

/// Objects, one for each part.
pub(super) struct Landing {
    objects: Objects,
    maker: Maker,
}

/// Who has made the memory of a landing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// The caller has brought it.
    Caller,
    /// An allocator of the user's.
    Allocator,
    /// The core, for a dtype that it has checked.
    Core,
}

/// A landing whose memory is pinned, as far as it is not filled yet.
pub(super) struct Pinned {
    landing: Landing,
    /// The first object that is pinned.
    first: usize,
    pins: Arc<Pins>,
    copying: Copying,
}

/// What fills a landing.
pub(super) enum Fill {
    /// Nothing: it is full, or has to wait for memory.
    Full,
    /// Bytes that come by the socket.
    Receive(Job),
    /// Bytes of the sender's memory, and why they cannot be read, if they cannot.
    Pull(Job, Failure),
}

impl Landing {
    pub(super) fn new(objects: Objects, maker: Maker) -> Landing {
        Landing { objects, maker }
    }

    pub(super) fn objects(&self) -> &[Py<PyAny>] {
        &self.objects
    }

    pub(super) fn maker(&self) -> Maker {
        self.maker
    }

    /// Whether the caller has brought them.
    pub(super) fn is_given(&self) -> bool {
        self.maker == Maker::Caller
    }

    /// Whether it consists of the same objects.
    pub(super) fn is_same(&self, other: &Landing) -> bool {
        self.objects.len() == other.objects.len()
            && self.objects.iter().zip(&other.objects).all(|(mine, theirs)| mine.is(theirs))
    }

    /// Pin it from an object on, to be filled.
    pub(super) fn pin(self, py: Python<'_>, first: usize, copying: Copying) -> PyResult<Pinned> {
        let pin = |object: &Py<PyAny>| match self.maker {
            Maker::Core => Pin::of_our_own(object.bind(py)),
            Maker::Caller | Maker::Allocator => Pin::new(object.bind(py), Access::Write),
        };
        let pins = self.objects[first..].iter().map(pin).collect::<PyResult<Pins>>()?.into();
        Ok(Pinned { landing: self, first, pins, copying })
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.objects.iter().try_for_each(|object| visit.call(object))
    }
}

impl Pinned {
    /// The argument of `recv_into`.
    pub(super) fn given(out: &Bound<'_, PyAny>, copy: Option<bool>) -> PyResult<Pinned> {
        let objects = payload::items(out)?.into_iter().map(Bound::unbind).collect();
        Landing::new(objects, Maker::Caller).pin(out.py(), 0, convert::copying(copy))
    }

    pub(super) fn landing(&self) -> &Landing {
        &self.landing
    }

    pub(super) fn into_landing(self) -> Landing {
        self.landing
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.landing.traverse(visit)?;
        self.pins.traverse(visit)
    }

    /// Whether the message fits: in number, dtype and shape, or as plain bytes.
    pub(super) fn check(&self, py: Python<'_>, header: &Header) -> PyResult<()> {
        let (have, need) = (self.pins.len(), header.parts.len());
        if have != need {
            let parts = if need == 1 { "part" } else { "parts" };
            let text = format!("the message has {need} {parts}, and there is memory for {have}");
            return Err(refused(py, text));
        }
        for (index, (part, (pin, object))) in self.each(py, header).enumerate() {
            let mine = layout::describe(pin, object)?;
            let is_same = mine.dtype == part.dtype && mine.shape == part.shape;
            let fits = nbytes(&mine) == nbytes(part) && pin.nbytes() as u64 == nbytes(part);
            let fits = fits && (is_same || layout::is_raw(pin, object)?);
            if !fits {
                let (theirs, mine) = (describe(part), describe(&mine));
                let text = format!("part {index} is {theirs}; the memory for it is {mine}");
                return Err(refused(py, text));
            }
        }
        Ok(())
    }

    /// Whether an allocator has made what it was asked for.
    pub(super) fn check_made(&self, header: &Header) -> PyResult<()> {
        for (part, pin) in header.parts[self.first..].iter().zip(self.pins.iter()) {
            let made = pin.nbytes() as u64;
            if made != nbytes(part) {
                return Err(PyValueError::new_err(format!(
                    "the allocator gave {made} bytes for {}",
                    describe(part)
                )));
            }
        }
        Ok(())
    }

    /// What fills it from where the last job ended, with what has been read ahead first.
    pub(super) fn fill(
        &self,
        py: Python<'_>,
        pending: &mut Pending,
        unread: &mut dyn FnMut(u64) -> Region,
        progress: &Arc<Progress>,
    ) -> PyResult<Fill> {
        let header = Arc::clone(&pending.header);
        let mut runs = self.runs(py, &header)?;
        let behind = bytes_of(&header.parts[..self.first]);
        let room = behind + bytes_of(&header.parts[self.first..self.landing.objects.len()]);
        let left = match &pending.landing {
            Some(before) if self.landing.is_given() && !before.is_given() => {
                carry(py, before, &header, &mut runs, pending.taken)?
            }
            _ => skip(&mut runs, pending.taken - behind),
        };
        let rest: u64 = runs.iter().map(|runs| runs.left() as u64).sum();
        if left > 0 || Some(rest) != room.checked_sub(pending.taken) {
            // An allocator, or whoever else has an array of its, may have changed its shape.
            let text = "the memory that the message goes to has another size than it had";
            return Err(PyValueError::new_err(text));
        }
        // Before anything is taken from what has been read ahead.
        runs.iter().try_for_each(|runs| payload::check(runs, self.copying))?;
        pending.landing = None;
        progress.set(pending.taken, header.payload);
        let limit = room.min(self.limit(pending));
        while pending.taken < limit {
            let (end, is_offered) = pending.stretch(pending.taken, limit);
            if is_offered {
                let sources = pending.sources(pending.taken, end);
                let (from, pid) =
                    sources.ok_or_else(|| exception(py, Error::Closed, "the channel"))?;
                let failure = Failure::default();
                let cursor = self.cursor(runs, end - pending.taken)?;
                let pull = Pull::new(pid, cursor, from, &failure);
                let job = Job::pull_part_of(progress, pull, self.share_pins());
                return Ok(Fill::Pull(job, failure));
            }
            let ahead = unread(end - pending.taken);
            copy_in(&mut runs, ahead);
            pending.taken += ahead.len as u64;
            progress.set(pending.taken, header.payload);
            if pending.taken < end {
                let cursor = self.cursor(runs, end - pending.taken)?;
                return Ok(Fill::Receive(Job::part_of(progress, cursor, self.share_pins())));
            }
        }
        Ok(Fill::Full)
    }

    /// Whether what has come fills it.
    pub(super) fn is_full(&self, pending: &Pending) -> bool {
        bytes_of(&pending.header.parts[..self.landing.objects.len()]) == pending.taken
    }

    /// Up to where the payload may come now: memory that we make is not reserved all at once.
    pub(super) fn limit(&self, pending: &Pending) -> u64 {
        if self.landing.is_given() { u64::MAX } else { pending.reserved() }
    }

    /// The next so many bytes of it.
    fn cursor(&self, runs: SmallVec<[Runs; 1]>, mut nbytes: u64) -> PyResult<Cursor> {
        let mut cursor = Cursor::new(Access::Write);
        for mut runs in runs {
            runs.truncate(usize::try_from(nbytes).unwrap_or(usize::MAX));
            nbytes -= runs.left() as u64;
            push(&mut cursor, runs, self.copying)?;
        }
        Ok(cursor)
    }

    fn share_pins(&self) -> Pins {
        Pins::from_iter([Pin::Shared(Arc::clone(&self.pins))])
    }

    /// Where the bytes of each part go, in the order in which they come.
    fn runs(&self, py: Python<'_>, header: &Header) -> PyResult<SmallVec<[Runs; 1]>> {
        let mut all = SmallVec::new();
        for (part, (pin, object)) in self.each(py, header) {
            let order = order_in(part, pin, object)?;
            // What belongs to no field of the caller's array may be another column of a table.
            let fields = if self.landing.is_given() { part.fields() } else { None };
            let runs = pin.runs(order)?;
            all.push(match fields {
                Some(fields) if !layout::is_raw(pin, object)? => runs.with_fields(&fields),
                _ => runs,
            });
        }
        Ok(all)
    }

    /// What is pinned, and the part that it is for.
    fn each<'a, 'py: 'a>(
        &'a self,
        py: Python<'py>,
        header: &'a Header,
    ) -> impl Iterator<Item = (&'a Part, (&'a Pin, &'a Bound<'py, PyAny>))> {
        let objects = self.landing.objects[self.first..].iter().map(move |it| it.bind(py));
        header.parts[self.first..].iter().zip(self.pins.iter().zip(objects))
    }
}

/// Bytes of some parts together.
pub(super) fn bytes_of(parts: &[Part]) -> u64 {
    parts.iter().map(nbytes).sum()
}

/// Memory without a shape takes the bytes as they come.
fn order_in(part: &Part, pin: &Pin, object: &Bound<'_, PyAny>) -> PyResult<Order> {
    let as_they_come = part.order == Order::C || layout::is_raw(pin, object)?;
    Ok(if as_they_come { Order::C } else { part.order })
}

/// Move on by so many bytes; gives how many there were too many.
fn skip(runs: &mut [Runs], mut nbytes: u64) -> u64 {
    for runs in runs {
        let len = nbytes.min(runs.left() as u64);
        runs.skip(len as usize);
        nbytes -= len;
    }
    nbytes
}

fn copy_in(all: &mut [Runs], mut from: Region) {
    for runs in all {
        let len = from.len.min(runs.left());
        // SAFETY: `from` is of our own, where nobody writes now; `runs` is pinned memory of
        // somebody else's.
        unsafe { runs.copy_in(Region { len, ..from }) };
        from = from.skip(len);
    }
}

/// Bring over what an interrupted call has received into memory of its own.
fn carry(
    py: Python<'_>,
    before: &Landing,
    header: &Header,
    to: &mut [Runs],
    mut nbytes: u64,
) -> PyResult<u64> {
    let block = Block::new(64 * 1024);
    for ((object, part), to) in before.objects.iter().zip(&header.parts).zip(to) {
        let pin = Pin::new(object.bind(py), Access::Read)?;
        let mut from = pin.runs(part.order)?;
        from.truncate(usize::try_from(nbytes).unwrap_or(usize::MAX));
        nbytes -= from.left() as u64;
        while from.left() > 0 {
            // SAFETY: the block is ours alone, and both arrays are pinned.
            unsafe {
                let len = from.copy_out(block.region());
                to.copy_in(Region { len, ..block.region() });
            }
        }
    }
    Ok(nbytes)
}
