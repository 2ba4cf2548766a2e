//! Which way large messages go: over the socket, or past it to a peer on the same host.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::base::BaseChannel;
use crate::net::{Invited, Lease, Options, here};
use crate::py::base::BaseStream;
use crate::sys;
use crate::wire::{Flags, Verdict};

/// From this many bytes on a part is offered, unless PINWIRE_OFFER_THRESHOLD says otherwise: below,
/// an offer and its answer take longer than the bytes.
const LARGE: u64 = 512 * 1024;

/// How long a message waits for the peer to say hello, and then for its answer to the invitation,
/// before it goes over the socket: a peer that receives answers in less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(1);

/// Bytes from which on a part is offered.
pub(super) fn threshold() -> u64 {
    static VALUE: OnceLock<u64> = OnceLock::new();
    *VALUE.get_or_init(|| {
        let value = env::var("PINWIRE_OFFER_THRESHOLD").ok();
        value.and_then(|value| value.parse().ok()).unwrap_or(LARGE).max(1)
    })
}

/// Where the large messages of one direction of a channel go.
pub(super) struct Route(Mutex<State>);

/// No Python code runs while it is locked.
enum State {
    /// Over the socket, and why.
    Socket(Cow<'static, str>),
    /// Nobody has had a large message yet, or the peer has not said hello since then.
    Untried(Option<Instant>),
    /// Until when a message waits for the answer; None before the invitation has gone.
    Invited { invited: Invited, lease: Lease, until: Option<Instant>, forks: u32 },
    /// Past it.
    Open(Arc<Way>),
}

/// The way past the socket.
pub(super) struct Way {
    /// What the peer answers by.
    pub(super) answers: Py<BaseStream>,
    lease: Mutex<Lease>,
    /// In a child that was forked since, another process than this has the lease.
    forks: u32,
}

/// What whoever has a large message is to do.
pub(super) enum Turn {
    /// Send it.
    Send,
    /// Look again, soon.
    Look(Duration),
    /// Send these bytes, and look again.
    Invite(Box<[u8]>),
    /// Offer it.
    Offer(Arc<Way>),
}

impl Route {
    /// That of a new channel, which may try to go past the socket or not.
    pub(super) fn new(reason_not_to: Option<&'static str>) -> Route {
        Route(Mutex::new(match reason_not_to {
            Some(reason) => State::Socket(reason.into()),
            None => State::Untried(None),
        }))
    }

    /// Whether messages go over the socket, for good.
    pub(super) fn is_socket(&self) -> bool {
        matches!(*self.lock(), State::Socket(_))
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(*self.lock(), State::Open(_))
    }

    /// How it stands, in words.
    pub(super) fn describe(&self) -> Cow<'static, str> {
        match &*self.lock() {
            State::Socket(reason) => reason.clone(),
            State::Untried(_) => "untried".into(),
            State::Invited { .. } => "the peer has not answered".into(),
            State::Open(_) => "in use".into(),
        }
    }

    /// The invitation has gone.
    pub(super) fn told(&self) {
        if let State::Invited { until, .. } = &mut *self.lock() {
            *until = Some(Instant::now() + PATIENCE);
        }
    }

    /// The peer cannot read what is offered.
    pub(super) fn give_up(&self, errno: u64) {
        let old = self.set(State::Socket(unreadable(errno)));
        drop(old);
    }

    /// What to do with the next large message; for whoever has the turn to send.
    pub(super) fn turn(&self, py: Python<'_>, channel: &BaseChannel) -> PyResult<Turn> {
        let busy_poll = channel.stream().get().socket().busy_poll();
        let options = Options { busy_poll, ..Options::default() };
        let (next, turn) = match self.set(State::Untried(None)) {
            State::Untried(until) => invite(py, channel, until)?,
            State::Invited { forks, .. } if forks != sys::forks() => forked(),
            State::Invited { invited, lease, until: None, .. } => tell(invited, lease),
            State::Invited { mut invited, lease, until: Some(until), forks } => {
                match invited.answer(&options) {
                    Ok(Some((socket, Verdict::Done))) => {
                        let answers = channel.stream().get().attach(py, socket, None)?;
                        let way = Arc::new(Way { answers, lease: Mutex::new(lease), forks });
                        (State::Open(Arc::clone(&way)), Turn::Offer(way))
                    }
                    Ok(Some((_, Verdict::Unreadable(errno)))) => {
                        (State::Socket(unreadable(errno)), Turn::Send)
                    }
                    Ok(Some(_)) => {
                        (State::Socket("the peer's answer means nothing".into()), Turn::Send)
                    }
                    Ok(None) => {
                        let turn = wait_until(until);
                        (State::Invited { invited, lease, until: Some(until), forks }, turn)
                    }
                    Err(error) => refused_by_system(&error),
                }
            }
            State::Open(way) if way.forks != sys::forks() => forked(),
            State::Open(way) => (State::Open(Arc::clone(&way)), Turn::Offer(way)),
            State::Socket(reason) => (State::Socket(reason), Turn::Send),
        };
        drop(self.set(next));
        Ok(turn)
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.0.try_lock().as_deref() {
            Ok(State::Open(way)) => visit.call(&way.answers),
            _ => Ok(()),
        }
    }

    fn set(&self, state: State) -> State {
        std::mem::replace(&mut *self.lock(), state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    /// Let something be read; gives its ticket.
    pub(super) fn offer(&self) -> u64 {
        self.lock().offer()
    }

    /// Let nothing be read any more, or not for what it is.
    pub(super) fn withdraw(&self) {
        self.lock().withdraw();
    }

    fn lock(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Invite the peer, if its hello says that it is on this host.
fn invite(
    py: Python<'_>,
    channel: &BaseChannel,
    until: Option<Instant>,
) -> PyResult<(State, Turn)> {
    channel.look_for_hello(py)?;
    let Some(theirs) = channel.greeting().theirs() else {
        let until = until.unwrap_or_else(|| Instant::now() + PATIENCE);
        return Ok((State::Untried(Some(until)), wait_until(until)));
    };
    if !theirs.flags.has(Flags::SAME_HOST) {
        return Ok((State::Socket("the peer has it off".into()), Turn::Send));
    }
    if theirs.host.is_none() || theirs.host != here() {
        let reason = "the peer is on another host, or in another network namespace";
        return Ok((State::Socket(reason.into()), Turn::Send));
    }
    let opened = Lease::new().and_then(|lease| Ok((Invited::new(&lease)?, lease)));
    Ok(match opened {
        Ok((invited, lease)) => tell(invited, lease),
        Err(error) => refused_by_system(&error),
    })
}

/// Have the invitation go.
fn tell(invited: Invited, lease: Lease) -> (State, Turn) {
    let bytes = invited.invitation().encode().into_boxed_slice();
    let (until, forks) = (None, sys::forks());
    (State::Invited { invited, lease, until, forks }, Turn::Invite(bytes))
}

fn wait_until(until: Instant) -> Turn {
    if Instant::now() < until { Turn::Look(LOOK) } else { Turn::Send }
}

fn forked() -> (State, Turn) {
    (State::Socket("this process was forked meanwhile".into()), Turn::Send)
}

fn refused_by_system(error: &io::Error) -> (State, Turn) {
    (State::Socket(format!("the system refuses what it takes: {error}").into()), Turn::Send)
}

fn unreadable(errno: u64) -> Cow<'static, str> {
    let error = io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(libc::EPERM));
    format!("the peer cannot read this process: {error}").into()
}
