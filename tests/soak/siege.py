"""Servers of channels besieged by hostile peers, beside honest ones: `python -m soak.siege --help`.

One process serves, with few descriptors, few threads and little memory; one attacks; this one is
the honest peer and judges: everything it sends comes back right, within twice the time that it
takes without the attack, and the server has no more afterwards than before.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

import pinwire
import pinwire.blocking

if TYPE_CHECKING:
    from collections.abc import Iterator

FACES = ["asyncio", "uvloop", "blocking"]
BUDGET = 64 << 20
"""Bytes of memory for what the server receives."""
CHANNELS = 100
DESCRIPTORS = 256
THREADS = 130
SLACK = 48 << 10
"""KiB by which its memory may differ before and after: glibc keeps 40 MiB of stacks of threads that
have ended."""
WARMING_SECONDS = 3
"""Of an attack before the one that is judged, which makes the server grow once."""
PATIENCE = 30.0
"""Seconds within which an honest peer is served, whatever the machine."""
TIMES = 2.0
"""How much longer than usual it may take, in the median."""


class Server:
    """The besieged process."""

    def __init__(self, face: str) -> None:
        command = [sys.executable, "-m", "soak.besieged", face]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self._hear()["address"]

    def count(self) -> dict[str, Any]:
        """What it has now."""
        assert self._process.stdin is not None
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        return self._hear()

    def settled(self, before: dict[str, Any]) -> list[str]:
        """What it has too much of, once that does not change any more."""
        deadline = time.monotonic() + PATIENCE
        while True:
            after = self.count()
            wrong = [
                f"{what}: {before[what]} before, {after[what]} after"
                for what, slack in (("fds", 0), ("threads", 16), ("memory", SLACK), ("reserved", 0))
                if after[what] > before[what] + slack
            ]
            if not wrong or time.monotonic() > deadline:
                return wrong
            time.sleep(0.1)  # another process tells nobody that a thread of its has ended

    def close(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(PATIENCE)

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server has ended"
        return json.loads(line)


@contextmanager
def attack(address: str, peers: int, seed: int) -> Iterator[None]:
    """So many hostile peers at once, as long as this lasts."""
    command = [sys.executable, "-m", "soak.besiegers", address, str(peers), str(seed)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdin is not None
    try:
        process.stdout.readline()
        yield
    finally:
        process.stdin.close()
        print("   ", process.stdout.read().strip(), flush=True)
        process.wait(PATIENCE)


SIZES = [1000, 100_000, 1 << 20, 1 << 20]
"""Bytes of what an honest peer sends and gets back."""


def be_served(address: str, chance: random.Random, sizes: list[int] = SIZES) -> tuple[float, int]:
    """One honest peer's business: the seconds it took, and how often it was turned away."""
    began = time.perf_counter()
    for turned_away in count():
        assert time.perf_counter() - began < PATIENCE, "an honest peer is not served"
        with suppress(ConnectionError, pinwire.IncompleteTransferError):
            _exchange(address, chance, sizes)
            return time.perf_counter() - began, turned_away
    raise AssertionError


def _exchange(address: str, chance: random.Random, sizes: list[int]) -> None:
    with pinwire.blocking.connect_channel(address, timeout=PATIENCE, same_host="off") as channel:
        for size in sizes:
            sent = np.frombuffer(chance.randbytes(size), "u1")
            channel.send(sent, timeout=PATIENCE)
            got = channel.recv(timeout=PATIENCE).parts[0]
            assert np.array_equal(sent, got), "an honest peer got something else than it sent"


def besiege(face: str, duration: float, peers: int, seed: int) -> tuple[float, list[str]]:
    """Attack one server for some time: how much longer honest peers took, and what was wrong."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        server = Server(face)
        stack.callback(server.close)
        usual = [be_served(server.address, chance)[0] for _ in range(20)]
        with attack(server.address, peers, seed):
            time.sleep(WARMING_SECONDS)
        before = _at_rest(server, chance)
        under_attack, turned_away = [], 0
        with attack(server.address, peers, seed):
            deadline = time.monotonic() + duration
            while time.monotonic() < deadline or len(under_attack) < 5:
                seconds, times = be_served(server.address, chance)
                under_attack.append(seconds)
                turned_away += times
            print("   ", server.count(), flush=True)
        _at_rest(server, chance)
        wrong = server.settled(before)
    times = statistics.median(under_attack) / statistics.median(usual)
    print(
        f"{face:9} {len(under_attack):5} times served under attack, in {times:.2f} of the usual "
        f"time (median; slowest {max(under_attack) / max(usual):.2f} of the usual slowest), after "
        f"being turned away {turned_away} times",
        flush=True,
    )
    return times, wrong


def _at_rest(server: Server, chance: random.Random) -> dict[str, Any]:
    """What the server has after so many small messages that no memory of large ones is kept."""
    for _ in range(300):
        be_served(server.address, chance, [1000])
    return server.count()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak.siege", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each face (60)")
    parser.add_argument("--peers", type=int, default=1000, help="hostile ones at once (1000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--face", action="append", choices=FACES, help="these faces")
    parser.add_argument("--judge-times", action="store_true", help="fail if it takes over twice")
    options = parser.parse_args()
    print(f"siege: seed {options.seed}, {options.peers} hostile peers", flush=True)
    failures = 0
    for face in options.face or FACES:
        times, wrong = besiege(face, options.seconds, options.peers, options.seed)
        if options.judge_times and times > TIMES:
            wrong.append(f"honest peers took {times:.2f} of their usual time")
        for text in wrong:
            print(f"FAILED: {face}: {text}", flush=True)
        failures += bool(wrong)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
