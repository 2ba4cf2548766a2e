"""The command line."""

import argparse
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path("benches/results")
FILE = "results.json"


@dataclass(frozen=True)
class Options:
    quick: bool
    only: frozenset[str]
    contestants: frozenset[str]
    rounds: int | None
    out: Path
    inside: str | None
    """The environment's name, in the process that was started into it."""

    def measures(self, workload: str) -> bool:
        """By its name, or by all that comes before one of the hyphens in it."""
        return not self.only or any(
            workload == name or workload.startswith(f"{name}-") for name in self.only
        )

    def admits(self, name: str) -> bool:
        return not self.contestants or name in self.contestants


def parse() -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m benches.peers", description="pinwire beside its peers, in one run"
    )
    parser.add_argument("--quick", action="store_true", help="everything once, in small")
    parser.add_argument("--only", metavar="WORKLOAD,...", default="", help="ping-64,same-host,...")
    parser.add_argument("--contestants", metavar="NAME,...", default="", help="by full name")
    parser.add_argument("--rounds", type=int, metavar="N", help="of every workload")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default {RESULTS}")
    parser.add_argument("--inside", metavar="ENVIRONMENT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    return Options(
        given.quick,
        frozenset(filter(None, given.only.split(","))),
        frozenset(filter(None, given.contestants.split(","))),
        given.rounds,
        given.out,
        given.inside,
    )
