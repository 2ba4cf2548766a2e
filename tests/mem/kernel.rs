//! What a kernel does to windows of memory.

use pinwire::mem::{Cursor, IOV_MAX, Region};

pub(crate) fn read(region: Region) -> Vec<u8> {
    // SAFETY: regions of the tests lie in memory of the tests, or in the cursor's staging block.
    unsafe { std::slice::from_raw_parts(region.base, region.len) }.to_vec()
}

pub(crate) fn write(region: Region, bytes: &[u8]) {
    assert_eq!(region.len, bytes.len());
    // SAFETY: as for `read`.
    unsafe { region.base.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
}

/// What a kernel would take from a cursor that gives `splits[i]` bytes at the i-th call.
pub(crate) fn drain(cursor: &mut Cursor, splits: &[usize], limit: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    for turn in 0.. {
        let window = cursor.window(limit).to_vec();
        assert!(window.len() <= IOV_MAX && window.iter().all(|region| region.len > 0));
        let offered: Vec<u8> = window.into_iter().flat_map(read).collect();
        if offered.is_empty() {
            break;
        }
        let n = splits[turn % splits.len()].clamp(1, offered.len());
        taken.extend_from_slice(&offered[..n]);
        cursor.advance(n);
    }
    assert_eq!(cursor.left(), 0);
    taken
}

/// What a kernel would put into a cursor.
pub(crate) fn fill(cursor: &mut Cursor, mut bytes: &[u8], splits: &[usize]) {
    for turn in 0.. {
        let window = cursor.window(usize::MAX).to_vec();
        let room: usize = window.iter().map(|region| region.len).sum();
        if room == 0 {
            break;
        }
        let n = splits[turn % splits.len()].clamp(1, room);
        let (now, later) = bytes.split_at(n);
        let mut rest = now;
        for region in window {
            let (piece, after) = rest.split_at(region.len.min(rest.len()));
            write(Region { len: piece.len(), ..region }, piece);
            rest = after;
        }
        cursor.advance(n);
        bytes = later;
    }
    assert!(bytes.is_empty() && cursor.left() == 0);
}
