"""What channels are to reach: beside the bare stream, and beside others that send messages."""

from collections.abc import Iterator

from . import results as read
from .plan import MIB, TRANSPORTS
from .results import Results
from .row import Row

# A channel, and the bare stream of the same face.
FACES = {
    "pinwire Channel asyncio": "pinwire asyncio",
    "pinwire Channel uvloop": "pinwire uvloop",
    "pinwire Channel blocking": "pinwire blocking",
}
ASYNCIO, _, BLOCKING = FACES
PYZMQ = {ASYNCIO: "pyzmq asyncio", BLOCKING: "pyzmq"}
# By name in the results, how many times as quick as they.
OBJECTS = {"multiprocessing.connection": 3.0, "pyzmq pickle 5": 1.3}
SIZES = {"16M": "16 MiB", "64M": "64 MiB", "256M": "256 MiB"}


def rows(results: Results) -> Iterator[Row]:
    for part in (_round_trips, _bulk, _parts, _objects, _memory):
        yield from part(results)


def _round_trips(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        entry = read.find(results, "message-ping-64", transport)
        for channel, stream in FACES.items():
            ratio = read.ratios(entry, channel, stream, read.latency)
            text = f"64 B round trip as a message, {transport}: {channel} / {stream}"
            yield Row(text, 1.3, True, ratio)


def _bulk(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        for label, words in SIZES.items():
            entry = read.find(results, f"message-bulk-{label}", transport)
            for channel in (ASYNCIO, BLOCKING):
                stream = FACES[channel]
                speed = read.ratios(entry, stream, channel, read.message_seconds)
                text = f"{words} as a message, {transport}: {channel}'s speed / {stream}'s"
                yield Row(text, 0.97, False, speed)


def _parts(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        entry = read.find(results, "message-parts", transport)
        for channel, peer in PYZMQ.items():
            for name in (channel, f"{channel} recv"):
                speed = read.ratios(entry, peer, name, read.message_seconds)
                text = f"1,000 x 4 KiB as a message, {transport}: {name}'s speed / {peer}'s"
                yield Row(text, 3.0, False, speed)


def _objects(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        entry = read.find(results, "message-object", transport)
        for channel in (ASYNCIO, BLOCKING):
            for peer, limit in OBJECTS.items():
                speed = read.ratios(entry, peer, channel, read.message_seconds)
                text = f"DataFrame as an object, {transport}: {channel}'s speed / {peer}'s"
                yield Row(text, limit, False, speed)


def _memory(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        entry = read.find(results, "message-memory", transport)
        for name in (ASYNCIO, f"{ASYNCIO} recv"):
            peak = read.over_rounds(entry, name, read.peak_bytes)
            text = f"memory above a message's arrays, a side, {transport}: {name}"
            yield Row(text, 4.0, True, peak, " MiB", 1 / MIB)
