//! Taking over a `socket.socket`.

#![allow(unsafe_code)] // Borrows, then owns, a descriptor by its number.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use socket2::{Domain, SockAddr, SockRef, Type};

use super::convert;
use super::errors::os_error;
use crate::net::{Opened, Options, Socket};
use crate::sys;

/// The stream of a connected `socket.socket`, which is detached if and only if this succeeds.
pub(super) fn adopt(
    sock: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Arc<Socket>> {
    let options = stream_options(options)?;
    if !is_socket(sock)? {
        return Err(PyTypeError::new_err(format!(
            "from_socket takes a socket.socket, not {}",
            sock.get_type().fully_qualified_name()?
        )));
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
    let (opened, peer) = examine(borrowed)?;
    // A duplicate lets everything that can fail do so before `sock` gives its own away.
    let trial = sys::duplicate(borrowed).map_err(|error| os_error(&error))?;
    Socket::new(trial, Some(peer.clone()), &options, opened).map_err(|error| os_error(&error))?;

    let number: RawFd = sock.call_method0("detach")?.extract()?;
    // SAFETY: `detach` has just made it ours.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    Socket::new(fd, Some(peer), &options, opened).map_err(|error| os_error(&error))
}

/// Whether it is a socket of Python's, or of a library that has put its own class in place of that.
fn is_socket(sock: &Bound<'_, PyAny>) -> PyResult<bool> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = sock.py();
    // What `socket.socket` and its subclasses are made of, whatever has that name now.
    let class = CLASS.import(py, "_socket", "socket")?;
    Ok(sock.is_instance(class)? || sock.is_instance(&py.import("socket")?.getattr("socket")?)?)
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

/// Who opened it, and who is at the other end.
fn examine(fd: BorrowedFd<'_>) -> PyResult<(Opened, SockAddr)> {
    let socket = SockRef::from(&fd);
    let domain = socket.domain().map_err(|error| os_error(&error))?;
    let kind = socket.r#type().map_err(|error| os_error(&error))?;
    if kind != Type::STREAM || ![Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&domain) {
        return Err(PyValueError::new_err("only stream sockets of TCP and unix can be taken over"));
    }
    let peer = peer_of(fd, domain).map_err(|error| os_error(&error))?;
    let nonblocking = sys::is_nonblocking(fd).map_err(|error| os_error(&error))?;
    Ok((Opened::Elsewhere { nonblocking }, peer))
}

/// The other end; ENOTCONN if there never was one. Of a connection that was reset the kernel still
/// has what had come before, but not who it was: that is port 0 of no address.
fn peer_of(fd: BorrowedFd<'_>, domain: Domain) -> io::Result<SockAddr> {
    let unknown: IpAddr = match domain {
        Domain::IPV4 => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    };
    match SockRef::from(&fd).peer_addr() {
        Err(error)
            if error.kind() == io::ErrorKind::NotConnected
                && domain != Domain::UNIX
                && sys::was_connected(fd)? =>
        {
            Ok(SocketAddr::from((unknown, 0)).into())
        }
        peer => peer,
    }
}
