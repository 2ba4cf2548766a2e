"""Streams that break one clause of the contract each: what `pinwire.testing` has to find."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from typing import Any

import pinwire


class Right:
    """A stream of another class that keeps the contract, as pinwire's own does the work."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _raw(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self._stream.fileno()))


class CountsItems(Right):
    """As trio: what is left after a short write is cut off by items, though counted in bytes."""

    async def send_buffer(self, buffer: Any, **_: Any) -> int:
        loop, sent = asyncio.get_running_loop(), 0
        with self._raw() as sock, memoryview(buffer) as data:
            writable = asyncio.Event()
            loop.add_writer(sock, writable.set)
            try:
                while sent < len(data):
                    await writable.wait()
                    writable.clear()
                    with contextlib.suppress(BlockingIOError):
                        sent += sock.send(data[sent:], socket.MSG_DONTWAIT)
            finally:
                loop.remove_writer(sock)
        return sent


class WritesOnce(Right):
    """A short write is taken for a whole one."""

    async def send_buffer(self, buffer: Any, **_: Any) -> int:
        with self._raw() as sock:
            sock.send(buffer, socket.MSG_DONTWAIT)
        return memoryview(buffer).nbytes


class CountsObjects(Right):
    """The size of what is sent is `len` of the object."""

    def send_buffer(self, buffer: Any, **options: Any) -> Any:
        return self._stream.send_buffer(memoryview(buffer).cast("B")[: len(buffer)], **options)

    async def recv_into(self, buffer: Any, **options: Any) -> int:
        count = await self._stream.recv_into(buffer, **options)
        return count // memoryview(buffer).itemsize


class OneCall(Right):
    """What one system call does not take is left out, and what is more than `len` of a part; a file
    is sent from its beginning."""

    def send_buffers(self, buffers: Any, **options: Any) -> Any:
        pieces = [bytes(it)[: len(it)] for it in buffers]
        return self._stream.send_buffers(pieces[:1024], **options)

    def recv_buffers_into(self, buffers: Any, **options: Any) -> Any:
        return self._stream.recv_buffers_into(buffers[:1024], **options)

    def send_file(self, file: Any, offset: int = 0, count: int | None = None) -> Any:
        return self._stream.send_file(file, 0, count)


class Early(Right):
    """Exact receives return what the first read gave."""

    def recv_exactly_into(self, buffer: Any, **options: Any) -> Any:
        return self._stream.recv_into(buffer, **options)

    def recv_buffers_into(self, buffers: Any, **options: Any) -> Any:
        return self._stream.recv_into(buffers[0], **options)


class Greedy(Right):
    """`recv_into` waits until its memory is full, and knows no `nbytes`; so does nothing's."""

    def recv_into(self, buffer: Any, *, nbytes: int = 0, **options: Any) -> Any:
        return self._stream.recv_exactly_into(buffer, **options)

    async def recv_exactly_into(self, buffer: Any, **options: Any) -> int:
        await self._stream.recv_into(bytearray(1), **options)
        return await self._stream.recv_exactly_into(buffer, **options)

    async def send_buffer(self, buffer: Any, **options: Any) -> int | None:
        return await self._stream.send_buffer(buffer, **options) or None


class HalfDuplex(Right):
    """One transfer at a time, in whatever direction; the others wait."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._sending = self._receiving = asyncio.Lock()

    async def send_buffer(self, buffer: Any, **options: Any) -> int:
        async with self._sending:
            return await self._stream.send_buffer(buffer, **options)

    async def send_buffers(self, buffers: Any, **options: Any) -> int:
        async with self._sending:
            return await self._stream.send_buffers(buffers, **options)

    async def recv_into(self, buffer: Any, **options: Any) -> int:
        async with self._receiving:
            return await self._stream.recv_into(buffer, **options)

    async def recv_exactly_into(self, buffer: Any, **options: Any) -> int:
        async with self._receiving:
            return await self._stream.recv_exactly_into(buffer, **options)


class NeverBusy(HalfDuplex):
    """A second transfer waits for its turn instead of being refused; ends and numbers do not."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._receiving = asyncio.Lock()

    async def send_eof(self) -> None:
        with self._raw() as sock:
            sock.shutdown(socket.SHUT_WR)

    def detach(self) -> int:
        return self._stream.fileno()


