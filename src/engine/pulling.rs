#![allow(unsafe_code)] // Hands memory to the kernel to be written.

use std::sync::Arc;

use crate::net::{Call, Transfer};
use crate::sys;
use crate::sys::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that one system call copies: between calls a thread looks whether it is to stop, which it
/// has to find out within a millisecond, also where every page is touched for the first time.
const PIECE: usize = 256 * 1024;

/// A pull that several threads work on.
///
/// Pieces are taken in order, and whoever has taken one copies it: so once nobody copies any more,
/// all up to a point has been copied and nothing behind it, as in any other transfer.
pub(super) struct Pulling {
    state: Mutex<State>,
    idle: Condvar,
}

struct State {
    transfer: Transfer,
    /// Threads that are copying.
    copying: usize,
    /// Nobody may take a piece any more.
    ended: bool,
}

impl Pulling {
    /// Work on a transfer; what is left behind has nothing to move until `finish`.
    pub(super) fn new(transfer: &mut Transfer) -> Arc<Pulling> {
        let state = State { transfer: transfer.take(), copying: 0, ended: false };
        Arc::new(Pulling { state: Mutex::new(state), idle: Condvar::new() })
    }

    /// Whether more threads may copy, and there is as much to do as that.
    pub(super) fn is_shared_from(&self, nbytes: u64) -> bool {
        let state = self.lock();
        state.transfer.is_divisible() && state.transfer.progress().left() >= nbytes
    }

    /// Copy one piece. False if there was none to take.
    pub(super) fn copy_piece(&self) -> bool {
        let mut state = self.lock();
        if state.ended {
            return false;
        }
        if !state.transfer.is_divisible() {
            return copy_next(&mut state.transfer);
        }
        let Some(piece) = state.transfer.take_piece(PIECE) else { return false };
        state.copying += 1;
        drop(state);
        // SAFETY: whoever made the transfer promised (`Runs::new`) that its memory may be written
        // to until the transfer has ended, and `finish` waits for this.
        let copied = unsafe { sys::read_process(piece.pid, &piece.to, &piece.from) };
        let mut state = self.lock();
        state.copying -= 1;
        state.transfer.copied(copied, piece.len);
        if state.copying == 0 && state.ended {
            self.idle.notify_one();
        }
        true
    }

    /// End it, and have the transfer back: at the latest when those who copy have copied their
    /// piece.
    pub(super) fn finish(&self) -> Transfer {
        let mut state = self.lock();
        state.ended = true;
        while state.copying > 0 {
            state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.transfer.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copy the next bytes of what only one thread can copy. False if there were none.
fn copy_next(transfer: &mut Transfer) -> bool {
    let Some(Call::Pull { pid, to, from }) = transfer.next(PIECE) else { return false };
    // SAFETY: as above.
    let result = unsafe { sys::read_process(pid, to, from) };
    transfer.pulled(result);
    true
}
