use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::net::{Heard, Invited, Link, Options, Visit, here};
use crate::py::base::{Attached, BaseStream};
use crate::py::channel::base::BaseChannel;
use crate::wire::{Flags, Hello, Invitation};

/// From this many bytes on a part is offered, unless PINWIRE_OFFER_THRESHOLD says otherwise: below,
/// an offer and its answer take longer than the bytes.
const LARGE: u64 = 512 * 1024;

/// How long a message waits for the peer to say hello, and then for the link, before it goes over
/// the socket: a peer that receives answers in less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(1);

const FORKED: &str = "this process was forked, or got another user, meanwhile";

/// Bytes from which on a part is offered.
pub(in crate::py::channel) fn threshold() -> u64 {
    static VALUE: OnceLock<u64> = OnceLock::new();
    *VALUE.get_or_init(|| {
        let value = env::var("PINWIRE_OFFER_THRESHOLD").ok();
        value.and_then(|value| value.parse().ok()).unwrap_or(LARGE).max(1)
    })
}

/// How the large messages of a channel go, in both directions. It ends with the channel's stream.
pub(in crate::py::channel) struct Route(Mutex<State>);

/// No Python code runs while it is locked.
struct State {
    stage: Stage,
    /// What our own sends do not use the link for, although there may be one.
    given_up: Option<Reason>,
    /// The name in our invitation, once there has been one.
    ours: Option<[u8; 16]>,
    was_invited: bool,
    /// Whether our hello says that we may be invited.
    is_willing: bool,
}

type Reason = Cow<'static, str>;

enum Stage {
    /// There is no link and will not be one, and why.
    Socket(Reason),
    /// Nobody has had a large message yet, or the peer has not said hello since then.
    Untried(Option<Instant>),
    /// Until when a message waits for the peer; None before the invitation has gone.
    Invited(Invited, Option<Instant>),
    /// Until when a message waits for the peer's welcome; None before one has.
    Linked(Way, Option<Instant>),
    /// The stream is closed; and what was said last. The peer may have to find still that an
    /// offer does not stand.
    Ended(Reason, #[expect(dead_code, reason = "keeps the board")] Arc<Link>),
}

/// A link, and the stream that our sends hear answers by, once one has.
struct Way {
    link: Arc<Link>,
    answers: Option<Py<BaseStream>>,
    /// Whether this end has offered something.
    offers: bool,
}

/// What whoever has a large message is to do.
pub(in crate::py::channel) enum Turn {
    /// Send it.
    Send,
    /// Look again, soon.
    Look(Duration),
    /// Send these bytes, and look again.
    Invite(Box<[u8]>),
    /// Offer it.
    Offer(Arc<Link>),
}

impl Route {
    /// That of a new channel, which may try to go past the socket or not.
    pub(in crate::py::channel) fn new(
        reason_not_to: Option<&'static str>,
        is_willing: bool,
    ) -> Route {
        let stage = match reason_not_to {
            Some(reason) => Stage::Socket(reason.into()),
            None => Stage::Untried(None),
        };
        let (given_up, ours, was_invited) = Default::default();
        Route(Mutex::new(State { stage, given_up, ours, was_invited, is_willing }))
    }

    /// Whether our messages go over the socket, for good.
    pub(in crate::py::channel) fn is_socket(&self) -> bool {
        let state = self.lock();
        state.given_up.is_some() || matches!(state.stage, Stage::Socket(_) | Stage::Ended(..))
    }

    /// Whether there is a link that something may go by, one way or the other.
    pub(in crate::py::channel) fn is_linked(&self) -> bool {
        let state = self.lock();
        let Stage::Linked(way, _) = &state.stage else { return false };
        way.link.was_read() || (way.offers && state.given_up.is_none())
    }

    /// How our messages go, in words.
    pub(in crate::py::channel) fn describe(&self) -> Reason {
        self.lock().describe()
    }

    /// The invitation has gone.
    pub(in crate::py::channel) fn told(&self) {
        if let Stage::Invited(_, until) = &mut self.lock().stage {
            *until = Some(Instant::now() + PATIENCE);
        }
    }

    /// The peer cannot read what is offered.
    pub(in crate::py::channel) fn give_up(&self, errno: u64) {
        let errno = i32::try_from(errno).unwrap_or(libc::EPERM);
        self.lock().given_up = Some(unreadable(errno));
    }

    /// What to do with the next large message; for whoever has the turn to send.
    pub(in crate::py::channel) fn turn(
        &self,
        py: Python<'_>,
        channel: &BaseChannel,
    ) -> PyResult<Turn> {
        if matches!(self.lock().stage, Stage::Untried(_)) {
            channel.look_for_hello(py)?;
        }
        let mut state = self.lock();
        Ok(state.turn(channel.greeting().theirs(), &options(channel)))
    }

    /// What the answers to our offers come by.
    pub(in crate::py::channel) fn answers(
        &self,
        py: Python<'_>,
        link: &Arc<Link>,
    ) -> PyResult<Py<BaseStream>> {
        if let Stage::Linked(Way { answers: Some(answers), .. }, _) = &self.lock().stage {
            return Ok(answers.clone_ref(py));
        }
        // Not under the lock: it may run the garbage collector.
        let stream = Py::new(py, BaseStream::new(Arc::clone(link.socket())))?;
        if let Stage::Linked(way, _) = &mut self.lock().stage {
            way.answers = Some(stream.clone_ref(py));
            return Ok(stream);
        }
        // Closed meanwhile.
        stream.get().close(py);
        Ok(stream)
    }

    /// The peer invites us. False if it may not.
    pub(in crate::py::channel) fn follow(
        &self,
        channel: &BaseChannel,
        invitation: &Invitation,
    ) -> bool {
        let theirs = channel.greeting().theirs();
        let may_invite = theirs.is_some_and(|theirs| theirs.flags.has(Flags::SAME_HOST));
        let mut state = self.lock();
        if !may_invite || !state.is_willing || std::mem::replace(&mut state.was_invited, true) {
            return false;
        }
        // Invitations that cross: the lower name wins, for both.
        match state.ours {
            Some(ours) if ours < invitation.name => return true,
            Some(ours) if ours == invitation.name => return false,
            _ => {}
        }
        if matches!(state.stage, Stage::Linked(..)) {
            return false;
        }
        if matches!(state.stage, Stage::Socket(_) | Stage::Ended(..)) {
            Link::decline(invitation);
            return true;
        }
        state.stage = match Link::follow(invitation, &options(channel)) {
            Ok(link) => Stage::Linked(Way::new(link), None),
            Err(error) => Stage::Socket(refused_by_system(&error)),
        };
        true
    }

    /// Who may offer something to us, if there is a link.
    pub(in crate::py::channel) fn offerer(&self, channel: &BaseChannel) -> Option<Arc<Link>> {
        let mut state = self.lock();
        state.look(&options(channel));
        match &state.stage {
            Stage::Linked(way, _) if way.link.is_void() || way.link.hear() == Heard::Welcome => {
                Some(Arc::clone(&way.link))
            }
            _ => None,
        }
    }

    /// Have the peer join if it has come meanwhile: it sends large messages by the socket till then.
    pub(in crate::py::channel) fn look(&self, channel: &BaseChannel) {
        self.lock().look(&options(channel));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn new(link: Link) -> Way {
        Way { link: Arc::new(link), answers: None, offers: false }
    }
}

impl State {
    fn describe(&self) -> Reason {
        match (&self.given_up, &self.stage) {
            (Some(reason), _) => reason.clone(),
            (None, Stage::Socket(reason) | Stage::Ended(reason, _)) => reason.clone(),
            (None, Stage::Invited(..)) => "the peer has not answered".into(),
            (None, Stage::Linked(way, _)) if way.offers => "in use".into(),
            (None, Stage::Untried(_) | Stage::Linked(..)) => "untried".into(),
        }
    }

