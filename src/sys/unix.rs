#![allow(unsafe_code)] // Calls into libc.

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use libc::{c_int, c_void};

use crate::mem::Region;

// A window of regions is handed to the kernel as it is.
const _: () = assert!(
    size_of::<Region>() == size_of::<libc::iovec>()
        && offset_of!(Region, base) == offset_of!(libc::iovec, iov_base)
        && offset_of!(Region, len) == offset_of!(libc::iovec, iov_len)
);

/// Who is at the other end of a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process.
    pub pid: i32,
    /// Effective user when it connected.
    pub uid: u32,
    /// Effective group when it connected.
    pub gid: u32,
}

/// Control data that holds a descriptor of a process (linux/socket.h).
const SCM_PIDFD: c_int = 4;

/// What to wait for on a file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes or a connection to take, or the end of the stream.
    Read,
    /// Room for bytes.
    Write,
    /// Only that the peer is gone or has closed its sending side.
    Hangup,
    /// Only that the connection has ended in both directions, or by an error.
    End,
}

impl Interest {
    fn events(self) -> libc::c_short {
        match self {
            Interest::Read => libc::POLLIN,
            Interest::Write => libc::POLLOUT,
            Interest::Hangup => libc::POLLRDHUP,
            // POLLHUP and POLLERR are always told.
            Interest::End => 0,
        }
    }
}

/// The result of a call that says -1 and sets errno.
pub(super) fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Call again for as long as a signal interrupts.
pub(super) fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match check(call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn message(window: &[Region]) -> libc::msghdr {
    // SAFETY: all zeroes is a msghdr without name, control data and flags.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = window.as_ptr().cast::<libc::iovec>().cast_mut();
    message.msg_iovlen = window.len();
    message
}

/// Send from the window without blocking: sendmsg(2), or send(2) for a single region.
///
/// Memory that cannot be read is EFAULT, not undefined: only the kernel touches it.
pub fn send(fd: BorrowedFd<'_>, window: &[Region]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let fd = fd.as_raw_fd();
    if let [one] = window {
        // SAFETY: the kernel checks the range itself; what it may hold is `mem`'s business.
        retry(|| unsafe { libc::send(fd, one.base.cast::<c_void>(), one.len, flags) })
    } else {
        let message = message(window);
        // SAFETY: as above; `message` points at `window`, which outlives the call.
        retry(|| unsafe { libc::sendmsg(fd, &raw const message, flags) })
    }
}

/// Receive into the window without blocking: recvmsg(2), or recv(2) for a single region.
///
/// # Safety
/// The regions must be memory that may be written: the kernel writes wherever they point. Others
/// may read or write them at the same time. A region of length 0 is not touched.
pub unsafe fn receive(fd: BorrowedFd<'_>, window: &[Region]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let fd = fd.as_raw_fd();
    if let [one] = window {
        // SAFETY: the caller's promise.
        retry(|| unsafe { libc::recv(fd, one.base.cast::<c_void>(), one.len, flags) })
    } else {
        let mut message = message(window);
        // SAFETY: the caller's promise; `message` points at `window`, which outlives the call.
        retry(|| unsafe { libc::recvmsg(fd, &raw mut message, flags) })
    }
}

/// The same by recvmsg(2), with the descriptors that come beside the bytes, however many they are: not
/// taken they would be closed here, by whatever closing them takes. Where this process has no room for
/// one, it is.
///
/// # Safety
/// As of `receive`.
pub unsafe fn receive_with_descriptors(
    fd: BorrowedFd<'_>,
    window: &[Region],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    // Aligned as a cmsghdr, with room for the most that can come at once (SCM_MAX_FD, 253), and for
    // what else the socket may have been asked to tell.
    let mut control = [0u64; 256];
    let mut message = message(window);
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the caller's promise; `message` points at `window` and `control`, which outlive the call.
    let len = retry(|| unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) })?;
    let mut came = Vec::new();
    // SAFETY: the kernel has filled in `message`, whose control data is aligned and ours.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: null, or within the control data, where the kernel has written whole messages.
    while let Some(header) = unsafe { next.as_ref() } {
        let holds_descriptors = header.cmsg_level == libc::SOL_SOCKET
            && [libc::SCM_RIGHTS, SCM_PIDFD].contains(&header.cmsg_type);
        if holds_descriptors {
            // SAFETY: as above; a message's data follows its header.
            let data = unsafe { libc::CMSG_DATA(next) }.cast::<c_int>();
            let count = (next.addr() + header.cmsg_len - data.addr()) / size_of::<c_int>();
            for index in 0..count {
                // SAFETY: of the message's data, which is that long. The kernel has just made the
                // descriptor for us alone; an SCM_PIDFD may be an error instead.
                let number = unsafe { data.add(index).read_unaligned() };
                if number >= 0 {
                    // SAFETY: as above.
                    came.push(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
        }
        // SAFETY: `message` and `next` are as above.
        next = unsafe { libc::CMSG_NXTHDR(&raw const message, next) };
    }
    Ok((len, came))
}

/// Send bytes of our own as `send` does.
pub fn send_bytes(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send(fd, &[Region { base: bytes.as_ptr().cast_mut(), len: bytes.len() }])
}

/// Receive into memory of our own as `receive` does.
pub fn receive_bytes(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    let room = Region { base: into.as_mut_ptr(), len: into.len() };
    // SAFETY: the slice is the caller's alone.
    unsafe { receive(fd, &[room]) }
}

/// Read a file from `offset` into `into` (pread(2)).
///
/// # Safety
/// `into` must be memory that may be written and that nobody else uses meanwhile.
pub unsafe fn read_at(fd: BorrowedFd<'_>, into: Region, offset: u64) -> io::Result<usize> {
    let offset = offset as libc::off_t;
    // SAFETY: the caller's promise.
    retry(|| unsafe { libc::pread(fd.as_raw_fd(), into.base.cast::<c_void>(), into.len, offset) })
}

/// Wait until `fd` is ready, another of `fds` is, or the time is over (poll(2)).
///
/// Gives which of them are ready (or in error). A signal is `ErrorKind::Interrupted`: the caller
/// has to see to it. No timeout waits for ever.
pub fn poll<const N: usize>(
    fds: [(BorrowedFd<'_>, Interest); N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|(fd, interest)| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: interest.events(),
        revents: 0,
    });
    let timeout = timeout.map(|limit| libc::timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let (entries, count) = (polled.as_mut_ptr(), N as libc::nfds_t);
    // SAFETY: `polled` holds N entries; `timeout` is null or outlives the call; no signal mask.
    check(unsafe { libc::ppoll(entries, count, timeout, ptr::null()) } as isize)?;
    Ok(polled.map(|entry| entry.revents != 0))
}

/// End the sending direction (shutdown(2)).
pub fn shutdown_send(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) } as isize).map(drop)
}

