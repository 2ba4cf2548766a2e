use std::io;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::mem::{Cursor, IOV_MAX, Region};

/// Memory of another process, to be copied into ours.
#[derive(Debug)]
pub struct Pull {
    pid: i32,
    to: Cursor,
    /// Addresses in the other process, the next ones last.
    from: Vec<Region>,
    window: Window,
    failure: Failure,
}

/// Why a pull ended early, if it did.
pub type Failure = Arc<OnceLock<io::Error>>;

/// Pieces of memory, as the kernel wants them.
pub type Window = SmallVec<[Region; 2]>;

/// A piece of a pull that one thread copies while others copy the next ones.
#[derive(Debug)]
pub struct Piece {
    /// The other process.
    pub pid: i32,
    /// Where to.
    pub to: Window,
    /// Where from, there.
    pub from: Window,
    /// Bytes.
    pub len: usize,
}

impl Pull {
    /// From these pieces of a process, one after the other, to memory with room for all of them.
    pub fn new(pid: i32, to: Cursor, mut from: Vec<Region>, failure: &Failure) -> Pull {
        from.reverse();
        Pull { pid, to, from, window: Window::new(), failure: Arc::clone(failure) }
    }

    /// Bytes that are not copied yet.
    pub fn left(&self) -> u64 {
        self.to.left() as u64
    }

    /// Bytes that went through the staging block so far.
    pub fn packed(&self) -> u64 {
        self.to.packed()
    }

    /// What to copy next: the process, where to, where from, and how many bytes.
    pub(super) fn next(&mut self, limit: usize) -> Option<(i32, &[Region], &[Region], usize)> {
        let to = self.to.window(limit);
        let room: usize = to.iter().map(|region| region.len).sum();
        self.window.clear();
        let mut len = 0;
        for &region in self.from.iter().rev().take(IOV_MAX) {
            let region = Region { len: region.len.min(room - len), ..region };
            self.window.push(region);
            len += region.len;
            if len == room {
                break;
            }
        }
        (len > 0).then_some((self.pid, to, &self.window, len))
    }

    /// So many bytes are copied.
    pub(super) fn advance(&mut self, mut n: usize) {
        self.to.advance(n);
        while n > 0 {
            let region = self.from.last_mut().expect("there is as much as there is room");
            let len = n.min(region.len);
            *region = region.skip(len);
            if region.len == 0 {
                self.from.pop();
            }
            n -= len;
        }
    }

    /// Whether pieces of it may be copied in any order.
    pub(super) fn is_divisible(&self) -> bool {
        self.to.is_direct()
    }

    /// It ends here.
    pub(super) fn fail(&self, error: io::Error) {
        let _ = self.failure.set(error);
    }
}
