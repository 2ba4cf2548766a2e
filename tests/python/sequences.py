"""Random sequences of frames and calls, and a model of what a channel may make of them."""

from __future__ import annotations

import itertools
import pickle
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from hostile import header, hello, part, prefix
from hypothesis import strategies as st
from links import SAME_HOST, host
from support import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIMIT = 1000
"""The `max_message_bytes` of some channels; some messages are larger."""

OBJECT = 2
INVITATION = prefix(0, 0, 48, 0, kind=3) + bytes(48)
OFFER = prefix(1, 19, 0, 8, kind=1 | 1 << 8) + struct.pack("<QB", 1, 1) + part()

HELLOS = {
    "good": hello(flags=1),
    "extended": hello(flags=1, extensions=struct.pack("<HHQ", 999, 8, 0)),
    "wide": hello(0, 255),
    "near": hello(flags=1 | SAME_HOST, extensions=host()),
}
BAD_HELLOS = {
    "older": hello(1, 1),
    "newer": hello(3, 9),
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "cut-extension": hello(extensions=b"\1\0\x18"),
}
VIOLATIONS = {
    "kind": prefix(0, 0, 0, 0, kind=4),
    "no-kind": prefix(0, 0, 0, 0, kind=0),
    "flags": prefix(0, 0, 0, 0, kind=1 | 1 << 31),
    "hello-again": hello(),
    "parts": prefix(65537, 0, 0, 0),
    "sum": header(part(shape=[2]), payload=15),
    "order": header(part(order=b"K"), payload=8),
    "dtype": header(part("|O8"), payload=8),
    "itemsize": header(part("<f4"), payload=8),
    "meta": header(payload=0, meta=b"\x91\1"),
    "no-pickle": header(payload=0, kind=OBJECT),
    "offer": OFFER,
    "short-invitation": prefix(0, 0, 47, 0, kind=3) + bytes(47),
    "invitation-with-parts": prefix(1, 0, 48, 0, kind=3) + bytes(48),
}

ITEMS = {"|u1": 1, "<f8": 8, ">i4": 4, "<U3": 12}


@dataclass(frozen=True)
class Part:
    dtype: str
    shape: tuple[int, ...]
    order: str = "C"

    @property
    def nbytes(self) -> int:
        return ITEMS[self.dtype] * int(np.prod(self.shape))

    def empty(self) -> np.ndarray:
        order: Any = self.order
        return np.empty(self.shape, self.dtype, order)


@dataclass(frozen=True, repr=False)
class Frame:
    """What the peer sends between its hello and its end."""

    kind: str
    """"arrays", "object", "broken" (an object that does not load), "invitation", "violation"."""
    head: bytes
    body: bytes = b""
    parts: tuple[Part, ...] = ()
    number: int = -1

    def __repr__(self) -> str:
        return f"<{self.kind} {self.number}: {self.head[:64]!r}, {len(self.body)} bytes>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


def arrays(number: int, parts: Sequence[Part]) -> Frame:
    nbytes = sum(part.nbytes for part in parts)
    descriptions = [part(it.dtype, it.shape, ITEMS[it.dtype], it.order.encode()) for it in parts]
    meta = b"\x81\xa1n" + struct.pack(">BH", 0xCD, number)
    body = bytes(nbytes) if any(it.dtype == "<U3" for it in parts) else pattern(nbytes, number)
    head = header(*descriptions, payload=nbytes, meta=meta)
    return Frame("arrays", head, body, tuple(parts), number)


def object_of(number: int, buffers: int = 0) -> Frame:
    found: list[Any] = []
    value = (number, *(pickle.PickleBuffer(pattern(9, it)) for it in range(buffers)))
    pieces = [pickle.dumps(value, protocol=5, buffer_callback=found.append)]
    return _object("object", number, [*pieces, *(bytes(it.raw()) for it in found)])


def broken(number: int) -> Frame:
    return _object("broken", number, [b"abcd"])


def _object(kind: str, number: int, pieces: list[bytes]) -> Frame:
    descriptions = [part("|u1", [len(piece)], 1) for piece in pieces]
    body = b"".join(pieces)
    head = header(*descriptions, payload=len(body), kind=OBJECT)
    parts = tuple(Part("|u1", (len(piece),)) for piece in pieces)
    return Frame(kind, head, body, parts, number)


