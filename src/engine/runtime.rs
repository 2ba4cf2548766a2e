#![allow(unsafe_code)] // Registers descriptors with tokio.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use crate::sys;

/// More workers than this gain nothing: each of them fills several network cards.
const MAX_WORKERS: usize = 8;

/// Threads that look up names and tell asyncio of connections, which is all that blocks.
const MAX_BLOCKING: usize = 16;

/// How long a worker may run at a time: longer than the system's usual slice of 1 to 3 ms, so that
/// an event loop which wakes on the same processor runs at once
/// (docs/decisions/2026-11-21-bulk-workers.md).
const SLICE: Duration = Duration::from_millis(20);

/// The process whose threads the workers are; 0 before there are any.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static WORKERS: Mutex<Workers> = Mutex::new(Workers { running: Vec::new(), ended: false });

struct Workers {
    running: Vec<Worker>,
    ended: bool,
}

/// A thread with a scheduler of its own: what is spawned on it stays on it. A scheduler that all
/// threads share wakes a second one whenever the first has something to do, which costs more than
/// it brings (docs/decisions/2026-11-21-bulk-workers.md).
struct Worker {
    handle: Handle,
    load: Arc<AtomicUsize>,
    stop: Arc<Notify>,
    /// Hangs up when the thread has ended.
    ended: mpsc::Receiver<()>,
}

/// A worker, and a share of it for as long as this lives.
pub(super) struct Share {
    pub(super) handle: Handle,
    load: Arc<AtomicUsize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether this process can have workers.
pub fn may_have_workers() -> bool {
    is_ours() && !lock().ended
}

/// The first worker, started when it is first asked for.
///
/// None in a child that was forked after that, where no worker exists; none once they were shut
/// down; none if the system has no thread to give. Whoever asks has to have another way.
pub fn runtime() -> Option<Handle> {
    if !is_ours() {
        return None;
    }
    let mut workers = lock();
    if workers.running.is_empty() {
        workers.start()?;
    }
    workers.running.first().map(|worker| worker.handle.clone())
}

/// A share of the worker that has least to do; of a new one if all are busy and there may be more.
/// None as `runtime`.
pub(super) fn share() -> Option<Share> {
    if !is_ours() {
        return None;
    }
    let mut workers = lock();
    let idle = workers.running.iter().any(|worker| worker.load.load(Ordering::Relaxed) == 0);
    if !idle && workers.running.len() < most() {
        // Without a thread for it those that are there have to do.
        let _ = workers.start();
    }
    let least = workers.running.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed))?;
    least.load.fetch_add(1, Ordering::Relaxed);
    Some(Share { handle: least.handle.clone(), load: Arc::clone(&least.load) })
}

/// End the workers of this process, for good: what they run is dropped, and so handed back.
pub fn shut_down(patience: Duration) {
    if PROCESS.load(Ordering::Acquire) != std::process::id() {
        return;
    }
    let running = {
        let mut workers = lock();
        workers.ended = true;
        std::mem::take(&mut workers.running)
    };
    for worker in &running {
        worker.stop.notify_one();
    }
    let until = Instant::now() + patience;
    for worker in running {
        let left = until.saturating_duration_since(Instant::now());
        let _ = worker.ended.recv_timeout(left);
    }
}

/// How many workers run in this process.
pub fn workers() -> usize {
    if PROCESS.load(Ordering::Acquire) == std::process::id() { lock().running.len() } else { 0 }
}

/// Watch a descriptor, in the context of the runtime. None if the system has no room for it.
pub(super) fn watch<F: AsFd + AsRawFd>(fd: F, interest: Interest) -> Option<AsyncFd<F>> {
    // SAFETY: it is the one descriptor that `fd`, an owner or a BorrowedFd, stands for, which is
    // open for as long as the value lives; the AsyncFd holds the value.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.ok()
}

impl Workers {
    /// One more. None if the system cannot have it, or none are to start any more.
    fn start(&mut self) -> Option<()> {
        if self.ended {
            return None;
        }
        self.running.push(Worker::start().ok()?);
        Some(())
    }
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(MAX_BLOCKING)
            .thread_name("pinwire")
            .on_thread_start(sys::leave_signals_to_others)
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let (alive, ended) = mpsc::channel::<()>();
        let work = move || {
            sys::leave_signals_to_others();
            sys::set_time_slice(SLICE);
            runtime.block_on(stopped.notified());
            // Whatever still looks up a name is left behind.
            runtime.shutdown_background();
            drop(alive);
        };
        thread::Builder::new().name("pinwire".into()).spawn(work)?;
        Ok(Worker { handle, load: Arc::default(), stop, ended })
    }
}

fn most() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS))
}

/// Whether the workers are this process's, or may become so.
fn is_ours() -> bool {
    let this = std::process::id();
    // Somebody may have held the lock when the process was forked: there it may never be free.
    match PROCESS.compare_exchange(0, this, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => true,
        Err(process) => process == this,
    }
}

fn lock() -> MutexGuard<'static, Workers> {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}