class LosesOnCancel(Right):
    """The read goes on after the cancel, and what it takes from the stream is dropped."""

    _late: asyncio.Future[Any] | None = None

    async def recv_into(self, buffer: Any, **options: Any) -> int:
        return await self._read(self._stream.recv_into, buffer, options)

    async def recv_exactly_into(self, buffer: Any, **options: Any) -> int:
        return await self._read(self._stream.recv_exactly_into, bytearray(buffer), options)

    async def _read(self, method: Any, buffer: Any, options: Any) -> int:
        if self._late is not None:
            await asyncio.wait([self._late])
        read = asyncio.ensure_future(method(buffer, **options))
        try:
            return await asyncio.shield(read)
        except asyncio.CancelledError:
            self._late = read
            raise


class CancelsBoth(Right):
    """A cancelled receive takes the send with it."""

    _sends: asyncio.Future[Any] | None = None

    def send_buffer(self, buffer: Any, **options: Any) -> Any:
        self._sends = asyncio.ensure_future(self._stream.send_buffer(buffer, **options))
        return self._sends

    async def recv_into(self, buffer: Any, **options: Any) -> int:
        try:
            return await self._stream.recv_into(buffer, **options)
        except asyncio.CancelledError:
            if self._sends is not None:
                self._sends.cancel()
            raise


class NeverTorn(Right):
    """After half a message the next one is let through as if it had been sent."""

    async def send_buffer(self, buffer: Any, **options: Any) -> int:
        try:
            return await self._stream.send_buffer(buffer, **options)
        except pinwire.TornStreamError:
            return len(buffer)


class AlwaysTorn(Right):
    """A send that was interrupted tears the stream, even if nothing had moved."""

    _torn = False

    async def send_buffer(self, buffer: Any, **options: Any) -> int:
        if self._torn:
            raise pinwire.TornStreamError("torn for nothing")
        try:
            return await self._stream.send_buffer(buffer, **options)
        except (asyncio.CancelledError, TimeoutError):
            self._torn = True
            raise


class Hasty(Right):
    """The call sends what there is room for; the await only tells."""

    def send_buffer(self, buffer: Any, **_: Any) -> Any:
        with self._raw() as sock:
            sent = sock.send(buffer, socket.MSG_DONTWAIT)
        return asyncio.sleep(0, sent)


class Futures(Right):
    """What a call returns is a future, which tells of nothing but its end."""

    def send_buffer(self, buffer: Any, **options: Any) -> Any:
        return asyncio.ensure_future(self._stream.send_buffer(buffer, **options))


class Timeless(Right):
    """No `timeout` is looked at."""

    def send_buffer(self, buffer: Any, *, timeout: Any = None, **options: Any) -> Any:
        return self._stream.send_buffer(buffer, **options)

    def recv_into(self, buffer: Any, *, timeout: Any = None, **options: Any) -> Any:
        return self._stream.recv_into(buffer, **options)

    def recv_exactly_into(self, buffer: Any, *, timeout: Any = None) -> Any:
        return self._stream.recv_exactly_into(buffer)


class Impatient(Right):
    """`timeout` is taken for nanoseconds, and none of them for an end before the first try."""

    async def send_buffer(self, buffer: Any, *, timeout: Any = None, **options: Any) -> int:
        if timeout == 0:
            raise pinwire.TransferTimeoutError("no time at all")
        scaled = None if timeout is None else timeout / 1e9
        return await self._stream.send_buffer(buffer, timeout=scaled, **options)


