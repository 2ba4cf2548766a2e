#![allow(unsafe_code)] // Hands memory to the kernel to be written.

use std::hint;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::mem::Region;
use crate::net::{Call, Error, Socket, State, Transfer, close_elsewhere};
use crate::sys;

/// Move what the kernel takes or gives at once, by one system call of about `limit` bytes.
///
/// `fd` is the socket's, which the caller borrowed from its handle.
pub fn attempt(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    transfer: &mut Transfer,
    limit: usize,
) -> Result<State, Error> {
    if !socket.handle().is_open() {
        return Err(Error::Closed);
    }
    if !socket.is_nonblocking() {
        transfer.stage_file();
    }
    loop {
        let packed = transfer.packed();
        let Some(call) = transfer.next(limit) else {
            return Ok(State::Done);
        };
        let (result, bytes) = match call {
            Call::Send(window) => {
                let result = socket.send(|| sys::send(fd, window));
                (result, &socket.stats().bytes_sent)
            }
            Call::Receive(window) => {
                let receive = || {
                    if socket.may_bring_descriptors() {
                        return receive_from_stranger(fd, window);
                    }
                    // SAFETY: whoever made the transfer promised (`Runs::new`) that its memory may be
                    // written to until the transfer has ended, and this one has not.
                    unsafe { sys::receive(fd, window) }
                };
                let result = socket.receive(fd, receive);
                (result, &socket.stats().bytes_received)
            }
            Call::SendFile { file, offset, count } => {
                let result = socket.send(|| sys::send_file(fd, file, offset, count));
                if result.as_ref().is_err_and(cannot_send_file) {
                    transfer.stage_file();
                    continue;
                }
                (result, &socket.stats().bytes_sent)
            }
            Call::Pull { pid, to, from } => {
                // SAFETY: as for receiving.
                let result = unsafe { sys::read_process(pid, to, from) };
                add(&socket.stats().system_calls, 1);
                return Ok(transfer.pulled(result));
            }
            Call::ReadFile { file, into, offset } => {
                // SAFETY: `into` is the transfer's own staging block.
                match unsafe { sys::read_at(file, into, offset) }? {
                    0 => return transfer.ended(),
                    n => transfer.staged(n),
                }
                continue;
            }
        };
        add(&socket.stats().system_calls, 1);
        return match result {
            Ok(0) => transfer.ended(),
            Ok(n) => {
                add(bytes, n as u64);
                let state = transfer.moved(n);
                add(&socket.stats().packed_bytes, transfer.packed() - packed);
                Ok(state)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(State::Starved),
            Err(error) => Err(error.into()),
        };
    }
}

/// Receive bytes, and close the descriptors beside them where nobody waits for that.
///
/// Called for the window of a transfer that has not ended.
fn receive_from_stranger(fd: BorrowedFd<'_>, window: &[Region]) -> io::Result<usize> {
    // SAFETY: the promise of whoever made the transfer, as in `attempt`.
    let (len, descriptors) = unsafe { sys::receive_with_descriptors(fd, window) }?;
    close_elsewhere(descriptors);
    Ok(len)
}

/// Attempt again and again until something moves or the time is over. Whether it did, or there is
/// nothing left to move.
pub fn spin(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    transfer: &mut Transfer,
    limit: usize,
    until: Instant,
) -> Result<bool, Error> {
    loop {
        if attempt(socket, fd, transfer, limit)? != State::Starved {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        hint::spin_loop();
    }
}

/// Count a transfer that never waited.
pub fn count_inline(socket: &Socket) {
    add(&socket.stats().inline_completions, 1);
}

/// What sendfile(2) says of files and sockets it cannot serve.
fn cannot_send_file(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP))
}

fn add(counter: &AtomicU64, n: u64) {
    if n > 0 {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}
