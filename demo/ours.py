"""pinwire: every object in order, on one connection."""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pinwire
from benches.delivery.case import LIMIT, RETURNED, SEND_BUFFER, Attempt, Delivery
from benches.delivery.senders import PINWIRE

from .items import Item
from .receiver import STREAM, Receiver
from .report import Row


@dataclass(frozen=True)
class Journey:
    rows: list[Row]
    congestion: bytes
    problem: str | None
    """What the receiving side raised."""


def run(items: Sequence[Item], receiver: Receiver) -> Journey:
    """Send them all; each becomes a row."""
    address = receiver.ask(STREAM)
    attempts, packed, congestion = asyncio.run(_send(items, address))
    arrivals, problem = receiver.answer()
    rows = []
    free = attempts[0].started
    for item, tried, arrival, copied in zip(items, attempts, arrivals, packed, strict=True):
        # On one stream an object has the wire from the moment the one before it has arrived.
        delivery = Delivery(item.nbytes, Attempt(tried.ended, free), arrival)
        free = arrival.finished
        rows.append(Row(PINWIRE.library, PINWIRE.call, item.name, delivery, copied / item.nbytes))
    return Journey(rows, congestion, problem)


async def _send(items: Sequence[Item], address: str) -> tuple[list[Attempt], list[int], bytes]:
    attempts = [Attempt("not sent", 0.0)] * len(items)
    packed = [0] * len(items)
    async with pinwire.connect(address, send_buffer_size=SEND_BUFFER) as sock:
        congestion = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        for index, item in enumerate(items):
            before = sock.stats().packed_bytes
            started = time.monotonic()
            try:
                await sock.send_buffer(item.payload, timeout=LIMIT)
            except Exception as error:
                attempts[index] = Attempt(type(error).__name__, started)
                break
            attempts[index] = Attempt(RETURNED, started)
            packed[index] = sock.stats().packed_bytes - before
    return attempts, packed, congestion.rstrip(b"\0")
