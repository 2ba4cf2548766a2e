use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use socket2::{SockRef, Socket};

use crate::sys;

/// What the user asked for when opening a stream or a listener.
#[derive(Clone, Debug)]
pub struct Options {
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// SO_SNDBUF, in bytes.
    pub send_buffer_size: Option<usize>,
    /// SO_RCVBUF, in bytes.
    pub recv_buffer_size: Option<usize>,
    /// SO_KEEPALIVE.
    pub keepalive: Keepalive,
    /// How long to retry before sleeping.
    pub busy_poll: Duration,
    /// Connections the kernel queues.
    pub backlog: i32,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// Whether IPv6's wildcard takes IPv4 as well: IPV6_V6ONLY turned off.
    pub dualstack_ipv6: bool,
}

/// Whether a silent connection is probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keepalive {
    /// Never.
    #[default]
    Off,
    /// When the system thinks right.
    On,
    /// After so many seconds of silence.
    After(u32),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            nodelay: true,
            send_buffer_size: None,
            recv_buffer_size: None,
            keepalive: Keepalive::Off,
            busy_poll: Duration::ZERO,
            // What Linux caps it at by default (net.core.somaxconn since 5.4).
            backlog: 4096,
            reuse_port: false,
            dualstack_ipv6: true,
        }
    }
}

impl Options {
    /// Set what has to be set before connecting or listening: the receive buffer's size decides
    /// the TCP window scale (tcp(7)).
    pub fn apply_to_new(&self, socket: &Socket) -> io::Result<()> {
        if let Some(size) = self.recv_buffer_size {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some(size) = self.send_buffer_size {
            socket.set_send_buffer_size(size)?;
        }
        Ok(())
    }

    /// Set the rest on a connected socket.
    pub(super) fn apply_to_connected(&self, fd: BorrowedFd<'_>, tcp: bool) -> io::Result<()> {
        let socket = SockRef::from(&fd);
        if let Some(size) = self.recv_buffer_size {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some(size) = self.send_buffer_size {
            socket.set_send_buffer_size(size)?;
        }
        if tcp {
            socket.set_tcp_nodelay(self.nodelay)?;
        }
        if self.keepalive != Keepalive::Off {
            socket.set_keepalive(true)?;
        }
        if let (Keepalive::After(seconds), true) = (self.keepalive, tcp) {
            sys::set_keepalive_idle(fd, seconds)?;
        }
        Ok(())
    }
}