/// Read an option into `into`; gives its length.
pub fn getsockopt(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    into: &mut [u8],
) -> io::Result<usize> {
    let mut len = into.len() as libc::socklen_t;
    let value = into.as_mut_ptr().cast::<c_void>();
    // SAFETY: `value` has room for `len` bytes; both outlive the call.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value, &raw mut len) } as isize)?;
    Ok(len as usize)
}

/// Set an option. A `value` of None passes a null pointer with `len`.
pub fn setsockopt(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: Result<&[u8], u32>,
) -> io::Result<()> {
    let (value, len) = match value {
        Ok(bytes) => (bytes.as_ptr().cast::<c_void>(), bytes.len() as libc::socklen_t),
        Err(len) => (ptr::null(), len),
    };
    // SAFETY: `value` is null or readable for `len` bytes.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, len) } as isize).map(drop)
}

/// The error a socket keeps for us, which this clears (SO_ERROR, socket(7)).
pub fn take_error(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut errno = [0; size_of::<c_int>()];
    getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, &mut errno)?;
    match c_int::from_ne_bytes(errno) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// How many bytes have come that nobody has read (FIONREAD, tcp(7), unix(7)).
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the kernel writes one int, where `bytes` is.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut bytes) } as isize)?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Whether O_NONBLOCK is set.
pub fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no memory is involved.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) } as isize)?;
    Ok(flags as c_int & libc::O_NONBLOCK != 0)
}

/// Set or clear O_NONBLOCK.
pub fn set_nonblocking(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: no memory is involved.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) } as isize)? as c_int;
    let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    // SAFETY: no memory is involved.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) } as isize).map(drop)
}

/// A new descriptor for the same open file, closed on exec.
pub fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let new = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0) } as isize)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(new as c_int) })
}

/// The size of a regular file in bytes; None for anything else (fstat(2)).
pub fn file_size(fd: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    // SAFETY: all zeroes is a stat buffer to be filled.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` outlives the call.
    check(unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) } as isize)?;
    Ok((stat.st_mode & libc::S_IFMT == libc::S_IFREG).then_some(stat.st_size as u64))
}

/// Have this thread never run a signal handler, but for faults of its own (pthread_sigmask(3)).
pub fn leave_signals_to_others() {
    // SAFETY: all zeroes is a set to be filled; the calls only touch it and this thread's mask.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT] {
            libc::sigdelset(&raw mut set, fault);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
    }
}
