use bytes::{Buf, BufMut};
use rmpv::Value;
use smallvec::SmallVec;

use super::error::within;
use super::{ByLink, Invitation, Part, WireError, meta};

/// Bytes of a header that are always there.
pub const PREFIX_LEN: usize = 24;

/// The flag of a header whose payload is offered, in part or in whole.
const OFFERED: u32 = 1;

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
    /// Bytes of one item of each part that belong to no field.
    pub const PADDING: u64 = 1024 * 1024;
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
    /// Which of them come by the link, to a peer on the same host.
    pub by_link: Option<ByLink>,
}

/// How far a header has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// There are fewer than these bytes, without which nothing more can be said.
    Needs(usize),
    /// It is complete, and takes so many bytes.
    Header(Header, usize),
    /// It is no header, but an invitation.
    Invitation(Invitation, usize),
}

impl Header {
    /// A header that may be sent.
    pub fn new(kind: Kind, parts: SmallVec<[Part; 1]>, meta: Value) -> Result<Header, WireError> {
        within("parts", parts.len() as u64, Limits::PARTS)?;
        let mut padding = 0;
        for part in &parts {
            padding += part.check()?.padding;
        }
        within("bytes of padding", padding, Limits::PADDING)?;
        check_kind(kind, &parts)?;
        let payload = payload(&parts)?;
        Ok(Header { kind, parts, meta, payload, by_link: None })
    }

    /// Bytes that it takes without its meta.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        let by_link = self.by_link.as_ref().map_or(0, |_| ByLink::len(self.parts.len()));
        PREFIX_LEN + by_link + self.parts.iter().map(Part::len).sum::<usize>()
    }

    /// Append the bytes to send.
    pub fn encode(&self, to: &mut Vec<u8>) -> Result<(), WireError> {
        let start = to.len();
        to.resize(start + PREFIX_LEN, 0);
        if let Some(by_link) = &self.by_link {
            by_link.encode(to);
        }
        let before_parts = to.len();
        self.parts.iter().for_each(|part| part.encode(to));
        let descriptions = (to.len() - before_parts) as u64;
        within("bytes of descriptions", descriptions, Limits::DESCRIPTIONS)?;
        let before_meta = to.len();
        meta::encode(&self.meta, to);
        let meta = (to.len() - before_meta) as u64;
        within("bytes of meta", meta, Limits::META)?;
        let kind = match self.kind {
            Kind::Arrays => 1,
            Kind::Object => 2,
        };
        let flags = if self.by_link.is_some() { OFFERED } else { 0 };
        let counts = [self.parts.len() as u32, descriptions as u32, meta as u32];
        put_prefix(&mut &mut to[start..start + PREFIX_LEN], kind, flags, counts, self.payload);
        Ok(())
    }

    /// The header at the front of `bytes`. Nothing is reserved for what has only been announced.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, WireError> {
        if bytes.len() < PREFIX_LEN {
            return Ok(Parsed::Needs(PREFIX_LEN));
        }
        let mut prefix = &bytes[..PREFIX_LEN];
        let kind = prefix.get_u8();
        let flags = prefix.get_uint_le(3) as u32;
        let parts = u64::from(prefix.get_u32_le());
        let descriptions = u64::from(prefix.get_u32_le());
        let meta = u64::from(prefix.get_u32_le());
        let announced = prefix.get_u64_le();
        let kind = match kind {
            1 => Kind::Arrays,
            2 => Kind::Object,
            3 => return invitation(bytes, flags, meta, parts | descriptions | announced),
            _ => return Err(WireError::Nonsense("a message of an unknown kind")),
        };
        if flags & !OFFERED != 0 {
            return Err(WireError::Nonsense("flags that this version does not know"));
        }
        within("parts", parts, Limits::PARTS)?;
        within("bytes of descriptions", descriptions, Limits::DESCRIPTIONS)?;
        within("bytes of meta", meta, Limits::META)?;
        let offered = if flags & OFFERED != 0 { ByLink::len(parts as usize) } else { 0 };
        let head = PREFIX_LEN + offered;
        let len = head + (descriptions + meta) as usize;
        if bytes.len() < len {
            return Ok(Parsed::Needs(len));
        }
        let (mut descriptions, meta) = bytes[head..len].split_at(descriptions as usize);
        // Not from `parts`: a part takes 8 bytes at least, and the number may lie.
        let mut all = SmallVec::with_capacity((parts as usize).min(descriptions.len() / 8));
        let mut padding = 0;
        for _ in 0..parts {
            let (part, layout) = Part::parse(&mut descriptions)?;
            padding += layout.padding;
            within("bytes of padding", padding, Limits::PADDING)?;
            all.push(part);
        }
        if !descriptions.is_empty() {
            return Err(WireError::Nonsense("bytes are left behind the last description"));
        }
        check_kind(kind, &all)?;
        if payload(&all)? != announced {
            return Err(WireError::Nonsense("the parts do not make up the payload"));
        }
        let meta = meta::decode(meta)?;
        let by_link = &bytes[PREFIX_LEN..head];
        let by_link = if by_link.is_empty() { None } else { Some(ByLink::parse(by_link)?) };
        let header = Header { kind, parts: all, meta, payload: announced, by_link };
        Ok(Parsed::Header(header, len))
    }
}

/// What every frame begins with: what it is, its flags, numbers of parts and of the bytes of what
/// follows, and bytes of its payload.
pub(in crate::wire) fn put_prefix(
    to: &mut impl BufMut,
    kind: u8,
    flags: u32,
    counts: [u32; 3],
    payload: u64,
) {
    to.put_u8(kind);
    to.put_uint_le(flags.into(), 3);
    counts.into_iter().for_each(|count| to.put_u32_le(count));
    to.put_u64_le(payload);
}

/// The frame of an invitation, which has nothing in it but that.
fn invitation(bytes: &[u8], flags: u32, len: u64, others: u64) -> Result<Parsed, WireError> {
    if flags != 0 || others != 0 {
        return Err(WireError::Nonsense("an invitation with a payload"));
    }
    Invitation::check_len(len)?;
    let len = PREFIX_LEN + len as usize;
    Ok(match bytes.get(PREFIX_LEN..len) {
        Some(bytes) => Parsed::Invitation(Invitation::parse(bytes), len),
        None => Parsed::Needs(len),
    })
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
