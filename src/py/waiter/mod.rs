//! What a suspended task waits on. `future` is how asyncio sees it, `sleeper` the task.

mod future;
mod sleeper;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use super::budget;
use super::event_loop::is;
use super::watch::Watch;
use crate::engine::Flight;
use crate::net::{Direction, SocketFd};

pub(super) use self::sleeper::Call;
use self::sleeper::Sleeper;

/// What a suspended task waits on: one direction of a socket on its loop's own selector.
///
/// To asyncio it is a `future`. One waiter serves all operations of its direction in turn, and its
/// descriptor stays registered with the loop between them, so that a wait costs neither an
/// allocation nor an epoll_ctl(2).
#[pyclass(frozen, module = "pinwire._core")]
pub(super) struct Waiter {
    pub(super) direction: Direction,
    state: Mutex<State>,
}

/// No Python code runs while it is locked: not even by dropping an object.
#[derive(Default)]
struct State {
    watch: Option<Py<Watch>>,
    event_loop: Option<Py<PyAny>>,
    /// A task sleeps here, or is about to, and nothing has happened yet.
    armed: bool,
    blocking: bool,
    sleeper: Option<Sleeper>,
    /// What the task waits for, if not for the descriptor: it sleeps until this has landed, even
    /// when it is cancelled.
    flight: Option<Arc<Flight>>,
    /// Why the last sleep ended, or is going to.
    outcome: Option<Outcome>,
}

/// Why a sleep ended.
enum Outcome {
    Ready,
    Expired,
    Cancelled(Option<Py<PyAny>>),
}

