use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::{io, thread};

use crate::sys;

/// Stack of a thread that closes descriptors.
const STACK: usize = 64 * 1024;

/// The descriptor of a socket, which is closed in a thread of its own where closing may take as long
/// as a stranger likes.
///
/// A process can put a descriptor beside the bytes that it sends over a unix socket. Whoever drops the
/// last reference to it closes it: by receiving it without taking it, or by closing the socket with
/// it unread. If it is that of a connection with SO_LINGER, that lasts as long as its option says. A
/// socket that refuses descriptors (SO_PASSRIGHTS, since Linux 6.16) has none of this.
#[derive(Debug)]
pub struct SocketFd {
    /// There until it is dropped.
    fd: Option<OwnedFd>,
    may_hold_descriptors: bool,
}

impl SocketFd {
    /// That of a connection which can carry no descriptors, or only those of our own user, who can
    /// stop this process anyway.
    pub fn plain(fd: OwnedFd) -> SocketFd {
        SocketFd { fd: Some(fd), may_hold_descriptors: false }
    }

    /// That of a unix socket which refuses descriptors, or somebody else's may wait in it.
    pub(super) fn shared(fd: OwnedFd, refuses_descriptors: bool) -> SocketFd {
        SocketFd { fd: Some(fd), may_hold_descriptors: !refuses_descriptors }
    }

    /// That of a connected unix socket. `is_ours` if we opened it, and so nobody can have sent
    /// anything before descriptors were refused.
    pub(super) fn connected(fd: OwnedFd, is_ours: bool) -> SocketFd {
        let refuses = is_ours && sys::refuses_descriptors(fd.as_fd()).unwrap_or(false);
        let refuses = refuses || is_of_our_user(fd.as_fd());
        SocketFd::shared(fd, refuses)
    }

    /// Whether a stranger's descriptors may come by it.
    pub fn may_hold_descriptors(&self) -> bool {
        self.may_hold_descriptors
    }

    /// A new descriptor for the same socket.
    pub fn duplicate(&self) -> io::Result<SocketFd> {
        let fd = sys::duplicate(self.as_fd())?;
        Ok(SocketFd { fd: Some(fd), ..*self })
    }

    /// What it was made of.
    pub fn into_inner(mut self) -> OwnedFd {
        self.fd.take().expect("it is there until it is dropped")
    }

    fn inner(&self) -> &OwnedFd {
        self.fd.as_ref().expect("it is there until it is dropped")
    }
}

impl AsFd for SocketFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner().as_fd()
    }
}

impl AsRawFd for SocketFd {
    fn as_raw_fd(&self) -> RawFd {
        self.inner().as_raw_fd()
    }
}

impl Drop for SocketFd {
    fn drop(&mut self) {
        if let (Some(fd), true) = (self.fd.take(), self.may_hold_descriptors) {
            close_elsewhere(vec![fd]);
        }
    }
}

/// Close descriptors in a thread of its own. Where the system has no thread to spare it is this one.
pub fn close_elsewhere(fds: Vec<OwnedFd>) {
    if fds.is_empty() {
        return;
    }
    let close = move || {
        sys::leave_signals_to_others();
        drop(fds);
    };
    // What cannot be started is dropped here.
    let _ = thread::Builder::new().name("pinwire-close".to_owned()).stack_size(STACK).spawn(close);
}

/// Whether the other end was connected by a process of our user.
fn is_of_our_user(fd: BorrowedFd<'_>) -> bool {
    let user = sys::effective_user();
    user != sys::overflow_user() && sys::peer_credentials(fd).is_ok_and(|peer| peer.uid == user)
}