class Copies(Right):
    """The memory is copied at the call, and for a receive at the end; it is never pinned."""

    def send_buffer(self, buffer: Any, **options: Any) -> Any:
        return self._stream.send_buffer(bytes(buffer), **options)

    def send_buffers(self, buffers: Any, **options: Any) -> Any:
        return self._stream.send_buffers([bytes(it) for it in buffers], **options)

    async def recv_into(self, buffer: Any, **options: Any) -> int:
        memory = bytearray(memoryview(buffer).nbytes)
        count = await self._stream.recv_into(memory, **options)
        memoryview(buffer)[:count] = memory[:count]
        return count


class Clings(Right):
    """Memory is pinned for good."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._views: list[memoryview] = []

    def send_buffer(self, buffer: Any, **options: Any) -> Any:
        self._views.append(memoryview(buffer))
        return self._stream.send_buffer(buffer, **options)

    def recv_into(self, buffer: Any, **options: Any) -> Any:
        self._views.append(memoryview(buffer))
        return self._stream.recv_into(buffer, **options)


class EndIsAnError(Right):
    """The end of the stream is an exception for who may read less, and none for who may not."""

    async def recv_into(self, buffer: Any, **options: Any) -> int:
        if count := await self._stream.recv_into(buffer, **options):
            return count
        raise pinwire.IncompleteTransferError("the end")

    async def recv_exactly_into(self, buffer: Any, **options: Any) -> int:
        with contextlib.suppress(pinwire.IncompleteTransferError):
            return await self._stream.recv_exactly_into(buffer, **options)
        return 0

    async def recv_buffers_into(self, buffers: Any, **options: Any) -> int:
        with contextlib.suppress(pinwire.IncompleteTransferError):
            return await self._stream.recv_buffers_into(buffers, **options)
        return 0


class Blind(Right):
    """It never sees the peer go, and half a close is a whole one."""

    peer_closed = False

    def send_eof(self) -> Any:
        return self._stream.close()

    async def send_buffer(self, buffer: Any, **options: Any) -> int:
        try:
            return await self._stream.send_buffer(buffer, **options)
        except ConnectionError:
            return len(buffer)


class NeverCloses(Right):
    """Closing is a word: the socket stays, and so do those who wait for it."""

    async def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class BytesOnly(Right):
    """Only memory of native items in C order will do; tensors will not."""

    def send_buffer(self, buffer: Any, **options: Any) -> Any:
        view = memoryview(buffer)
        if len(view.format) > 1 or not view.ndim:
            raise TypeError("a buffer of another format")
        return self._stream.send_buffer(view.cast("B"), **options)


class Scratch(Right):
    """A receive into memory with steps ends in a copy of it; `copy` is not looked at."""

    def send_buffer(self, buffer: Any, *, copy: Any = None, **options: Any) -> Any:
        return self._stream.send_buffer(buffer, **options)

    def recv_exactly_into(self, buffer: Any, **options: Any) -> Any:
        view = memoryview(buffer)
        target = buffer if view.c_contiguous else bytearray(view.nbytes)
        return self._stream.recv_exactly_into(target, **options)


class Lenient(Right):
    """What cannot be sent is sent as something else; what is no target is filled by nothing."""

    async def send_buffer(self, buffer: Any, **options: Any) -> int:
        with contextlib.suppress(TypeError, BufferError):
            return await self._stream.send_buffer(buffer, **options)
        return await self._stream.send_buffer(b"?", **options)

    async def recv_into(self, buffer: Any, **options: Any) -> int:
        with contextlib.suppress(TypeError, BufferError):
            return await self._stream.recv_into(buffer, **options)
        return 0

    async def send_buffers(self, buffers: Any, **options: Any) -> int:
        return sum([await self._stream.send_buffer(it, **options) for it in buffers])


BREAKS: dict[type[Right], dict[str, str]] = {
    CountsItems: {
        "bytes.typed_memory_is_counted_in_bytes": "bytes that send_buffer says it sent",
        "bytes.memory_of_several_dimensions_arrives_whole": "bytes that send_buffer says it sent",
    },
    WritesOnce: {"bytes.large_sends_arrive_whole": "not done within"},
    CountsObjects: {
        "exporters.any_type_of_item_is_sent": "bytes that send_buffer says it sent",
        "exporters.typed_targets_are_filled_by_bytes": "bytes received into array.array",
    },
    OneCall: {
        "bytes.gathered_memory_is_one_write": "send_buffers",
        "bytes.any_number_of_pieces_can_be_gathered": "bytes that send_buffers says it sent",
        "bytes.any_number_of_pieces_can_be_scattered": "bytes sent and received",
        "bytes.files_are_sent_from_offset_by_count": "send_file",
    },
    Early: {
        "bytes.an_exact_receive_fills_its_memory": "before all had come",
        "bytes.a_large_exact_receive_takes_no_more_than_it_holds": "bytes that recv_exactly_into",
        "bytes.scattered_memory_is_filled_in_order": "before all had come",
    },
    Greedy: {
        "bytes.a_receive_returns_what_there_is": "not done within",
        "bytes.a_receive_takes_no_more_than_nbytes": "no ValueError",
        "bytes.nothing_is_a_transfer_too": "bytes of an empty send: None",
        "bytes.filling_nothing_waits_for_nothing": "waits for bytes that it has no room for",
    },
    HalfDuplex: {"bytes.both_directions_work_at_once": "not done within"},
    NeverBusy: {
        "conflicts.a_second_receive_is_refused": "no BusyError at once",
        "conflicts.receives_of_all_kinds_are_one_direction": "no BusyError at once",
        "conflicts.a_second_send_is_refused": "no BusyError at once",
        "conflicts.sends_of_all_kinds_are_one_direction": "no BusyError at once",
        "conflicts.the_end_is_not_said_under_a_send": "no BusyError: the call returned None",
        "conflicts.a_stream_in_use_is_not_detached": "gave the descriptor",
    },
    LosesOnCancel: {
        "cancel.a_waiting_receive_takes_nothing": "not done within",
        "cancel.a_receive_loses_no_byte_when_the_cancel_races_with_data": "after all cancels",
        "cancel.an_exact_receive_leaves_what_came": "neither the exception nor the transfer",
    },
    CancelsBoth: {
        "cancel.cancelling_one_direction_leaves_the_other_alone": "the send has ended",
    },
    NeverTorn: {
        "cancel.a_send_in_the_middle_tears_the_stream": "no TornStreamError",
        "timeouts.a_send_in_the_middle_tears_the_stream": "no TornStreamError",
    },
    AlwaysTorn: {
        "cancel.a_send_before_the_first_byte_leaves_the_stream_whole": "torn for nothing",
        "timeouts.a_send_before_the_first_byte_leaves_the_stream_whole": "torn for nothing",
    },
    Hasty: {
        "transfer.nothing_moves_before_the_await": "sent: 10 bytes for 10, right up to byte 0",
        "cancel.a_transfer_that_never_ran_moves_nothing": "sent afterwards",
    },
    Futures: {
        "transfer.transfers_are_coroutines": "Task is not a coroutine",
        "transfer.a_transfer_tells_how_far_it_is": "transferred",
    },
    Timeless: {
        "timeouts.a_receive_ends_when_nothing_comes": "timeout=0 does not end it",
        "timeouts.an_exact_receive_leaves_what_came": "not done within",
        "timeouts.a_send_in_the_middle_tears_the_stream": "does not end it",
        "timeouts.a_send_before_the_first_byte_leaves_the_stream_whole": "does not end it",
        "timeouts.what_is_no_time_is_refused": "no ValueError",
        "pins.a_timeout_lets_go": "not done within",
    },
    Impatient: {
        "timeouts.no_time_is_enough_for_what_is_ready": "no time at all",
        "timeouts.time_enough_changes_nothing": "timed out",
    },
    Copies: {
        "pins.a_send_holds_its_memory": "can be resized under the send",
        "pins.a_receive_holds_its_memory": "can be resized under the receive",
        "pins.memory_is_held_from_the_call_on": "can be resized after the call",
        "pins.every_part_is_held_to_the_end": "can be resized after its own bytes are sent",
        "pins.an_end_by_error_lets_go": "can be resized by the first receive",
        "pins.the_owner_cannot_let_go": "released under the receive",
        "pins.memory_nobody_else_holds_lives_on": "gone under the send",
        "pins.memory_is_let_go_once_for_each_get": "let go under the receive",
    },
    Clings: {
        "pins.a_send_holds_its_memory": "still pinned after the send",
        "pins.a_receive_holds_its_memory": "still pinned after the receive",
        "pins.an_end_by_error_lets_go": "still pinned after the refusal",
        "pins.memory_nobody_else_holds_lives_on": "still there after the send",
        "pins.a_cancel_lets_go": "still pinned after the cancel",
        "pins.a_timeout_lets_go": "still pinned after the timeout",
        "pins.memory_is_let_go_once_for_each_get": "releases after a result: 1 instead of 2",
    },
    EndIsAnError: {
        "end.a_receive_at_the_end_returns_nothing": "the end",
        "end.a_waiting_receive_hears_of_the_end": "the end",
        "end.an_exact_receive_cut_short_says_so": "no IncompleteTransferError",
        "end.a_scattered_receive_cut_short_says_so": "no IncompleteTransferError",
    },
    Blind: {
        "end.the_end_is_seen_without_reading": "does not say so after the peer has closed",
        "end.half_a_close_leaves_the_other_half": "the stream is closed",
        "end.a_send_to_nobody_has_an_errno": "no BrokenPipeError or ConnectionResetError",
    },
    NeverCloses: {
        "end.an_abort_ends_the_peers_receive": "it still waits",
        "close.transfers_in_flight_end": "goes on though the stream is closed",
        "close.an_abort_ends_transfers_too": "goes on though the stream is aborted",
        "close.a_closed_stream_says_so": "no ClosedError",
        "close.the_number_is_given_back": "not done within",
        "close.a_number_used_again_is_left_alone": "not done within",
        "close.a_close_at_any_moment_ends_in_an_answer": "goes on though the stream is closed",
    },
    BytesOnly: {
        "exporters.ctypes_are_sent": "of another format",
        "exporters.strided_memory_is_sent_in_order": "C-contiguous",
        "exporters.numpy_arrays_of_any_dtype_and_layout_are_sent": "of another format",
        "exporters.tensors_lend_their_memory_by_dlpack": "bytes-like",
    },
    Scratch: {
        "exporters.strided_targets_are_scattered_into": "the memory of a view with step 2",
        "exporters.packing_can_be_forbidden": "no BufferError",
        "exporters.numpy_arrays_of_any_layout_are_filled": "items are wrong",
    },
    Lenient: {
        "refusals.what_exports_no_memory_is_not_sent": "no TypeError",
        "refusals.what_exports_no_memory_is_no_target": "no TypeError",
        "refusals.read_only_memory_is_no_target": "no BufferError",
        "refusals.one_wrong_part_refuses_all": "what was sent afterwards",
        "refusals.pointers_of_ctypes_never_travel": "no TypeError",
        "refusals.pointers_of_numpy_never_travel": "no TypeError",
        "refusals.memory_of_a_device_is_refused": "no BufferError",
    },
}
"""Wrong streams, and what of the contract each of them breaks; with a part of what is said."""

CASES = list(itertools.chain(*([(kind, *it) for it in BREAKS[kind].items()] for kind in BREAKS)))


BLOCKING = {OneCall, Early, Timeless, Clings, BytesOnly, Scratch}
"""Those that are as wrong when the calls of the stream inside block."""

PEP_688 = "pins.memory_is_let_go_once_for_each_get"
"""What only Python 3.12 and later can check: there a class can export memory."""


def maker(kind: type[Right], socketpair: Any = pinwire.socketpair) -> Any:
    """A maker of connected streams of a kind."""

    @contextlib.asynccontextmanager
    async def make_pair(**options: Any) -> Any:
        client, server = socketpair(**options)
        try:
            yield kind(client), kind(server)
        finally:  # some do not close by themselves
            client.abort()
            server.abort()

    return make_pair
