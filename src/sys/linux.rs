#![allow(unsafe_code)] // Calls into libc.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use libc::c_int;
use socket2::{SockAddr, SockAddrStorage};

use super::Credentials;
use super::unix::{getsockopt, retry, setsockopt};

/// Where `struct tcp_info` has the state, and the counts of bytes and segments (linux/tcp.h).
const TCPI_STATE: usize = 0;
const TCPI_BYTES_RECEIVED: std::ops::Range<usize> = 128..136;
const TCPI_SEGS_IN: std::ops::Range<usize> = 140..144;

/// Whether a unix socket takes descriptors (asm-generic/socket.h).
const SO_PASSRIGHTS: c_int = 83;

/// The state of a connection in which the kernel is done with it (tcp_states.h).
const TCP_CLOSE: u8 = 7;

/// Bytes that have come over a TCP connection of which nothing is left, the end that the peer has
/// sent counted as one more; None while it lives (TCP_INFO, tcp(7)).
pub fn received_in_all(socket: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    let mut info = [0; TCPI_BYTES_RECEIVED.end];
    getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&info[TCPI_BYTES_RECEIVED]);
    Ok((info[TCPI_STATE] == TCP_CLOSE).then(|| u64::from_ne_bytes(bytes)))
}

/// Whether a TCP socket had a connection of which nothing is left (TCP_INFO, tcp(7)). One that was
/// refused has got a single segment, which says so.
pub fn was_connected(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut info = [0; TCPI_SEGS_IN.end];
    getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
    let mut segments = [0; 4];
    segments.copy_from_slice(&info[TCPI_SEGS_IN]);
    Ok(info[TCPI_STATE] == TCP_CLOSE && u32::from_ne_bytes(segments) > 1)
}

/// Send up to `count` bytes of `file` from `offset` (sendfile(2)); 0 at the end of the file.
///
/// Blocks unless the socket is in non-blocking mode: sendfile knows no MSG_DONTWAIT.
pub fn send_file(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: u64,
) -> io::Result<usize> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    retry(|| {
        let mut offset = offset as libc::off_t;
        // SAFETY: `offset` outlives the call.
        unsafe { libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), &raw mut offset, count) }
    })
}

/// The next connection and who it is from, in non-blocking mode and closed on exec (accept4(2)).
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let accept4 = |storage: *mut SockAddrStorage, len| {
        let address = storage.cast::<libc::sockaddr>();
        // SAFETY: `storage` has room for `*len` bytes of any address.
        retry(|| unsafe { libc::accept4(listener.as_raw_fd(), address, len, flags) } as isize)
    };
    // SAFETY: the kernel fills in the address and its length when it succeeds.
    let (new, peer) = unsafe { SockAddr::try_init(accept4) }?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok((unsafe { OwnedFd::from_raw_fd(new as c_int) }, peer))
}

/// Who connected the other end of a unix socket (SO_PEERCRED, unix(7)).
pub fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut raw = [0; 12];
    getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut raw)?;
    let word = |i: usize| [raw[i], raw[i + 1], raw[i + 2], raw[i + 3]];
    Ok(Credentials {
        pid: i32::from_ne_bytes(word(0)),
        uid: u32::from_ne_bytes(word(4)),
        gid: u32::from_ne_bytes(word(8)),
    })
}

/// Have the socket, and what connects to it, refuse descriptors (SO_PASSRIGHTS, since Linux 6.16): who
/// sends one gets EPERM, and what was sent before stays.
pub fn refuse_descriptors(socket: BorrowedFd<'_>) -> io::Result<()> {
    setsockopt(socket, libc::SOL_SOCKET, SO_PASSRIGHTS, Ok(&c_int::from(false).to_ne_bytes()))
}

/// Whether it does.
pub fn refuses_descriptors(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut takes = [0; size_of::<c_int>()];
    getsockopt(socket, libc::SOL_SOCKET, SO_PASSRIGHTS, &mut takes)?;
    Ok(c_int::from_ne_bytes(takes) == 0)
}

/// Seconds of silence before the first keepalive probe (TCP_KEEPIDLE, tcp(7)).
pub fn set_keepalive_idle(fd: BorrowedFd<'_>, seconds: u32) -> io::Result<()> {
    let seconds = c_int::try_from(seconds).unwrap_or(c_int::MAX);
    setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, Ok(&seconds.to_ne_bytes()))
}

/// Ask that this thread may run for so long at a time (sched_setattr(2), `sched_runtime` of a
/// normal thread, since Linux 6.12). Threads with shorter slices that wake meanwhile run first.
pub fn set_time_slice(slice: Duration) {
    // SAFETY: all zeroes is a sched_attr: normal policy, no flags.
    let mut attr: libc::sched_attr = unsafe { mem::zeroed() };
    attr.size = size_of::<libc::sched_attr>() as u32;
    attr.sched_runtime = slice.as_nanos() as u64;
    // SAFETY: no memory is involved; 0 is the calling thread.
    attr.sched_nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // An older kernel ignores it and a sandbox may refuse it: it is only a wish.
    // SAFETY: `attr` outlives the call; 0 is the calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
}
