use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::budget;
use super::interpreter;
use crate::net::Direction;

/// What a suspended task waits on: one direction of a socket on its loop's own selector.
///
/// To asyncio it is a future, which a `Task` awaits by duck typing: it reads and clears
/// `_asyncio_future_blocking`, calls `add_done_callback`, and later `result`. One waiter serves
/// all operations of its direction in turn, and its descriptor stays registered with the loop
/// between them, so that a wait costs neither an allocation nor an epoll_ctl(2).
#[pyclass(frozen, module = "pinwire._core")]
pub(super) struct Waiter {
    direction: Direction,
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
    /// Why the last sleep ended.
    outcome: Option<Outcome>,
}

/// A task, as it asked to be woken.
struct Sleeper {
    callback: Py<PyAny>,
    context: Py<PyAny>,
}

/// How to wake it: `context.run(callback, waiter)`.
type Call = (Py<PyAny>, Py<PyAny>, Py<Waiter>);

enum Outcome {
    Ready,
    Expired,
    Cancelled(Option<Py<PyAny>>),
}

impl Waiter {
    pub(super) fn new(direction: Direction) -> Waiter {
        Waiter { direction, state: Mutex::default() }
    }

    /// Prepare to be yielded to a task of this loop, which then sleeps until `fd` is ready.
    pub(super) fn arm(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, PyAny>,
        fd: Arc<OwnedFd>,
    ) -> PyResult<()> {
        let this = slf.get();
        let current = this.lock().watch.as_ref().is_some_and(|w| w.get().is_of(event_loop, &fd));
        if !current {
            Waiter::unregister(slf);
            let watch = Watch::begin(slf, event_loop, fd)?;
            this.lock().watch = Some(watch);
        }
        let event_loop = event_loop.clone().unbind();
        let old = {
            let mut state = this.lock();
            if state.armed {
                return Err(PyRuntimeError::new_err("another task already waits here"));
            }
            state.armed = true;
            state.blocking = true;
            (state.outcome.take(), state.event_loop.replace(event_loop))
        };
        drop(old);
        Ok(())
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
        let this = slf.get();
        let watch = this.lock().watch.as_ref().map(|watch| watch.clone_ref(slf.py()));
        let dead = watch.is_some_and(|watch| watch.get().loop_is_closed(slf.py()));
        if !dead {
            return false;
        }
        let sleeper = {
            let mut state = this.lock();
            state.armed = false;
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
        state.outcome = Some(outcome);
        budget::renew();
        (true, state.sleeper.take())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Waiter {
    /// The time of the operation is over: what to run in the loop's own callback, where no other
    /// task can be running.
    fn take_expired(slf: &Bound<'_, Self>) -> Option<Call> {
        let (_, sleeper) = slf.get().end_sleep(Outcome::Expired);
        sleeper.map(|sleeper| sleeper.into_call(slf))
    }

    #[getter(_asyncio_future_blocking)]
    fn is_blocking(&self) -> bool {
        self.lock().blocking
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.lock().blocking = blocking;
    }

    fn get_loop(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let state = self.lock();
        let event_loop = state.event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py));
        event_loop.ok_or_else(|| PyRuntimeError::new_err("nobody waits here"))
    }

    #[pyo3(signature = (callback, /, *, context))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Py<PyAny>,
    ) -> PyResult<()> {
        let sleeper = Sleeper { callback, context };
        let mut state = slf.get().lock();
        if !state.armed {
            drop(state);
            // It was woken before it could fall asleep.
            return sleeper.wake_soon(slf);
        }
        if state.sleeper.is_some() {
            drop(state);
            return Err(PyRuntimeError::new_err("another task already waits here"));
        }
        state.sleeper = Some(sleeper);
        Ok(())
    }

    #[pyo3(signature = (callback, /))]
    fn remove_done_callback(&self, callback: &Bound<'_, PyAny>) -> usize {
        let sleeper = {
            let mut state = self.lock();
            match &state.sleeper {
                Some(sleeper) if sleeper.callback.is(callback) => state.sleeper.take(),
                _ => None,
            }
        };
        usize::from(sleeper.is_some())
    }

    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> bool {
        Waiter::wake_soon(slf, Outcome::Cancelled(msg))
    }

    fn done(&self) -> bool {
        !self.lock().armed
    }

    fn cancelled(&self) -> bool {
        matches!(self.lock().outcome, Some(Outcome::Cancelled(_)))
    }

    fn result(&self, py: Python<'_>) -> PyResult<()> {
        match &self.lock().outcome {
            None => Err(InvalidStateError::new_err("nothing has happened yet")),
            Some(Outcome::Cancelled(None)) => Err(CancelledError::new_err(())),
            Some(Outcome::Cancelled(Some(msg))) => {
                Err(CancelledError::new_err((msg.clone_ref(py),)))
            }
            Some(_) => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.state.try_lock() else {
            return Ok(());
        };
        visit.call(&state.watch)?;
        visit.call(&state.event_loop)?;
        if let Some(sleeper) = &state.sleeper {
            visit.call(&sleeper.callback)?;
            visit.call(&sleeper.context)?;
        }
        if let Some(Outcome::Cancelled(msg)) = &state.outcome {
            visit.call(msg)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let state = std::mem::take(&mut *self.lock());
        drop(state);
    }
}

impl Sleeper {
    fn into_call(self, waiter: &Bound<'_, Waiter>) -> Call {
        (self.context, self.callback, waiter.clone().unbind())
    }

    fn wake_soon(self, waiter: &Bound<'_, Waiter>) -> PyResult<()> {
        let py = waiter.py();
        let _inside = interpreter::enter(py);
        let event_loop = waiter.get().get_loop(py)?.into_bound(py);
        let event_loop = &event_loop;
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "context"), self.context)?;
        let call_soon = if runs_here(event_loop)? {
            intern!(py, "call_soon")
        } else {
            intern!(py, "call_soon_threadsafe")
        };
        match event_loop.call_method(call_soon, (self.callback, waiter), Some(&kwargs)) {
            // A closed loop has no tasks to wake.
            Err(_) if is(event_loop, intern!(py, "is_closed"))? => Ok(()),
            result => result.map(drop),
        }
    }
}

