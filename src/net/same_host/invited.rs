use std::fmt::Write;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::credentials::{is_from, is_spare, our_user, peer};
use super::link::Link;
use crate::net::{Options, SocketFd};
use crate::sys;
use crate::wire::{Invitation, JOIN_LEN, Join};

/// Visitors that are heard in one look. The socket's name is no secret, so there may be others than
/// the one who was invited, and whoever looks has something else to do.
const VISITORS: usize = 8;

/// An invitation that is open.
#[derive(Debug)]
pub struct Invited {
    invitation: Invitation,
    listener: SocketFd,
    /// Whether nobody can send it descriptors, and so whoever comes may be heard.
    refuses_descriptors: bool,
    /// A visitor of our own user that has not said anything yet.
    silent: Option<OwnedFd>,
    forks: u32,
}

/// What has come of an invitation.
#[derive(Debug)]
pub enum Visit {
    /// The peer has not come.
    Nobody,
    /// It has, and is welcome.
    Joined(Link),
    /// It cannot join, for this reason (errno(3)).
    Refused(i32),
}

impl Invited {
    /// Invite the peer.
    pub fn new() -> io::Result<Invited> {
        our_user()?;
        let invitation = Invitation { name: sys::random()?, secret: sys::random()? };
        let listener = RawSocket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
        is_spare(&listener)?;
        sys::tell_senders(listener.as_fd(), true)?;
        // Before anybody can come; visitors have it from the listener.
        let refuses_descriptors = sys::refuse_descriptors(listener.as_fd()).is_ok();
        listener.bind(&address(&invitation)?)?;
        listener.listen(VISITORS as i32)?;
        let listener = SocketFd::shared(listener.into(), refuses_descriptors);
        let (silent, forks) = (None, sys::forks());
        Ok(Invited { invitation, listener, refuses_descriptors, silent, forks })
    }

    /// What to tell the peer.
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Whether it is this process that invites: a forked child has the listener too.
    pub fn is_ours(&self) -> bool {
        self.forks == sys::forks()
    }

    /// Whether the peer has come; its link gets these options.
    pub fn look(&mut self, options: &Options) -> io::Result<Visit> {
        let mut silent = self.silent.take();
        for _ in 0..=VISITORS {
            let visitor = match silent.take() {
                Some(visitor) => visitor,
                None => match sys::accept(self.listener.as_fd()) {
                    Ok((visitor, _)) => visitor,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                },
            };
            match self.hear(visitor, options)? {
                Visit::Nobody => {}
                visit => return Ok(visit),
            }
        }
        Ok(Visit::Nobody)
    }

    /// What a visitor says, which it does in one packet.
    fn hear(&mut self, visitor: OwnedFd, options: &Options) -> io::Result<Visit> {
        let who = peer(&visitor);
        if who.is_err() && !self.refuses_descriptors {
            // What a stranger has sent is not taken, nor closed here.
            drop(SocketFd::shared(visitor, false));
            return Ok(Visit::Nobody);
        }
        let mut said = [0; JOIN_LEN];
        let (join, from) = match sys::receive_packet(visitor.as_fd(), &mut said) {
            Ok((JOIN_LEN, from)) => (Join::parse(&said), from),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Of those who may join the last one is kept, and nobody else.
                if who.is_ok() {
                    self.silent = Some(visitor);
                }
                return Ok(Visit::Nobody);
            }
            _ => return Ok(Visit::Nobody),
        };
        if join.secret != self.invitation.secret {
            return Ok(Visit::Nobody);
        }
        let place = match (who, join.place) {
            (_, Err(errno)) => Err(i32::try_from(errno).unwrap_or(libc::EPERM)),
            (Err(error), _) => Err(error.raw_os_error().unwrap_or(libc::EPERM)),
            (Ok(who), Ok(_)) if !is_from(&who, from) => Err(libc::EPERM),
            (Ok(who), Ok(place)) => Ok((who, place)),
        };
        Ok(match place {
            Ok((who, place)) => {
                is_spare(&visitor)?;
                Visit::Joined(Link::welcome(visitor, who, place, options)?)
            }
            Err(errno) => Visit::Refused(errno),
        })
    }
}

/// Where an invitation leads.
pub(super) fn address(invitation: &Invitation) -> io::Result<SockAddr> {
    let mut name = "\0pinwire-".to_owned();
    for byte in invitation.name {
        write!(name, "{byte:02x}").expect("a string takes all");
    }
    SockAddr::unix(name)
}
