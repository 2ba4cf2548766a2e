use bytes::{Buf, BufMut};

use crate::wire::message::put_prefix;
use crate::wire::{PREFIX_LEN, WireError};

/// Bytes of an invitation behind the prefix.
const INVITATION_LEN: usize = 48;

/// What an end says by the network connection before it first has something to offer: where it
/// waits for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The abstract unix socket that it listens on.
    pub name: [u8; 16],
    /// What to say there.
    pub secret: [u8; 32],
}

impl Invitation {
    /// The bytes to send; they go as a frame of its own, between messages.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PREFIX_LEN + INVITATION_LEN);
        put_prefix(&mut bytes, 3, 0, [0, 0, INVITATION_LEN as u32], 0);
        bytes.put_slice(&self.name);
        bytes.put_slice(&self.secret);
        bytes
    }

    pub(in crate::wire) fn check_len(len: u64) -> Result<(), WireError> {
        if len == INVITATION_LEN as u64 {
            return Ok(());
        }
        Err(WireError::Nonsense("an invitation of another length"))
    }

    /// From all of its bytes behind the prefix.
    pub(in crate::wire) fn parse(mut from: &[u8]) -> Invitation {
        let (mut name, mut secret) = ([0; 16], [0; 32]);
        from.copy_to_slice(&mut name);
        from.copy_to_slice(&mut secret);
        Invitation { name, secret }
    }
}
