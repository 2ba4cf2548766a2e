use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::attempt::{attempt, spin};
use crate::net::{
    Direction, Error, Handle, Listener, OpenError, Race, Socket, State, Step, Transfer,
};
use crate::sys::{self, Event, Interest};

/// A signal that comes just before poll(2) does not interrupt it: the main thread looks for one
/// at least this often. The usual case, a signal that comes during poll, is seen at once.
const SIGNAL_CHECK: Duration = Duration::from_millis(500);

/// How often the main thread looks for signals while a transfer keeps it from sleeping.
pub(super) const BUSY_SIGNAL_CHECK: Duration = Duration::from_millis(50);

/// How long a thread sleeps at a time that has no event to be woken by, because the process is out
/// of descriptors: then it looks whether what it waits for has been closed.
const NAP: Duration = Duration::from_millis(10);

/// What runs when a signal may have come: Ok to go on waiting.
pub type Interrupt<'a, E> = &'a mut dyn FnMut() -> Result<(), E>;

/// Bytes one system call may move: signals are looked for between calls.
pub const CALL: usize = 16 * 1024 * 1024;

/// Move the rest of a transfer, whose first attempt ended in `state`; sleep whenever the kernel is
/// not ready.
///
/// A deadline that has passed already means: what the kernel takes or gives at once.
pub fn transfer<E: From<Error>>(
    socket: &Socket,
    transfer: &mut Transfer,
    mut state: State,
    deadline: Option<Instant>,
    interrupt: Interrupt<'_, E>,
) -> Result<(), E> {
    let interest = match transfer.direction() {
        Direction::Send => Interest::Write,
        Direction::Receive => Interest::Read,
    };
    let serves_signals = sys::in_main_thread();
    let fd = socket.fd()?;
    let fd = fd.as_fd();
    let start = Instant::now();
    let mut checked = start;
    loop {
        let now = Instant::now();
        let expired = deadline.is_some_and(|deadline| deadline <= now);
        match state {
            State::Done => return Ok(()),
            State::Starved if expired => return Err(Error::TimedOut.into()),
            State::Moving if expired && deadline > Some(start) => {
                return Err(Error::TimedOut.into());
            }
            State::Moving => {}
            State::Starved if spins(socket, fd, transfer, now, deadline)? => {}
            State::Starved => {
                socket.stats().waits.fetch_add(1, Ordering::Relaxed);
                wait(socket.handle(), interest, deadline, interrupt)?;
            }
        }
        if serves_signals && now - checked >= BUSY_SIGNAL_CHECK {
            checked = now;
            interrupt()?;
        }
        state = attempt(socket, fd, transfer, CALL)?;
    }
}

/// Retry for the time the user gave (`busy_poll`), as long as signals and the deadline allow.
/// Whether to go on without sleeping.
fn spins(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    transfer: &mut Transfer,
    now: Instant,
    deadline: Option<Instant>,
) -> Result<bool, Error> {
    if socket.busy_poll().is_zero() {
        return Ok(false);
    }
    let until = now + socket.busy_poll().min(BUSY_SIGNAL_CHECK);
    let until = deadline.map_or(until, |deadline| deadline.min(until));
    Ok(spin(socket, fd, transfer, CALL, until)? || socket.busy_poll() > BUSY_SIGNAL_CHECK)
}

/// Wait for the next connection.
pub fn accept<E: From<Error>>(
    listener: &Listener,
    deadline: Option<Instant>,
    interrupt: Interrupt<'_, E>,
) -> Result<Arc<Socket>, E> {
    loop {
        let fd = listener.handle().get().ok_or(Error::Closed)?;
        if let Some(socket) = listener.accept(&fd).map_err(Error::from)? {
            return Ok(socket);
        }
        drop(fd);
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Error::TimedOut.into());
        }
        wait(listener.handle(), Interest::Read, deadline, interrupt)?;
    }
}

