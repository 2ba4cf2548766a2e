use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use socket2::{SockAddr, SockRef};

use super::{Address, Error, Handle, Options, SocketFd, loopback};
use crate::sys;

/// A connected stream socket.
///
/// Any number of threads may hold one. Each direction serves one transfer at a time: whoever has
/// its `Turn`.
#[derive(Debug)]
pub struct Socket {
    handle: Handle,
    busy: [AtomicBool; 2],
    torn: OnceLock<Torn>,
    /// The errno with which the connection ended.
    broken: OnceLock<i32>,
    /// Whether a send is in a system call, or has not noted yet what came of it: 0, or 1 more than
    /// `sys::forks`. The sender of a forked child is its parent's.
    sends: AtomicU32,
    opened: Opened,
    busy_poll: Duration,
    local: Address,
    peer: Address,
    stays_here: bool,
    may_bring_descriptors: bool,
    stats: Stats,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the peer.
    Send,
    /// From the peer.
    Receive,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Send => "send",
            Direction::Receive => "receive",
        })
    }
}

/// A send that was interrupted in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Bytes of it that were sent.
    pub transferred: u64,
    /// Bytes it had in all.
    pub nbytes: u64,
}

/// Who opened the descriptor, and so who decides about its status flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// We did, in non-blocking mode.
    Here,
    /// Somebody else; we leave the flags as they are.
    Elsewhere {
        /// Whether O_NONBLOCK is set.
        nonblocking: bool,
    },
}

/// Counters of one socket.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "named as in the Python stub, and explained there")]
pub struct Stats {
    pub bytes_sent: AtomicU64,
    pub bytes_received: AtomicU64,
    pub system_calls: AtomicU64,
    pub inline_completions: AtomicU64,
    pub bulk_transfers: AtomicU64,
    pub waits: AtomicU64,
    pub packed_bytes: AtomicU64,
}

/// The right to transfer in one direction; given back when dropped.
#[derive(Debug)]
pub struct Turn {
    socket: Arc<Socket>,
    direction: Direction,
}

impl Socket {
    /// Take over a connected descriptor and apply the options.
    ///
    /// `peer` is what accept(2) said; without it the kernel is asked. What somebody else opened
    /// gets the options and is otherwise left as it is.
    pub fn new(
        fd: OwnedFd,
        peer: Option<SockAddr>,
        options: &Options,
        opened: Opened,
    ) -> io::Result<Arc<Socket>> {
        let local = SockRef::from(&fd).local_addr()?;
        // Before anything that can fail: strangers may have sent something already.
        let fd = if local.is_unix() {
            SocketFd::connected(fd, opened == Opened::Here)
        } else {
            SocketFd::plain(fd)
        };
        let socket = SockRef::from(&fd);
        let peer = match peer {
            Some(peer) => peer,
            None => socket.peer_addr()?,
        };
        options.apply_to_connected(fd.as_fd(), !local.is_unix())?;
        if opened == Opened::Here {
            loopback::tune(&socket, &local, &peer, options);
        }
        let stays_here = local.is_unix() || loopback::stays_here(&local, &peer);
        let (local, peer) = (Address::from(&local), Address::from(&peer));
        Ok(Arc::new(Socket {
            may_bring_descriptors: fd.may_hold_descriptors(),
            handle: Handle::new(fd),
            busy: Default::default(),
            torn: OnceLock::new(),
            broken: OnceLock::new(),
            sends: AtomicU32::new(0),
            opened,
            busy_poll: options.busy_poll,
            local,
            peer,
            stays_here,
            stats: Stats::default(),
        }))
    }

    /// Its descriptor.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The descriptor, or the error of a closed stream.
    pub fn fd(&self) -> Result<Arc<SocketFd>, Error> {
        self.handle.get().ok_or(Error::Closed)
    }

    /// This end.
    pub fn local(&self) -> &Address {
        &self.local
    }

    /// The other end.
    pub fn peer(&self) -> &Address {
        &self.peer
    }

    /// Whether the other end is on this machine, as far as addresses tell.
    pub fn stays_here(&self) -> bool {
        self.stays_here
    }

    /// Whether descriptors of a stranger may come by it, which whoever receives has to take.
    pub fn may_bring_descriptors(&self) -> bool {
        self.may_bring_descriptors
    }

    /// Its counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How long to retry before sleeping.
    pub fn busy_poll(&self) -> Duration {
        self.busy_poll
    }

    /// Whether system calls without MSG_DONTWAIT return at once, too.
    pub fn is_nonblocking(&self) -> bool {
        self.opened != Opened::Elsewhere { nonblocking: false }
    }

    /// Start a transfer: refused if the direction is taken, the stream closed, or its sending
    /// side torn.
    pub fn begin(self: &Arc<Socket>, direction: Direction) -> Result<Turn, Error> {
        if !self.handle.is_open() {
            return Err(Error::Closed);
        }
        if self.busy[direction as usize].swap(true, Ordering::Acquire) {
            return Err(Error::Busy(direction));
        }
        let turn = Turn { socket: Arc::clone(self), direction };
        match self.torn.get() {
            Some(&torn) if direction == Direction::Send => Err(Error::Torn(torn)),
            _ => Ok(turn),
        }
    }

