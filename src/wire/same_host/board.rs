use bytes::Buf;

/// Bytes of a board.
pub const BOARD_LEN: usize = 56;

/// What an end shows in its own memory, for the other end of the link to read there: which offer
/// stands, and where it is described. In the machine's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// What this end said by the link that stands there.
    pub nonce: [u8; 32],
    /// Which offer stands; 0: none.
    pub number: u64,
    /// The address of its record.
    pub record: u64,
    /// Bytes of that.
    pub len: u64,
}

/// Where a board is, and how to know it for the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address, in the process of who says so.
    pub address: u64,
    /// What stands there.
    pub nonce: [u8; 32],
}

impl Board {
    /// From such bytes, which may be any.
    pub fn parse(bytes: &[u8; BOARD_LEN]) -> Board {
        let mut from = &bytes[..];
        let mut nonce = [0; 32];
        from.copy_to_slice(&mut nonce);
        let (number, record, len) = (from.get_u64_ne(), from.get_u64_ne(), from.get_u64_ne());
        Board { nonce, number, record, len }
    }
}
