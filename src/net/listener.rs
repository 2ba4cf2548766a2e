use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::socket::Opened;
use super::{Address, Handle, Options, Socket, SocketFd};
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
    /// Listen on the first of the addresses that can be had.
    pub fn bind(addresses: &[SockAddr], options: Options) -> io::Result<Listener> {
        let mut first_error = None;
        for address in addresses {
            match listen(address, &options) {
                Ok(socket) => return Listener::new(socket, options),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL)))
    }

    fn new(socket: RawSocket, options: Options) -> io::Result<Listener> {
        let address = socket.local_addr()?;
        let path = address.as_pathname().and_then(|path| {
            let inode = inode(path)?;
            Some(OwnPath { path: path.to_path_buf(), inode, process: std::process::id() })
        });
        let fd = if address.is_unix() { waiting(socket) } else { SocketFd::plain(socket.into()) };
        let address = Address::from(&address);
        Ok(Listener { handle: Handle::new(fd), address, options, path })
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
