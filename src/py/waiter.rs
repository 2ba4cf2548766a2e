use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::budget;
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
    registration: Option<Registration>,
    blocking: bool,
    sleeper: Option<Sleeper>,
    /// Why the last sleep ended; None while one is under way.
    outcome: Option<Outcome>,
}

/// A loop watches this descriptor for us. Holding it keeps its number from being given to another
/// file before the loop has let go of it.
struct Registration {
    event_loop: Py<PyAny>,
    fd: Arc<OwnedFd>,
}

/// A task, as it asked to be woken.
struct Sleeper {
    callback: Py<PyAny>,
    context: Option<Py<PyAny>>,
}

enum Outcome {
    Ready,
    Expired,
    Cancelled(Option<Py<PyAny>>),
}

impl Waiter {
    pub(super) fn new(direction: Direction) -> Waiter {
        Waiter {
            direction,
            state: Mutex::default(),
        }
    }

    /// Prepare to be yielded to a task of this loop, which then sleeps until `fd` is ready.
    pub(super) fn arm(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, PyAny>,
        fd: Arc<OwnedFd>,
    ) -> PyResult<()> {
        let this = slf.get();
        let current = this
            .lock()
            .registration
            .as_ref()
            .is_some_and(|registration| {
                registration.event_loop.is(event_loop) && Arc::ptr_eq(&registration.fd, &fd)
            });
        if !current {
            Waiter::unregister(slf);
            let add = match this.direction {
                Direction::Send => intern!(slf.py(), "add_writer"),
                Direction::Receive => intern!(slf.py(), "add_reader"),
            };
            event_loop.call_method1(add, (fd.as_raw_fd(), slf))?;
            let event_loop = event_loop.clone().unbind();
            this.lock().registration = Some(Registration { event_loop, fd });
        }
        let old = {
            let mut state = this.lock();
            state.blocking = true;
            (state.outcome.take(), state.sleeper.take())
        };
        drop(old);
        Ok(())
    }

    /// Whether the last sleep ended because the time was over.
    pub(super) fn has_expired(&self) -> bool {
        matches!(self.lock().outcome, Some(Outcome::Expired))
    }

    /// End a sleep, if there is one, from outside the loop's callbacks and from any thread.
    pub(super) fn wake(slf: &Bound<'_, Self>) {
        Waiter::end_sleep(slf, Outcome::Ready, Wake::Soon);
    }

    /// Have the loop let go of the descriptor; a loop that runs in another thread does it later.
    pub(super) fn unregister(slf: &Bound<'_, Self>) {
        let registration = slf.get().lock().registration.take();
        if let Some(registration) = registration
            && let Err(error) = registration.remove(slf)
        {
            error.write_unraisable(slf.py(), Some(slf));
        }
    }

