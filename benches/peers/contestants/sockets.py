"""Plain sockets for those contestants that take one from outside."""

import socket
import uuid

from ..contestant import Workload

BACKLOG = 4096


def listening(workload: Workload) -> tuple[socket.socket, str]:
    """A blocking listener, and its address as `connecting` takes it."""
    sock = _configured(workload)
    if workload.transport == "unix":
        name = f"@pinwire-bench-{uuid.uuid4().hex}"
        sock.bind(f"\0{name[1:]}")
    else:
        sock.bind(("127.0.0.1", 0))
        name = f"127.0.0.1:{sock.getsockname()[1]}"
    sock.listen(BACKLOG)
    return sock, name


def connecting(workload: Workload, address: str) -> socket.socket:
    """A blocking connected socket."""
    sock = _configured(workload)
    if address.startswith("@"):
        sock.connect(f"\0{address[1:]}")
    else:
        host, _, port = address.rpartition(":")
        sock.connect((host, int(port)))
    return sock


def accepted(sock: socket.socket, workload: Workload) -> socket.socket:
    """What `accept` gave, with the options that it does not inherit."""
    if workload.transport == "tcp":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        _set_buffers(sock, workload)
    return sock


def _configured(workload: Workload) -> socket.socket:
    family = socket.AF_UNIX if workload.transport == "unix" else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if workload.transport == "tcp":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _set_buffers(sock, workload)
    return sock


def _set_buffers(sock: socket.socket, workload: Workload) -> None:
    if workload.sockbuf is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, workload.sockbuf)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, workload.sockbuf)
