#![allow(unsafe_code)] // Registers descriptors with tokio.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::sys;

/// More workers than this gain nothing: each of them fills several network cards.
const MAX_WORKERS: usize = 8;

/// Threads that look up names, which is all that blocks.
const MAX_BLOCKING: usize = 16;

/// The process whose threads the runtime's are; 0 before it has started.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static RUNTIME: Mutex<State> = Mutex::new(State::NotStarted);
static WORKERS: AtomicUsize = AtomicUsize::new(0);

enum State {
    NotStarted,
    Running(Runtime),
    Ended,
}

/// The one runtime of this process, started when it is first asked for.
///
/// None in a child that was forked after that, where none of its threads exist; none once it was
/// shut down; none if the system has no thread to give. Whoever asks has to have another way.
pub fn runtime() -> Option<Handle> {
    let this = std::process::id();
    match PROCESS.compare_exchange(0, this, Ordering::AcqRel, Ordering::Acquire) {
        // Somebody may have held the lock when the process was forked: it may never be free.
        Err(other) if other != this => return None,
        _ => {}
    }
    let mut state = lock();
    if matches!(*state, State::NotStarted) {
        *state = State::Running(start().ok()?);
    }
    match &*state {
        State::Running(runtime) => Some(runtime.handle().clone()),
        State::NotStarted | State::Ended => None,
    }
}

/// End the runtime of this process, for good: what it runs is dropped, and so handed back.
pub fn shut_down(patience: Duration) {
    if PROCESS.load(Ordering::Acquire) != std::process::id() {
        return;
    }
    let state = std::mem::replace(&mut *lock(), State::Ended);
    if let State::Running(runtime) = state {
        runtime.shutdown_timeout(patience);
        WORKERS.store(0, Ordering::Relaxed);
    }
}

/// Its worker threads; 0 while there is no runtime in this process.
pub fn workers() -> usize {
    let here = PROCESS.load(Ordering::Acquire) == std::process::id();
    if here { WORKERS.load(Ordering::Relaxed) } else { 0 }
}

/// Watch a descriptor, in the context of the runtime. None if the system has no room for it.
pub(super) fn watch<F: AsFd + AsRawFd>(fd: F, interest: Interest) -> Option<AsyncFd<F>> {
    // SAFETY: it is the one descriptor that `fd`, an OwnedFd or a BorrowedFd, stands for, which is
    // open for as long as the value lives; the AsyncFd holds the value.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.ok()
}

fn start() -> io::Result<Runtime> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS);
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(MAX_BLOCKING)
        .thread_name("pinwire")
        .on_thread_start(sys::leave_signals_to_others)
        .enable_all()
        .build()?;
    WORKERS.store(workers, Ordering::Relaxed);
    Ok(runtime)
}

fn lock() -> MutexGuard<'static, State> {
    RUNTIME.lock().unwrap_or_else(PoisonError::into_inner)
}