@dataclass(frozen=True)
class Plan:
    """One example: what is sent, how it comes, and what is called."""

    hello: str
    frames: tuple[Frame, ...]
    cut: int | None
    """Bytes after which the peer ends, if that is before the last one."""
    end: str
    """"eof" or "reset"."""
    chunks: tuple[int, ...]
    """Sizes of the pieces in which it comes, over and over; none: all at once."""
    calls: tuple[str, ...]
    allow_pickle: bool
    is_limited: bool
    same_host: str
    close: str

    def data(self) -> bytes:
        first = (HELLOS | BAD_HELLOS)[self.hello]
        data = first + b"".join(frame.head + frame.body for frame in self.frames)
        return data if self.cut is None else data[: self.cut]

    def pieces(self) -> Iterator[bytes]:
        """The data in pieces. After the first few hundred they grow."""
        data, at = self.data(), 0
        sizes = itertools.cycle(self.chunks or (len(data),))
        for count, size in enumerate(sizes):
            if at >= len(data):
                return
            size = max(1, size) if count < 400 else 10_000
            yield data[at : at + size]
            at += size

    def options(self) -> dict[str, Any]:
        limit = {"max_message_bytes": LIMIT} if self.is_limited else {}
        return {"allow_pickle": self.allow_pickle, "same_host": self.same_host, **limit}


_parts = st.builds(
    lambda dtype, shape, order: Part(dtype, tuple(shape), order if len(shape) > 1 else "C"),
    st.sampled_from([*ITEMS]),
    st.lists(st.integers(0, 5), max_size=3),
    st.sampled_from("CF"),
)


@st.composite
def _frames(draw: st.DrawFn) -> tuple[Frame, ...]:
    kinds = ["arrays"] * 5 + ["many", "large", "huge", "object", "buffers", "broken"]
    kinds += ["invitation", "violation"]
    frames = []
    for number, kind in enumerate(draw(st.lists(st.sampled_from(kinds), max_size=6))):
        match kind:
            case "arrays":
                frames.append(arrays(number, draw(st.lists(_parts, max_size=3))))
            case "many":
                frames.append(arrays(number, [Part("|u1", (1,))] * draw(st.integers(9, 300))))
            case "large":
                frames.append(arrays(number, [Part("<f8", (3_000,)), Part("|u1", (5,))]))
            case "huge":
                frames.append(arrays(number, [Part("<f8", (50_000,))]))
            case "object":
                frames.append(object_of(number))
            case "buffers":
                frames.append(object_of(number, 2))
            case "broken":
                frames.append(broken(number))
            case "invitation":
                frames.append(Frame("invitation", INVITATION))
            case _:
                head = VIOLATIONS[draw(st.sampled_from([*VIOLATIONS]))]
                frames.append(Frame("violation", head))
    return tuple(frames)


RECEIVES = ["recv", "share", "into", "misfit", "header", "object", "iterate", "interrupted"]
OF_A_HEADER = ["read", "read_into", "skip"]
CALLS = [*RECEIVES, *OF_A_HEADER, "send"]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    good = st.sampled_from([*HELLOS])
    first = draw(st.one_of(good, good, good, st.sampled_from([*BAD_HELLOS])))
    frames = draw(_frames())
    size = len((HELLOS | BAD_HELLOS)[first])
    size += sum(len(frame.head) + len(frame.body) for frame in frames)
    return Plan(
        first,
        frames,
        draw(st.one_of(st.none(), st.none(), st.integers(0, size))),
        draw(st.sampled_from(["eof", "eof", "reset"])),
        draw(
            st.one_of(
                st.just(()), st.just((1,)), st.lists(st.integers(1, 200), min_size=1).map(tuple)
            )
        ),
        tuple(draw(st.lists(st.sampled_from(CALLS), min_size=1, max_size=14))),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from(["off", "auto"])),
        draw(st.sampled_from(["close", "abort"])),
    )


PROTOCOL, INCOMPLETE, RESET = "ProtocolError", "IncompleteTransferError", "reset"
REFUSED, STOPPED, CLOSED = "MessageRefusedError", "stopped", "ClosedError"
CANCELLED, UNPICKLING, SENT, SKIPPED = "cancelled", "UnpicklingError", "sent", "skipped"


