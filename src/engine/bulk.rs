use std::env;
use std::future;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::task;
use tokio::{select, time};

use super::attempt::{attempt, spin};
use super::bell::Bell;
use super::flight::{Flight, Landing, Outcome};
use super::pull::ask_for_help;
use super::pulling::Pulling;
use super::runtime::{Share, share, watch};
use crate::net::{Direction, Error, Socket, SocketFd, State, Transfer};

/// Bytes one system call of a worker may move: between calls it looks whether it is to stop, and
/// lets other flights have their turn.
const CALL: usize = 1024 * 1024;

/// How long a worker retries before it sleeps. A peer that copies at the same time is ready again
/// within a few microseconds, and to sleep and be woken takes both sides as many.
const SPIN: Duration = Duration::from_micros(10);

/// Bytes left from which on a transfer is worth a flight, unless PINWIRE_BULK_THRESHOLD says
/// otherwise.
const THRESHOLD: u64 = 256 * 1024;

/// The same, of what is copied from another process: that takes a third of the time.
const PULL_THRESHOLD: u64 = 2 * 1024 * 1024;

/// Counters of the process.
#[derive(Debug)]
#[expect(missing_docs, reason = "named as in the Python stub, and explained there")]
pub struct BulkStats {
    pub transfers: AtomicU64,
    pub landed: AtomicU64,
    pub bytes: AtomicU64,
    pub rings: AtomicU64,
}

/// The counters of all flights of this process.
pub static BULK_STATS: BulkStats = BulkStats {
    transfers: AtomicU64::new(0),
    landed: AtomicU64::new(0),
    bytes: AtomicU64::new(0),
    rings: AtomicU64::new(0),
};

/// Bytes left from which on a transfer is worth a flight.
pub fn bulk_threshold(transfer: &Transfer) -> u64 {
    static VALUE: OnceLock<Option<u64>> = OnceLock::new();
    let asked = *VALUE.get_or_init(|| env::var("PINWIRE_BULK_THRESHOLD").ok()?.parse().ok());
    asked.unwrap_or(if transfer.is_pull() { PULL_THRESHOLD } else { THRESHOLD })
}

/// Hand a transfer to the workers until `deadline`; `bell` tells when it has landed. What is left
/// behind has the same progress and nothing to move.
///
/// None if there are no workers, or the system has no descriptor to spare: the transfer stays.
pub fn fly(
    socket: &Arc<Socket>,
    transfer: &mut Transfer,
    deadline: Option<Instant>,
    bell: &Arc<Bell>,
) -> Option<Arc<Flight>> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let share = share()?;
    let flight = Flight::new(NUMBER.fetch_add(1, Ordering::Relaxed));
    let ready = if transfer.is_pull() {
        None
    } else {
        let _context = share.handle.enter();
        // Of its own, because the other direction may be registered, too.
        let own = socket.fd().ok()?.duplicate().ok()?;
        Some(watch(own, interest(transfer.direction()))?)
    };
    socket.handle().watch(Arc::<Flight>::clone(&flight))?;
    socket.stats().bulk_transfers.fetch_add(1, Ordering::Relaxed);
    BULK_STATS.transfers.fetch_add(1, Ordering::Relaxed);
    let before = transfer.progress().transferred();
    let work = match ready {
        Some(ready) => Work::Socket(transfer.take(), ready),
        None => Work::Pull(Pulling::new(transfer)),
    };
    let pilot = Pilot {
        flight: Arc::clone(&flight),
        socket: Arc::clone(socket),
        before,
        work: Some(work),
        bell: Arc::clone(bell),
        outcome: Outcome::Stopped,
        share,
    };
    let handle = pilot.share.handle.clone();
    handle.spawn(pilot.work(deadline));
    Some(flight)
}

/// The workers' end of a flight. It lands when it is dropped, whatever the reason.
struct Pilot {
    flight: Arc<Flight>,
    socket: Arc<Socket>,
    before: u64,
    /// None once it has landed.
    work: Option<Work>,
    bell: Arc<Bell>,
    outcome: Outcome,
    share: Share,
}

/// What is moved, and how.
#[expect(clippy::large_enum_variant, reason = "a flight has one, and a pull is no small one")]
enum Work {
    /// Through the socket, as it becomes ready.
    Socket(Transfer, AsyncFd<SocketFd>),
    /// From another process, which never waits.
    Pull(Arc<Pulling>),
}

impl Pilot {
    async fn work(mut self, deadline: Option<Instant>) {
        let Pilot { flight, socket, work, .. } = &mut self;
        let run = match work {
            Some(Work::Socket(transfer, ready)) => {
                through(socket, transfer, ready, flight, deadline).await
            }
            Some(Work::Pull(pulling)) => pull(socket, pulling, flight, deadline).await,
            None => Ok(Outcome::Stopped),
        };
        self.outcome = run.unwrap_or_else(Outcome::Failed);
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        let transfer = match work {
            Work::Socket(transfer, ready) => {
                // The number is given back before anybody hears of the end.
                drop(ready);
                transfer
            }
            Work::Pull(pulling) => pulling.finish(),
        };
        let moved = transfer.progress().transferred() - self.before;
        BULK_STATS.bytes.fetch_add(moved, Ordering::Relaxed);
        BULK_STATS.landed.fetch_add(1, Ordering::Relaxed);
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Stopped);
        if self.flight.land(Landing { transfer, outcome }, &self.bell) {
            BULK_STATS.rings.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Move bytes through the socket.
async fn through(
    socket: &Socket,
    transfer: &mut Transfer,
    ready: &AsyncFd<SocketFd>,
    flight: &Flight,
    deadline: Option<Instant>,
) -> Result<Outcome, Error> {
    let fd = ready.get_ref().as_fd();
    let interest = interest(transfer.direction());
    let mut readiness = None;
    loop {
        loop {
            if flight.is_stopped() {
                return Ok(Outcome::Stopped);
            }
            match attempt(socket, fd, transfer, CALL)? {
                State::Done => return Ok(Outcome::Done),
                State::Moving => task::yield_now().await,
                State::Starved if spin(socket, fd, transfer, CALL, Instant::now() + SPIN)? => {}
                State::Starved => break,
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(Error::TimedOut);
            }
        }
        socket.stats().waits.fetch_add(1, Ordering::Relaxed);
        if let Some(mut guard) = readiness.take() {
            let guard: &mut AsyncFdReadyGuard<'_, _> = &mut guard;
            if guard.ready().is_write_closed() {
                // An error queue that somebody asked for: to tokio it is the end, for good.
                return Ok(Outcome::Stopped);
            }
            guard.clear_ready();
        }
        readiness = select! {
            biased;
            () = flight.poke().notified() => None,
            () = until(deadline) => return Err(Error::TimedOut),
            guard = ready.ready(interest) => Some(guard?),
        };
    }
}

/// Copy bytes from another process.
async fn pull(
    socket: &Arc<Socket>,
    pulling: &Arc<Pulling>,
    flight: &Flight,
    deadline: Option<Instant>,
) -> Result<Outcome, Error> {
    ask_for_help(pulling, socket);
    while pulling.copy_piece() {
        if !socket.handle().is_open() {
            return Err(Error::Closed);
        }
        if flight.is_stopped() {
            return Ok(Outcome::Stopped);
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Error::TimedOut);
        }
        task::yield_now().await;
    }
    Ok(Outcome::Done)
}

fn interest(direction: Direction) -> Interest {
    match direction {
        Direction::Send => Interest::WRITABLE,
        Direction::Receive => Interest::READABLE,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline.into()).await,
        None => future::pending().await,
    }
}
