"""What channels are to reach between processes of one host: beside sockets, MPI and memcpy."""

from collections.abc import Iterator

from . import results as read
from .plan import MIB, TRANSPORTS
from .results import Entry, Results, Spread
from .row import Row

OURS, OURS_UNIX = "pinwire Channel asyncio", "pinwire Channel asyncio, unix"
SOCKET = "pinwire Channel asyncio, socket"
C, C_UNIX = "C loop", "C loop, unix"
MPI, MEMCPY = "mpi4py", "memcpy"
FACES = ("asyncio", "blocking", "uvloop")
SIZES = {
    "1M": "1 MiB",
    "4M": "4 MiB",
    "16M": "16 MiB",
    "64M": "64 MiB",
    "256M": "256 MiB",
    "1G": "1 GiB",
}
# Beyond what caches hold.
LARGE = ("16M", "64M", "256M", "1G")
# How many times as quick as the C loop over TCP.
TIMES_C = {"16M": 3.5, "256M": 2.5, "1G": 2.5}


def rows(results: Results) -> Iterator[Row]:
    for part in (_sockets, _small_pages, _mpi, _memcpy, _costs, _round_trips):
        yield from part(results)


def _sockets(results: Results) -> Iterator[Row]:
    for label, limit in TIMES_C.items():
        for ours, theirs, times in ((OURS, C, limit), (OURS_UNIX, C_UNIX, 2.0)):
            speed = _speed(_bulk(results, label), ours, theirs)
            text = f"{SIZES[label]} on one host: {ours}'s speed / {theirs}'s"
            yield Row(text, times, False, speed)


def _small_pages(results: Results) -> Iterator[Row]:
    for label in ("16M", "64M", "256M"):
        speed = _speed(read.find(results, f"same-host-pages-{label}", "tcp"), OURS, C)
        text = f"{SIZES[label]} in pages of 4 KiB on one host: {OURS}'s speed / {C}'s"
        yield Row(text, 1.5, False, speed)


def _mpi(results: Results) -> Iterator[Row]:
    for label, words in SIZES.items():
        entry = _bulk(results, label)
        peers = [name for name in read.names_in(entry) if name.startswith(MPI)]
        text = f"{words} on one host: {OURS}'s speed / that of the better {MPI}"
        yield Row(text, 1.0, False, _speed(entry, OURS, *peers))


def _memcpy(results: Results) -> Iterator[Row]:
    for label in LARGE:
        speed = _speed(_bulk(results, label), OURS, MEMCPY)
        yield Row(f"{SIZES[label]} on one host: {OURS}'s speed / {MEMCPY}'s", 0.8, False, speed)


def _costs(results: Results) -> Iterator[Row]:
    for label in LARGE:
        cpu = read.ratios(_bulk(results, label), OURS, SOCKET, read.cpu_seconds)
        text = f"CPU of both sides, {SIZES[label]} on one host: {OURS} / {SOCKET}"
        yield Row(text, 0.5, True, cpu)
    peak = read.over_rounds(read.find(results, "same-host-memory", "tcp"), OURS, read.peak_bytes)
    text = f"memory above the arrays, a side, on one host: {OURS}"
    yield Row(text, 2.0, True, peak, " MiB", 1 / MIB)


def _round_trips(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        entry = read.find(results, "same-host-ping-64", transport)
        for face in FACES:
            channel = f"pinwire Channel {face}"
            ratio = read.ratios(entry, channel, f"{channel}, socket", read.latency)
            text = f'64 B round trip, {transport}: {channel}, same_host "auto" / "off"'
            yield Row(text, 1.05, True, ratio)


def _bulk(results: Results, label: str) -> Entry | None:
    return read.find(results, f"same-host-{label}", "tcp")


def _speed(entry: Entry | None, ours: str, *theirs: str) -> Spread | None:
    """Of `ours` over that of the quickest of `theirs`."""
    time = read.ratios_to_best(entry, ours, theirs, read.message_seconds)
    return time and time.inverse()
