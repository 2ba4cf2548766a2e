use bytes::{Buf, BufMut};

use super::WireError;
use super::error::within;

/// The version of the format that is written here.
pub const VERSION: u8 = 2;

/// Bytes of a hello without extensions.
pub const HELLO_LEN: usize = 24;

/// Like PNG's signature: a byte that is no ASCII, a name, and a line ending that text-mode
/// transfers would change.
const MAGIC: [u8; 8] = *b"\x89PWIRE\r\n";

/// Bytes of extensions that are read, or read over if they are not known.
const MAX_EXTENSIONS: u64 = 4096;

/// The extension that says where an end is.
const HOST: u16 = 1;

/// Bytes of an extension before its value: which it is, and bytes of the value.
const EXTENSION_LEN: usize = 4;

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
    /// Where it is, if it says so.
    pub host: Option<Host>,
}

/// Where an end is: two that say the same may be able to reach one another's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Which boot of which machine.
    pub boot: [u8; 16],
    /// Which network namespace.
    pub network: u64,
}

/// What an end can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// It takes pickled objects.
    pub const OBJECTS: Flags = Flags(1);

    /// It takes invitations and offers, from a peer on its host.
    pub const SAME_HOST: Flags = Flags(2);

    /// Whether all of these are set.
    pub fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl Hello {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HELLO_LEN + EXTENSION_LEN + Host::LEN);
        bytes.put_slice(&MAGIC);
        bytes.put_u8(self.lowest);
        bytes.put_u8(self.highest);
        bytes.put_u16_le(if self.host.is_some() { (EXTENSION_LEN + Host::LEN) as u16 } else { 0 });
        bytes.put_u32_le(self.flags.0);
        bytes.put_u64_le(self.max_message_bytes);
        if let Some(host) = self.host {
            bytes.put_u16_le(HOST);
            bytes.put_u16_le(Host::LEN as u16);
            bytes.put_slice(&host.boot);
            bytes.put_u64_le(host.network);
        }
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
        let Some(extensions) = bytes.get(HELLO_LEN..len) else { return Ok(None) };
        let host = Host::find(extensions)?;
        Ok(Some((Hello { lowest, highest, flags, max_message_bytes, host }, len)))
    }
}

impl Host {
    const LEN: usize = 24;

    /// That of the extensions which says it, if there is one.
    fn find(mut extensions: &[u8]) -> Result<Option<Host>, WireError> {
        let cut = || WireError::Nonsense("an extension ends in the middle");
        let mut host = None;
        while !extensions.is_empty() {
            if extensions.len() < EXTENSION_LEN {
                return Err(cut());
            }
            let (kind, len) = (extensions.get_u16_le(), extensions.get_u16_le());
            let (mut value, rest) = extensions.split_at_checked(len.into()).ok_or_else(cut)?;
            extensions = rest;
            if kind == HOST {
                if value.len() != Host::LEN {
                    return Err(WireError::Nonsense("a host of another length"));
                }
                let mut boot = [0; 16];
                value.copy_to_slice(&mut boot);
                host = Some(Host { boot, network: value.get_u64_le() });
            }
        }
        Ok(host)
    }
}
