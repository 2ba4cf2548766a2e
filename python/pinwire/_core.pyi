"""The compiled core. Import these names from `pinwire` and `pinwire.blocking`."""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from contextvars import Context
from socket import socket
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, Protocol, Self, final, overload

from typing_extensions import Buffer, TypeVar, Unpack, disjoint_base

from ._types import (
    Address,
    Allocator,
    ChannelOptions,
    Exporter,
    ListenOptions,
    StreamOptions,
)

_T_co = TypeVar("_T_co", covariant=True)
_R_co = TypeVar("_R_co", covariant=True, default=int)
_S = TypeVar("_S", bound=BaseStream)
_L = TypeVar("_L", bound=BaseListener)

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

class Credentials(NamedTuple):
    """Who is at the other end of a unix socket, as the kernel knows it (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int

class StreamStats(NamedTuple):
    """What a stream has done since it was opened."""

    bytes_sent: int
    bytes_received: int
    system_calls: int
    """Reads, writes and sendfile calls, those that would have blocked included."""
    inline_completions: int
    """Transfers that never waited."""
    bulk_transfers: int
    """Transfers that the engine's workers took over from the event loop."""
    waits: int
    """How often a transfer slept until the kernel was ready."""
    packed_bytes: int
    """Bytes that were copied once in user space, through the staging block."""

class ChannelStats(NamedTuple):
    """What a channel has done since it was opened."""

    messages_sent: int
    """Messages the kernel has taken whole; objects count, too."""
    messages_received: int
    messages_skipped: int
    """Messages dropped by `Header.skip`, or because a receive was interrupted in the middle."""
    bytes_sent: int
    """Bytes of the payloads of what was sent, without headers."""
    bytes_received: int
    bytes_offered: int
    """Bytes of these that the peer has read from this process, past the socket."""
    bytes_pulled: int
    """Bytes of these that were read from the peer's process."""
    same_host: str
    """Whether what is sent goes past the socket ("in use"), or why it does not: "off", "untried"
    before the first large message, or what is in the way."""

class BudgetStats(NamedTuple):
    """How a budget stands."""

    nbytes: int
    """Bytes that messages may take while they come."""
    reserved: int
    """Bytes that they take now."""
    waits: int
    """Messages that had to wait for memory so far."""
    ended: int
    """Messages that came too slowly while others waited, and whose channels were ended."""

@final
class MemoryBudget:
    """Memory that any number of channels share for messages while they come.

    What `recv` and `recv_object` make memory for counts, from its header on until it is given out;
    messages of up to 64 KiB do not, nor does what goes into memory of the caller's. While half of
    the budget is free, a message has all its memory reserved at once, and otherwise in steps, each
    as large as what has come of it. A message for which there is no more waits, and its peer with
    it. While one waits, a channel whose message comes slower than 1 MiB/s is ended with
    ConnectionAbortedError. The message that has been there longest goes on in any case: all
    together take at most the budget and one message more, which is no larger than the budget.
    """

    def __new__(cls, nbytes: int, /) -> MemoryBudget:
        """A budget of so many bytes. Raises ValueError if that is not positive."""
    @property
    def nbytes(self) -> int:
        """Bytes of it; `max_message_bytes` of its channels is at most that."""
    def stats(self) -> BudgetStats:
        """How it stands."""

class RuntimeStats(NamedTuple):
    """What the engine has done in this process, for all of its streams."""

    workers: int
    """Threads that move bulk, which start when they are first needed; 0 in a forked child."""
    bulk_transfers: int
    """Transfers they took over so far."""
    bulk_in_flight: int
    """Those of them that have not ended."""
    bulk_bytes: int
    """Bytes they have moved in those that have."""
    rings: int
    """How often they woke an event loop: once for all that ended since it last looked."""

def runtime_stats() -> RuntimeStats:
    """Counters of this process; `Stream.stats()` has those of a stream."""

