use bytes::{Buf, BufMut};

/// Bytes of an answer.
pub const ANSWER_LEN: usize = 24;

/// What the receiver of an offer says of it, by the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which offer this is about.
    pub number: u64,
    /// What has become of it.
    pub verdict: Verdict,
}

/// What has become of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is received, or not wanted: the memory is free.
    Done,
    /// So many bytes of the payload are received.
    Progress(u64),
    /// It cannot be read, by this error of the system (errno(3)): send it as usual.
    Unreadable(u64),
}

impl Answer {
    /// The bytes to send.
    pub fn encode(&self) -> [u8; ANSWER_LEN] {
        let (verdict, value) = match self.verdict {
            Verdict::Done => (1, 0),
            Verdict::Progress(bytes) => (2, bytes),
            Verdict::Unreadable(errno) => (3, errno),
        };
        let mut bytes = [0; ANSWER_LEN];
        let mut to = &mut bytes[..];
        to.put_u64_le(self.number);
        to.put_u64_le(verdict);
        to.put_u64_le(value);
        bytes
    }

    /// From such bytes; None if they mean nothing.
    pub fn parse(bytes: &[u8; ANSWER_LEN]) -> Option<Answer> {
        let mut from = &bytes[..];
        let (number, verdict, value) = (from.get_u64_le(), from.get_u64_le(), from.get_u64_le());
        let verdict = match verdict {
            1 => Verdict::Done,
            2 => Verdict::Progress(value),
            3 => Verdict::Unreadable(value),
            _ => return None,
        };
        Some(Answer { number, verdict })
    }
}
