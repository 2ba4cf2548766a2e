"""Processes that do not outlive whoever has started them."""

import ctypes
import signal


def end_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Should the parent be killed while this process waits or spins for ever (prctl(2))."""
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, how)
