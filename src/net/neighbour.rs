//! Two processes of one host, one of which lets the other read what it offers.
//!
//! The sender invites: it listens on an abstract unix socket, and says over the connection that it
//! already has with the peer which one, and what bytes it has at which address. The receiver
//! connects there, so the kernel tells it the sender's process, and looks whether it can read those
//! bytes in that process. Nobody is believed, and nobody writes into another's memory.

use std::fmt::Write;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::socket::Opened;
use super::{Options, Socket};
use crate::sys;
use crate::wire::{ANSWER_LEN, Answer, Host, Invitation, Verdict};

/// Visitors of an invitation that have not said the secret yet. The socket's name is no secret, so
/// there may be others than the one who was invited.
const VISITORS: usize = 16;

const SECRET_LEN: usize = 32;
const NONCE_LEN: usize = 32;

/// Where this process is; None if the system does not say.
pub fn here() -> Option<Host> {
    static BOOT: OnceLock<Option<[u8; 16]>> = OnceLock::new();
    let boot = (*BOOT.get_or_init(|| sys::boot_id().ok()))?;
    Some(Host { boot, network: sys::network_namespace().ok()? })
}

/// What a receiver looks for in the sender's memory: that it is there says which process this is,
/// and which offer stands.
#[derive(Debug)]
pub struct Lease {
    /// At an address of its own, for as long as the lease lives.
    shown: Box<Shown>,
    tickets: u64,
}

#[derive(Debug)]
#[repr(C)]
struct Shown {
    nonce: [u8; NONCE_LEN],
    /// 0 while nothing is offered.
    ticket: AtomicU64,
}

impl Lease {
    /// One that offers nothing.
    pub fn new() -> io::Result<Lease> {
        let shown = Box::new(Shown { nonce: sys::random()?, ticket: AtomicU64::new(0) });
        Ok(Lease { shown, tickets: 0 })
    }

    /// Offer something; gives its ticket.
    pub fn offer(&mut self) -> u64 {
        self.tickets += 1;
        self.shown.ticket.store(self.tickets, Ordering::SeqCst);
        self.tickets
    }

    /// Nothing is offered any more: whoever has read it looks for the ticket afterwards, and finds
    /// that it may have read something else.
    pub fn withdraw(&self) {
        self.shown.ticket.store(0, Ordering::SeqCst);
        // Before what was offered is written to or given back.
        fence(Ordering::SeqCst);
    }

    fn address(&self) -> u64 {
        std::ptr::from_ref(&*self.shown).addr() as u64
    }
}

/// An invitation that is open.
#[derive(Debug)]
pub struct Invited {
    invitation: Invitation,
    listener: OwnedFd,
    visitors: Vec<OwnedFd>,
}

impl Invited {
    /// Invite the peer to read what the lease is for.
    pub fn new(lease: &Lease) -> io::Result<Invited> {
        let invitation = Invitation {
            name: sys::random()?,
            secret: sys::random()?,
            address: lease.address(),
            nonce: lease.shown.nonce,
        };
        let listener = RawSocket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        listener.bind(&door(&invitation)?)?;
        listener.listen(VISITORS as i32)?;
        Ok(Invited { invitation, listener: listener.into(), visitors: Vec::new() })
    }

