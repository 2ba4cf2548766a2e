use bytes::{Buf, BufMut};
use smallvec::SmallVec;

use crate::wire::{Part, WireError};

/// What of a message comes by the link, as its header says it: nothing about memory, so that
/// whoever is at the other end of the network connection cannot say what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByLink {
    /// Which offer of its sender's this is; not 0. It opens nothing.
    pub number: u64,
    /// Of each part, whether it comes by the link. The bytes of the others follow as usual.
    pub parts: SmallVec<[bool; 8]>,
}

impl ByLink {
    /// Bytes of the payload that follow the header as usual.
    pub fn inline(&self, parts: &[Part]) -> u64 {
        let inline = parts.iter().zip(&self.parts).filter(|&(_, &by_link)| !by_link);
        inline.filter_map(|(part, _)| part.nbytes()).sum()
    }

    /// Bytes behind the prefix of a header with so many parts.
    pub(in crate::wire) fn len(parts: usize) -> usize {
        8 + parts
    }

    pub(in crate::wire) fn encode(&self, to: &mut Vec<u8>) {
        to.put_u64_le(self.number);
        to.extend(self.parts.iter().map(|&by_link| u8::from(by_link)));
    }

    /// From all of its bytes.
    pub(in crate::wire) fn parse(mut from: &[u8]) -> Result<ByLink, WireError> {
        let number = from.get_u64_le();
        if number == 0 {
            return Err(WireError::Nonsense("an offer without a number"));
        }
        let way = |&byte: &u8| match byte {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Nonsense("a part that comes by no known way")),
        };
        Ok(ByLink { number, parts: from.iter().map(way).collect::<Result<_, _>>()? })
    }
}
