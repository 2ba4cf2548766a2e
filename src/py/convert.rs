//! Arguments from Python to the core's types, and values back.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyString, PyType};

use crate::engine;
use crate::mem::Copying;
use crate::net::{Address, Keepalive, Options, Stats};
use crate::sys::Credentials;

/// Characters of a peer's words that are shown: about a line.
const LINE: usize = 80;

/// Longer than anybody waits, and short enough to be added to any moment.
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// Words that a peer has chosen, for an error, a log or a terminal: on one line, which they cannot
/// leave, and no longer than that.
pub(super) fn shown(words: &[u8]) -> String {
    let mut line = String::new();
    for letter in String::from_utf8_lossy(words).chars() {
        if line.len() >= LINE {
            line.push_str("...");
            break;
        }
        match letter {
            '"' | '\'' => line.push(letter),
            _ => line.extend(letter.escape_debug()),
        }
    }
    line
}

/// The modules that have been imported, by name: `sys.modules`.
pub(super) fn modules(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let find = || Ok::<_, PyErr>(py.import("sys")?.getattr("modules")?.cast_into()?.unbind());
    Ok(MODULES.get_or_try_init(py, find)?.bind(py))
}

/// `timeout=`: seconds, or None for ever.
pub(super) fn timeout(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    timeout.map_or(Ok(None), |timeout| seconds("timeout", timeout))
}

/// A time from Python; None for what no clock reaches.
fn seconds(name: &str, seconds: f64) -> PyResult<Option<Duration>> {
    if seconds.is_nan() || seconds < 0.0 {
        let text = format!("{name} must be a number of seconds from 0, not {seconds}");
        return Err(PyValueError::new_err(text));
    }
    Ok(Duration::try_from_secs_f64(seconds).ok().filter(|&duration| duration <= YEAR))
}

/// The moment when a timeout that starts now is over.
pub(super) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// `nbytes=` of `recv_into`, for a buffer of `len` bytes.
pub(super) fn limit(nbytes: isize, len: usize) -> PyResult<usize> {
    match usize::try_from(nbytes) {
        Ok(0) => Ok(len),
        Ok(nbytes) if nbytes <= len => Ok(nbytes),
        Ok(nbytes) => Err(PyValueError::new_err(format!(
            "nbytes={nbytes} is more than the {len} bytes of the buffer"
        ))),
        Err(_) => Err(PyValueError::new_err("nbytes must not be negative")),
    }
}

/// `copy=`, as in the array API.
pub(super) fn copying(copy: Option<bool>) -> Copying {
    match copy {
        None => Copying::Allowed,
        Some(false) => Copying::Never,
        Some(true) => Copying::Always,
    }
}

/// The keyword arguments of `connect`, `listen` and `from_socket`.
pub(super) fn options(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Options> {
    let mut options = Options::default();
    for (name, value) in kwargs.iter().flat_map(|kwargs| kwargs.iter()) {
        let name: String = name.extract()?;
        match name.as_str() {
            "nodelay" => options.nodelay = value.is_truthy()?,
            "send_buffer_size" => options.send_buffer_size = buffer_size(&name, &value)?,
            "recv_buffer_size" => options.recv_buffer_size = buffer_size(&name, &value)?,
            "keepalive" => options.keepalive = keepalive(&value)?,
            "busy_poll" => {
                options.busy_poll = seconds(&name, value.extract()?)?.unwrap_or(YEAR);
            }
            "backlog" => options.backlog = backlog(&value)?,
            "reuse_port" => options.reuse_port = value.is_truthy()?,
            "dualstack_ipv6" => options.dualstack_ipv6 = value.is_truthy()?,
            _ => {
                return Err(PyTypeError::new_err(format!(
                    "unknown option '{name}'; there are nodelay, send_buffer_size, \
                     recv_buffer_size, keepalive, busy_poll and, to listen, backlog, reuse_port and \
                     dualstack_ipv6"
                )));
            }
        }
    }
    Ok(options)
}

fn buffer_size(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let size: Option<i64> = value.extract()?;
    match size {
        // The kernel takes an int.
        Some(size) if size <= 0 || size > i32::MAX.into() => Err(PyValueError::new_err(format!(
            "{name} must be a positive number of bytes, or None to let the kernel tune it"
        ))),
        size => Ok(size.map(|size| size as usize)),
    }
}

fn keepalive(value: &Bound<'_, PyAny>) -> PyResult<Keepalive> {
    if let Ok(on) = value.cast::<PyBool>() {
        return Ok(if on.is_true() { Keepalive::On } else { Keepalive::Off });
    }
    let seconds: f64 = value.extract()?;
    // MAX_TCP_KEEPIDLE of Linux.
    if seconds > 0.0 && seconds <= 32767.0 {
        return Ok(Keepalive::After(seconds.ceil() as u32));
    }
    Err(PyValueError::new_err("keepalive must be a bool or a number of seconds, up to 32767"))
}

fn backlog(value: &Bound<'_, PyAny>) -> PyResult<i32> {
    let backlog: i64 = value.extract()?;
    i32::try_from(backlog)
        .ok()
        .filter(|&backlog| backlog >= 0)
        .ok_or_else(|| PyValueError::new_err(format!("backlog must not be negative: {backlog}")))
}

/// The URL of an address, as Python decodes file names.
pub(super) fn url<'py>(py: Python<'py>, address: &Address) -> PyResult<Bound<'py, PyString>> {
    static DECODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let url = PyBytes::new(py, &address.url());
    Ok(DECODE.import(py, "os", "fsdecode")?.call1((url,))?.cast_into()?)
}

