"""Random frames of a peer and random calls of a channel: what is delivered is what was sent.

A model (`sequences`) says what may come of each call. Messages come in order, each once and with
its own bytes; after a violation or a loss nothing more comes, and the same error comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
from typing import Any

import numpy as np
import pytest
from hostile import LOOPS, floats, reset, rest
from hypothesis import HealthCheck, Phase, given, settings
from sequences import (
    CANCELLED,
    CLOSED,
    INCOMPLETE,
    OF_A_HEADER,
    PROTOCOL,
    REFUSED,
    RESET,
    SENT,
    SKIPPED,
    STOPPED,
    UNPICKLING,
    Frame,
    Model,
    Part,
    Plan,
    arrays,
    plans,
)
from support import PATIENCE, Call, pattern

import pinwire
import pinwire.blocking

IS_SOAK = bool(os.environ.get("PINWIRE_SOAK"))
EXAMPLES = 3_000 if IS_SOAK else 120

examples = settings(
    max_examples=EXAMPLES,
    derandomize=not IS_SOAK,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[*HealthCheck],
    print_blob=True,
)

ERRORS: dict[type[BaseException], str] = {
    pinwire.ProtocolError: PROTOCOL,
    pinwire.IncompleteTransferError: INCOMPLETE,
    pinwire.MessageRefusedError: REFUSED,
    pinwire.ClosedError: CLOSED,
    ConnectionResetError: RESET,
    BrokenPipeError: RESET,
    StopIteration: STOPPED,
    StopAsyncIteration: STOPPED,
    asyncio.CancelledError: CANCELLED,
    pickle.UnpicklingError: UNPICKLING,
}
WRONG = np.full(3, 7, "<c16")
"""No message has this dtype."""


def connected(transport: str) -> tuple[socket.socket, socket.socket]:
    if transport == "unix":
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs


def end(sock: socket.socket, how: str) -> None:
    if how == "reset":
        reset(sock)
    else:
        with contextlib.suppress(OSError):  # ENOTCONN: the channel has reset it
            sock.shutdown(socket.SHUT_WR)


def outcome_of(call: str, frame: Frame | None, result: Any) -> Any:
    """What a call has delivered, in the words of the model; every byte of it is looked at."""
    if call == "send":
        return SENT
    if call == "skip":
        assert result is None
        return SKIPPED
    assert frame is not None, f"{call} delivered {result!r}"
    if call == "object":
        assert result[0] == frame.number
        assert [bytes(it) for it in result[1:]] == [pattern(9, it) for it in range(len(result) - 1)]
        return ("message", frame.number)
    if call == "header":
        assert result.nbytes == len(frame.body)
        assert result.kind == ("arrays" if frame.kind == "arrays" else "object")
        told = [(it.dtype, it.shape, it.order) for it in result.parts]
        assert told == [(np.dtype(it.dtype), it.shape, it.order) for it in frame.parts]
        return ("header", frame.number)
    assert result.meta == {"n": frame.number}
    items = [np.asarray(it) for it in result.parts]
    assert [it.shape for it in items] == [it.shape for it in frame.parts]
    came = b"".join(it.tobytes("A") for it in items)
    assert came == frame.body
    return ("message", frame.number)


class Player:
    """The calls of a plan, on one channel."""

    def __init__(self, plan: Plan, channel: Any) -> None:
        self.plan = plan
        self.channel = channel
        self.model = Model(plan)
        self.held: Any = None
        self.sent = b""
        self.untouched = WRONG.copy()
        self._sends = 0

    def start(self, call: str, **timeout: float) -> Any:
        """Call it: the result, or what to await for it."""
        channel = self.channel
        match call:
            case "recv" | "interrupted":
                return channel.recv(**timeout)
            case "share":
                return channel.recv(share=True, **timeout)
            case "into":
                return channel.recv_into(self._memory(), **timeout)
            case "misfit":
                return channel.recv_into(self.untouched, **timeout)
            case "header":
                return channel.recv_header(**timeout)
            case "object":
                return channel.recv_object(**timeout)
            case "iterate":
                return (
                    anext(aiter(channel)) if hasattr(channel, "__aiter__") else next(iter(channel))
                )
            case "read":
                return self.held.read(**timeout)
            case "read_into":
                return self.held.read_into(self._memory(), **timeout)
            case "skip":
                return self.held.skip(**timeout)
            case _:
                return channel.send(np.array([float(self._sends)]), **timeout)

    def _memory(self) -> Any:
        frame = self.model.frame()
        if frame is None:
            return np.empty(1)
        return [part.empty() for part in frame.parts]

    def judge(self, call: str, result: Any, error: BaseException | None) -> None:
        allowed = self.model.allowed(call)
        if error is not None:
            # Only the exact classes: a subclass is another promise.
            outcome: Any = ERRORS.get(type(error), repr(error))
        else:
            outcome = outcome_of(call, self.model.frame(), result)
        assert outcome in allowed, f"{call} came to {outcome} ({error!r}), allowed: {allowed}"
        assert (self.untouched == WRONG).all()
        self.model.note(call, outcome)
        if call == "header" and error is None:
            self.held = result
        if outcome == SENT:
            self.sent += floats(float(self._sends))
            self._sends += 1

    def named(self, call: str) -> str:
        """Without a header at hand one is asked for instead."""
        return "header" if call in OF_A_HEADER and self.held is None else call

    def check_heard(self, heard: bytes) -> None:
        """What the peer has heard is a hello and what was sent, all of it if all was read."""
        size = 24 + int.from_bytes(heard[10:12], "little")
        said = heard[size:]
        assert self.sent.startswith(said)
        if self.model.ended and self.plan.close == "close":
            assert said == self.sent


async def play_task(plan: Plan, transport: str) -> None:
    ours, theirs = connected(transport)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            for piece in plan.pieces():
                await loop.sock_sendall(theirs, piece)
                await asyncio.sleep(0)
            end(theirs, plan.end)

    channel = pinwire.Channel(pinwire.Stream.from_socket(ours), **plan.options())
    player = Player(plan, channel)
    sending = asyncio.ensure_future(send())
    try:
        async with asyncio.timeout(PATIENCE):
            for planned in plan.calls:
                call = player.named(planned)
                result = error = None
                try:
                    waiting = player.start(call)
                    if call == "interrupted":
                        waiting = asyncio.ensure_future(waiting)
                        await asyncio.sleep(0)
                        waiting.cancel()
                    result = await waiting
                except (Exception, asyncio.CancelledError) as caught:
                    error = caught
                player.judge(call, result, error)
            if plan.close == "close":
                await channel.close()
            channel.abort()
            await sending
        check_heard(player, theirs)
    finally:
        channel.abort()
        sending.cancel()
        theirs.close()


def play_thread(plan: Plan, transport: str) -> None:
    ours, theirs = connected(transport)
    theirs.settimeout(PATIENCE)

    def send() -> None:
        with contextlib.suppress(ConnectionError):
            for piece in plan.pieces():
                theirs.sendall(piece)
            end(theirs, plan.end)

    stream = pinwire.blocking.Stream.from_socket(ours)
    channel = pinwire.blocking.Channel(stream, **plan.options())
    player = Player(plan, channel)
    sending = Call(send)
    try:
        for planned in plan.calls:
            call = player.named(planned)
            result = error = None
            try:
                result = player.start(call, timeout=PATIENCE)
            except Exception as caught:
                error = caught
            player.judge(call, result, error)
        if plan.close == "close":
            channel.close()
        channel.abort()
        sending.result()
        check_heard(player, theirs)
    finally:
        channel.abort()
        theirs.close()


def check_heard(player: Player, theirs: socket.socket) -> None:
    if theirs.fileno() != -1:
        theirs.settimeout(PATIENCE)
        player.check_heard(rest(theirs))


@pytest.mark.timeout(60 + EXAMPLES)
@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("face", LOOPS)
def test_channel_when_any_frames_meet_any_calls_then_the_loop_gets_what_was_sent(face, transport):
    with asyncio.Runner(loop_factory=LOOPS[face]) as runner:

        @examples
        @given(plans())
        def play(plan: Plan) -> None:
            runner.run(play_task(plan, transport))

        play()


@pytest.mark.timeout(60 + EXAMPLES)
@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_channel_when_any_frames_meet_any_calls_then_threads_get_what_was_sent(transport):
    @examples
    @given(plans())
    def play(plan: Plan) -> None:
        play_thread(plan, transport)

    play()


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("how", ["eof", "reset"])
@pytest.mark.parametrize("call", ["recv", "into", "iterate", "skip"])
@pytest.mark.parametrize("face", [*LOOPS, "blocking"])
def test_channel_when_a_payload_is_cut_off_then_its_header_is_not_given_out_again(
    face, call, how, transport
):
    frame = arrays(0, [Part("<f8", (100_000,))])
    calls = ("header", call, "header", "misfit", "recv", "iterate", "read", "send")
    plan = Plan("good", (frame,), 600_000, how, (), calls, False, False, "off", "abort")
    if face == "blocking":
        play_thread(plan, transport)
    else:
        with asyncio.Runner(loop_factory=LOOPS[face]) as runner:
            runner.run(play_task(plan, transport))
