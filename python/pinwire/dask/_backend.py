"""How Dask opens connections: the backend that it looks up by the scheme of an address."""

from __future__ import annotations

import asyncio
import errno
import inspect
import logging
from typing import TYPE_CHECKING, Any

import dask.config
from distributed.comm.addressing import parse_host_port, unparse_host_port
from distributed.comm.core import BaseListener, CommClosedError
from distributed.comm.core import Connector as BaseConnector
from distributed.comm.tcp import BaseTCPBackend, RequireEncryptionMixin
from distributed.comm.utils import ensure_concrete_host

from .._admission import Greeting, default_max_channels, most_greeting
from .._asyncio import accept_all, bounded, connect, listen
from .._open import HANDSHAKE_TIMEOUT
from ..errors import TransferTimeoutError
from ._comm import FAILURES, Comm, closed_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core import Listener as StreamListener
    from .._core import Stream
    from .._types import ListenOptions

logger = logging.getLogger(__name__)

PREFIX = "pinwire://"

ATTEMPTS = 5
"""How often a port is sought that is free for IPv4 and IPv6."""


class Connector(BaseConnector, RequireEncryptionMixin):
    """Opens connections. Unknown arguments are ignored, as Dask expects."""

    prefix = PREFIX
    encrypted = False
    comm_class = Comm

    async def connect(self, address: str, deserialize: bool = True, **connection_args: Any) -> Comm:
        """Connect to "host:port". Raises CommClosedError, an OSError, and ValueError."""
        self._check_encryption(address, connection_args)
        try:
            stream = await connect(parse_host_port(address))
        except FAILURES as error:
            raise closed_by(error, self) from error
        try:
            local = _with_prefix(self.prefix, stream.local_address)
            return self.comm_class(stream, local, self.prefix + address, deserialize)
        except BaseException:
            await stream.close()
            raise


class Listener(BaseListener, RequireEncryptionMixin):
    """Accepts connections and hands each to `comm_handler`, once it has said hello.

    Without a host it listens on all interfaces, of IPv4 and of IPv6.
    """

    prefix = PREFIX
    encrypted = False
    comm_class = Comm

    def __init__(
        self,
        address: str,
        comm_handler: Callable[[Comm], Any],
        deserialize: bool = True,
        allow_offload: bool = True,
        default_host: str | None = None,
        default_port: int = 0,
        **connection_args: Any,
    ) -> None:
        super().__init__()
        self._check_encryption(address, connection_args)
        self.ip, self.port = parse_host_port(address, default_port)
        self.default_host = default_host
        self.comm_handler = comm_handler
        self.deserialize = deserialize
        self.allow_offload = allow_offload
        self._listeners: list[StreamListener] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._greeting: Greeting[Comm] = Greeting(most_greeting(default_max_channels()))

    async def start(self) -> None:
        """Listen from now on. Raises OSError if the address cannot be had."""
        self._listeners = await _open(self.ip, self.port)
        for listener in self._listeners:
            self._run(self._accept(listener))

    def stop(self) -> None:
        """Accept no more; connections that are established stay."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()

    def get_host_port(self) -> tuple[str, int]:
        """Where it listens."""
        if not self._listeners:
            raise ValueError("the listener has not been started, or was stopped")
        return parse_host_port(self._listeners[0].address)

    @property
    def listen_address(self) -> str:
        """Where it listens, as a URI."""
        return self.prefix + unparse_host_port(*self.get_host_port())

    @property
    def contact_address(self) -> str:
        """Where others reach it, as a URI."""
        host, port = self.get_host_port()
        host = str(ensure_concrete_host(host, default_host=self.default_host))
        return self.prefix + unparse_host_port(host, port)

    async def _accept(self, listener: StreamListener) -> None:
        async with listener:  # whoever forgets to stop it cancels this when the loop ends
            await accept_all(listener, self._welcome, _report)

    def _run(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # Not left to the collector, which may come late: the task and its error are a cycle.
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"a connection to {self} failed", "exception": error}
            task.get_loop().call_exception_handler(context)

    def _welcome(self, stream: Stream) -> None:
        self._run(self._serve(stream))

    async def _serve(self, stream: Stream) -> None:
        if not self._listeners:  # stopped since; nobody would end the handshake
            await stream.close()
            return
        try:
            local = _with_prefix(self.prefix, stream.local_address)
            peer = _with_prefix(self.prefix, stream.peer_address)
            comm = self.comm_class(stream, local, peer, self.deserialize)
            comm.allow_offload = self.allow_offload
            if (oldest := self._greeting.arrive(comm)) is not None:
                oldest.abort()
            try:
                async with bounded(HANDSHAKE_TIMEOUT, "the handshake"):
                    await self.on_connection(comm)
            finally:
                self._greeting.greeted(comm)
        except (CommClosedError, TransferTimeoutError) as error:
            logger.info("A connection ended before the handshake was done: %s", error)
            return
        except BaseException:
            await stream.close()
            raise
        handled = self.comm_handler(comm)
        if inspect.isawaitable(handled):
            await handled


class Backend(BaseTCPBackend):
    """What Dask takes for the scheme of an address: host and port are those of TCP."""

    _connector_class = Connector
    _listener_class = Listener


def _report(message: str, error: OSError) -> None:
    logger.warning("%s: %s", message, error)


def _with_prefix(prefix: str, address: str) -> str:
    return prefix + address.partition("://")[2]


async def _open(host: str, port: int) -> list[StreamListener]:
    options: ListenOptions = {
        "backlog": int(dask.config.get("distributed.comm.socket-backlog")),
        "dualstack_ipv6": False,
    }
    if host:
        return [await listen((host, port), **options)]
    attempts = ATTEMPTS
    while True:
        attempts -= 1
        first = await listen(("0.0.0.0", port), **options)
        _, number = parse_host_port(first.address)
        try:
            second = await listen(("::", number), **options)
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return [first]
            await first.close()
            if error.errno != errno.EADDRINUSE or port != 0 or attempts == 0:
                raise
        else:
            return [first, second]