@dataclass
class Model:
    """What has been delivered of a plan, and what may come of the next call."""

    plan: Plan
    dead: str | None = None
    """The error of every receive from now on."""
    ended: bool = False
    """Whether the end between two messages was seen."""
    held: int | None = None
    """The message whose header the caller has."""
    _at: int = 0
    _start: int = 0
    _invited: bool = False
    _came: int = field(init=False)

    def __post_init__(self) -> None:
        self._came = len(self.plan.data())
        self._start = len((HELLOS | BAD_HELLOS)[self.plan.hello])

    def _front(self) -> tuple[set[str], Frame | None, bool]:
        """The errors that a receive meets, or the message, and whether it is all there."""
        if self._came == 0:
            return {"end"}, None, False
        if self.plan.hello in BAD_HELLOS:
            # How soon it is known is not for us to say.
            return {PROTOCOL} if self._came >= self._start else {PROTOCOL, INCOMPLETE}, None, False
        while True:
            left = self._came - self._start
            if left < 0:
                return {INCOMPLETE}, None, False
            if left == 0:
                return {"end"}, None, False
            frame = self.plan.frames[self._at]
            if left < len(frame.head):
                early = {PROTOCOL} if frame.kind == "violation" else set()
                return {INCOMPLETE} | early, None, False
            if frame.kind == "violation":
                return {PROTOCOL}, None, False
            if frame.kind != "invitation":
                return set(), frame, left >= len(frame.head) + len(frame.body)
            is_welcome = self.plan.same_host == "auto" and self.plan.hello == "near"
            if self._invited or not is_welcome:
                return {PROTOCOL}, None, False
            # Nobody listens there, so that nothing comes of it.
            self._invited = True
            self._next(frame)

    def _next(self, frame: Frame) -> None:
        self._at += 1
        self._start += len(frame.head) + len(frame.body)

    def frame(self) -> Frame | None:
        """The message that comes next, if one does."""
        return None if self.dead else self._front()[1]

    def allowed(self, call: str) -> set[Any]:
        """What may come of a call: the name of an error, or what is delivered."""
        if call == "send":
            if self.dead == PROTOCOL:
                return {CLOSED}
            return {SENT, RESET} if self.plan.end == "reset" else {SENT}
        allowed = self._allowed(call)
        if call == "interrupted":  # a call of a long row gives the loop a turn first
            allowed.add(CANCELLED)
        if self.plan.end == "reset" and self.dead is None:
            allowed |= {RESET, INCOMPLETE}
        return allowed

    def _allowed(self, call: str) -> set[Any]:
        if call == "object" and not self.plan.allow_pickle:
            return {REFUSED}
        is_stale = call in OF_A_HEADER and self.held != self._at
        if self.dead:
            # What the system says is not kept: a header that is no more is found out before.
            return {self.dead} | ({REFUSED} if is_stale and self.dead == RESET else set())
        if is_stale:
            return {REFUSED}
        errors, frame, is_whole = self._front()
        if frame is None:
            if "end" in errors:
                return {STOPPED if call == "iterate" else INCOMPLETE}
            return set(errors)
        is_object = frame.kind != "arrays"
        is_large = self.plan.is_limited and len(frame.body) > LIMIT
        match call:
            case "header":
                return {("header", frame.number)}
            case "skip":
                return {SKIPPED if is_whole else INCOMPLETE}
            case "misfit":
                return {REFUSED}
            case "into" | "read_into":
                is_refused = is_object
            case "object":
                is_refused = not is_object or is_large
            case _:
                is_refused = is_object or is_large
        if is_refused:
            return {REFUSED}
        if not is_whole:
            return {INCOMPLETE}
        return {UNPICKLING if frame.kind == "broken" else ("message", frame.number)}

    def note(self, call: str, outcome: Any) -> None:
        """A call came to this, which was allowed."""
        if call == "send" or self.dead or outcome in (REFUSED, CANCELLED):
            return
        errors, frame, is_whole = self._front()
        if outcome in (PROTOCOL, RESET):
            self.dead = outcome
        elif outcome == STOPPED or (outcome == INCOMPLETE and "end" in errors):
            self.ended = True
        elif outcome == INCOMPLETE:
            self.dead = outcome
        elif isinstance(outcome, tuple) and outcome[0] == "header":
            self.held = self._at
        else:
            assert frame is not None and is_whole
            self._next(frame)