    fn end_sleep(slf: &Bound<'_, Self>, outcome: Outcome, wake: Wake) -> bool {
        let py = slf.py();
        let (sleeper, event_loop) = {
            let mut state = slf.get().lock();
            let Some(sleeper) = state.sleeper.take() else {
                drop(state);
                drop(outcome);
                return false;
            };
            state.outcome = Some(outcome);
            let event_loop = state
                .registration
                .as_ref()
                .map(|r| r.event_loop.clone_ref(py));
            (sleeper, event_loop)
        };
        budget::renew();
        let result = match (wake, event_loop) {
            (Wake::Soon, Some(event_loop)) => sleeper.wake_soon(slf, event_loop.bind(py)),
            _ => sleeper.wake_now(slf),
        };
        if let Err(error) = result {
            error.write_unraisable(py, Some(slf));
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Waiter {
    /// The loop calls this when the descriptor is ready.
    fn __call__(slf: &Bound<'_, Self>) {
        if !Waiter::end_sleep(slf, Outcome::Ready, Wake::Now) {
            // Ready, and nobody to take it: a registration would fire again at every turn.
            Waiter::unregister(slf);
        }
    }

    /// The loop calls this when the operation's time is over.
    fn _expire(slf: &Bound<'_, Self>) {
        Waiter::end_sleep(slf, Outcome::Expired, Wake::Now);
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
        let registration = state.registration.as_ref();
        registration
            .map(|registration| registration.event_loop.clone_ref(py))
            .ok_or_else(|| PyRuntimeError::new_err("nobody waits here"))
    }

    #[pyo3(signature = (callback, /, *, context = None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let mut state = slf.get().lock();
        if state.sleeper.is_some() {
            drop(state);
            return Err(PyRuntimeError::new_err("another task already waits here"));
        }
        state.sleeper = Some(Sleeper { callback, context });
        Ok(())
    }

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
        Waiter::end_sleep(slf, Outcome::Cancelled(msg), Wake::Soon)
    }

    fn done(&self) -> bool {
        self.lock().outcome.is_some()
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
        if let Some(registration) = &state.registration {
            visit.call(&registration.event_loop)?;
        }
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

/// Whether the task may run within the call that wakes it: only the loop's own callbacks are sure
/// that no other task is running.
#[derive(Clone, Copy)]
enum Wake {
    Now,
    Soon,
}

impl Sleeper {
    fn wake_now(self, waiter: &Bound<'_, Waiter>) -> PyResult<()> {
        let py = waiter.py();
        match self.context {
            Some(context) => {
                context.call_method1(py, intern!(py, "run"), (self.callback, waiter))?;
            }
            None => {
                self.callback.call1(py, (waiter,))?;
            }
        }
        Ok(())
    }

    fn wake_soon(self, waiter: &Bound<'_, Waiter>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiter.py();
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

impl Registration {
    fn remove(self, waiter: &Bound<'_, Waiter>) -> PyResult<()> {
        let py = waiter.py();
        let event_loop = self.event_loop.bind(py).clone();
        if is(&event_loop, intern!(py, "is_closed"))? {
            return Ok(());
        }
        if runs_here(&event_loop)? || !is(&event_loop, intern!(py, "is_running"))? {
            return self.remove_here(py, waiter.get().direction);
        }
        let later = Removal {
            waiter: waiter.clone().unbind(),
            registration: Mutex::new(Some(self)),
        };
        match event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (Py::new(py, later)?,)) {
            Err(_) if is(&event_loop, intern!(py, "is_closed"))? => Ok(()),
            result => result.map(drop),
        }
    }

    fn remove_here(&self, py: Python<'_>, direction: Direction) -> PyResult<()> {
        let remove = match direction {
            Direction::Send => intern!(py, "remove_writer"),
            Direction::Receive => intern!(py, "remove_reader"),
        };
        self.event_loop
            .call_method1(py, remove, (self.fd.as_raw_fd(),))
            .map(drop)
    }
}

/// Lets go of a descriptor in the thread of the loop that watches it.
#[pyclass(frozen, module = "pinwire._core")]
struct Removal {
    waiter: Py<Waiter>,
    registration: Mutex<Option<Registration>>,
}

#[pymethods]
impl Removal {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let registration = self
            .registration
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(registration) = registration else {
            return Ok(());
        };
        let waiter = self.waiter.get();
        // The stream may have come back to this loop meanwhile: then it is watched again.
        let returned = waiter.lock().registration.as_ref().is_some_and(|current| {
            current.event_loop.is(&registration.event_loop)
                && Arc::ptr_eq(&current.fd, &registration.fd)
        });
        if returned {
            Ok(())
        } else {
            registration.remove_here(py, waiter.direction)
        }
    }
}

/// The loop that runs in this thread.
pub(super) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET.import(py, "asyncio", "get_running_loop")?.call0()
}

fn runs_here(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let running = GET
        .import(event_loop.py(), "asyncio", "_get_running_loop")?
        .call0()?;
    Ok(running.is(event_loop))
}

fn is(event_loop: &Bound<'_, PyAny>, question: &Bound<'_, PyString>) -> PyResult<bool> {
    event_loop.call_method0(question)?.is_truthy()
}
