//! Copies from another process, by several threads at once if there is much.

use std::sync::Arc;
use std::time::Instant;

use tokio::task;

use super::blocking::{BUSY_SIGNAL_CHECK, Interrupt};
use super::pulling::Pulling;
use super::runtime::{Share, share};
use crate::net::{Error, Socket, Transfer};
use crate::sys;

/// Bytes left from which on a second thread helps.
const SHARED_FROM: u64 = 1024 * 1024;

/// Have a worker help, if there is one to spare and it is worth it.
pub(super) fn ask_for_help(pulling: &Arc<Pulling>, socket: &Arc<Socket>) {
    let is_worth_it = pulling.is_shared_from(SHARED_FROM);
    let Some(share) = is_worth_it.then(share).flatten() else { return };
    let handle = share.handle.clone();
    handle.spawn(help(Arc::clone(pulling), Arc::clone(socket), share));
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
    ask_for_help(&pulling, socket);
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
