"""The two directions of a stream, at one end of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import documented
from .memory import CANARY, RECEIVING, SENDING, Memory

if TYPE_CHECKING:
    import random

    from .attempts import Attempts, Outcome
    from .content import Content
    from .ledger import Account

RECEIVING_WAYS = "timeout cancel asyncio.timeout descriptors"
INCOMPLETE = "pinwire.IncompleteTransferError"


class StreamEnd:
    """Sends and receives content, and notes how much of it was right."""

    def __init__(
        self,
        stream: Any,
        account: Account,
        attempt: Attempts,
        chance: random.Random,
        *,
        largest: int,
        with_files: bool,
    ) -> None:
        self._stream, self._account, self._attempt = stream, account, attempt
        self._chance, self._largest = chance, largest
        self._sending = SENDING if with_files else SENDING[:-1]

    async def send(self, content: Content, total: int) -> None:
        sent = self._account.sent
        while sent.delivered < total and not sent.end:
            await self._send_some(content, total)
        if not sent.end or sent.end in documented.TORN:
            # A torn stream can be ended: that is what tells the peer.
            ending = await self._attempt(lambda _: self._stream.send_eof(), spared=True)
            sent.end = sent.end or ending.error or "done"

    async def _send_some(self, content: Content, total: int) -> None:
        sent = self._account.sent
        size = min(self._size(), total - sent.delivered)
        memory = Memory(self._chance, self._sending, content.at(sent.delivered, size))
        before = self._stream.stats().bytes_sent
        outcome = await self._attempt(lambda timeout: memory.send(self._stream, timeout))
        self._account.wrong += memory.release()
        counted = self._stream.stats().bytes_sent - before
        moved = self._moved(outcome, size, counted)
        if moved != counted:
            self._wrong(f"send: {moved} bytes reported, {counted} in stats()", outcome)
        sent.delivered += counted
        if not outcome.error:
            return
        if not outcome.asked:
            sent.end = outcome.error
        elif 0 < counted < size:
            await self._find_it_torn(counted, size)

    async def _find_it_torn(self, transferred: int, nbytes: int) -> None:
        call = self._stream.send_buffer
        outcome = await self._attempt(lambda timeout: call(b"x", timeout=timeout), spared=True)
        if outcome.error in documented.TORN and outcome.counts != (transferred, nbytes):
            self._wrong(f"torn after {transferred} of {nbytes}", outcome)
        if not outcome.error:
            self._wrong("a send after one that was interrupted in the middle", outcome)
        self._account.sent.end = outcome.error or "not torn"

    async def receive(self, content: Content) -> None:
        received = self._account.received
        while not received.end:
            await self._receive_some(content)

    async def _receive_some(self, content: Content) -> None:
        received = self._account.received
        size, exactly = self._size(), self._chance.random() < 0.5
        memory = Memory(self._chance, RECEIVING, bytes([CANARY]) * size)
        exactly = exactly or memory.way == "several"
        outcome = await self._attempt(
            lambda timeout: memory.receive(self._stream, exactly, timeout),
            only=RECEIVING_WAYS,
            fine=INCOMPLETE,
        )
        moved = self._moved(outcome, size if exactly else None, 0)
        came, expected = memory.bytes(), content.at(received.right, moved)
        self._account.wrong += memory.release()
        if came[:moved] != expected:
            first = next(at for at in range(moved) if came[at] != expected[at])
            self._wrong(f"byte {received.right + first} is wrong", outcome)
            received.end = "wrong"
            return
        if came[moved:] != bytes([CANARY]) * (size - moved):
            self._wrong(f"memory behind the {moved} bytes that came was touched", outcome)
        received.right += moved
        if outcome.error == INCOMPLETE or (outcome.result == 0 and size):
            received.end = "eof"
        elif outcome.error and not outcome.asked:
            received.end = outcome.error

    def _moved(self, outcome: Outcome, whole: int | None, unknown: int) -> int:
        """Bytes that the call says it has moved."""
        if not outcome.error:
            if whole is not None and outcome.result != whole:
                self._wrong(f"{outcome.result} returned for {whole} bytes", outcome)
            return int(outcome.result)
        if outcome.counts is None:
            if outcome.error not in ("KeyboardInterrupt", "pinwire.ClosedError"):
                self._wrong("an error without counts", outcome)
            return unknown
        # A stream that was torn by an earlier send tells of that one.
        return 0 if outcome.error in documented.TORN else outcome.counts[0]

    def _size(self) -> int:
        """Mostly small, at times such that workers take it."""
        return 1 + int((self._largest - 1) * self._chance.random() ** 4)

    def _wrong(self, what: str, outcome: Outcome) -> None:
        self._account.wrong.append(f"{what} ({outcome})")
