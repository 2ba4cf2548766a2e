use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use socket2::{Domain, Socket as RawSocket, Type};

use super::board::OurBoard;
use super::credentials::{is_from, is_spare, peer};
use super::invited::address;
use crate::net::socket::Opened;
use crate::net::{Options, Socket, SocketFd};
use crate::sys::{self, Credentials};
use crate::wire::{
    Answer, BOARD_LEN, Board, ByLink, Invitation, Join, Offer, Part, Place, Verdict, WELCOME_LEN,
    Welcome, WireError,
};

/// What joins the two ends of a channel on one host: each offers by it what the other may read.
///
/// It says whose memory is read, never who is at the other end of the channel's connection.
#[derive(Debug)]
pub struct Link {
    /// What the answers come and go by, in packets.
    socket: Arc<Socket>,
    board: Mutex<OurBoard>,
    /// The process at the other end.
    peer: Credentials,
    /// Where its board is, once it has said so; or why this end does not read it.
    place: OnceLock<Result<Place, i32>>,
    hearing: Mutex<()>,
    /// Whether the board was there at least once.
    was_read: AtomicBool,
    forks: u32,
}

/// Whether the peer has said where its board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It has.
    Welcome,
    /// Not yet.
    Nothing,
    /// It will not: the link has ended.
    End,
}

/// Why an offer cannot be read, or does not count although it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// It does not stand, or not any more.
    Withdrawn,
    /// This end may not read it, or there is nothing to be read (errno(3)).
    Unreadable(i32),
    /// Its process is gone.
    Gone,
}

/// Why an offer was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It lapsed.
    Lapse(Lapse),
    /// It is another one than the header says.
    Nonsense(WireError),
}

impl Link {
    /// Follow an invitation. If this end cannot, who has invited hears why.
    pub fn follow(invitation: &Invitation, options: &Options) -> io::Result<Link> {
        let fd = visit(invitation)?;
        let joined = is_spare(&fd).and_then(|()| Ok((peer(&fd)?, OurBoard::new()?)));
        let place = joined.as_ref().map(|(_, board)| board.place());
        let place = place.map_err(|error| error.raw_os_error().unwrap_or(libc::EPERM));
        let said = join(&fd, invitation, place);
        let (peer, board) = joined?;
        said?;
        // It is of our own user.
        Link::new(fd.into_inner(), peer, board, None, options)
    }

    /// Say that this end does not follow an invitation, so that nobody waits for it.
    pub fn decline(invitation: &Invitation) {
        let _ = visit(invitation).and_then(|fd| join(&fd, invitation, Err(libc::EOPNOTSUPP)));
    }

    /// Have a visitor who knows the secret, and whose board is there, join.
    pub(super) fn welcome(
        fd: OwnedFd,
        peer: Credentials,
        place: Place,
        options: &Options,
    ) -> io::Result<Link> {
        let board = OurBoard::new()?;
        sys::tell_senders(fd.as_fd(), false)?;
        sys::send_bytes(fd.as_fd(), &Welcome(board.place()).encode())?;
        Link::new(fd, peer, board, Some(place), options)
    }

    fn new(
        fd: OwnedFd,
        peer: Credentials,
        board: OurBoard,
        place: Option<Place>,
        options: &Options,
    ) -> io::Result<Link> {
        let socket = Socket::new(fd, None, options, Opened::Here)?;
        Ok(Link {
            socket,
            board: Mutex::new(board),
            peer,
            place: place.map(Ok).map_or_else(OnceLock::new, OnceLock::from),
            hearing: Mutex::default(),
            was_read: AtomicBool::new(false),
            forks: sys::forks(),
        })
    }

    /// What answers to our offers come by.
    pub fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// The process whose memory is read.
    pub fn pid(&self) -> i32 {
        self.peer.pid
    }

    /// Whether this is not the process any more that the peer is linked with: a forked child, or
    /// one that has another user since. It neither offers nor reads.
    pub fn is_void(&self) -> bool {
        self.forks != sys::forks() || self.peer.uid != sys::effective_user()
    }

    /// Whether something of the peer's memory was read once.
    pub fn was_read(&self) -> bool {
        self.was_read.load(Ordering::Relaxed)
    }

    /// Whether the peer has said where its board is; takes that, if it has come.
    pub fn hear(&self) -> Heard {
        let _alone = lock(&self.hearing);
        if self.place.get().is_some() {
            return Heard::Welcome;
        }
        let Ok(fd) = self.socket.fd() else { return Heard::End };
        let mut said = [0; WELCOME_LEN];
        let place = match sys::receive_packet(fd.as_fd(), &mut said) {
            Ok((WELCOME_LEN, from)) if is_from(&self.peer, from) => Ok(Welcome::parse(&said).0),
            // Another process has the other end by now, or one of two users.
            Ok((WELCOME_LEN, _)) => Err(libc::EPERM),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Nothing,
            _ => return Heard::End,
        };
        // Answers need no credentials: what they say can only free our own memory.
        let _ = sys::tell_senders(fd.as_fd(), false);
        let _ = self.place.set(place);
        Heard::Welcome
    }

