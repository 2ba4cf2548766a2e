use bytes::{Buf, BufMut};
use rmpv::Value;
use smallvec::SmallVec;

use super::error::within;
use super::{Part, WireError, meta};

/// Bytes of a header that are always there.
pub const PREFIX_LEN: usize = 24;

/// What a message may have, beside its payload. A sender that is over them is told before a byte
/// moves; a peer that is loses its connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits;

impl Limits {
    /// Parts of one message.
    pub const PARTS: u64 = 64 * 1024;
    /// Bytes of the descriptions of all its parts.
    pub const DESCRIPTIONS: u64 = 4 * 1024 * 1024;
    /// Bytes of its meta.
    pub const META: u64 = 64 * 1024;
}

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Arrays.
    Arrays,
    /// An object: its pickle, and then its buffers.
    Object,
}

/// What comes before the payload of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// What it carries.
    pub kind: Kind,
    /// Its parts, in the order in which their bytes follow.
    pub parts: SmallVec<[Part; 1]>,
    /// A map, or nil for none.
    pub meta: Value,
    /// Bytes of all parts together.
    pub payload: u64,
}

/// How far a header has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// There are fewer than these bytes, without which nothing more can be said.
    Needs(usize),
    /// It is complete, and takes so many bytes.
    Header(Header, usize),
}

impl Header {
    /// A header that may be sent.
    pub fn new(kind: Kind, parts: SmallVec<[Part; 1]>, meta: Value) -> Result<Header, WireError> {
        within("parts", parts.len() as u64, Limits::PARTS)?;
        parts.iter().try_for_each(Part::check)?;
        check_kind(kind, &parts)?;
        let payload = payload(&parts)?;
        Ok(Header { kind, parts, meta, payload })
    }

    /// Bytes that it takes without its meta.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        PREFIX_LEN + self.parts.iter().map(Part::len).sum::<usize>()
    }

    /// Append the bytes to send.
    pub fn encode(&self, to: &mut Vec<u8>) -> Result<(), WireError> {
        let start = to.len();
        to.resize(start + PREFIX_LEN, 0);
        self.parts.iter().for_each(|part| part.encode(to));
        let descriptions = (to.len() - start - PREFIX_LEN) as u64;
        within("bytes of descriptions", descriptions, Limits::DESCRIPTIONS)?;
        let before_meta = to.len();
        meta::encode(&self.meta, to);
        let meta = (to.len() - before_meta) as u64;
        within("bytes of meta", meta, Limits::META)?;
        let mut prefix = &mut to[start..start + PREFIX_LEN];
        prefix.put_u8(match self.kind {
            Kind::Arrays => 1,
            Kind::Object => 2,
        });
        prefix.put_bytes(0, 3);
        prefix.put_u32_le(self.parts.len() as u32);
        prefix.put_u32_le(descriptions as u32);
        prefix.put_u32_le(meta as u32);
        prefix.put_u64_le(self.payload);
        Ok(())
    }

    /// The header at the front of `bytes`. Nothing is reserved for what has only been announced.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, WireError> {
        if bytes.len() < PREFIX_LEN {
            return Ok(Parsed::Needs(PREFIX_LEN));
        }
        let mut prefix = &bytes[..PREFIX_LEN];
        let kind = match prefix.get_u8() {
            1 => Kind::Arrays,
            2 => Kind::Object,
            _ => return Err(WireError::Nonsense("a message of an unknown kind")),
        };
        if prefix.get_uint_le(3) != 0 {
            return Err(WireError::Nonsense("flags that this version does not know"));
        }
        let parts = u64::from(prefix.get_u32_le());
        let descriptions = u64::from(prefix.get_u32_le());
        let meta = u64::from(prefix.get_u32_le());
        let announced = prefix.get_u64_le();
        within("parts", parts, Limits::PARTS)?;
        within("bytes of descriptions", descriptions, Limits::DESCRIPTIONS)?;
        within("bytes of meta", meta, Limits::META)?;
        let len = PREFIX_LEN + (descriptions + meta) as usize;
        if bytes.len() < len {
            return Ok(Parsed::Needs(len));
        }
        let (mut descriptions, meta) = bytes[PREFIX_LEN..len].split_at(descriptions as usize);
        // Not from `parts`: a part takes 8 bytes at least, and the number may lie.
        let mut all = SmallVec::with_capacity((parts as usize).min(descriptions.len() / 8));
        for _ in 0..parts {
            all.push(Part::parse(&mut descriptions)?);
        }
        if !descriptions.is_empty() {
            return Err(WireError::Nonsense("bytes are left behind the last description"));
        }
        check_kind(kind, &all)?;
        if payload(&all)? != announced {
            return Err(WireError::Nonsense("the parts do not make up the payload"));
        }
        let meta = meta::decode(meta)?;
        let header = Header { kind, parts: all, meta, payload: announced };
        Ok(Parsed::Header(header, len))
    }
}

fn check_kind(kind: Kind, parts: &[Part]) -> Result<(), WireError> {
    if kind == Kind::Arrays {
        Ok(())
    } else if parts.is_empty() {
        Err(WireError::Nonsense("an object without its pickle"))
    } else if parts.iter().all(Part::is_bytes) {
        Ok(())
    } else {
        Err(WireError::Nonsense("an object of something else than bytes"))
    }
}

fn payload(parts: &[Part]) -> Result<u64, WireError> {
    let total = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.nbytes()?));
    let total = total.filter(|&total| i64::try_from(total).is_ok());
    total.ok_or(WireError::Nonsense("arrays larger than any memory"))
}
