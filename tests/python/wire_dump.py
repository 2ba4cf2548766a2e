"""Bytes of the wire taken apart, as docs/wire-format.md says they are made."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Dump:
    """Lines of a dump, as far as the bytes are taken."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._lines: list[str] = []

    def text(self) -> str:
        assert self._at == len(self._data)
        return "\n".join(self._lines)

    def take(self, kind: str, says: str, size: int = 0) -> int:
        """The next number, or so many bytes of text."""
        return self._take(kind, says, size)

    def mask(self, says: str, size: int) -> None:
        """The next bytes, which are others every time."""
        self._take("s", says, size, is_masked=True)

    def _take(self, kind: str, says: str, size: int, is_masked: bool = False) -> int:
        size = size or struct.calcsize("<" + kind)
        piece = self._data[self._at : self._at + size]
        value = piece.decode("latin-1") if kind == "s" else struct.unpack("<" + kind, piece)[0]
        for start in range(0, size, 8):
            text = says.format(value) if start == 0 else ""
            row = piece[start : start + 8]
            bytes_ = " ".join(["xx"] * len(row)) if is_masked else row.hex(" ")
            self._lines.append(f"{self._at + start:04x}  {bytes_:23}  {text}".rstrip())
        self._at += size
        return value

    def hello(self) -> None:
        self.take("s", "hello: signature", 8)
        self.take("B", "lowest version: {}")
        self.take("B", "highest version: {}")
        extensions = self.take("H", "bytes of extensions: {}")
        self.take("I", "flags: {:#x}")
        self.take("Q", "max_message_bytes: {:,}")
        if extensions:
            self.take("H", "extension: kind {}")
            self.take("H", "bytes of value: {}")
            self.mask("boot", 16)
            self.mask("network", 8)

    def invitation(self) -> None:
        self.take("B", "invitation: kind {}")
        self.take("s", "flags: none", 3)
        self.take("I", "parts: {}")
        self.take("I", "bytes of descriptions: {}")
        self.take("I", "bytes of the rest: {}")
        self.take("Q", "bytes of payload: {}")
        self.mask("name", 16)
        self.mask("secret", 32)

    def header(self, meta_says: str = "") -> None:
        """Of a message; `meta_says` is what its meta means."""
        self.take("B", "header: kind {}")
        is_offered = self._data[self._at] & 1
        self.take("s", "flags: offered" if is_offered else "flags: none", 3)
        parts = self.take("I", "parts: {}")
        self.take("I", "bytes of descriptions: {}")
        meta = self.take("I", "bytes of meta: {}")
        self.take("Q", "bytes of payload: {:,}" if is_offered else "bytes of payload: {}")
        if is_offered:
            self.take("Q", "offer: number {}")
            for index in range(parts):
                self.take("B", f"way of part {index}: {{}}")
        for index in range(parts):
            self._description(index)
        if meta:
            self.take("s", meta_says.replace("{", "{{").replace("}", "}}"), meta)

    def _description(self, index: int) -> None:
        self.take("I", f"part {index}: itemsize {{}}")
        self.take("s", "order: {}", 1)
        ndim = self.take("B", "dimensions: {}")
        size = self.take("H", "bytes of dtype: {}")
        self.take("s", "dtype: {}", size)
        for axis in range(ndim):
            self.take("Q", f"extent {axis}: {{:,}}")

    def payload(self, index: int, array: np.ndarray) -> None:
        items = array.ravel(order="K").tolist()
        self.take("s", f"payload of part {index}: {items}", array.nbytes)

    def join(self) -> None:
        self.mask("join: secret", 32)
        self.take("Q", "error: {}")
        self.place("address of the board")

    def place(self, says: str) -> None:
        self.mask(says, 8)
        self.mask("nonce", 32)

    def board(self) -> None:
        self.mask("board: nonce", 32)
        self.take("Q", "number: {}")
        self.mask("address of the record", 8)
        self.take("Q", "bytes of the record: {}")

    def record(self, parts: int, runs: int) -> None:
        for index in range(parts):
            self.take("Q", f"{'record: ' if index == 0 else ''}runs of part {index}: {{}}")
        for index in range(runs):
            self.mask(f"address of run {index}", 8)
            self.take("Q", "bytes: {:,}")

    def answer(self) -> None:
        self.take("Q", "answer: number {}")
        self.take("Q", "verdict: {}")
        self.take("Q", "value: {:,}")