    fn turn(&mut self, theirs: Option<&Hello>, options: &Options) -> Turn {
        if let Stage::Untried(until) = self.stage {
            let until = until.unwrap_or_else(|| Instant::now() + PATIENCE);
            let Some(theirs) = theirs else {
                self.stage = Stage::Untried(Some(until));
                return wait_until(until);
            };
            self.stage = invite(theirs);
        }
        self.look(options);
        match &mut self.stage {
            _ if self.given_up.is_some() => Turn::Send,
            Stage::Untried(_) | Stage::Socket(_) | Stage::Ended(..) => Turn::Send,
            Stage::Invited(invited, None) => {
                self.ours = Some(invited.invitation().name);
                Turn::Invite(invited.invitation().encode().into_boxed_slice())
            }
            Stage::Invited(_, Some(until)) => wait_until(*until),
            Stage::Linked(way, _) if way.link.is_void() => {
                self.given_up = Some(FORKED.into());
                Turn::Send
            }
            Stage::Linked(way, until) => match way.link.hear() {
                Heard::Welcome => {
                    way.offers = true;
                    Turn::Offer(Arc::clone(&way.link))
                }
                Heard::Nothing => {
                    wait_until(*until.get_or_insert_with(|| Instant::now() + PATIENCE))
                }
                Heard::End => {
                    self.given_up = Some("the peer has not taken up the link".into());
                    Turn::Send
                }
            },
        }
    }

    /// Whether the peer whom we have invited has come.
    fn look(&mut self, options: &Options) {
        let Stage::Invited(invited, Some(_)) = &mut self.stage else { return };
        let visit = if invited.is_ours() {
            invited.look(options)
        } else {
            self.stage = Stage::Socket(FORKED.into());
            return;
        };
        self.stage = match visit {
            Ok(Visit::Nobody) => return,
            Ok(Visit::Joined(link)) => Stage::Linked(Way::new(link), None),
            Ok(Visit::Refused(errno)) => Stage::Socket(unreadable(errno)),
            Err(error) => Stage::Socket(refused_by_system(&error)),
        };
    }
}

impl Attached for Route {
    fn end(&self, py: Python<'_>) {
        let mut state = self.lock();
        let reason = state.describe();
        let ended = std::mem::replace(&mut state.stage, Stage::Socket(reason.clone()));
        let Stage::Linked(Way { link, answers, .. }, _) = ended else { return };
        state.stage = Stage::Ended(reason, Arc::clone(&link));
        drop(state);
        match answers {
            Some(answers) => answers.get().close(py),
            None => drop(link.socket().handle().close()),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.0.try_lock().as_deref() {
            Ok(State { stage: Stage::Linked(way, _), .. }) => visit.call(&way.answers),
            _ => Ok(()),
        }
    }
}

/// Those of a link: it is waited for as the channel's own stream is.
fn options(channel: &BaseChannel) -> Options {
    let busy_poll = channel.stream().get().socket().busy_poll();
    Options { busy_poll, ..Options::default() }
}

/// Invite the peer, if its hello says that it is on this host.
fn invite(theirs: &Hello) -> Stage {
    if !theirs.flags.has(Flags::SAME_HOST) {
        return Stage::Socket("the peer has it off, or no /proc to know its host by".into());
    }
    if theirs.host.is_none() || theirs.host != here() {
        let reason = "the peer is on another host, or in another network namespace";
        return Stage::Socket(reason.into());
    }
    match Invited::new() {
        Ok(invited) => Stage::Invited(invited, None),
        Err(error) => Stage::Socket(refused_by_system(&error)),
    }
}

fn wait_until(until: Instant) -> Turn {
    if Instant::now() < until { Turn::Look(LOOK) } else { Turn::Send }
}

fn refused_by_system(error: &io::Error) -> Reason {
    format!("the system refuses what it takes: {error}").into()
}

fn unreadable(errno: i32) -> Reason {
    let error = io::Error::from_raw_os_error(errno);
    format!("the peer cannot read this process: {error}").into()
}