    /// What to tell the peer.
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// The peer's answer, and the way for those that follow, with these options; None if it has not come yet.
    pub fn answer(&mut self, options: &Options) -> io::Result<Option<(Arc<Socket>, Verdict)>> {
        let mut silent = std::mem::take(&mut self.visitors).into_iter();
        loop {
            let visitor = match silent.next() {
                Some(visitor) => visitor,
                None => match sys::accept(self.listener.as_fd()) {
                    Ok((visitor, _)) => visitor,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                    Err(error) => return Err(error),
                },
            };
            match said(&visitor) {
                Ok(Some((secret, answer))) if secret == self.invitation.secret => {
                    let socket = Socket::new(visitor, None, options, Opened::Here)?;
                    return Ok(Some((socket, answer)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.visitors.push(visitor);
                    if self.visitors.len() > VISITORS {
                        self.visitors.remove(0);
                    }
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// What a visitor says, which it does all at once; None if that is not what was asked for.
fn said(visitor: &OwnedFd) -> io::Result<Option<([u8; SECRET_LEN], Verdict)>> {
    let mut said = [0; SECRET_LEN + ANSWER_LEN];
    let len = sys::receive_bytes(visitor.as_fd(), &mut said)?;
    let (secret, answer) = said.split_first_chunk().expect("it begins with one");
    let answer = answer.first_chunk().and_then(Answer::parse);
    let is_whole = len == said.len();
    Ok(answer.filter(|answer| is_whole && answer.ticket == 0).map(|it| (*secret, it.verdict)))
}

/// The sender, as the receiver knows it.
#[derive(Debug)]
pub struct Neighbour {
    socket: Arc<Socket>,
    pid: i32,
    /// None before Linux 6.5: then the nonce alone says that a process is the one it was.
    process: Option<OwnedFd>,
    address: u64,
    nonce: [u8; NONCE_LEN],
}

impl Neighbour {
    /// Follow an invitation, and answer it: whether the sender's memory can be read.
    pub fn visit(invitation: &Invitation) -> io::Result<Neighbour> {
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.connect(&door(invitation)?)?;
        let fd: OwnedFd = socket.into();
        let sys::Credentials { pid, uid, .. } = sys::peer_credentials(fd.as_fd())?;
        let process = sys::peer_process(fd.as_fd()).ok();
        let socket = Socket::new(fd, None, &Options::default(), Opened::Here)?;
        let Invitation { address, nonce, .. } = *invitation;
        let neighbour = Neighbour { socket, pid, process, address, nonce };
        let trial = if uid == sys::effective_user() {
            neighbour.ticket()
        } else {
            // We may have rights that the sender has not, and it could become a program that it may
            // not read (execve(2) of a set-user-ID file): nobody is to have us read it for him.
            Err(io::Error::from_raw_os_error(libc::EPERM))
        };
        let verdict = match &trial {
            Ok(_) => Verdict::Done,
            Err(error) => unreadable(error),
        };
        let answer = Answer { ticket: 0, verdict }.encode();
        neighbour.say(&[&invitation.secret[..], &answer].concat())?;
        trial.map(|_| neighbour)
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The way by which it hears answers.
    pub fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// The ticket of the offer that stands there; an error if that cannot be read, or this is
    /// another process by now.
    pub fn ticket(&self) -> io::Result<u64> {
        // What was read before must not have been read after this.
        fence(Ordering::SeqCst);
        let mut shown = [0; NONCE_LEN + 8];
        // A process of another namespace has the number 0, which is nobody's.
        let len = sys::peek(self.pid, self.address, &mut shown)?;
        let (nonce, ticket) = shown.split_at(NONCE_LEN);
        let is_same = len == shown.len() && nonce == self.nonce;
        if !is_same || self.process.as_ref().is_some_and(sys::has_ended) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(u64::from_ne_bytes(ticket.try_into().expect("8 bytes")))
    }

    /// Tell it what has become of an offer. Whoever is not there any more need not hear it.
    pub fn answer(&self, ticket: u64, verdict: Verdict) {
        let _ = self.say(&Answer { ticket, verdict }.encode());
    }

    fn say(&self, bytes: &[u8]) -> io::Result<()> {
        let Ok(fd) = self.socket.fd() else { return Err(io::ErrorKind::NotConnected.into()) };
        sys::send_bytes(fd.as_fd(), bytes).map(drop)
    }
}

/// The verdict on what could not be read.
pub fn unreadable(error: &io::Error) -> Verdict {
    Verdict::Unreadable(error.raw_os_error().unwrap_or(libc::EFAULT) as u64)
}

fn door(invitation: &Invitation) -> io::Result<SockAddr> {
    let mut name = "\0pinwire-".to_owned();
    for byte in invitation.name {
        write!(name, "{byte:02x}").expect("a string takes all");
    }
    SockAddr::unix(name)
}
