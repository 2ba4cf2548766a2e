"""What an event loop calls to go on with a task that sleeps in the core.

These are Python functions so that no frame of the core is below the task while it runs. Until
Python 3.14 the interpreter ends a daemon thread at exit by unwinding its stack, which a frame of
Rust cannot survive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core import Doorbell, Waiter, Watch


def ready(watch: Watch) -> None:
    """A watched descriptor is ready."""
    if (sleeper := watch.take_sleeper()) is not None:
        context, callback, waiter = sleeper
        context.run(callback, waiter)


def expire(waiter: Waiter) -> None:
    """The time of the operation that sleeps in the waiter is over."""
    if (sleeper := waiter.take_expired()) is not None:
        context, callback, waiter = sleeper
        context.run(callback, waiter)


def ring(doorbell: Doorbell) -> None:
    """Flights have landed. Those that land meanwhile ring again."""
    for _ in range(doorbell.waiting()):
        if (sleeper := doorbell.take_sleeper()) is not None:
            context, callback, waiter = sleeper
            context.run(callback, waiter)


def let_go(watch: Watch) -> None:
    """A stream has left this loop, from another thread."""
    if (removal := watch.removal()) is not None:
        remove, fd = removal
        remove(fd)
    watch.release()