/// A loop's watch over a descriptor.
///
/// Each registration has its own, so that a callback which a loop had already queued when the stream
/// left it finds that it is no longer meant.
#[pyclass(frozen, module = "pinwire._core")]
pub(super) struct Watch {
    waiter: Py<Waiter>,
    event_loop: Py<PyAny>,
    number: RawFd,
    /// Keeps the number from being given to another file before the loop has let go of it.
    fd: Mutex<Option<Arc<OwnedFd>>>,
    /// A forked child shares the loop's selector with its parent, and must leave it alone.
    process: u32,
}

impl Watch {
    fn begin(
        waiter: &Bound<'_, Waiter>,
        event_loop: &Bound<'_, PyAny>,
        fd: Arc<OwnedFd>,
    ) -> PyResult<Py<Watch>> {
        let py = waiter.py();
        let add = match waiter.get().direction {
            Direction::Send => intern!(py, "add_writer"),
            Direction::Receive => intern!(py, "add_reader"),
        };
        let number = fd.as_raw_fd();
        let watch = Watch {
            waiter: waiter.clone().unbind(),
            event_loop: event_loop.clone().unbind(),
            number,
            fd: Mutex::new(Some(fd)),
            process: std::process::id(),
        };
        let watch = Py::new(py, watch)?;
        event_loop.call_method1(add, (number, callback(py, "ready")?, &watch))?;
        Ok(watch)
    }

    fn is_of(&self, event_loop: &Bound<'_, PyAny>, fd: &Arc<OwnedFd>) -> bool {
        self.event_loop.is(event_loop)
            && self.lock().as_ref().is_some_and(|watched| Arc::ptr_eq(watched, fd))
    }

    fn loop_is_closed(&self, py: Python<'_>) -> bool {
        is(self.event_loop.bind(py), intern!(py, "is_closed")).unwrap_or(true)
    }

    /// Let go: now, or soon in the thread where the loop runs.
    fn end(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let _inside = interpreter::enter(py);
        let this = slf.get();
        let event_loop = this.event_loop.bind(py);
        if this.process != std::process::id() || this.loop_is_closed(py) {
            this.release();
            return Ok(());
        }
        if runs_here(event_loop)? || !is(event_loop, intern!(py, "is_running"))? {
            if let Some((remove, fd)) = this.removal(py)? {
                remove.call1((fd,))?;
            }
            this.release();
            return Ok(());
        }
        let let_go = (callback(py, "let_go")?, slf);
        match event_loop.call_method1(intern!(py, "call_soon_threadsafe"), let_go) {
            Err(_) if this.loop_is_closed(py) => Ok(()),
            result => result.map(drop),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.fd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Watch {
    /// The descriptor is ready: what to run in the loop's own callback, where no other task can
    /// be running.
    fn take_sleeper(slf: &Bound<'_, Self>) -> Option<Call> {
        let waiter = slf.get().waiter.bind(slf.py());
        let current = waiter.get().lock().watch.as_ref().is_some_and(|watch| watch.is(slf));
        if !current {
            return None;
        }
        let (ended, sleeper) = waiter.get().end_sleep(Outcome::Ready);
        if !ended {
            // Ready, and nobody to take it: it would fire again at every turn.
            Waiter::unregister(waiter);
        }
        sleeper.map(|sleeper| sleeper.into_call(waiter))
    }

    /// How the loop lets go of the descriptor: `remove(fd)`. None if it watches it again, because
    /// the stream has come back meanwhile.
    fn removal<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>, RawFd)>> {
        let event_loop = self.event_loop.bind(py);
        let waiter = self.waiter.get();
        let fd = self.lock().clone();
        let returned = fd.is_none_or(|fd| {
            waiter.lock().watch.as_ref().is_some_and(|watch| watch.get().is_of(event_loop, &fd))
        });
        if returned {
            return Ok(None);
        }
        let remove = match waiter.direction {
            Direction::Send => intern!(py, "remove_writer"),
            Direction::Receive => intern!(py, "remove_reader"),
        };
        Ok(Some((event_loop.getattr(remove)?, self.number)))
    }

    /// The loop has let go of the descriptor: its number may be given back.
    fn release(&self) {
        drop(self.lock().take());
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.waiter)?;
        visit.call(&self.event_loop)
    }
}

/// A function of `pinwire._wake`.
pub(super) fn callback<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("pinwire._wake").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}

/// The loop that runs in this thread.
pub(super) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET.import(py, "asyncio", "get_running_loop")?.call0()
}

fn runs_here(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let running = GET.import(event_loop.py(), "asyncio", "_get_running_loop")?.call0()?;
    Ok(running.is(event_loop))
}

fn is(event_loop: &Bound<'_, PyAny>, question: &Bound<'_, PyString>) -> PyResult<bool> {
    event_loop.call_method0(question)?.is_truthy()
}
