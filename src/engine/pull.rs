//! Copies from another process, by several threads at once if there is much.
#![allow(unsafe_code)] // Hands memory to the kernel to be written.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::task;

use super::blocking::{BUSY_SIGNAL_CHECK, Interrupt};
use super::runtime::{Share, share};
use crate::net::{Call, Error, Socket, Transfer};
use crate::sys;

/// Bytes that one system call copies: between calls a thread looks whether it is to stop, which it
/// has to find out within a millisecond, also where every page is touched for the first time.
const PIECE: usize = 256 * 1024;

/// Bytes left from which on a second thread helps.
const SHARED_FROM: u64 = 1024 * 1024;

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

    /// Have a worker help, if there is one to spare and it is worth it.
    pub(super) fn ask_for_help(self: &Arc<Pulling>, socket: &Arc<Socket>) {
        let is_worth_it = {
            let state = self.lock();
            state.transfer.is_divisible() && state.transfer.progress().left() >= SHARED_FROM
        };
        let Some(share) = is_worth_it.then(share).flatten() else { return };
        let handle = share.handle.clone();
        handle.spawn(help(Arc::clone(self), Arc::clone(socket), share));
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
    let Some(Call::Pull { pid, to, from, len }) = transfer.next(PIECE) else { return false };
    // SAFETY: as above.
    let result = unsafe { sys::read_process(pid, to, from) };
    transfer.pulled(result, len);
    true
}

async fn help(pulling: Arc<Pulling>, socket: Arc<Socket>, _share: Share) {
    while socket.handle().is_open() && pulling.copy_piece() {
        task::yield_now().await;
    }
}

/// Pull in this thread, with the workers' help.
pub fn pull<E: From<Error>>(
    socket: &Arc<Socket>,
    transfer: &mut Transfer,
    deadline: Option<Instant>,
    interrupt: Interrupt<'_, E>,
) -> Result<(), E> {
    if transfer.progress().transferred() > 0 && sys::in_main_thread() {
        // It goes on with what others before it have begun, none of which may have been long enough
        // to look for signals.
        interrupt()?;
    }
    let pulling = Pulling::new(transfer);
    pulling.ask_for_help(socket);
    let result = copy_all(&pulling, socket, deadline, interrupt);
    *transfer = pulling.finish();
    result
}

fn copy_all<E: From<Error>>(
    pulling: &Pulling,
    socket: &Socket,
    deadline: Option<Instant>,
    interrupt: Interrupt<'_, E>,
) -> Result<(), E> {
    let serves_signals = sys::in_main_thread();
    let start = Instant::now();
    let mut checked = start;
    while pulling.copy_piece() {
        if !socket.handle().is_open() {
            return Err(Error::Closed.into());
        }
        let now = Instant::now();
        // One that has passed already means: what can be had at once, which is all of it.
        if deadline.is_some_and(|deadline| start < deadline && deadline <= now) {
            return Err(Error::TimedOut.into());
        }
        if serves_signals && now - checked >= BUSY_SIGNAL_CHECK {
            checked = now;
            interrupt()?;
        }
    }
    Ok(())
}
