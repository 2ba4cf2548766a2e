"""What a plan for a workload says, and the words that all of them share."""

from dataclasses import dataclass

from .contestant import Workload

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

TRANSPORTS = ("tcp", "unix")


@dataclass(frozen=True)
class Plan:
    workload: Workload
    rounds: int
    only: tuple[str, ...] | None = None
    """Names, or beginnings of names; None for all who take it."""
    anew: bool = False
    """Every round in new processes: memory that an earlier workload has freed, but its process has
    kept, would hide what this one takes."""
    rehearsal: Workload | None = None
    """What everybody does once before the first round: some things start only when used."""

    def invites(self, name: str) -> bool:
        return self.only is None or any(name.startswith(start) for start in self.only)
