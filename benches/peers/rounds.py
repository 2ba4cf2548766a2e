"""Rounds, interleaved: every contestant in turn, the order turned by one each time."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from .contestant import Workload
from .contestants import Entry
from .pair import START_SECONDS, Pair, PairError
from .plan import Plan

# A contestant that fails this often in one workload does not take part in the rest of it.
PATIENCE = 2

# Several times what the slowest of them needs: Dask's scheduler, for ten thousand tasks.
SECONDS_OF_A_ROUND = 180.0

# Moved in the same way as more, and little beside what a large message could leave behind.
WARM_UP_BYTES = 1 << 20

Report = Callable[[str], None]


class Race:
    """Two idle processes for each entry, until `close`."""

    def __init__(self, entries: Sequence[Entry], environment: str, seconds: float) -> None:
        self._environment = environment
        self._seconds = seconds
        self._pairs: dict[str, Pair] = {entry.name: Pair(entry) for entry in entries}
        self.failures: list[dict[str, Any]] = []

    def start(self, report: Report) -> None:
        """All processes at once, and none is timed before the last one idles."""
        for pair in self._pairs.values():
            pair.launch()
        for name, pair in self._pairs.items():
            report(f"starting {name}")
            with contextlib.suppress(PairError):  # which `run` meets again, and reports
                pair.settle()

    def run(self, plan: Plan, rounds: int, report: Report) -> dict[str, Any] | None:
        """A workload's entry in the results; None if nobody takes it."""
        workload = plan.workload
        pairs = [
            pair
            for name, pair in self._pairs.items()
            if plan.invites(name) and pair.entry.contestant.takes(workload)
        ]
        if not pairs:
            return None
        if plan.rehearsal is not None:
            self._rehearse(pairs, plan.rehearsal, report)
        measured: list[dict[str, Any]] = []
        failed: dict[str, int] = {}
        for number in range(rounds):
            turn = number % len(pairs)
            results: dict[str, Any] = {}
            for pair in (*pairs[turn:], *pairs[:turn]):
                name = pair.entry.name
                if failed.get(name, 0) >= PATIENCE:
                    continue
                report(f"{workload.name} {workload.transport}, round {number + 1}: {name}")
                try:
                    if plan.anew:
                        self._start_anew(pair, workload)
                    results[name] = pair.run(workload, self._seconds)
                except PairError as error:
                    failed[name] = failed.get(name, 0) + 1
                    self.failures.append(
                        {
                            "contestant": name,
                            "workload": workload.name,
                            "transport": workload.transport,
                            "round": number,
                            "reason": str(error),
                        }
                    )
            measured.append(results)
        return {
            "workload": dataclasses.asdict(workload),
            "environment": self._environment,
            "rounds": measured,
        }

    def _rehearse(self, pairs: Sequence[Pair], workload: Workload, report: Report) -> None:
        for pair in pairs:
            report(f"{workload.name} {workload.transport}, rehearsal: {pair.entry.name}")
            with contextlib.suppress(PairError):  # which a round meets again, and reports
                pair.run(workload, START_SECONDS + self._seconds)

    def _start_anew(self, pair: Pair, workload: Workload) -> None:
        pair.stop()
        # Code that is mapped when it first runs is no cost of a message.
        pair.run(dataclasses.replace(workload, size=WARM_UP_BYTES), self._seconds)

    def close(self) -> None:
        for pair in self._pairs.values():
            pair.stop()
