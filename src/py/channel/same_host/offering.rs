//! A large message, offered to a peer on the same host instead of being sent.
#![allow(unsafe_code)] // Names the memory that an answer goes to.

use std::sync::Arc;

use pyo3::prelude::*;

use super::threshold;
use crate::mem::{Access, Block, Copying, Cursor, Runs};
use crate::net::{Link, Progress};
use crate::py::base::BaseStream;
use crate::py::channel::base::BaseChannel;
use crate::py::channel::composing::encode;
use crate::py::channel::layout;
use crate::py::job::Job;
use crate::py::payload::{Pin, Pins, push};
use crate::wire::{ANSWER_LEN, Answer, ByLink, Header, MAX_RUNS, Offer, Run, Verdict};

/// Room for an answer, and for a byte more: what is longer is none.
const ROOM: usize = ANSWER_LEN + 1;

/// A message that may be offered.
pub(in crate::py::channel) struct Large {
    pub(in crate::py::channel) header: Header,
    pub(in crate::py::channel) pins: Arc<Pins>,
    pub(in crate::py::channel) copying: Copying,
}

/// An offer that stands.
pub(in crate::py::channel) struct Offered {
    link: Arc<Link>,
    /// What the peer's answers come by.
    answers: Py<BaseStream>,
    number: u64,
    /// Bytes of what is offered.
    pub(in crate::py::channel) bytes: u64,
    /// Where the peer's answers go.
    answer: Arc<Block>,
}

impl Large {
    /// Offer its large parts, and send the others with the header. None if there are none that can
    /// be offered.
    pub(in crate::py::channel) fn offer(
        &self,
        py: Python<'_>,
        channel: &BaseChannel,
        link: Arc<Link>,
    ) -> PyResult<Option<(Job, Offered)>> {
        let mut offer = Offer::default();
        let mut inline = Vec::new();
        for (part, pin) in self.header.parts.iter().zip(self.pins.iter()) {
            let runs = layout::runs(pin, part)?;
            let count = name(&runs, self.copying, &mut offer.runs);
            offer.counts.push(count);
            if count == 0 {
                inline.push(runs);
            }
        }
        if offer.runs.is_empty() {
            return Ok(None);
        }
        let answers = channel.route().answers(py, &link)?;
        let parts = offer.counts.iter().map(|&count| count > 0).collect();
        // Before anything that can fail: what stands is withdrawn when it is dropped.
        let number = link.offer(&offer);
        let by_link = ByLink { number, parts };
        let bytes = self.header.payload - by_link.inline(&self.header.parts);
        let answer = Arc::new(Block::new(ROOM));
        let offered = Offered { link, answers, number, bytes, answer };
        let header = Header { by_link: Some(by_link), ..self.header.clone() };
        let (mut cursor, header) = encode(py, &header)?;
        for runs in inline {
            push(&mut cursor, runs, self.copying)?;
        }
        let progress = Progress::new(cursor.left() as u64, 0);
        let pins = Pins::from_iter([Pin::Shared(Arc::clone(&self.pins)), Pin::Header(header)]);
        Ok(Some((Job::part_of(&progress, cursor, pins), offered)))
    }
}

/// Name the runs of a part, if it is large and they are not too many; gives how many.
fn name(runs: &Runs, copying: Copying, all: &mut Vec<Run>) -> u32 {
    let is_direct = Cursor::is_staged(runs, copying).is_ok_and(|staged| !staged);
    if !is_direct || (runs.left() as u64) < threshold() {
        return 0;
    }
    let room = MAX_RUNS as usize - all.len();
    if runs.left() / runs.run_len() > room {
        return 0;
    }
    let before = all.len();
    let mut runs = runs.clone();
    while let Some(region) = runs.next_run(usize::MAX) {
        all.push(Run { address: region.base.addr() as u64, len: region.len as u64 });
    }
    (all.len() - before) as u32
}

impl Offered {
    /// By what the peer answers.
    pub(in crate::py::channel) fn stream(&self) -> &Py<BaseStream> {
        &self.answers
    }

    /// Wait for the peer's next answer.
    pub(in crate::py::channel) fn listen(&self) -> Job {
        let room = self.answer.region();
        // SAFETY: the block lives as long as the pins of the job, and nobody looks at it before
        // that is over.
        let cursor = unsafe { Cursor::over(Access::Write, room) };
        Job::read_ahead(cursor, Pins::from_iter([Pin::Own(Arc::clone(&self.answer))]))
    }

    /// What it says of this offer, in so many bytes; nothing, if it is about an earlier one, which
    /// was withdrawn.
    pub(in crate::py::channel) fn heard(&self, len: u64) -> Option<Verdict> {
        if len != ANSWER_LEN as u64 {
            return None;
        }
        let bytes = self.answer.region().base.cast::<[u8; ANSWER_LEN]>();
        // SAFETY: the block has that many bytes, which the job before has filled; no other is under
        // way.
        let answer = Answer::parse(&unsafe { bytes.read() })?;
        (answer.number == self.number).then_some(answer.verdict)
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        // Before what is pinned is let go of.
        self.link.withdraw();
    }
}
