"""A contestant over a unix socket, in tables where the others have TCP or no socket at all."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..contestant import Contestant, Result, Workload


@dataclass(frozen=True)
class OverUnix:
    name: str
    contestant: Contestant

    @property
    def family(self) -> str:
        return self.contestant.family

    @property
    def settings(self) -> str:
        return self.contestant.settings

    def takes(self, workload: Workload) -> bool:
        return workload.kind == "same-host" and self.contestant.takes(_own(workload))

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        return self.contestant.serve(_own(workload), ready)

    def drive(self, workload: Workload, address: str) -> Result:
        return self.contestant.drive(_own(workload), address)


def _own(workload: Workload) -> Workload:
    return replace(workload, transport="unix")
