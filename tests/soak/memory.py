"""Memory to send from and to receive into, and whether pinwire has let go of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import random

CANARY = 0xA5
SCRIBBLE = 0xEE

SENDING = ["plain", "several", "strided", "file"]
RECEIVING = ["plain", "several", "strided"]


class Memory:
    """Some bytes in one or several bytearrays, laid out in some way."""

    def __init__(self, chance: random.Random, ways: list[str], data: bytes) -> None:
        self.size = len(data)
        self.way = chance.choice(ways)
        rows = next((rows for rows in (7, 5, 4, 3, 2) if self.size % rows == 0), 1)
        if self.way == "strided" and (rows == 1 or self.size > 1 << 20):
            self.way = "plain"
        self._rows = rows
        self._pieces = [bytearray(data)]
        self._file = -1
        if self.way == "several":
            cuts = sorted(chance.randrange(self.size + 1) for _ in range(chance.choice([1, 3, 20])))
            pairs = zip([0, *cuts], [*cuts, self.size], strict=True)
            self._pieces = [bytearray(data[start:stop]) for start, stop in pairs]
        elif self.way == "strided":
            self._pieces = [bytearray(self._across(data).T.tobytes())]
        elif self.way == "file":
            self._file = os.memfd_create("soak")
            os.truncate(self._file, self.size)
            os.pwrite(self._file, data, 0)
            self._pieces = []

    def _across(self, data: Any) -> np.ndarray[Any, Any]:
        return np.frombuffer(data, "u1").reshape(self._rows, -1)

    def send(self, stream: Any, timeout: float) -> Any:
        if self.way == "file":
            return stream.send_file(File(self._file), 0, self.size, timeout=timeout)
        if self.way == "several":
            return stream.send_buffers(self._pieces, timeout=timeout)
        return stream.send_buffer(self._laid_out(), timeout=timeout)

    def receive(self, stream: Any, exactly: bool, timeout: float) -> Any:
        if self.way == "several":
            return stream.recv_buffers_into(self._pieces, timeout=timeout)
        call = stream.recv_exactly_into if exactly else stream.recv_into
        return call(self._laid_out(), timeout=timeout)

    def _laid_out(self) -> Any:
        (piece,) = self._pieces
        if self.way == "strided":
            return np.frombuffer(piece, "u1").reshape(-1, self._rows).T
        return piece

    def bytes(self) -> bytes:
        """In the order in which they travel."""
        if self.way == "strided":
            return np.frombuffer(self._pieces[0], "u1").reshape(-1, self._rows).T.tobytes()
        return b"".join(self._pieces)

    def release(self) -> list[str]:
        """It is over: whoever touches the memory from now on is found out."""
        wrong = []
        for piece in self._pieces:
            piece[:] = bytes([SCRIBBLE]) * len(piece)
            try:
                piece.append(0)
            except BufferError:
                wrong.append(f"memory that is still pinned after the call ({self.way})")
        if self._file >= 0:
            os.close(self._file)
        return wrong


class File:
    """What has a descriptor, as a file has."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd
