"""The contract of a stream as a suite of checks, for the streams of pinwire and for yours.

It takes a maker of connected streams and looks at all that pinwire promises: every byte in order
after partial transfers, exporters of any kind, pins, the end of a stream, conflicts, cancellation,
timeouts, and closes at bad moments. Each check is one clause, which its failure names::

    report = await pinwire.testing.check_streams(pinwire.socketpair)
    await pinwire.testing.check_streams(pinwire.blocking.socketpair)  # calls that block: in threads

The streams may be of any class with the names of `pinwire.Stream`. `send_buffer`, `recv_into` and
`close` have to be there; what needs more than a stream has is reported as not checked, and never
passes silently. Exceptions of another library are given as `errors=Errors(...)`. Linux only, as
pinwire: whether a thread waits is read from /proc (proc(5)).
"""

from ._check import Check
from ._flight import Flight
from ._outcome import ClauseError, NotChecked, UnsuitableError
from ._pair import End, Pair
from ._settings import Errors, Options
from ._suite import Report, check_streams, checks

__all__ = [
    "Check",
    "ClauseError",
    "End",
    "Errors",
    "Flight",
    "NotChecked",
    "Options",
    "Pair",
    "Report",
    "UnsuitableError",
    "check_streams",
    "checks",
]
