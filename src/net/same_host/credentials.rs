//! Who is at the other end of a link, by the kernel's word.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::sys::{self, Credentials};

/// The user whose processes this one may be linked with: its own. One that has no number in this
/// namespace is nobody's equal, and where `/proc` is not ours nobody's user can be told later.
pub(super) fn our_user() -> io::Result<u32> {
    let user = sys::effective_user();
    let is_known = user != sys::overflow_user() && sys::proc_is_ours();
    if is_known { Ok(user) } else { Err(errno(libc::EPERM)) }
}

/// Who connected, or listens, at the other end: of our own user, and in a pid namespace where it
/// has a number.
pub(super) fn peer(fd: &impl AsFd) -> io::Result<Credentials> {
    let peer = sys::peer_credentials(fd.as_fd())?;
    if peer.pid <= 0 {
        return Err(errno(libc::ESRCH));
    }
    // We may have rights that the peer has not, and it could become a program that it may not read
    // (execve(2) of a set-user-ID file): nobody is to have us read it for him.
    if peer.uid != our_user()? {
        return Err(errno(libc::EPERM));
    }
    Ok(peer)
}

/// Whether who has sent a packet is still that process, and has one user only.
pub(super) fn is_from(peer: &Credentials, from: Option<Credentials>) -> bool {
    from.is_some_and(|from| (from.pid, from.uid) == (peer.pid, peer.uid))
}

/// Half of the descriptors that this process may have are left to those who cannot do without: an
/// error if this one is of that half.
pub(super) fn is_spare(fd: &impl AsRawFd) -> io::Result<()> {
    let is_spare = (fd.as_raw_fd() as u64) < sys::descriptor_limit() / 2;
    if is_spare { Ok(()) } else { Err(errno(libc::EMFILE)) }
}

pub(super) fn errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}
