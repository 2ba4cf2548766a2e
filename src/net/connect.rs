use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockAddr, Socket as RawSocket, Type};

use super::error::OpenError;
use super::socket::Opened;
use super::{Address, Options, Socket};
use crate::sys;

/// How long an attempt may take before the next address is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How soon a unix listener whose queue is full is asked again: the kernel does not say when.
const QUEUE_DELAY: Duration = Duration::from_millis(5);

/// Connecting to the first of several addresses that answers ("happy eyeballs", RFC 8305).
///
/// `step` does what can be done at once and says what to wait for; the caller has the clock.
#[derive(Debug)]
pub struct Race {
    options: Options,
    waiting: VecDeque<SockAddr>,
    attempts: Vec<Attempt>,
    /// When to start the next attempt, though others are under way.
    next: Option<Instant>,
    errors: Vec<(Address, io::Error)>,
}

#[derive(Debug)]
struct Attempt {
    socket: RawSocket,
    peer: SockAddr,
    /// Ask again then, because the listener's queue is full.
    again: Option<Instant>,
}

/// What came of a step.
#[derive(Debug)]
pub enum Step {
    /// Connected.
    Connected(Arc<Socket>),
    /// Call again when one of `Race::pending` is writable, or then.
    Wait(Option<Instant>),
}

impl Race {
    /// Addresses in the resolver's order of preference (RFC 6724); families take turns.
    pub fn new(addresses: Vec<SockAddr>, options: Options) -> Race {
        Race {
            options,
            waiting: interleave(addresses),
            attempts: Vec::new(),
            next: None,
            errors: Vec::new(),
        }
    }

    /// Whose becoming writable is worth another step.
    pub fn pending(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.attempts.iter().filter(|a| a.again.is_none()).map(|a| a.socket.as_fd())
    }

    /// Look at what is under way, and start what is due.
    pub fn step(&mut self, now: Instant) -> Result<Step, OpenError> {
        let mut i = 0;
        while i < self.attempts.len() {
            match self.attempts[i].look(now) {
                Ok(true) => {
                    let Attempt { socket, peer, .. } = self.attempts.swap_remove(i);
                    if let Some(socket) = self.finish(socket, &peer, now) {
                        return Ok(Step::Connected(socket));
                    }
                }
                Ok(false) => i += 1,
                Err(error) => {
                    let failed = self.attempts.swap_remove(i);
                    self.fail(&failed.peer, error, now);
                }
            }
        }
        while self.attempts.is_empty() || self.next.is_some_and(|next| next <= now) {
            let Some(peer) = self.waiting.pop_front() else {
                break;
            };
            self.next = (!self.waiting.is_empty()).then_some(now + ATTEMPT_DELAY);
            if let Some(socket) = self.start(peer, now) {
                return Ok(Step::Connected(socket));
            }
        }
        if self.attempts.is_empty() {
            return Err(OpenError(std::mem::take(&mut self.errors)));
        }
        let again = self.attempts.iter().filter_map(|attempt| attempt.again);
        Ok(Step::Wait(again.chain(self.next).min()))
    }

    fn start(&mut self, peer: SockAddr, now: Instant) -> Option<Arc<Socket>> {
        let opened = RawSocket::new(peer.domain(), Type::STREAM.nonblocking(), None)
            .and_then(|socket| self.options.apply_to_new(&socket).map(|()| socket));
        if let (Ok(socket), true) = (&opened, peer.is_unix()) {
            // Before anything can have come. An older kernel cannot, which the socket finds out.
            let _ = sys::refuse_descriptors(socket.as_fd());
        }
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => {
                self.fail(&peer, error, now);
                return None;
            }
        };
        let mut attempt = Attempt { socket, peer, again: None };
        match attempt.connect(now) {
            Ok(true) => return self.finish(attempt.socket, &attempt.peer, now),
            Ok(false) => self.attempts.push(attempt),
            Err(error) => self.fail(&attempt.peer, error, now),
        }
        None
    }

    fn finish(&mut self, socket: RawSocket, peer: &SockAddr, now: Instant) -> Option<Arc<Socket>> {
        let result = refuse_self_connection(&socket)
            .and_then(|()| Socket::new(socket.into(), None, &self.options, Opened::Here));
        match result {
            Ok(socket) => Some(socket),
            Err(error) => {
                self.fail(peer, error, now);
                None
            }
        }
    }

    /// What has failed takes no more time: the next has its turn.
    fn fail(&mut self, peer: &SockAddr, error: io::Error, now: Instant) {
        self.next = self.next.map(|_| now);
        self.errors.push((Address::from(peer), error));
    }
}

impl Attempt {
    /// Whether it has connected.
    fn look(&mut self, now: Instant) -> io::Result<bool> {
        if let Some(again) = self.again {
            return if again <= now { self.connect(now) } else { Ok(false) };
        }
        match sys::poll([(self.socket.as_fd(), sys::Interest::Write)], Some(Duration::ZERO)) {
            Ok([true]) => sys::take_error(self.socket.as_fd()).map(|()| true),
            Ok([false]) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn connect(&mut self, now: Instant) -> io::Result<bool> {
        self.again = None;
        match self.socket.connect(&self.peer) {
            Ok(()) => Ok(true),
            // Interrupted, it goes on by itself (connect(2)).
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.peer.is_unix() => {
                self.again = Some(now + QUEUE_DELAY);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// A connection to a free port of the ephemeral range can meet itself (simultaneous open).
fn refuse_self_connection(socket: &RawSocket) -> io::Result<()> {
    let local = socket.local_addr()?;
    if local.as_socket().is_some() && local == socket.peer_addr()? {
        return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    }
    Ok(())
}

/// Let the families take turns, beginning with that of the first address (RFC 8305, section 4).
fn interleave(addresses: Vec<SockAddr>) -> VecDeque<SockAddr> {
    let first = addresses.first().map(SockAddr::family);
    let (mut ours, mut others): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| Some(address.family()) == first);
    let mut order = VecDeque::with_capacity(ours.len() + others.len());
    while !ours.is_empty() || !others.is_empty() {
        order.extend(ours.pop_front());
        order.extend(others.pop_front());
    }
    order
}
