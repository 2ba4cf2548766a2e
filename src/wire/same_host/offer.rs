//! The record of an offer: where the bytes of a message lie, in the words of the process that has
//! them. It is read in that process's memory, and comes by no connection.

use bytes::{Buf, BufMut};
use smallvec::SmallVec;

use super::ByLink;
use crate::wire::error::within;
use crate::wire::{Part, WireError};

/// Pieces of memory that one offer may name.
pub const MAX_RUNS: u64 = 64 * 1024;

/// Bytes that say how many runs a part has.
const COUNT_LEN: usize = 8;

/// Bytes of a run.
const RUN_LEN: usize = 16;

/// Where the bytes of some parts lie in the sender's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// How many runs each part has; 0 for one whose bytes come with the header.
    pub counts: SmallVec<[u32; 1]>,
    /// The runs of all parts, in their order.
    pub runs: Vec<Run>,
}

/// A piece of the sender's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its address in the sender's process.
    pub address: u64,
    /// Bytes, at least one.
    pub len: u64,
}

impl Offer {
    /// The record to show, in the machine's byte order.
    pub fn encode(&self) -> Vec<u8> {
        let len = COUNT_LEN * self.counts.len() + RUN_LEN * self.runs.len();
        let mut bytes = Vec::with_capacity(len);
        self.counts.iter().for_each(|&count| bytes.put_u64_ne(count.into()));
        for run in &self.runs {
            bytes.put_u64_ne(run.address);
            bytes.put_u64_ne(run.len);
        }
        bytes
    }

    /// Whether a record of a message of so many parts may have so many bytes: gives them.
    pub fn check_len(len: u64, parts: usize) -> Result<usize, WireError> {
        let wrong = WireError::Nonsense("an offer of another length");
        let runs = len.checked_sub((COUNT_LEN * parts) as u64).ok_or(wrong.clone())?;
        within("runs of memory", runs / RUN_LEN as u64, MAX_RUNS)?;
        if runs % RUN_LEN as u64 == 0 { Ok(len as usize) } else { Err(wrong) }
    }

    /// From a record of such a length: just the bytes of each part that comes by the link.
    pub fn parse(record: &[u8], parts: &[Part], by_link: &ByLink) -> Result<Offer, WireError> {
        Offer::check_len(record.len() as u64, parts.len())?;
        let (mut counts, runs) = record.split_at(COUNT_LEN * parts.len());
        let counts = parts.iter().map(|_| u32::try_from(counts.get_u64_ne()));
        let counts = counts.collect::<Result<_, _>>();
        let counts = counts.map_err(|_| WireError::Nonsense("more runs than there are"))?;
        let runs = runs.chunks_exact(RUN_LEN).map(|mut run| {
            let (address, len) = (run.get_u64_ne(), run.get_u64_ne());
            Run { address, len }
        });
        let offer = Offer { counts, runs: runs.collect() };
        offer.check(parts, by_link)?;
        Ok(offer)
    }

    fn check(&self, parts: &[Part], by_link: &ByLink) -> Result<(), WireError> {
        if by_link.parts.len() != parts.len() {
            return Err(WireError::Nonsense("an offer of another length"));
        }
        let mut runs = &self.runs[..];
        for ((part, &count), &is_offered) in parts.iter().zip(&self.counts).zip(&by_link.parts) {
            let taken = runs.split_at_checked(count as usize);
            let (mine, rest) = taken.ok_or(WireError::Nonsense("more runs than there are"))?;
            runs = rest;
            if !is_offered && count > 0 {
                return Err(WireError::Nonsense(
                    "an offer of a part that does not come by the link",
                ));
            }
            let total = mine.iter().try_fold(0u64, |sum, run| {
                run.address.checked_add(run.len).filter(|_| run.len > 0)?;
                sum.checked_add(run.len)
            });
            if is_offered && total != part.nbytes() {
                return Err(WireError::Nonsense("runs that do not make up their part"));
            }
        }
        if runs.is_empty() { Ok(()) } else { Err(WireError::Nonsense("runs of no part")) }
    }
}