/// The named tuple `Credentials`.
pub(super) fn credentials_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    named_tuple(py, &TYPE, "Credentials", &["pid", "uid", "gid"])
}

/// The value of `peer_credentials`.
pub(super) fn credentials<'py>(
    py: Python<'py>,
    credentials: Credentials,
) -> PyResult<Bound<'py, PyAny>> {
    let Credentials { pid, uid, gid } = credentials;
    credentials_type(py)?.call1((pid, uid, gid))
}

/// The named tuple `StreamStats`.
pub(super) fn stats_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let fields = [
        "bytes_sent",
        "bytes_received",
        "system_calls",
        "inline_completions",
        "bulk_transfers",
        "waits",
        "packed_bytes",
    ];
    named_tuple(py, &TYPE, "StreamStats", &fields)
}

/// The value of `stats()`.
pub(super) fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyAny>> {
    use std::sync::atomic::Ordering::Relaxed;
    stats_type(py)?.call1((
        stats.bytes_sent.load(Relaxed),
        stats.bytes_received.load(Relaxed),
        stats.system_calls.load(Relaxed),
        stats.inline_completions.load(Relaxed),
        stats.bulk_transfers.load(Relaxed),
        stats.waits.load(Relaxed),
        stats.packed_bytes.load(Relaxed),
    ))
}

/// The named tuple `ChannelStats`.
pub(super) fn channel_stats_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let fields = [
        "messages_sent",
        "messages_received",
        "messages_skipped",
        "bytes_sent",
        "bytes_received",
        "bytes_offered",
        "bytes_pulled",
        "same_host",
    ];
    named_tuple(py, &TYPE, "ChannelStats", &fields)
}

/// The named tuple `BudgetStats`.
pub(super) fn budget_stats_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    named_tuple(py, &TYPE, "BudgetStats", &["nbytes", "reserved", "waits", "ended"])
}

/// The named tuple `RuntimeStats`.
pub(super) fn runtime_stats_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let fields = ["workers", "bulk_transfers", "bulk_in_flight", "bulk_bytes", "rings"];
    named_tuple(py, &TYPE, "RuntimeStats", &fields)
}

#[pyfunction]
pub(super) fn runtime_stats(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    use std::sync::atomic::Ordering::Relaxed;
    let stats = &engine::BULK_STATS;
    // In this order, so that none is in flight that has not started.
    let landed = stats.landed.load(Relaxed);
    let transfers = stats.transfers.load(Relaxed);
    runtime_stats_type(py)?.call1((
        engine::workers(),
        transfers,
        transfers - landed,
        stats.bytes.load(Relaxed),
        stats.rings.load(Relaxed),
    ))
}

fn named_tuple<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyAny>>,
    name: &str,
    fields: &[&str],
) -> PyResult<&'py Bound<'py, PyAny>> {
    let class = cell.get_or_try_init(py, || {
        let kwargs = PyDict::new(py);
        kwargs.set_item("module", "pinwire")?;
        let make = py.import("collections")?.getattr("namedtuple")?;
        make.call((name, fields.to_vec()), Some(&kwargs)).map(Bound::unbind)
    })?;
    Ok(class.bind(py))
}

/// Whether `class` is exactly `T`.
pub(super) fn is_class<T: pyo3::PyTypeInfo>(class: &Bound<'_, PyType>) -> bool {
    class.is(class.py().get_type::<T>())
}