/// Wait until one of the addresses has answered.
pub fn connect<E: From<Error> + From<OpenError>>(
    race: &mut Race,
    deadline: Option<Instant>,
    interrupt: Interrupt<'_, E>,
) -> Result<Arc<Socket>, E> {
    loop {
        let now = Instant::now();
        let until = match race.step(now)? {
            Step::Connected(socket) => return Ok(socket),
            Step::Wait(until) => until,
        };
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Error::TimedOut.into());
        }
        // With several attempts under way only the first can end the sleep: look at the others
        // now and then.
        let mut pending = race.pending();
        let first = pending.next();
        let look = pending.next().is_some().then(|| now + Duration::from_millis(10));
        let until = [until, deadline, look].into_iter().flatten().min();
        drop(pending);
        match first {
            Some(fd) => sleep([(fd, Interest::Write)], until, interrupt)?,
            None => sleep([], until, interrupt)?,
        }
    }
}

/// Sleep until the event is set that `prepare` was given; not at all if that says no. Whether the
/// deadline has passed instead. It may return early without either.
pub fn park<E: From<Error>>(
    prepare: impl FnOnce(Arc<Event>) -> bool,
    deadline: Option<Instant>,
    interrupt: Interrupt<'_, E>,
) -> Result<bool, E> {
    match take_event() {
        Ok(event) => with_event(event, |event| {
            if prepare(Arc::clone(event)) {
                return sleep([(event.as_fd(), Interest::Read)], deadline, interrupt);
            }
            Ok(())
        })?,
        // Whoever asked looks again.
        Err(_) => sleep([], Some(soon(deadline)), interrupt)?,
    }
    Ok(deadline.is_some_and(|deadline| deadline <= Instant::now()))
}

/// Sleep until the descriptor may be ready, is closed, or the deadline has passed.
fn wait<E: From<Error>>(
    handle: &Handle,
    interest: Interest,
    deadline: Option<Instant>,
    interrupt: Interrupt<'_, E>,
) -> Result<(), E> {
    let Ok(event) = take_event() else {
        let fd = handle.get().ok_or(Error::Closed)?;
        return sleep([(fd.as_fd(), interest)], Some(soon(deadline)), interrupt);
    };
    with_event(event, |event| {
        let fd = handle.watch(Arc::<Event>::clone(event)).ok_or(Error::Closed)?;
        let fds = [(fd.as_fd(), interest), (event.as_fd(), Interest::Read)];
        let result = sleep(fds, deadline, interrupt);
        handle.forget(event);
        result
    })
}

/// The end of a nap, or the deadline.
fn soon(deadline: Option<Instant>) -> Instant {
    let soon = Instant::now() + NAP;
    deadline.map_or(soon, |deadline| deadline.min(soon))
}

fn sleep<const N: usize, E: From<Error>>(
    fds: [(BorrowedFd<'_>, Interest); N],
    deadline: Option<Instant>,
    interrupt: Interrupt<'_, E>,
) -> Result<(), E> {
    let serves_signals = sys::in_main_thread();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let nap = if serves_signals { Some(SIGNAL_CHECK) } else { None };
        let nap = [left, nap].into_iter().flatten().min();
        match sys::poll(fds, nap) {
            Ok(ready) if ready.contains(&true) => return Ok(()),
            Ok(_) if serves_signals => interrupt()?,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => interrupt()?,
            Err(error) => return Err(Error::from(error).into()),
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(());
        }
    }
}

thread_local! {
    /// What this thread sleeps on beside a socket, and the process (`sys::forks`) that made it: so
    /// descriptors grow with threads, not with streams.
    static EVENT: Cell<Option<(u32, Arc<Event>)>> = const { Cell::new(None) };
}

/// Sleep with this thread's event, which is not set at the beginning.
fn with_event<T, E>(
    event: Arc<Event>,
    sleeps: impl FnOnce(&Arc<Event>) -> Result<T, E>,
) -> Result<T, E> {
    event.clear();
    let result = sleeps(&event);
    EVENT.set(Some((sys::forks(), event)));
    result
}

/// This thread's event, or a new one where it is in use (in a signal handler that interrupted a
/// sleep) or the parent's (in a forked child).
fn take_event() -> io::Result<Arc<Event>> {
    match EVENT.take() {
        Some((process, event)) if process == sys::forks() => Ok(event),
        _ => Event::new().map(Arc::new),
    }
}
