use std::ffi::CString;
use std::io;

use pyo3::call::PyCallArgs;
use pyo3::exceptions::{
    PyConnectionError, PyOSError, PyRuntimeError, PyStopAsyncIteration, PyStopIteration,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::net::{Error, OpenError, Progress, reason};

/// An error of the core, or one that Python raised meanwhile (a signal handler's).
pub(super) enum Failure {
    Core(Error),
    Open(OpenError),
    Python(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Core(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        Failure::Open(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure::Python(error)
    }
}

impl Failure {
    /// The exception. `subject` is what the text speaks of ("the stream").
    pub(super) fn into_exception(self, py: Python<'_>, subject: &str) -> PyErr {
        match self {
            Failure::Core(error) => exception(py, error, subject),
            Failure::Open(error) => {
                built(&py.get_type::<PyOSError>(), (error.errno(), error.to_string()))
            }
            Failure::Python(error) => error,
        }
    }
}

/// The Python exception for an error of the core.
pub(super) fn exception(py: Python<'_>, error: Error, subject: &str) -> PyErr {
    let text = match &error {
        Error::Io(error) => return built(&py.get_type::<PyOSError>(), os_error_args(error)),
        Error::Closed => format!("{subject} is closed"),
        Error::Incomplete => format!("{subject} ended before all was received"),
        other => other.to_string(),
    };
    match error {
        Error::Closed => ours(py, "ClosedError", (text,)),
        Error::Busy(_) => ours(py, "BusyError", (text,)),
        Error::Incomplete => ours(py, "IncompleteTransferError", (text,)),
        Error::TimedOut => ours(py, "TransferTimeoutError", (libc::ETIMEDOUT, text)),
        Error::Torn(torn) => {
            let error = ours(py, "TornStreamError", (libc::EPIPE, text));
            attach(py, error, torn.transferred, torn.nbytes)
        }
        Error::Io(_) => unreachable!("returned above"),
    }
}

/// The time of an operation is over: of "sending to tcp://..." or the like.
pub(super) fn timed_out(py: Python<'_>, doing: &str) -> PyErr {
    ours(py, "TransferTimeoutError", (libc::ETIMEDOUT, format!("{doing} timed out")))
}

/// Tell the exception that ended a transfer how far it had come. That of a torn stream tells it of
/// the send that tore it.
pub(super) fn with_progress(py: Python<'_>, error: PyErr, progress: &Progress) -> PyErr {
    if is_ours(py, &error, "TornStreamError") {
        return error;
    }
    let (transferred, nbytes) = progress.of_user();
    attach(py, error, transferred, nbytes)
}

/// An exception that code of the user's has raised, under a call that is named `during`. One that an
/// `await` or a loop would take for its end becomes RuntimeError, as in a generator (PEP 479).
pub(super) fn no_end(py: Python<'_>, error: PyErr, during: &str) -> PyErr {
    // Not by the error's type, as in `ends_the_connection`.
    let value = error.value(py);
    let name = if value.is_instance_of::<PyStopIteration>() {
        "StopIteration"
    } else if value.is_instance_of::<PyStopAsyncIteration>() {
        "StopAsyncIteration"
    } else {
        return error;
    };
    let converted = PyRuntimeError::new_err(format!("{during} raised {name}"));
    converted.set_cause(py, Some(error));
    converted
}

/// PyO3's own conversion loses errno, and with it the subclass's meaning.
pub(super) fn os_error(error: &io::Error) -> PyErr {
    PyOSError::new_err(os_error_args(error))
}

fn os_error_args(error: &io::Error) -> (i32, String) {
    (error.raw_os_error().unwrap_or(libc::EINVAL), reason(error))
}

/// Warn from a destructor, which can neither raise nor lose the exception that is under way.
pub(super) fn warn<W: pyo3::PyTypeInfo>(py: Python<'_>, text: &str) {
    let under_way = PyErr::take(py);
    let text = CString::new(text).unwrap_or_default();
    if let Err(error) = PyErr::warn(py, &py.get_type::<W>(), &text, 1) {
        error.write_unraisable(py, None);
    }
    if let Some(error) = under_way {
        error.restore(py);
    }
}

/// A message that does not fit what was asked of it, and stays.
pub(super) fn refused(py: Python<'_>, text: String) -> PyErr {
    ours(py, "MessageRefusedError", (text,))
}

/// The peer broke the format.
pub(super) fn violated(py: Python<'_>, text: String) -> PyErr {
    ours(py, "ProtocolError", (text,))
}

/// The stream ended where more had to follow.
pub(super) fn incomplete(py: Python<'_>, text: &'static str) -> PyErr {
    ours(py, "IncompleteTransferError", (text,))
}

/// Two receives at once.
pub(super) fn busy(py: Python<'_>, text: &'static str) -> PyErr {
    ours(py, "BusyError", (text,))
}

fn attach(py: Python<'_>, error: PyErr, transferred: u64, nbytes: u64) -> PyErr {
    let value = error.value(py);
    // An exception class of somebody else's may refuse attributes; then it just has none.
    let _ = value.setattr("transferred", transferred);
    let _ = value.setattr("nbytes", nbytes);
    error
}

/// Whether it is an exception of `pinwire.errors`, of this name.
pub(super) fn is_ours(py: Python<'_>, error: &PyErr, name: &'static str) -> bool {
    class(py, name).is_ok_and(|class| error.matches(py, class).unwrap_or(false))
}

/// Whether it says that the connection is gone.
pub(super) fn ends_the_connection(py: Python<'_>, error: &PyErr) -> bool {
    // Not by the error's type, which is OSError before Python 3.12 whatever its value is.
    error.value(py).is_instance_of::<PyConnectionError>() && !is_ours(py, error, "Error")
}

/// An exception of `pinwire.errors`.
fn ours<'py>(py: Python<'py>, name: &'static str, args: impl PyCallArgs<'py>) -> PyErr {
    match class(py, name) {
        Ok(class) => built(&class, args),
        Err(error) => error,
    }
}

/// The instance, made now. `PyErr` makes it when it is first looked at, and detaches for that: a
/// daemon thread could find that there is no interpreter any more to come back to.
fn built<'py>(class: &Bound<'py, PyType>, args: impl PyCallArgs<'py>) -> PyErr {
    match class.call1(args) {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

fn class<'py>(py: Python<'py>, name: &'static str) -> PyResult<Bound<'py, PyType>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let import = || py.import("pinwire.errors").map(Bound::unbind);
    let module = MODULE.get_or_try_init(py, import)?.bind(py);
    Ok(module.getattr(name)?.cast_into()?)
}
