"""Types of signatures. Nothing here runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    from typing_extensions import Buffer

Address: TypeAlias = str | tuple[str, int]

Candidate: TypeAlias = tuple[Any, ...] | bytes
"""A socket address as `getaddrinfo` gives it, or the name of a unix socket."""

Answer: TypeAlias = Sequence[tuple[Any, ...]]
"""What `getaddrinfo` gives; the last item of each is an address."""

Allocator: TypeAlias = Callable[[tuple[int, ...], Any, str], Any]
"""`allocator(shape, dtype, order)` gives writable memory, as `numpy.empty` does."""

Exporter: TypeAlias = "Buffer | SupportsDLPack"


class Budget(Protocol):
    """A `pinwire.MemoryBudget`, and nothing else."""

    @property
    def nbytes(self) -> int:
        """Bytes of it."""
        ...

    def stats(self) -> tuple[int, int, int, int]:
        """How it stands."""
        ...


class SupportsDLPack(Protocol):
    """A tensor that lends its memory by DLPack (torch, jax, pyarrow.Array)."""

    def __dlpack__(self, *, max_version: tuple[int, int] | None = None) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, int]: ...


class StreamOptions(TypedDict, total=False):
    """Keyword arguments of `connect`, `Stream.from_socket` and `socketpair`."""

    nodelay: bool
    """TCP_NODELAY (tcp(7)): small segments leave at once. Default True; ignored on unix sockets."""

    send_buffer_size: int | None
    """SO_SNDBUF in bytes (socket(7); Linux doubles it). Default None: the kernel tunes it."""

    recv_buffer_size: int | None
    """SO_RCVBUF in bytes, set before connecting. Default None: the kernel tunes it."""

    keepalive: bool | float
    """SO_KEEPALIVE; a number is also TCP_KEEPIDLE, in seconds. Default False."""

    busy_poll: float
    """Seconds to retry a transfer that would block before sleeping for it. Default 0."""


class ListenOptions(StreamOptions, total=False):
    """Keyword arguments of `listen`; those of `StreamOptions` apply to accepted streams."""

    backlog: int
    """Connections the kernel queues before `accept` (listen(2)). Default 4096."""

    reuse_port: bool
    """SO_REUSEPORT: several listeners share one port (socket(7)). Default False."""

    dualstack_ipv6: bool
    """Whether a socket of IPv6 takes IPv4 connections, too: IPV6_V6ONLY off (ipv6(7)). Default
    True. If it is not to, `[::]` is IPv6 alone, and an empty host IPv4 alone."""


class MessageOptions(TypedDict, total=False):
    """Keyword arguments of channels, and of servers of channels."""

    max_message_bytes: int
    """The largest payload for which `recv` makes memory, in bytes. Default 4 GiB."""

    allow_pickle: bool
    """Whether objects are sent and received: a pickle can run any code. Default False."""

    same_host: Literal["auto", "off"]
    """Whether a peer on this host may read large parts from this process. Default "auto"."""

    allocator: Allocator | None
    """`allocator(shape, dtype, order)` makes the memory of received arrays. Default: NumPy's."""

    high_water: int
    """Bytes of posted messages that may wait before `post` refuses more. Default 64 MiB."""


class ChannelOptions(MessageOptions, total=False):
    """Keyword arguments of `Channel` and `connect_channel`, beside those of `MessageOptions`."""

    memory_budget: Budget | None
    """What messages share with those of other channels while they come. Default: no limit."""


class ChannelStreamOptions(ChannelOptions, StreamOptions, total=False):
    """Keyword arguments of `connect_channel`."""


class ServeOptions(MessageOptions, ListenOptions, total=False):
    """Keyword arguments of `serve_channels`, beside those of channels and listeners."""

    memory_budget: int | Budget | None
    """For messages while they come, over all channels: bytes, or a budget that is shared.
    Default: a quarter of the memory that the process may use."""

    max_channels: int
    """Peers at one time. Default: half of the descriptors the process may have."""

    idle_timeout: float
    """Seconds of silence after which a channel of a full server gives way. Default 10."""
