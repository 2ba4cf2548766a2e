use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::socket::Opened;
use super::{Address, Handle, OpenError, Options, Socket, SocketFd};
use crate::sys;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    handle: Handle,
    address: Address,
    options: Options,
    path: Option<OwnPath>,
}

/// The file of a unix listener, as we made it.
#[derive(Debug)]
struct OwnPath {
    path: PathBuf,
    inode: (u64, u64),
    process: u32,
}

impl Listener {
    /// Listen on the first of the addresses that can be had; on every interface of both families
    /// if they are the unspecified ones of both.
    pub fn bind(addresses: &[SockAddr], options: Options) -> Result<Listener, OpenError> {
        let mut errors = Vec::new();
        for address in every_interface(addresses, &options).unwrap_or(addresses) {
            let listening = listen(address, &options);
            match listening.and_then(|socket| Ok((socket.local_addr()?, socket))) {
                Ok((address, socket)) => return Ok(Listener::new(socket, &address, options)),
                Err(error) => errors.push((Address::from(address), error)),
            }
        }
        Err(OpenError(errors))
    }

    fn new(socket: RawSocket, address: &SockAddr, options: Options) -> Listener {
        let path = address.as_pathname().and_then(|path| {
            let inode = inode(path)?;
            Some(OwnPath { path: path.to_path_buf(), inode, process: std::process::id() })
        });
        let fd = if address.is_unix() { waiting(socket) } else { SocketFd::plain(socket.into()) };
        let address = Address::from(address);
        Listener { handle: Handle::new(fd), address, options, path }
    }

    /// Its descriptor.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection that is already there.
    pub fn accept(&self, fd: &SocketFd) -> io::Result<Option<Arc<Socket>>> {
        loop {
            match sys::accept(fd.as_fd()) {
                Ok((fd, peer)) => {
                    return Socket::new(fd, Some(peer), &self.options, Opened::Here).map(Some);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Stop listening. Gives what `Handle::close` gives.
    pub fn close(&self) -> Option<Arc<SocketFd>> {
        let fd = self.handle.close()?;
        if let Some(own) = &self.path
            && own.process == std::process::id()
            && inode(&own.path) == Some(own.inode)
        {
            // Somebody else may have been faster; then it is gone, which is what we want.
            let _ = fs::remove_file(&own.path);
        }
        Some(fd)
    }
}

/// Of the unspecified addresses of both families the one that stands for both: that of IPv6, whose
/// socket takes IPv4 too, or of IPv4, if the options or the system have it so. None for others.
fn every_interface<'a>(addresses: &'a [SockAddr], options: &Options) -> Option<&'a [SockAddr]> {
    let unspecified = |it: &SockAddr| it.as_socket().is_some_and(|it| it.ip().is_unspecified());
    let of = |is_ipv6| addresses.iter().find(|it| unspecified(it) && it.is_ipv6() == is_ipv6);
    let (ipv4, ipv6) = (of(false)?, of(true)?);
    let chosen = if options.dualstack_ipv6 && has_ipv6() { ipv6 } else { ipv4 };
    Some(std::slice::from_ref(chosen))
}

/// Whether this machine can connect to itself by IPv6: not where that is absent or disabled, though
/// a listener may be had all the same.
fn has_ipv6() -> bool {
    // That of a datagram socket sends nothing. The port does not matter.
    let itself = SocketAddr::from((Ipv6Addr::LOCALHOST, 9)).into();
    let socket = RawSocket::new(Domain::IPV6, Type::DGRAM, None);
    socket.and_then(|socket| socket.connect(&itself)).is_ok()
}

/// Errors of the connection that was to be accepted, not of the listener (accept(2), NOTES).
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    )
}

fn listen(address: &SockAddr, options: &Options) -> io::Result<RawSocket> {
    let socket = RawSocket::new(address.domain(), Type::STREAM.nonblocking(), None)?;
    if !address.is_unix() {
        // As every server does: a port whose old connections linger can be listened on again.
        socket.set_reuse_address(true)?;
    }
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(!options.dualstack_ipv6)?;
    }
    options.apply_to_new(&socket)?;
    if address.is_unix() {
        // Before anybody can connect. An older kernel cannot, which `waiting` finds out.
        let _ = sys::refuse_descriptors(socket.as_fd());
    }
    match socket.bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && remove_stale(address) => {
            socket.bind(address)?;
        }
        result => result?,
    }
    socket.listen(options.backlog)?;
    Ok(socket)
}

/// The descriptor of a unix socket of ours with which strangers may be connected: to close a listener
/// is to close what they have sent before they were accepted.
fn waiting(socket: RawSocket) -> SocketFd {
    let refuses = sys::refuses_descriptors(socket.as_fd()).unwrap_or(false);
    SocketFd::shared(socket.into(), refuses)
}

/// Remove a unix socket's file if nobody listens on it any more.
fn remove_stale(address: &SockAddr) -> bool {
    let Some(path) = address.as_pathname() else {
        return false;
    };
    // Any other file refuses connections, too, and is somebody's.
    if !fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        return false;
    }
    let Ok(probe) = RawSocket::new(Domain::UNIX, Type::STREAM.nonblocking(), None) else {
        return false;
    };
    let _ = sys::refuse_descriptors(probe.as_fd());
    let connected = probe.connect(address);
    drop(waiting(probe));
    let refused = connected.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    refused && fs::remove_file(path).is_ok()
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