    /// Let something of ours be read; gives the number of the offer.
    pub fn offer(&self, offer: &Offer) -> u64 {
        lock(&self.board).offer(offer)
    }

    /// Let nothing be read any more, or not for what it is.
    pub fn withdraw(&self) {
        lock(&self.board).withdraw();
    }

    /// Tell the peer what has become of an offer. Whoever is not there any more need not hear it.
    pub fn answer(&self, number: u64, verdict: Verdict) {
        if let Ok(fd) = self.socket.fd() {
            let _ = sys::send_bytes(fd.as_fd(), &Answer { number, verdict }.encode());
        }
    }

    /// What the peer offers by this number, of a message with these parts.
    pub fn read(&self, by_link: &ByLink, parts: &[Part]) -> Result<Offer, Unread> {
        let board = self.board(by_link.number)?;
        let record = self.record(&board, parts.len());
        // What was read counts only if all of it stood until then. A number never stands for
        // another record.
        if self.board(by_link.number)? != board {
            return Err(Lapse::Withdrawn.into());
        }
        let offer = Offer::parse(&record?, parts, by_link);
        offer.map_err(Unread::Nonsense)
    }

    /// Whether the offer of this number still stands: then what was read before is what it says.
    pub fn check(&self, number: u64) -> Result<(), Lapse> {
        self.board(number)?;
        self.check_user()
    }

    /// By execve(2) the peer may have become a program of another user's, which we may have the right
    /// to read and it has not; its first memory can be made to look like a board. Asked last: nothing
    /// is given out before.
    fn check_user(&self) -> Result<(), Lapse> {
        let user = sys::process_user(self.peer.pid);
        if user.is_ok_and(|user| user == self.peer.uid) {
            return Ok(());
        }
        // It may be hidden from us, have rights that it had not, or be gone.
        let is_gone = sys::is_gone(self.peer.pid);
        Err(if is_gone { Lapse::Gone } else { Lapse::Unreadable(libc::EPERM) })
    }

    fn record(&self, board: &Board, parts: usize) -> Result<Vec<u8>, Unread> {
        let len = Offer::check_len(board.len, parts).map_err(Unread::Nonsense)?;
        let mut record = vec![0; len];
        match sys::peek(self.peer.pid, board.record, &mut record) {
            Ok(read) if read == len => Ok(record),
            Ok(_) => Err(Lapse::Unreadable(libc::EFAULT).into()),
            Err(error) => Err(lapse(&error).into()),
        }
    }

    /// The peer's board, on which the offer of this number stands.
    fn board(&self, number: u64) -> Result<Board, Lapse> {
        // What was read before must not have been read after this, nor what follows before it.
        fence(Ordering::SeqCst);
        let board = self.shown();
        fence(Ordering::SeqCst);
        let board = board?;
        self.was_read.store(true, Ordering::Relaxed);
        if board.number == number { Ok(board) } else { Err(Lapse::Withdrawn) }
    }

    fn shown(&self) -> Result<Board, Lapse> {
        if self.is_void() {
            return Err(Lapse::Unreadable(libc::EPERM));
        }
        let place = match self.place.get() {
            Some(Ok(place)) => place,
            Some(Err(errno)) => return Err(Lapse::Unreadable(*errno)),
            None => return Err(Lapse::Unreadable(libc::ESRCH)),
        };
        let mut shown = [0; BOARD_LEN];
        let len = sys::peek(self.peer.pid, place.address, &mut shown);
        let len = len.map_err(|error| lapse(&error))?;
        let board = Board::parse(&shown);
        if len == BOARD_LEN && board.nonce == place.nonce {
            return Ok(board);
        }
        // Another process has the number of the peer's by now, or it has executed another program;
        // unless there never was a board.
        Err(if self.was_read() { Lapse::Gone } else { Lapse::Unreadable(libc::ESRCH) })
    }
}

/// What it means that memory cannot be read. The kernel has given the process a number here, so
/// where there is none of that number any more it has ended.
fn lapse(error: &io::Error) -> Lapse {
    match error.raw_os_error() {
        Some(libc::ESRCH) => Lapse::Gone,
        errno => Lapse::Unreadable(errno.unwrap_or(libc::EFAULT)),
    }
}

impl From<Lapse> for Unread {
    fn from(lapse: Lapse) -> Unread {
        Unread::Lapse(lapse)
    }
}

/// Go where an invitation leads.
fn visit(invitation: &Invitation) -> io::Result<SocketFd> {
    let socket = RawSocket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
    // Before anything can have come.
    sys::tell_senders(socket.as_fd(), true)?;
    let refuses_descriptors = sys::refuse_descriptors(socket.as_fd()).is_ok();
    socket.connect(&address(invitation)?)?;
    Ok(SocketFd::shared(socket.into(), refuses_descriptors))
}

fn join(fd: &SocketFd, invitation: &Invitation, place: Result<Place, i32>) -> io::Result<()> {
    let place = place.map_err(|errno| errno as u64);
    let join = Join { secret: invitation.secret, place };
    sys::send_bytes(fd.as_fd(), &join.encode()).map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
