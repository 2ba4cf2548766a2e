//! Taking over a `socket.socket`.

#![allow(unsafe_code)] // Borrows, then owns, a descriptor by its number.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use socket2::{Domain, SockRef, Type};

use super::convert;
use super::errors::os_error;
use crate::net::{Opened, Options, Socket};
use crate::sys;

/// The stream of a connected `socket.socket`, which is detached if and only if this succeeds.
pub(super) fn adopt(
    sock: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Arc<Socket>> {
    let py = sock.py();
    let options = stream_options(options)?;
    if !sock.is_instance(&py.import("socket")?.getattr("socket")?)? {
        return Err(PyTypeError::new_err("from_socket takes a socket.socket"));
    }
    // An SSLSocket's descriptor carries ciphertext.
    if sock.hasattr("do_handshake")? {
        return Err(PyTypeError::new_err(
            "from_socket cannot take over a TLS socket: its bytes are encrypted in user space",
        ));
    }
    let number: RawFd = sock.call_method0("fileno")?.extract()?;
    if number < 0 {
        return Err(PyValueError::new_err("the socket is closed"));
    }
    // SAFETY: `sock` owns the descriptor and we hold the GIL, so nobody closes it meanwhile.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let opened = examine(borrowed)?;
    // A duplicate lets everything that can fail do so before `sock` gives its own away.
    let trial = sys::duplicate(borrowed).map_err(|error| os_error(&error))?;
    Socket::new(trial, None, &options, opened).map_err(|error| os_error(&error))?;

    let number: RawFd = sock.call_method0("detach")?.extract()?;
    // SAFETY: `detach` has just made it ours.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    Socket::new(fd, None, &options, opened).map_err(|error| os_error(&error))
}

/// Options of a stream; those of a listener make no sense here.
pub(super) fn stream_options(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Options> {
    for name in ["backlog", "reuse_port", "dualstack_ipv6"] {
        if kwargs.is_some_and(|kwargs| kwargs.contains(name).unwrap_or(false)) {
            return Err(PyTypeError::new_err(format!("{name} is an option of listen")));
        }
    }
    convert::options(kwargs)
}

fn examine(fd: BorrowedFd<'_>) -> PyResult<Opened> {
    let socket = SockRef::from(&fd);
    let domain = socket.domain().map_err(|error| os_error(&error))?;
    let kind = socket.r#type().map_err(|error| os_error(&error))?;
    if kind != Type::STREAM || ![Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&domain) {
        return Err(PyValueError::new_err("only stream sockets of TCP and unix can be taken over"));
    }
    // ENOTCONN, if it is not.
    socket.peer_addr().map_err(|error| os_error(&error))?;
    let nonblocking = sys::is_nonblocking(fd).map_err(|error| os_error(&error))?;
    Ok(Opened::Elsewhere { nonblocking })
}