    /// Remember that a send was interrupted in the middle; the first one counts.
    pub fn tear(&self, torn: Torn) {
        let _ = self.torn.set(torn);
    }

    /// Make a system call that sends, and remember its error if the connection has ended with it.
    ///
    /// The kernel tells that once, to whichever direction asks first. After that it gives the other
    /// one the end of the stream, as if the peer had ended it and everything had come.
    pub fn send<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.sends.store(sys::forks() + 1, Ordering::SeqCst);
        let result = call();
        if let Err(error) = &result {
            self.note(error);
        }
        self.sends.store(0, Ordering::Release);
        result
    }

    /// The same for one that receives: the end of the stream is that error, if there was one.
    ///
    /// `fd` is the socket's.
    pub fn receive(
        &self,
        fd: BorrowedFd<'_>,
        call: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        match call() {
            Ok(0) => {
                self.broken(fd).map_or(Ok(0), |errno| Err(io::Error::from_raw_os_error(errno)))
            }
            Err(error) => {
                self.note(&error);
                Err(error)
            }
            moved => moved,
        }
    }

    /// The errno with which the connection ended, given that nothing more comes.
    fn broken(&self, fd: BorrowedFd<'_>) -> Option<i32> {
        // Who has just been told may not have noted it yet: he is on his way out of a call that
        // does not wait.
        while self.sends.load(Ordering::Acquire) == sys::forks() + 1 {
            thread::yield_now();
        }
        // sendfile(2) may be told and say nothing of it. But the end of a stream is counted.
        let ended = || {
            let read = self.stats.bytes_received.load(Ordering::Relaxed);
            let in_all = sys::received_in_all(fd).ok().flatten();
            self.opened == Opened::Here && in_all == Some(read)
        };
        self.broken.get().copied().or_else(|| ended().then_some(libc::ECONNRESET))
    }

    fn note(&self, error: &io::Error) {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown,
            NetworkUnreachable, TimedOut,
        };
        // Not a broken pipe: a peer that has ended its stream before it went has ended it.
        let ended = matches!(
            error.kind(),
            ConnectionAborted
                | ConnectionRefused
                | ConnectionReset
                | HostUnreachable
                | NetworkDown
                | NetworkUnreachable
                | TimedOut
        );
        if let (true, Some(errno)) = (ended, error.raw_os_error()) {
            let _ = self.broken.set(errno);
        }
    }

    /// Half-close.
    pub fn send_eof(self: &Arc<Socket>) -> Result<(), Error> {
        let fd = self.fd()?;
        let _turn = match self.begin(Direction::Send) {
            // The end of a torn stream may be said: it is what tells the peer.
            Err(Error::Torn(_)) => None,
            turn => Some(turn?),
        };
        Ok(sys::shutdown_send(fd.as_fd())?)
    }

    /// Close and, over TCP, reset the connection. Gives what `Handle::close` gives.
    pub fn abort(&self) -> Option<Arc<SocketFd>> {
        let fd = self.handle.close()?;
        // A linger time of 0 turns the close into a reset. It fails only on a dead connection.
        let _ = SockRef::from(&fd).set_linger(Some(Duration::ZERO));
        Some(fd)
    }

    /// Give the descriptor away. Refused with a transfer in flight; once it is sure,
    /// `unregister` has to see to it that nobody watches the descriptor any more.
    pub fn detach(self: &Arc<Socket>, unregister: impl FnOnce()) -> Result<RawFd, Error> {
        let _receive = self.begin(Direction::Receive)?;
        let _send = match self.begin(Direction::Send) {
            Err(Error::Torn(_)) => None,
            turn => Some(turn?),
        };
        let fd = self.fd()?;
        if self.opened == Opened::Here {
            sys::set_nonblocking(fd.as_fd(), false)?;
        }
        unregister();
        drop(self.handle.close());
        // An event loop in another thread may still have to let go of it.
        let fd = Arc::try_unwrap(fd).or_else(|shared| shared.duplicate())?;
        Ok(fd.into_inner().into_raw_fd())
    }

    /// Whether the peer has closed its sending side or is gone.
    pub fn peer_closed(&self) -> io::Result<bool> {
        self.polls(sys::Interest::Hangup)
    }

    /// Whether the connection has ended in both directions, or by an error. A peer that has only
    /// ended its stream may still receive.
    pub fn has_ended(&self) -> io::Result<bool> {
        self.polls(sys::Interest::End)
    }

    fn polls(&self, interest: sys::Interest) -> io::Result<bool> {
        let Some(fd) = self.handle.get() else {
            return Ok(true);
        };
        let [ready] = loop {
            match sys::poll([(fd.as_fd(), interest)], Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        Ok(ready)
    }

    /// Whether the peer is gone in this way and everything it sent has been read.
    pub fn is_at_end(&self) -> io::Result<bool> {
        if !self.peer_closed()? {
            return Ok(false);
        }
        Ok(self.unread()? == 0)
    }

    /// Bytes that have come and nobody has received; none once it is closed.
    pub fn unread(&self) -> io::Result<usize> {
        self.handle.get().map_or(Ok(0), |fd| sys::unread(fd.as_fd()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.socket.busy[self.direction as usize].store(false, Ordering::Release);
    }
}
