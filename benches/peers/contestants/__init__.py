"""Everybody who takes part, in the order of the tables."""

import importlib
from dataclasses import dataclass, field

from ..contestant import Contestant

MODULES = (
    "c_loop",
    "pinwire_",
    "pinwire_channel",
    "blocking",
    "asyncio_",
    "uvloop_",
    "uvloop_channel",
    "trio_",
    "anyio_",
    "pyzmq_",
    "pyzmq_arrays",
    "pyzmq_pickle",
    "multiprocessing_",
    "pynng_",
    "flight",
    "dask_comm",
    "dask_clusters",
    "mpi",
    "mpich",
    "openmpi",
    "iceoryx2_",
    "memcpy",
)

C_LOOP = "C loop"
PINWIRE = "pinwire"


@dataclass(frozen=True)
class Entry:
    """Where a process finds a contestant: only its own library gets imported there."""

    name: str
    module: str
    contestant: Contestant

    @property
    def ours(self) -> bool:
        return self.name.startswith(PINWIRE)


@dataclass(frozen=True)
class Field:
    entries: list[Entry] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """By module, why its contestants cannot take part."""


def collect() -> Field:
    """Import every module; one whose library is missing or broken is skipped."""
    found = Field()
    for module in MODULES:
        try:
            contestants = offered(module)
        except (ImportError, OSError, RuntimeError) as error:
            found.skipped[module.rstrip("_")] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        found.entries.extend(Entry(each.name, module, each) for each in contestants)
    return found


def load(module: str, name: str) -> Contestant:
    """The contestant of an `Entry`, in another process."""
    return next(each for each in offered(module) if each.name == name)


def offered(module: str) -> tuple[Contestant, ...]:
    imported = importlib.import_module(f".{module}", __name__)
    contestants: tuple[Contestant, ...] = imported.CONTESTANTS
    return contestants
