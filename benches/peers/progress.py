"""One line that says what is being measured, on a terminal; every workload's end elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


class Progress:
    def __init__(self, console: Console, status: Status | None) -> None:
        self._console, self._status = console, status
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """What comes next."""
        if self._status is not None:
            self._status.update(text)

    def say(self, text: str) -> None:
        """Something that stays."""
        seconds = time.monotonic() - self._began
        self._console.print(f"{seconds:6.1f} s  {text}", markup=False, highlight=False)


@contextmanager
def shown() -> Iterator[Progress]:
    console = Console(stderr=True, soft_wrap=True)
    if not sys.stderr.isatty():
        yield Progress(console, None)
        return
    with console.status("starting") as status:
        yield Progress(console, status)
