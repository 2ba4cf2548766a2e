use bytes::{Buf, BufMut};

use super::Place;

/// Bytes of a join.
pub const JOIN_LEN: usize = 80;

/// Bytes of a welcome.
pub const WELCOME_LEN: usize = 40;

/// The first packet on a link, from who was invited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// That of the invitation.
    pub secret: [u8; 32],
    /// Where its board is; or why it does not join (errno(3)).
    pub place: Result<Place, u64>,
}

/// The second one, from who has invited: where its board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome(pub Place);

impl Join {
    /// The packet.
    pub fn encode(&self) -> [u8; JOIN_LEN] {
        let mut bytes = [0; JOIN_LEN];
        let mut to = &mut bytes[..];
        to.put_slice(&self.secret);
        match &self.place {
            Ok(place) => {
                to.put_u64_le(0);
                put_place(&mut to, place);
            }
            Err(errno) => to.put_u64_le(*errno),
        }
        bytes
    }

    /// From such a packet.
    pub fn parse(bytes: &[u8; JOIN_LEN]) -> Join {
        let mut from = &bytes[..];
        let mut secret = [0; 32];
        from.copy_to_slice(&mut secret);
        let place = match from.get_u64_le() {
            0 => Ok(get_place(&mut from)),
            errno => Err(errno),
        };
        Join { secret, place }
    }
}

impl Welcome {
    /// The packet.
    pub fn encode(&self) -> [u8; WELCOME_LEN] {
        let mut bytes = [0; WELCOME_LEN];
        put_place(&mut &mut bytes[..], &self.0);
        bytes
    }

    /// From such a packet.
    pub fn parse(bytes: &[u8; WELCOME_LEN]) -> Welcome {
        Welcome(get_place(&mut &bytes[..]))
    }
}

fn put_place(to: &mut impl BufMut, place: &Place) {
    to.put_u64_le(place.address);
    to.put_slice(&place.nonce);
}

fn get_place(from: &mut impl Buf) -> Place {
    let (address, mut nonce) = (from.get_u64_le(), [0; 32]);
    from.copy_to_slice(&mut nonce);
    Place { address, nonce }
}
