//! In place of a transfer: bytes that are copied one by one.

use std::io;
use std::sync::Arc;

use loom::cell::UnsafeCell;

/// Where the bytes go to: how often each was copied.
#[derive(Debug)]
pub(crate) struct Memory(Vec<UnsafeCell<u8>>);

#[expect(unsafe_code, reason = "loom ends the test if two threads use it at once")]
// SAFETY: loom's cells know who uses them, and panic before two do.
unsafe impl Sync for Memory {}

/// One byte of it.
#[derive(Debug)]
pub(crate) struct Place {
    memory: Arc<Memory>,
    index: usize,
}

#[derive(Debug)]
pub(crate) struct Transfer {
    memory: Arc<Memory>,
    is_divisible: bool,
    taken: usize,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    transferred: usize,
    nbytes: usize,
}

pub(crate) struct Piece {
    pub(crate) pid: i32,
    pub(crate) to: Place,
    pub(crate) from: Place,
    pub(crate) len: usize,
}

pub(crate) enum Call {
    Pull { pid: i32, to: Place, from: Place },
}

impl Memory {
    pub(crate) fn new(len: usize) -> Arc<Memory> {
        Arc::new(Memory((0..len).map(|_| UnsafeCell::new(0)).collect()))
    }

    /// What is there; its owner reads it and writes to it, and nobody else may at that time.
    #[expect(unsafe_code, reason = "loom ends the test if two threads use it at once")]
    pub(crate) fn take(&self) -> Vec<u8> {
        let cells = self.0.iter();
        // SAFETY: as above.
        cells.map(|cell| cell.with_mut(|byte| unsafe { byte.replace(0) })).collect()
    }
}

impl Place {
    #[expect(unsafe_code, reason = "loom ends the test if two threads use it at once")]
    pub(crate) fn copy(&self) {
        // SAFETY: as above.
        self.memory.0[self.index].with_mut(|byte| unsafe { *byte += 1 });
    }
}

impl Progress {
    pub(crate) fn transferred(self) -> usize {
        self.transferred
    }

    pub(crate) fn left(self) -> u64 {
        (self.nbytes - self.transferred) as u64
    }
}

impl Transfer {
    pub(crate) fn new(memory: &Arc<Memory>, is_divisible: bool) -> Transfer {
        let progress = Progress { transferred: 0, nbytes: memory.0.len() };
        Transfer { memory: Arc::clone(memory), is_divisible, taken: 0, progress }
    }

    pub(crate) fn take(&mut self) -> Transfer {
        let rest = Transfer { taken: usize::MAX, ..Transfer::new(&self.memory, false) };
        std::mem::replace(self, rest)
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    pub(crate) fn is_divisible(&self) -> bool {
        self.is_divisible
    }

    pub(crate) fn take_piece(&mut self, _limit: usize) -> Option<Piece> {
        let Call::Pull { pid, to, from } = self.next(1)?;
        self.taken += 1;
        Some(Piece { pid, to, from, len: 1 })
    }

    pub(crate) fn copied(&mut self, result: io::Result<usize>, len: usize) {
        assert_eq!(result.unwrap(), len);
        self.progress.transferred += len;
    }

    pub(crate) fn next(&mut self, _limit: usize) -> Option<Call> {
        let place = || Place { memory: Arc::clone(&self.memory), index: self.taken };
        let is_left = self.taken < self.progress.nbytes;
        is_left.then(|| Call::Pull { pid: 0, to: place(), from: place() })
    }

    pub(crate) fn pulled(&mut self, result: io::Result<usize>) {
        self.taken += 1;
        self.copied(result, 1);
    }
}