@disjoint_base
class Operation(Coroutine[Any, Any, _T_co], Generic[_T_co]):
    """Something to await once: a coroutine, so tasks, `gather` and `wait_for` take it."""

    __name__: str
    __qualname__: str
    def __await__(self) -> Generator[Any, Any, _T_co]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any, /) -> Any: ...
    @overload
    def throw(
        self,
        typ: type[BaseException],
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any: ...
    @overload
    def throw(
        self, typ: BaseException, val: None = None, tb: TracebackType | None = None, /
    ) -> Any: ...
    def close(self) -> None: ...

@final
class Transfer(Operation[_R_co], Generic[_R_co]):
    """Bytes under way. Awaiting it moves them and gives their count, or what a channel received.

    The call that made it has checked and pinned the memory; not a byte moves before it is
    awaited. The memory stays pinned until the transfer has ended: by its result, an error, a
    cancellation, or because it was dropped without being awaited (a RuntimeWarning).
    """

    @property
    def transferred(self) -> int:
        """Bytes moved so far. Live: another task or thread may read it while they move."""
    @property
    def nbytes(self) -> int:
        """Bytes there are to move, at most; of a message that is received, 0 until the await has
        come to its header."""
    def done(self) -> bool:
        """Whether it has ended, in whatever way; the memory is then no longer pinned."""

@disjoint_base
class BaseStream:
    """What the streams of both faces share: everything that never waits."""

    def fileno(self) -> int:
        """The file descriptor, or -1 once closed or detached."""
    def detach(self) -> int:
        """Give the file descriptor to the caller and close this object without closing it.

        A descriptor that pinwire opened is given back in blocking mode, as `socket.socket`
        expects; one that came by `from_socket` has the flags it came with. Raises BusyError
        with a transfer in flight, ClosedError once closed.
        """
    def abort(self) -> None:
        """Close at once and discard what is unsent; over TCP the peer gets a reset (RST).

        Transfers in flight end with ClosedError. On a unix socket the peer sees the end of the
        stream, or ECONNRESET if it had sent bytes that were never read (unix(7)).
        """
    @property
    def local_address(self) -> str:
        """This end as a URL that `connect` takes; "unix:" for an unnamed unix socket."""
    @property
    def peer_address(self) -> str:
        """The other end as a URL; "unix:" for an unnamed unix socket."""
    @property
    def peer_closed(self) -> bool:
        """Whether the peer has closed its sending side or is gone, seen without reading.

        Bytes it sent before may still be unread. True on a stream that is closed.
        """
    @property
    def peer_credentials(self) -> Credentials | None:
        """The process at the other end of a unix socket; None over TCP."""
    @overload
    def getsockopt(self, level: int, optname: int, /) -> int:
        """As `socket.socket.getsockopt` (getsockopt(2))."""
    @overload
    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """The option as `buflen` bytes, from 1 to 1024."""
    @overload
    def setsockopt(
        self, level: int, optname: int, value: int | Buffer, optlen: None = None, /
    ) -> None:
        """As `socket.socket.setsockopt` (setsockopt(2))."""
    @overload
    def setsockopt(self, level: int, optname: int, value: None, optlen: int, /) -> None:
        """A null pointer and a length."""
    def stats(self) -> StreamStats:
        """Counters of this stream; still readable once it is closed."""

@final
class Stream(BaseStream):
    """A connected TCP or unix stream socket for asyncio and uvloop.

    One send and one receive may be in flight at once, from any task; a second one in the same
    direction raises BusyError and moves nothing. Every transfer takes `timeout`, in seconds,
    counted from the moment it is awaited; 0 tries once. Errors of every transfer:

    - TransferTimeoutError, asyncio.CancelledError, ClosedError (the stream was closed under
      it) and OSError, each with `transferred` and `nbytes` in bytes;
    - BusyError, ClosedError and TornStreamError before a byte moves.

    Every buffer may be any object that exports memory: itemsize, format, number of dimensions
    and strides do not matter; its bytes travel in C order, as `memoryview.tobytes()` gives
    them. Contiguous memory and long runs are never copied in user space. Short runs (a
    transposed array, a column) are copied once, through a staging block of 256 KiB. `copy`
    follows the array API: None allows that, False raises BufferError instead, True asks for it.

    Raises at the call, before a byte moves: TypeError for what exports no memory, or exports
    pointers to Python objects; BufferError for memory that cannot be used as asked (read-only
    memory as a target, a tensor on a device).
    """

    @classmethod
    def from_socket(cls, sock: socket, /, **options: Unpack[StreamOptions]) -> Self:
        """Take over a connected stream socket; `sock` is detached, its status flags stay.

        The time of `sock.settimeout` does not: every transfer has its own `timeout`, by default
        none. Of a connection that the peer has reset, what came before is received, and
        `peer_address` has port 0.

        Raises TypeError or ValueError for what is not a plain stream socket over TCP or unix,
        OSError (ENOTCONN) if it was never connected. `sock` is untouched after an error.
        """
    def send_buffer(
        self, buffer: Exporter, /, *, timeout: float | None = None, copy: bool | None = None
    ) -> Transfer:
        """Send every byte of `buffer` (sendmsg(2)); the result is their count.

        A send that is interrupted after some bytes tears the stream: later sends raise
        TornStreamError. One that is interrupted before the first byte leaves it whole.
        """
    def send_buffers(
        self,
        buffers: Iterable[Exporter],
        /,
        *,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> Transfer:
        """Send every byte of every buffer, in order, as one transfer without joining them."""
    def send_file(
        self,
        file: _HasFileno,
        /,
        offset: int = 0,
        count: int | None = None,
        *,
        timeout: float | None = None,
    ) -> Transfer:
        """Send `count` bytes of a regular file from `offset`, or all up to its end.

        By sendfile(2), so the bytes never enter user space; where the kernel refuses that, or
        the socket came in blocking mode, through the staging block. As `socket.sendfile`,
        leaves the file's position after the last byte sent. The result is the count, which is
        less than asked if the file ends before. Raises ValueError for a file in text mode or
        one that is not regular, TypeError for an object without a file descriptor.
        """
    def recv_into(
        self,
        buffer: Exporter,
        /,
        *,
        nbytes: int = 0,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> Transfer:
        """Receive up to `nbytes` bytes (0: as many as fit) into `buffer`.

        The result is the count, 0 at the end of the stream (recvmsg(2)). Cancelling it never
        loses data: a byte is taken from the stream only if the call returns. Raises ValueError
        if `nbytes` is negative or more than the buffer holds.
        """
    def recv_exactly_into(
        self, buffer: Exporter, /, *, timeout: float | None = None, copy: bool | None = None
    ) -> Transfer:
        """Fill `buffer`; the result is its size in bytes.

        Raises IncompleteTransferError if the stream ends first. Interrupted, it leaves what has
        come in the buffer, the count in `transferred`, and the stream usable from there.
        """
    def recv_buffers_into(
        self,
        buffers: Iterable[Exporter],
        /,
        *,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> Transfer:
        """Fill every buffer in order (scatter); the result is the number of bytes in all."""
    def send_eof(self) -> Operation[None]:
        """Half-close: the peer reads the end of the stream, receiving goes on (shutdown(2)).

        Done at the call. Raises BusyError while a send is in flight.
        """
    def close(self) -> Operation[None]:
        """Close the stream, at the call; transfers in flight end with ClosedError.

        What was sent is still delivered by the kernel. Closing twice is allowed.
        """
    def __aenter__(self) -> Operation[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Operation[None]: ...

@final
class BlockingStream(BaseStream):
    """A connected TCP or unix stream socket for threads: `pinwire.blocking.Stream`.

    The same names, arguments and errors as `pinwire.Stream`, without `await`: each transfer
    returns its count in bytes. The GIL is released while a transfer waits or moves 64 KiB or
    more. Signals are handled at once, and a transfer goes on if the handler returns (PEP 475).
    """

    @classmethod
    def from_socket(cls, sock: socket, /, **options: Unpack[StreamOptions]) -> Self:
        """Take over a connected stream socket; see `pinwire.Stream.from_socket`."""
    def send_buffer(
        self, buffer: Exporter, /, *, timeout: float | None = None, copy: bool | None = None
    ) -> int:
        """Send every byte of `buffer`; see `pinwire.Stream.send_buffer`."""
    def send_buffers(
        self,
        buffers: Iterable[Exporter],
        /,
        *,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> int:
        """Send every byte of every buffer; see `pinwire.Stream.send_buffers`."""
    def send_file(
        self,
        file: _HasFileno,
        /,
        offset: int = 0,
        count: int | None = None,
        *,
        timeout: float | None = None,
    ) -> int:
        """Send bytes of a regular file by sendfile(2); see `pinwire.Stream.send_file`."""
    def recv_into(
        self,
        buffer: Exporter,
        /,
        *,
        nbytes: int = 0,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> int:
        """Receive up to `nbytes` bytes; see `pinwire.Stream.recv_into`."""
    def recv_exactly_into(
        self, buffer: Exporter, /, *, timeout: float | None = None, copy: bool | None = None
    ) -> int:
        """Fill `buffer`; see `pinwire.Stream.recv_exactly_into`."""
    def recv_buffers_into(
        self,
        buffers: Iterable[Exporter],
        /,
        *,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> int:
        """Fill every buffer in order; see `pinwire.Stream.recv_buffers_into`."""
    def send_eof(self) -> None:
        """Half-close: the peer reads the end of the stream, receiving goes on (shutdown(2))."""
    def close(self) -> None:
        """Close the stream; transfers in flight in other threads end with ClosedError."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None: ...

@disjoint_base
class BaseListener:
    """What the listeners of both faces share."""

    @property
    def address(self) -> str:
        """Where it listens, as a URL that `connect` takes, with the real port."""
    def fileno(self) -> int:
        """The file descriptor, or -1 once closed."""

@final
class Listener(BaseListener):
    """A listening socket for asyncio: `accept` in a loop, or `async for stream in listener`."""

    def accept(self, *, timeout: float | None = None) -> Operation[Stream]:
        """Wait for the next connection.

        Cancelling it never loses one. Raises TransferTimeoutError, ClosedError if the listener
        is closed, BusyError if another task is already in `accept`, OSError (EMFILE when the
        process is out of descriptors: the connection stays queued).
        """
    def close(self) -> Operation[None]:
        """Stop listening, at the call; a unix socket's path is removed if it is still ours."""
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Operation[Stream]: ...
    def __aenter__(self) -> Operation[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Operation[None]: ...

@final
class BlockingListener(BaseListener):
    """A listening socket for threads: `pinwire.blocking.Listener`.

    Any number of threads may be in `accept` at once.
    """

    def accept(self, *, timeout: float | None = None) -> BlockingStream:
        """Wait for the next connection; errors as `pinwire.Listener.accept`."""
    def close(self) -> None:
        """Stop listening; threads in `accept` get ClosedError."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> BlockingStream: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None: ...

@final
class Message:
    """What a channel received."""

    @property
    def parts(self) -> list[Any]:
        """The arrays, in the order in which they were sent: writable, and the receiver's own."""
    @property
    def meta(self) -> dict[Any, Any]:
        """The mapping that was sent with them; empty if there was none."""
    @property
    def nbytes(self) -> int:
        """Bytes of all parts together."""

@final
class Part:
    """What a header says of one array."""

    @property
    def dtype(self) -> Any:
        """The `numpy.dtype`; without NumPy its text, as in "<f8"."""
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def order(self) -> Literal["C", "F"]:
        """The order of its memory: "F" only for arrays of several dimensions that are not C."""
    @property
    def itemsize(self) -> int:
        """Bytes of one item."""
    @property
    def nbytes(self) -> int:
        """Bytes of all items."""

@disjoint_base
class BaseChannel:
    """What the channels of both faces share: everything that never waits."""

    @property
    def stream(self) -> BaseStream:
        """The stream that the channel has taken over: its transfers raise BusyError, everything
        else of it may be used."""
    @property
    def local_address(self) -> str:
        """This end as a URL; see `Stream.local_address`."""
    @property
    def peer_address(self) -> str:
        """The other end as a URL; see `Stream.peer_address`."""
    @property
    def peer_closed(self) -> bool:
        """Whether the peer has closed the channel, or is gone, and nothing of what it sent is left
        to be received. False while a receive is under way, which will find out by itself; True once
        this end is closed."""
    @property
    def transport(self) -> Literal["tcp", "unix", "same-host"]:
        """What carries large payloads, in one direction at least: the socket, or what one process
        copies from another on the same host; see `same_host` of `Channel`."""
    @property
    def allow_pickle(self) -> bool: ...
    @property
    def max_message_bytes(self) -> int: ...
    @property
    def high_water(self) -> int: ...
    def abort(self) -> None:
        """Close at once and drop what is unsent; see `Stream.abort`."""
    def stats(self) -> ChannelStats:
        """Counters of this channel; `channel.stream.stats()` has those of its stream."""
    @property
    def _lingers(self) -> bool: ...
    def _fail(self, error: BaseException) -> None: ...
    @property
    def _traffic(self) -> int | None: ...
    def _check_pickle(self) -> None: ...
    def _raise_failure(self) -> None: ...

@disjoint_base
class BaseHeader:
    """A message whose header has come, and whose payload is still to be received."""

    @property
    def kind(self) -> Literal["arrays", "object"]:
        """What it carries; an object is for `recv_object`."""
    @property
    def parts(self) -> tuple[Part, ...]: ...
    @property
    def meta(self) -> dict[Any, Any]:
        """The mapping that was sent; empty if there was none."""
    @property
    def nbytes(self) -> int:
        """Bytes of the payload."""

class Channel(BaseChannel):
    """The core of `pinwire.Channel`."""

    def __new__(cls, stream: Stream, /, **options: Unpack[ChannelOptions]) -> Self: ...
    @property
    def stream(self) -> Stream: ...
    def send(
        self,
        data: Exporter | Iterable[Exporter],
        /,
        *,
        meta: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> Transfer:
        """Send an array, or a list of arrays, as one message; the result is its bytes.

        dtype, shape and order (C or Fortran) travel with each; other layouts arrive in C order,
        in long runs without a copy, short ones through a staging block (`copy` as in
        `Stream.send_buffer`). So do structures with gaps: bytes that belong to no field, padding or
        the columns that `table[["id", "name"]]` leaves out, arrive as zeros.

        `meta` is a small mapping of None, bool, int (64 bits), float, str, bytes, lists and
        mappings of these: at most 64 KiB, nested at most 16 deep (MessagePack).

        Messages of several tasks go out whole, in the order in which they are awaited. The memory
        is pinned from the call on. A send that is interrupted in its turn after the first byte
        tears the channel, as it does a stream; one that waits for its turn just leaves.

        It returns when the kernel has all bytes; of what the peer reads from this process
        (`same_host`), when the peer has it, so only once that receives. Interrupted before that,
        the message is withdrawn and nothing torn: the peer's receive goes on to the next one.

        Raises what `Stream.send_buffers` raises, and MessageRefusedError for a message over a limit
        of the format or over what the peer has said it takes.
        """
    def send_file(
        self,
        file: _HasFileno,
        /,
        offset: int = 0,
        count: int | None = None,
        *,
        meta: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Transfer:
        """Send a part of a regular file as one array of uint8, by sendfile(2).

        `offset`, `count` and `file` are as in `Stream.send_file`.
        """
    def recv(
        self,
        *,
        timeout: float | None = None,
        allocator: Allocator | None = None,
        share: bool = False,
    ) -> Transfer[Message]:
        """Receive the next message into new memory.

        `allocator(shape, dtype, order)` makes it; see `Channel`. `share=True` puts all parts into
        one allocation, those of one dtype beside each other without gaps; they live and die
        together then.

        Cancelled or timed out, nothing is lost: the next call goes on from the bytes that have
        come. Raises MessageRefusedError for more than `max_message_bytes` or an object (the message
        stays), IncompleteTransferError once the peer has ended the channel, ProtocolError if it
        breaks the format (and loses its connection), BusyError beside another receive.
        """
    def recv_into(
        self,
        out: Exporter | Iterable[Exporter],
        /,
        *,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> Transfer[Message]:
        """Receive the next message straight into an array, or a list with one for each part.

        dtype and shape have to be those of the message; memory that has no type of its own (a
        bytearray, an mmap) takes any part of its size. Otherwise MessageRefusedError: nothing has
        been received then, and the message stays. `parts` of the result are the given objects.

        Cancelled or timed out in the middle, the bytes so far are in the memory; called again with
        the same objects, it goes on from there. Any other receive drops that message: also one into
        the same memory by another object, such as a new view of it, so keep the views.
        """
    def recv_header(self, *, timeout: float | None = None) -> Transfer[Header]:
        """Receive the header of the next message, to choose where its payload goes.

        The message stays the next one until it has been read or skipped, by whatever call.
        """
    def recv_object(self, *, timeout: float | None = None) -> Transfer[Any]:
        """Receive an object; its arrays lie in new memory, and may be written to unless they were
        read-only at the sender.

        Only with `allow_pickle=True`, among peers that trust each other: a pickle can run any code.
        Buffers that come with a pickle and that it does not ask for are ignored, and whoever makes
        an object of one (pyarrow, for example) trusts the sizes in the pickle, not that of the
        buffer. Raises as `recv`, and what `pickle.loads` raises.
        """
    def handshake(self, *, timeout: float | None = None) -> Transfer[None]:
        """Wait for the peer's hello. Raises ProtocolError if it does not speak this format.

        Nobody has to call it: every receive does the same first.
        """
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Transfer[Message]: ...
    def _line_up(
        self, data: Exporter | Iterable[Exporter], /, *, meta: Mapping[str, Any] | None = None
    ) -> Transfer | None: ...
    def _send_pickle(
        self, buffers: Iterable[Buffer], /, *, timeout: float | None = None
    ) -> Transfer: ...

@final
class Header(BaseHeader):
    """A message to be received, on asyncio: read it, read it into memory, or skip it."""

    def read(
        self,
        *,
        timeout: float | None = None,
        allocator: Allocator | None = None,
        share: bool = False,
    ) -> Transfer[Message]:
        """Receive the payload into new memory, as `Channel.recv`.

        Raises MessageRefusedError if the message has been read or skipped already, or was withdrawn
        by its sender, who was interrupted.
        """
    def read_into(
        self,
        out: Exporter | Iterable[Exporter],
        /,
        *,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> Transfer[Message]:
        """Receive the payload straight into memory, as `Channel.recv_into`."""
    def skip(self, *, timeout: float | None = None) -> Transfer[None]:
        """Read the payload and drop it: nothing is kept, and no memory is made."""

class BlockingChannel(BaseChannel):
    """The core of `pinwire.blocking.Channel`."""

    def __new__(cls, stream: BlockingStream, /, **options: Unpack[ChannelOptions]) -> Self: ...
    @property
    def stream(self) -> BlockingStream: ...
    def send(
        self,
        data: Exporter | Iterable[Exporter],
        /,
        *,
        meta: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> int:
        """See `pinwire.Channel.send`."""
    def send_file(
        self,
        file: _HasFileno,
        /,
        offset: int = 0,
        count: int | None = None,
        *,
        meta: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> int:
        """See `pinwire.Channel.send_file`."""
    def recv(
        self,
        *,
        timeout: float | None = None,
        allocator: Allocator | None = None,
        share: bool = False,
    ) -> Message:
        """See `pinwire.Channel.recv`."""
    def recv_into(
        self,
        out: Exporter | Iterable[Exporter],
        /,
        *,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> Message:
        """See `pinwire.Channel.recv_into`."""
    def recv_header(self, *, timeout: float | None = None) -> BlockingHeader:
        """See `pinwire.Channel.recv_header`."""
    def recv_object(self, *, timeout: float | None = None) -> Any:
        """See `pinwire.Channel.recv_object`."""
    def handshake(self, *, timeout: float | None = None) -> None:
        """See `pinwire.Channel.handshake`."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Message: ...
    def _line_up(
        self, data: Exporter | Iterable[Exporter], /, *, meta: Mapping[str, Any] | None = None
    ) -> Prepared | None: ...
    def _send_pickle(
        self, buffers: Iterable[Buffer], /, *, timeout: float | None = None
    ) -> int: ...

@final
class BlockingHeader(BaseHeader):
    """A message to be received, for threads: `pinwire.blocking.Header`."""

    def read(
        self,
        *,
        timeout: float | None = None,
        allocator: Allocator | None = None,
        share: bool = False,
    ) -> Message:
        """See `pinwire.Header.read`."""
    def read_into(
        self,
        out: Exporter | Iterable[Exporter],
        /,
        *,
        timeout: float | None = None,
        copy: bool | None = None,
    ) -> Message:
        """See `pinwire.Header.read_into`."""
    def skip(self, *, timeout: float | None = None) -> None:
        """See `pinwire.Header.skip`."""

# What follows serves the two faces and is not public.

@final
class Prepared:
    """A message that waits in the queue of a blocking channel."""

    @property
    def nbytes(self) -> int: ...
    def run(self) -> None: ...

@final
class Memory:
    """Memory of large arrays that were received: exports a buffer, and is nothing else."""

@final
class Waiter:
    """What a suspended task waits on; to asyncio a future."""

    _asyncio_future_blocking: bool
    def take_expired(self) -> tuple[Context, Callable[[Waiter], object], Waiter] | None: ...
    def get_loop(self) -> AbstractEventLoop: ...
    def add_done_callback(
        self, callback: Callable[[Waiter], object], /, *, context: Context
    ) -> None: ...
    def remove_done_callback(self, callback: Callable[[Waiter], object], /) -> int: ...
    def cancel(self, msg: object = None) -> bool: ...
    def done(self) -> bool: ...
    def cancelled(self) -> bool: ...
    def result(self) -> None: ...

@final
class Doorbell:
    """How the workers tell an event loop that transfers have ended."""

    def waiting(self) -> int: ...
    def take_sleeper(self) -> tuple[Context, Callable[[Waiter], object], Waiter] | None: ...

@final
class Watch:
    """A loop's watch over a descriptor."""

    def take_sleeper(self) -> tuple[Context, Callable[[Waiter], object], Waiter] | None: ...
    def removal(self) -> tuple[Callable[[int], object], int] | None: ...
    def release(self) -> None: ...

def parse_address(address: Address, /) -> tuple[str, int] | bytes: ...
def resolve(
    host: str | None, port: int, passive: bool, /
) -> Future[list[tuple[tuple[Any, ...]]]] | None: ...

@final
class Connector:
    def __new__(
        cls, addresses: list[tuple[Any, ...] | bytes], /, **options: Unpack[StreamOptions]
    ) -> Self: ...
    def step(self) -> tuple[list[int], float | None] | None: ...
    def connected(self) -> Future[None] | None: ...
    def run(self, timeout: float | None) -> None: ...
    def stream(self, class_: type[_S], /) -> _S: ...
    def close(self) -> None: ...

def refuse_trio() -> None: ...
def check_channel_options(**options: Unpack[ChannelOptions]) -> None: ...
def listen(
    class_: type[_L], addresses: list[tuple[Any, ...] | bytes], /, **options: Unpack[ListenOptions]
) -> _L: ...
def socketpair(class_: type[_S], /, **options: Unpack[StreamOptions]) -> tuple[_S, _S]: ...
