"""How much memory this process may use."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from ._core import MemoryBudget

TYPE_CHECKING = False  # as in `pinwire`

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE = 4
"""The part of it that a server takes for what is being received: one of so many."""


def default_budget() -> MemoryBudget:
    """A budget for one server, unless its user has chosen another."""
    return MemoryBudget(max(available() // SHARE, 1))


def available(root: Path = Path("/")) -> int:
    """Bytes that this process may use: of the machine, of its cgroups, and of its own limits.

    cgroups(7), proc(5), getrlimit(2). Files are looked up under `root`.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    own = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return min([physical, *own, *_of_cgroups(root)])


def _of_cgroups(root: Path) -> Iterator[int]:
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be the host's, and the mount begins at the container's own.
        here = mount / path.lstrip("/")
        for folder in (here, *here.parents):
            if not folder.is_relative_to(mount):
                break
            if (text := _read(folder / name).strip()).isdecimal():
                yield int(text)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
