//! What a message says instead of its payload's bytes, to a peer on the same host.

use bytes::{Buf, BufMut};
use smallvec::SmallVec;

use super::error::within;
use super::{Part, WireError};

/// Pieces of memory that one message may name.
pub const MAX_RUNS: u64 = 64 * 1024;

/// Bytes of an offer that stand right behind the prefix of its header.
pub(super) const OFFER_LEN: usize = 16;

/// Bytes of an invitation behind the prefix.
const INVITATION_LEN: usize = 88;

/// Where the bytes of some parts lie in the sender's memory. Those of the other parts follow as
/// usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// What stands in the sender's memory for as long as the offer does; not 0.
    pub ticket: u64,
    /// How many runs each part has; 0 for one whose bytes follow.
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

/// What a sender says before its first offer: how to reach it otherwise than by this connection,
/// and how to know that it is the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The abstract unix socket that it listens on.
    pub name: [u8; 16],
    /// What to say there.
    pub secret: [u8; 32],
    /// The address of 32 bytes in its process, with the ticket behind them.
    pub address: u64,
    /// Those bytes.
    pub nonce: [u8; 32],
}

impl Offer {
    /// Bytes of the payload that follow the header as usual.
    pub fn inline(&self, parts: &[Part]) -> u64 {
        let inline = parts.iter().zip(&self.counts).filter(|&(_, &count)| count == 0);
        inline.filter_map(|(part, _)| part.nbytes()).sum()
    }

    /// Bytes behind the header's meta.
    pub(super) fn tail_len(parts: usize, runs: usize) -> usize {
        4 * parts + 16 * runs
    }

    pub(super) fn encode_head(&self, to: &mut Vec<u8>) {
        to.put_u64_le(self.ticket);
        to.put_u32_le(self.runs.len() as u32);
        to.put_u32_le(0);
    }

    pub(super) fn encode_tail(&self, to: &mut Vec<u8>) {
        self.counts.iter().for_each(|&count| to.put_u32_le(count));
        for run in &self.runs {
            to.put_u64_le(run.address);
            to.put_u64_le(run.len);
        }
    }

    /// The ticket, and how many runs there are.
    pub(super) fn parse_head(mut head: &[u8]) -> Result<(u64, usize), WireError> {
        let (ticket, runs, rest) = (head.get_u64_le(), head.get_u32_le(), head.get_u32_le());
        within("runs of memory", runs.into(), MAX_RUNS)?;
        if ticket == 0 || rest != 0 {
            return Err(WireError::Nonsense("an offer without a ticket"));
        }
        Ok((ticket, runs as usize))
    }

    pub(super) fn parse_tail(
        ticket: u64,
        mut tail: &[u8],
        parts: &[Part],
    ) -> Result<Offer, WireError> {
        let counts: SmallVec<[u32; 1]> = parts.iter().map(|_| tail.get_u32_le()).collect();
        let runs = tail.chunks_exact(16).map(|mut run| {
            let (address, len) = (run.get_u64_le(), run.get_u64_le());
            Run { address, len }
        });
        let offer = Offer { ticket, counts, runs: runs.collect() };
        offer.check(parts)?;
        Ok(offer)
    }

    /// Whether each part that is offered has just its bytes.
    fn check(&self, parts: &[Part]) -> Result<(), WireError> {
        let mut runs = &self.runs[..];
        for (part, &count) in parts.iter().zip(&self.counts) {
            let taken = runs.split_at_checked(count as usize);
            let (mine, rest) = taken.ok_or(WireError::Nonsense("more runs than there are"))?;
            runs = rest;
            let total = mine.iter().try_fold(0u64, |sum, run| {
                run.address.checked_add(run.len).filter(|_| run.len > 0)?;
                sum.checked_add(run.len)
            });
            if count > 0 && total != part.nbytes() {
                return Err(WireError::Nonsense("runs that do not make up their part"));
            }
        }
        if runs.is_empty() { Ok(()) } else { Err(WireError::Nonsense("runs of no part")) }
    }
}

impl Invitation {
    /// The bytes to send; they go as a frame of its own, between messages.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(super::PREFIX_LEN + INVITATION_LEN);
        super::message::put_prefix(&mut bytes, 3, 0, [0, 0, INVITATION_LEN as u32], 0);
        bytes.put_slice(&self.name);
        bytes.put_slice(&self.secret);
        bytes.put_u64_le(self.address);
        bytes.put_slice(&self.nonce);
        bytes
    }

    pub(super) fn check_len(len: u64) -> Result<(), WireError> {
        if len == INVITATION_LEN as u64 {
            return Ok(());
        }
        Err(WireError::Nonsense("an invitation of another length"))
    }

    /// From all of its bytes behind the prefix.
    pub(super) fn parse(mut from: &[u8]) -> Invitation {
        let (mut name, mut secret, mut nonce) = ([0; 16], [0; 32], [0; 32]);
        from.copy_to_slice(&mut name);
        from.copy_to_slice(&mut secret);
        let address = from.get_u64_le();
        from.copy_to_slice(&mut nonce);
        Invitation { name, secret, address, nonce }
    }
}
