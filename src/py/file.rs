//! The file argument of `send_file`.

#![allow(unsafe_code)] // Borrows a descriptor by its number.

use std::os::fd::{BorrowedFd, RawFd};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::errors::os_error;
use super::interpreter;
use crate::net::FileRange;
use crate::sys;

/// Where a Python file object is to stand once its bytes are sent.
pub(super) struct Position {
    file: Py<PyAny>,
    start: u64,
}

/// Check the file and take a descriptor of our own: it may be closed while its bytes travel.
pub(super) fn range(
    file: &Bound<'_, PyAny>,
    offset: i64,
    count: Option<i64>,
) -> PyResult<(FileRange, Position)> {
    let start = not_negative("offset", offset)?;
    let count = count.map(|count| not_negative("count", count)).transpose()?;
    refuse_text(file)?;
    let number: RawFd = match file.call_method0("fileno") {
        Ok(number) => number.extract()?,
        Err(_) => {
            return Err(PyTypeError::new_err(
                "send_file needs an open file with a descriptor; for bytes in memory use \
                 send_buffer (of a BytesIO its .getbuffer())",
            ));
        }
    };
    if number < 0 {
        return Err(PyValueError::new_err("the file is closed"));
    }
    // SAFETY: borrowed for this call, in which Python cannot close it: we hold the GIL. A number
    // that is not open is EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let size = sys::file_size(borrowed).map_err(|error| os_error(&error))?.ok_or_else(|| {
        PyValueError::new_err("send_file needs a regular file, not a pipe, socket or device")
    })?;
    let own = sys::duplicate(borrowed).map_err(|error| os_error(&error))?;
    let left = size.saturating_sub(start);
    let count = count.map_or(left, |count| count.min(left));
    Ok((FileRange::new(own, start, count), Position { file: file.clone().unbind(), start }))
}

impl Position {
    /// As `socket.sendfile` does: leave the file behind the last byte sent.
    pub(super) fn settle(&self, py: Python<'_>, sent: u64) {
        let _inside = interpreter::enter(py);
        // A file that was closed meanwhile has no position.
        let _ = self.file.bind(py).call_method1("seek", (self.start + sent,));
    }

    pub(super) fn file(&self) -> &Py<PyAny> {
        &self.file
    }
}

fn not_negative(name: &str, value: i64) -> PyResult<u64> {
    u64::try_from(value)
        .map_err(|_| PyValueError::new_err(format!("{name} must not be negative, got {value}")))
}

fn refuse_text(file: &Bound<'_, PyAny>) -> PyResult<()> {
    refuse_decoders(file)?;
    let Ok(mode) = file.getattr("mode") else {
        return Ok(());
    };
    match mode.extract::<String>() {
        Ok(mode) if !mode.contains('b') => {
            Err(PyValueError::new_err("the file must be opened in binary mode ('rb')"))
        }
        _ => Ok(()),
    }
}

/// Files of gzip, bz2 and lzma have the descriptor of what is compressed, not of what they read.
fn refuse_decoders(file: &Bound<'_, PyAny>) -> PyResult<()> {
    let io = file.py().import("io")?;
    if !file.is_instance(&io.getattr("BufferedIOBase")?)? {
        return Ok(());
    }
    for plain in ["BufferedReader", "BufferedWriter", "BufferedRandom", "BytesIO"] {
        if file.is_instance(&io.getattr(plain)?)? {
            return Ok(());
        }
    }
    Err(PyTypeError::new_err(
        "send_file sends a file as it is on disk; this object decodes what it reads: open the \
         file itself, in binary mode",
    ))
}
