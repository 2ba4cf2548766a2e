use bytes::{Buf, BufMut};

use super::WireError;
use super::error::within;

/// The version of the format that is written here.
pub const VERSION: u8 = 1;

/// Bytes of a hello without extensions.
pub const HELLO_LEN: usize = 24;

/// Like PNG's signature: a byte that is no ASCII, a name, and a line ending that text-mode
/// transfers would change.
const MAGIC: [u8; 8] = *b"\x89PWIRE\r\n";

/// Bytes of extensions that are read over; this version knows none.
const MAX_EXTENSIONS: u64 = 4096;

/// What an end says first: which versions it speaks, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The lowest version it speaks.
    pub lowest: u8,
    /// The highest one.
    pub highest: u8,
    /// What it can do. Flags that are not known here mean nothing.
    pub flags: Flags,
    /// The largest payload it takes, in bytes.
    pub max_message_bytes: u64,
}

/// What an end can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// It takes pickled objects.
    pub const OBJECTS: Flags = Flags(1);

    /// Whether all of these are set.
    pub fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl Hello {
    /// The bytes to send.
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        let mut bytes = [0; HELLO_LEN];
        let mut to = &mut bytes[..];
        to.put_slice(&MAGIC);
        to.put_u8(self.lowest);
        to.put_u8(self.highest);
        to.put_u16_le(0);
        to.put_u32_le(self.flags.0);
        to.put_u64_le(self.max_message_bytes);
        bytes
    }

    /// The peer's hello and how many bytes it takes; None if they have not all come.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Hello, usize)>, WireError> {
        let common = bytes.len().min(MAGIC.len());
        if bytes[..common] != MAGIC[..common] {
            return Err(WireError::NotPinwire);
        }
        if bytes.len() < HELLO_LEN {
            return Ok(None);
        }
        let mut from = &bytes[MAGIC.len()..];
        let (lowest, highest) = (from.get_u8(), from.get_u8());
        let extensions = from.get_u16_le();
        let flags = Flags(from.get_u32_le());
        let max_message_bytes = from.get_u64_le();
        if !(lowest..=highest).contains(&VERSION) {
            return Err(WireError::Version { lowest, highest, ours: VERSION });
        }
        within("bytes of extensions", extensions.into(), MAX_EXTENSIONS)?;
        let len = HELLO_LEN + usize::from(extensions);
        let hello = Hello { lowest, highest, flags, max_message_bytes };
        Ok((bytes.len() >= len).then_some((hello, len)))
    }
}
