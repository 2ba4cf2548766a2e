"""Limits of the process, lowered for the length of one call."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)
_MEMORY = resource.getrlimit(resource.RLIMIT_AS)
_PAGE = os.sysconf("SC_PAGE_SIZE")


_held = threading.Lock()
"""By whoever has lowered a limit: he needs what the limits leave to look at them."""


@contextlib.contextmanager
def _alone() -> Iterator[bool]:
    """Whether nobody else has lowered one meanwhile."""
    is_first = _held.acquire(blocking=False)
    try:
        yield is_first
    finally:
        if is_first:
            _held.release()


@contextlib.contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Let the process open only so many more."""
    with _alone() as is_first:
        if not is_first:
            yield
            return
        limit = _lowest_free(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, _DESCRIPTORS[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, _DESCRIPTORS)


def _lowest_free(spare: int) -> int:
    taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    free = (number for number in itertools.count() if number not in taken)
    return next(itertools.islice(free, spare, None))


@contextlib.contextmanager
def little_memory(spare: int) -> Iterator[None]:
    """Let the process map only so many more bytes."""
    with _alone() as is_first:
        if not is_first:
            yield
            return
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * _PAGE + spare, _MEMORY[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, _MEMORY)