impl Waiter {
    /// The waiter of a slot, made when it is first asked for.
    pub(super) fn of<'a>(
        py: Python<'_>,
        slot: &'a OnceLock<Py<Waiter>>,
        direction: Direction,
    ) -> PyResult<&'a Py<Waiter>> {
        if slot.get().is_none() {
            // Not within `get_or_init`: making an object may run the garbage collector, and that
            // any code.
            let waiter = Waiter { direction, state: Mutex::default() };
            let _ = slot.set(Py::new(py, waiter)?);
        }
        Ok(slot.get().expect("it has just been set"))
    }

    /// What was waited for is closed: end the sleep, and have the loop let go.
    pub(super) fn retire(slf: &Bound<'_, Self>) {
        let flight = slf.get().lock().flight.clone();
        match flight {
            // Its end wakes the task, when the descriptor is free.
            Some(flight) if flight.lands_here() => slf.py().detach(|| flight.wait()),
            _ => Waiter::wake(slf),
        }
        Waiter::unregister(slf);
    }

    /// Prepare to be yielded to a task of this loop, which then sleeps until `fd` is ready.
    pub(super) fn arm(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, PyAny>,
        fd: Arc<SocketFd>,
    ) -> PyResult<()> {
        let this = slf.get();
        if !this.is_watched_on(event_loop, &fd) {
            Waiter::unregister(slf);
            let watch = Watch::begin(slf, event_loop, fd)?;
            this.lock().watch = Some(watch);
        }
        this.prepare(event_loop, None)
    }

    /// One that is woken by `wake`, not by a descriptor.
    pub(super) fn idle(py: Python<'_>) -> PyResult<Py<Waiter>> {
        // The direction means nothing here.
        Py::new(py, Waiter { direction: Direction::Send, state: Mutex::default() })
    }

    /// Prepare to be yielded to a task of this loop, which then sleeps until `wake`.
    pub(super) fn park(slf: &Bound<'_, Self>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().prepare(event_loop, None)
    }

    /// Prepare to be yielded to a task of this loop, which then sleeps until the flight has
    /// landed and somebody calls `take_landed`.
    pub(super) fn board(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, PyAny>,
        flight: Arc<Flight>,
    ) -> PyResult<()> {
        // The direction belongs to a worker now.
        Waiter::unregister(slf);
        slf.get().prepare(event_loop, Some(flight))
    }

    fn prepare(&self, event_loop: &Bound<'_, PyAny>, flight: Option<Arc<Flight>>) -> PyResult<()> {
        let event_loop = event_loop.clone().unbind();
        let old = {
            let mut state = self.lock();
            if state.armed {
                return Err(PyRuntimeError::new_err("another task already waits here"));
            }
            state.armed = true;
            state.blocking = true;
            state.flight = flight;
            (state.outcome.take(), state.event_loop.replace(event_loop))
        };
        drop(old);
        Ok(())
    }

    pub(super) fn is_watched_by(&self, watch: &Bound<'_, Watch>) -> bool {
        self.lock().watch.as_ref().is_some_and(|current| current.is(watch))
    }

    pub(super) fn is_watched_on(&self, event_loop: &Bound<'_, PyAny>, fd: &Arc<SocketFd>) -> bool {
        self.lock().watch.as_ref().is_some_and(|watch| watch.get().is_of(event_loop, fd))
    }

    /// The descriptor is ready: what to run in the loop's own callback, where no other task can
    /// be running.
    pub(super) fn take_ready(slf: &Bound<'_, Self>) -> Option<Call> {
        let (ended, sleeper) = slf.get().end_sleep(Outcome::Ready);
        if !ended {
            // Nobody to take it: it would fire again at every turn.
            Waiter::unregister(slf);
        }
        sleeper.map(|sleeper| sleeper.into_call(slf))
    }

    /// The flight has landed: what to run in the loop's own callback.
    pub(super) fn take_landed(slf: &Bound<'_, Self>) -> Option<Call> {
        Waiter::take(slf, Outcome::Ready)
    }

    /// Whether a task sleeps here and has not been woken.
    pub(super) fn is_armed(&self) -> bool {
        self.lock().armed
    }

    /// Whether the last sleep ended because the time was over.
    pub(super) fn has_expired(&self) -> bool {
        matches!(self.lock().outcome, Some(Outcome::Expired))
    }

    /// End a sleep, if there is one, from outside the loop's callbacks and from any thread.
    pub(super) fn wake(slf: &Bound<'_, Self>) {
        Waiter::wake_soon(slf, Outcome::Ready);
    }

    /// Forget a task that sleeps on a closed loop: it is never going to be woken, and may live
    /// only because we hold it. Whether there was one.
    pub(super) fn forget_dead(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let this = slf.get();
        let event_loop = this.lock().event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py));
        let is_closed = intern!(py, "is_closed");
        let dead = event_loop.is_some_and(|it| is(it.bind(py), is_closed).unwrap_or(true));
        if !dead {
            return false;
        }
        let sleeper = {
            let mut state = this.lock();
            state.armed = false;
            // Its flight stays up for as long as somebody else holds the task.
            state.sleeper.take()
        };
        sleeper.is_some()
    }

    /// Have the loop let go of the descriptor; a loop that runs in another thread does it later.
    pub(super) fn unregister(slf: &Bound<'_, Self>) {
        let watch = slf.get().lock().watch.take();
        if let Some(watch) = watch
            && let Err(error) = Watch::end(watch.bind(slf.py()))
        {
            error.write_unraisable(slf.py(), Some(slf));
        }
    }

    /// End the sleep in a callback of the loop: what to run there.
    fn take(slf: &Bound<'_, Self>, outcome: Outcome) -> Option<Call> {
        let (_, sleeper) = slf.get().end_sleep(outcome);
        sleeper.map(|sleeper| sleeper.into_call(slf))
    }

    fn wake_soon(slf: &Bound<'_, Self>, outcome: Outcome) -> bool {
        let py = slf.py();
        let (ended, sleeper) = slf.get().end_sleep(outcome);
        if let Some(sleeper) = sleeper
            && let Err(error) = sleeper.wake_soon(slf)
        {
            error.write_unraisable(py, Some(slf));
        }
        ended
    }

    /// End the sleep, if there is one: whether there was, and who is to be woken. Nobody, if the
    /// task has not come to say so yet.
    fn end_sleep(&self, outcome: Outcome) -> (bool, Option<Sleeper>) {
        let mut state = self.lock();
        if !state.armed {
            drop(state);
            drop(outcome);
            return (false, None);
        }
        state.armed = false;
        // A flight that was cancelled lands cancelled, however far it came.
        if state.flight.take().is_none() || state.outcome.is_none() {
            state.outcome = Some(outcome);
        }
        budget::renew();
        (true, state.sleeper.take())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
