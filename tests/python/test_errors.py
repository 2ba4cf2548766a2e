"""The class, the errno and the bases of every error; exceptions survive pickling."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import socket
import struct

import pytest
from support import ABSTRACT

import pinwire
import pinwire.blocking

BASES = {
    pinwire.ClosedError: (),
    pinwire.BusyError: (RuntimeError,),
    pinwire.TornStreamError: (ConnectionError, OSError),
    pinwire.IncompleteTransferError: (EOFError,),
    pinwire.TransferTimeoutError: (TimeoutError, OSError),
    pinwire.ProtocolError: (ValueError,),
}


@pytest.mark.parametrize("error", BASES)
def test_error_when_it_is_ours_then_it_has_one_root_and_its_builtin_bases(error):
    assert issubclass(error, pinwire.Error)
    for base in BASES[error]:
        assert issubclass(error, base)
    assert (error.transferred, error.nbytes) == (0, 0)
    assert error.__doc__
    assert getattr(pinwire, error.__name__) is error


@pytest.mark.parametrize("error", BASES)
@pytest.mark.parametrize("clone", [copy.copy, lambda it: pickle.loads(pickle.dumps(it))])
def test_error_when_pickled_or_copied_then_nothing_is_lost(error, clone):
    original = error(errno.ETIMEDOUT, "text") if issubclass(error, OSError) else error("text")
    original.transferred, original.nbytes = 3, 2**40
    cloned = clone(original)
    assert type(cloned) is error
    assert (cloned.args, str(cloned)) == (original.args, str(original))
    assert (cloned.transferred, cloned.nbytes) == (3, 2**40)
    assert getattr(cloned, "errno", None) == getattr(original, "errno", None)


def test_error_when_raised_by_a_transfer_then_it_can_be_pickled():
    client, server = pinwire.blocking.socketpair()
    with client, server:
        client.send_buffer(b"12")
        with pytest.raises(pinwire.TransferTimeoutError) as caught:
            server.recv_exactly_into(bytearray(10), timeout=0)
    cloned = pickle.loads(pickle.dumps(caught.value))
    assert (cloned.errno, cloned.transferred, cloned.nbytes) == (errno.ETIMEDOUT, 2, 10)


class Situations:
    """One method each: brings about an error on the face for threads."""

    def __init__(self, tmp_path):
        self.path = tmp_path

    def connection_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            address = closed.getsockname()
        pinwire.blocking.connect(address)

    def unix_connection_refused(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(self.path / "nobody"))
        pinwire.blocking.connect(f"unix://{self.path}/nobody")

    def abstract_connection_refused(self):
        pinwire.blocking.connect(ABSTRACT)

    def no_such_path(self):
        pinwire.blocking.connect(f"unix://{self.path}/missing")

    def no_such_directory(self):
        pinwire.blocking.listen(f"unix://{self.path}/missing/socket")

    def path_is_a_file(self):
        (self.path / "file").write_text("")
        pinwire.blocking.connect(f"unix://{self.path}/file")

    def not_a_directory(self):
        (self.path / "file").write_text("")
        pinwire.blocking.listen(f"unix://{self.path}/file/socket")

    def port_in_use(self):
        with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
            pinwire.blocking.listen(listener.address)

    def path_in_use(self):
        with pinwire.blocking.listen(f"unix://{self.path}/socket") as listener:
            pinwire.blocking.listen(listener.address)

    def abstract_name_in_use(self):
        with pinwire.blocking.listen(ABSTRACT) as listener:
            pinwire.blocking.listen(listener.address)

    def address_is_not_ours(self):
        pinwire.blocking.listen("tcp://192.0.2.1:0")

    def path_without_permission(self):
        if os.geteuid() == 0:
            pytest.skip("root may do everything")
        (self.path / "closed").mkdir(mode=0)
        pinwire.blocking.listen(f"unix://{self.path}/closed/socket")

    def not_connected(self):
        with socket.socket() as sock:
            pinwire.blocking.Stream.from_socket(sock)

    def reset_by_the_peer(self):
        with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
            client = pinwire.blocking.connect(listener.address)
            with listener.accept() as server:
                client.abort()
                server.recv_into(bytearray(1))

    def broken_pipe(self):
        client, server = pinwire.blocking.socketpair()
        server.close()
        with client:
            client.send_buffer(b"x")

    def unknown_option(self):
        client, server = pinwire.blocking.socketpair()
        with client, server:
            client.getsockopt(socket.SOL_SOCKET, 9999)


ERRORS = {
    "connection_refused": (ConnectionRefusedError, errno.ECONNREFUSED),
    "unix_connection_refused": (ConnectionRefusedError, errno.ECONNREFUSED),
    "abstract_connection_refused": (ConnectionRefusedError, errno.ECONNREFUSED),
    "no_such_path": (FileNotFoundError, errno.ENOENT),
    "no_such_directory": (FileNotFoundError, errno.ENOENT),
    "path_is_a_file": (ConnectionRefusedError, errno.ECONNREFUSED),
    "not_a_directory": (NotADirectoryError, errno.ENOTDIR),
    "port_in_use": (OSError, errno.EADDRINUSE),
    "path_in_use": (OSError, errno.EADDRINUSE),
    "abstract_name_in_use": (OSError, errno.EADDRINUSE),
    "address_is_not_ours": (OSError, errno.EADDRNOTAVAIL),
    "path_without_permission": (PermissionError, errno.EACCES),
    "not_connected": (OSError, errno.ENOTCONN),
    "reset_by_the_peer": (ConnectionResetError, errno.ECONNRESET),
    "broken_pipe": (BrokenPipeError, errno.EPIPE),
    "unknown_option": (OSError, errno.ENOPROTOOPT),
}


@pytest.mark.parametrize("situation", ERRORS)
def test_error_when_it_is_the_kernels_then_it_is_the_builtin_class_with_its_errno(
    situation, tmp_path
):
    kind, number = ERRORS[situation]
    with pytest.raises(OSError) as caught:
        getattr(Situations(tmp_path), situation)()
    assert type(caught.value) is kind
    assert caught.value.errno == number
    assert os.strerror(number) in str(caught.value)
    assert not isinstance(caught.value, pinwire.Error)


OPENING = {
    "connect_refused": ("connect", ABSTRACT, ConnectionRefusedError),
    "connect_no_path": ("connect", "unix:///missing/socket", FileNotFoundError),
    "listen_no_directory": ("listen", "unix:///missing/socket", FileNotFoundError),
    "listen_not_ours": ("listen", "tcp://192.0.2.1:0", OSError),
}


@pytest.mark.parametrize("situation", OPENING)
def test_error_when_opening_on_a_loop_fails_then_it_is_the_same_as_for_threads(run, situation):
    call, address, kind = OPENING[situation]

    async def main():
        with pytest.raises(OSError) as caught:
            await getattr(pinwire, call)(address)
        with pytest.raises(OSError) as blocking:
            getattr(pinwire.blocking, call)(address)
        assert type(caught.value) is type(blocking.value) is kind
        assert (caught.value.errno, str(caught.value)) == (
            blocking.value.errno,
            str(blocking.value),
        )

    run(main())


def test_error_when_a_connection_is_refused_then_it_names_the_address(run):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as closed:
            host, port = closed.getsockname()
        with pytest.raises(ConnectionRefusedError, match=f"tcp://{host}:{port}"):
            await pinwire.connect((host, port))

    run(main())


def test_error_when_a_name_does_not_resolve_then_it_is_the_resolvers(run, monkeypatch):
    def fail(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    async def main():
        for open_it in (pinwire.connect, pinwire.listen):
            with pytest.raises(socket.gaierror) as caught:
                await open_it("tcp://host.invalid:1")
            assert caught.value.errno in (socket.EAI_NONAME, socket.EAI_AGAIN)
        for open_it in (pinwire.blocking.connect, pinwire.blocking.listen):
            with pytest.raises(socket.gaierror):
                open_it("tcp://host.invalid:1")

    run(main())


@pytest.mark.parametrize("keepalive", [False, 30])
def test_accept_when_the_peer_has_reset_already_then_the_stream_says_so(run, keepalive):
    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0", keepalive=keepalive) as listener:
            host, port = listener.address.removeprefix("tcp://").split(":")
            with socket.create_connection((host, int(port))) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            async with await listener.accept(timeout=5) as stream:
                assert stream.peer_closed
                with pytest.raises(ConnectionResetError) as caught:
                    await stream.recv_into(bytearray(4))
                assert (caught.value.errno, caught.value.nbytes) == (errno.ECONNRESET, 4)

    run(main())
