"""The two directions of a channel, at one end of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .content import Expected, message
from .memory import SCRIBBLE, File

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from .attempts import Attempts, Outcome
    from .ledger import Account

KINDS = ("arrays", "arrays", "arrays", "object", "file")
FULL = "pinwire.QueueFullError:EAGAIN"
REFUSED = "pinwire.MessageRefusedError"
INTERRUPTIONS = "timeout cancel asyncio.timeout memory descriptors"


class Parcel:
    """The arrays of a message, in memory that shows whether anybody still has it."""

    def __init__(self, expected: Expected) -> None:
        self._pieces = [bytearray(part.data) for part in expected.parts]
        self.arrays = [
            np.frombuffer(piece, part.dtype).reshape(part.shape, order=part.order)
            for piece, part in zip(self._pieces, expected.parts, strict=True)
        ]

    def release(self) -> list[str]:
        self.arrays.clear()
        for piece in self._pieces:
            piece[:] = bytes([SCRIBBLE]) * len(piece)
            try:
                piece.append(0)
            except BufferError:
                return ["a message's memory that is still pinned after the call"]
        return []


class ChannelEnd:
    """Sends and receives numbered messages, and notes which came whole."""

    def __init__(
        self,
        channel: Any,
        account: Account,
        attempt: Attempts,
        chance: random.Random,
        *,
        largest: int,
        with_files: bool,
        failed: Callable[[], None],
        withdraws: bool,
    ) -> None:
        self._failed = failed
        self._refusal = REFUSED if withdraws else ""
        self._channel, self._account, self._attempt = channel, account, attempt
        self._chance, self._largest = chance, largest
        self._kinds = KINDS if with_files else KINDS[:-1]
        self._posted: list[tuple[int, Parcel]] = []

    async def send(self, key: str, count: int) -> None:
        await self._send_all(key, count)
        if self._account.sent.end != "done":
            self._failed()  # or the peer would wait for what never comes

    async def _send_all(self, key: str, count: int) -> None:
        for number in range(count):
            if self._account.sent.end:
                return
            expected = message(key, number, self._largest, self._kinds)
            if expected.kind == "arrays" and self._chance.random() < 0.25:
                await self._post(number, Parcel(expected))
            else:
                await self._send(number, expected)
        await self._drain()
        if not self._account.sent.end:
            last = {"n": count, "last": True}
            outcome = await self._attempt(
                lambda timeout: self._channel.send([], meta=last, timeout=timeout), spared=True
            )
            self._account.sent.end = outcome.error or "done"

    async def _send(self, number: int, expected: Expected) -> None:
        parcel, fd = Parcel(expected), -1
        if expected.kind == "file":
            fd = os.memfd_create("soak")
            os.write(fd, expected.parts[0].data)
        meta = {"n": number}

        def call(timeout: float) -> Any:
            if fd >= 0:
                size = expected.nbytes
                return self._channel.send_file(File(fd), 0, size, meta=meta, timeout=timeout)
            if expected.kind == "object":
                return self._channel.send_object((number, [*parcel.arrays]), timeout=timeout)
            return self._channel.send(parcel.arrays, meta=meta, timeout=timeout)

        outcome = await self._attempt(call)
        if fd >= 0:
            os.close(fd)
        self._account.wrong += parcel.release()
        self._check_counts(outcome, expected)
        self._account.sent.messages.append((number, not outcome.error))
        if outcome.error and not outcome.asked:
            self._account.sent.end = outcome.error

    def _check_counts(self, outcome: Outcome, expected: Expected) -> None:
        said = expected.nbytes if expected.kind != "object" else outcome.result
        if not outcome.error:
            if outcome.result != said:
                self._wrong(f"{outcome.result} returned for {said} bytes", outcome)
            self._account.sent.delivered += outcome.result
        elif outcome.counts is None and outcome.error != "KeyboardInterrupt":
            self._wrong("an error without counts", outcome)

    async def _post(self, number: int, parcel: Parcel) -> None:
        wait = self._chance.random() < 0.7
        meta = {"n": number}

        async def call(_timeout: float) -> None:
            posting = self._channel.post(parcel.arrays, meta=meta, wait=wait)
            if posting is not None:
                await posting

        outcome = await self._attempt(call, spared=True, fine="" if wait else FULL)
        if outcome.error == FULL and not wait:
            self._account.wrong += parcel.release()  # it was not taken, nor is it pinned
            return
        self._posted.append((number, parcel))
        self._account.sent.messages.append((number, False))
        if outcome.error:
            self._account.sent.end = outcome.error
        elif self._chance.random() < 0.5:
            await self._drain()

    async def _drain(self) -> None:
        outcome = await self._attempt(lambda t: self._channel.drain(timeout=t), spared=True)
        if outcome.error:
            self._account.sent.end = self._account.sent.end or outcome.error
            return
        numbers = {number for number, _ in self._posted}
        messages = self._account.sent.messages
        messages[:] = [(number, whole or number in numbers) for number, whole in messages]
        self._release()

    async def close(self) -> None:
        """Close the channel; what was posted and did not go is let go of, too."""
        await self._channel.close()
        if self._posted:
            await self._attempt(lambda t: self._channel.drain(timeout=t), spared=True)
        self._release()

    def _release(self) -> None:
        for _, parcel in self._posted:
            self._account.wrong += parcel.release()
        self._posted.clear()

    async def receive(self, key: str) -> None:
        received = self._account.received
        while not received.end:
            if self._chance.random() < 0.3:
                outcome = await self._attempt(
                    lambda t: self._channel.recv(timeout=t), only=INTERRUPTIONS, fine=REFUSED
                )
                if outcome.error == REFUSED:
                    outcome = await self._read_object()
                self._take(outcome, key)
            else:
                await self._look_first(key)

    async def _look_first(self, key: str) -> None:
        looked = await self._attempt(
            lambda t: self._channel.recv_header(timeout=t), only=INTERRUPTIONS
        )
        if looked.error:
            self._end_by(looked)
            return
        header = looked.result
        if header.kind == "object":
            self._take(await self._read_object(), key)
        elif self._chance.random() < 0.2:
            number = header.meta["n"]
            is_last = header.meta.get("last", False)
            skipped = await self._until_done(lambda t: header.skip(timeout=t))
            if not self._end_by(skipped):
                self._came(number, is_last)
        elif self._chance.random() < 0.5:
            self._take(await self._until_done(lambda t: header.read(timeout=t)), key)
        else:
            out = [np.empty(part.shape, part.dtype, part.order) for part in header.parts]
            taken = await self._until_done(lambda t: header.read_into(out, timeout=t))
            self._take(taken, key)

    async def _read_object(self) -> Outcome:
        return await self._until_done(lambda t: self._channel.recv_object(timeout=t))

    async def _until_done(self, make: Any) -> Outcome:
        """The outcome of a call that goes on where it was interrupted."""
        while True:
            # Its sender may have withdrawn it, and what is next may be of another kind.
            outcome = await self._attempt(make, only=INTERRUPTIONS, fine=self._refusal)
            if not outcome.asked:
                return outcome

    def _take(self, outcome: Outcome, key: str) -> None:
        if self._end_by(outcome):
            return
        if isinstance(outcome.result, tuple):
            number, parts = outcome.result
            is_last, kind = False, "object"
        else:
            number, parts = outcome.result.meta["n"], outcome.result.parts
            is_last, kind = outcome.result.meta.get("last", False), ""
        if not is_last:
            expected = message(key, number, self._largest, self._kinds)
            pairs = zip(expected.parts, parts, strict=False)
            right = len(parts) == len(expected.parts) and all(part.matches(a) for part, a in pairs)
            if not right or (kind == "object") != (expected.kind == "object"):
                self._wrong(f"message {number} is not what was sent", outcome)
                self._account.received.end = "wrong"
                return
            self._account.received.right += expected.nbytes
        self._came(number, is_last)

    def _came(self, number: int, is_last: bool) -> None:
        if is_last:
            self._account.received.end = "last"
        else:
            self._account.received.messages.append(number)

    def _end_by(self, outcome: Outcome) -> bool:
        """Whether there is nothing to take; the end, unless it was asked for."""
        if outcome.error and not outcome.asked and outcome.error != self._refusal:
            is_eof = outcome.error == "pinwire.IncompleteTransferError"
            self._account.received.end = "eof" if is_eof else outcome.error
        return bool(outcome.error)

    def _wrong(self, what: str, outcome: Outcome) -> None:
        self._account.wrong.append(f"{what} ({outcome})")
